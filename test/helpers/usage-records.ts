// Records of the topic of usage events as gateways send them, for those who read the topic beside the aggregators.
import type { Producer } from 'kafkajs'
import { partitionOf } from '../../src/domain/partition.ts'
import { encodeUsageEvent } from '../../src/domain/usage-event.ts'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import { streamOf } from './topic-records.ts'

export interface UsageRecord { readonly partition: number, readonly key: string, readonly value: string }

const recordsPerSend = 500
const firstRequestMs = Date.UTC(2026, 0, 15, 12)

/** The `seq`-th event of a stream: some of each member, endpoint, status and client, over two days. */
export function usageEventOf (seq: number): UsageEvent {
  const requestTimeMs = firstRequestMs + (seq % 36) * 3_600_000 + seq
  const keyed = { apiKeyId: 100 + seq % 7, memberId: 10 + seq % 5, memberGrade: 'GRADE_CLASSIC' } as const
  const isRefused = seq % 11 === 0
  return {
    eventId: `0b8f0d3e-8f39-4d0c-9d6c-${seq.toString(16).padStart(12, '0')}`, requestTimeMs, responseTimeMs: requestTimeMs + seq % 90, requestProtocol: 'HTTP/1.1', requestMethod: seq % 3 === 0 ? 'POST' : 'GET',
    requestUri: `/tracking/${seq % 13}`, responseStatus: isRefused ? 429 : seq % 17 === 0 ? 503 : 200, ...(isRefused ? { errorCode: 'G0006' } : { upstreamLatencyMs: seq % 90 }),
    clientIp: `203.0.113.${seq % 200 + 1}`, clientAgent: 'curl/8.5.0 "quoted"', ...keyed, traceId: `00000000-0000-4000-8000-${seq.toString(16).padStart(12, '0')}`,
    traceparent: `00-${'a'.repeat(20)}${seq.toString(16).padStart(12, '0')}-00f067aa0ba902b7-01`, routeId: seq % 4 === 0 ? 'other' : 'tracking', apiEndpointId: seq % 6, gatewayId: `gateway-${seq % 2 + 1}`, requestBytes: seq % 100, responseBytes: seq % 1_000, units: 1 + seq % 3
  }
}

/** Its line in the journal. */
export function usageLineOf (seq: number): string { return `${encodeUsageEvent(usageEventOf(seq))},"streamId":"${streamOf(1)}","seq":${seq},"prevSeq":${seq - 1}}` }

export function usageRecordOf (seq: number, partitions: number): UsageRecord {
  const key = String(usageEventOf(seq).apiKeyId)
  return { partition: partitionOf(key, partitions), key, value: usageLineOf(seq) }
}

export async function sendUsage (producer: Pick<Producer, 'send'>, topic: string, records: readonly UsageRecord[]): Promise<void> {
  for (let at = 0; at < records.length; at += recordsPerSend) await producer.send({ topic, messages: records.slice(at, at + recordsPerSend) })
}
