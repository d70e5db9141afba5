// Writes records of the topic api-usage-trace: events as the gateway's encoder made them, and voids in the place of lost ones.
import type { RecordOut } from '../kafka/port.ts'
import { usageHeaders } from './kafka-record.ts'
import type { VoidValue } from './kafka-record.ts'
import type { HourCount } from './port.ts'

export interface EventFacts {
  /** apiKeyId as text, or the gatewayId where there was no key. */
  readonly key: string
  readonly gatewayId: string
  readonly seq: number
  readonly prevSeq: number
  /** As in the event. */
  readonly requestTime: string
}

/** @param value the event's line without its line feed */
export function eventRecord ({ key, gatewayId, seq, prevSeq, requestTime }: EventFacts, streamId: string, value: Buffer): RecordOut {
  return { key, value, headers: { gatewayId, streamId, seq: String(seq), prevSeq: String(prevSeq), requestTime } }
}

export function voidRecord (value: Omit<VoidValue, 'schemaVersion' | 'kind'>): RecordOut {
  const { gatewayId, streamId, seq, prevSeq } = value
  const text = JSON.stringify({ schemaVersion: 1, kind: 'void', ...value } satisfies VoidValue)
  return {
    key: gatewayId, value: text,
    headers: { gatewayId, streamId, seq: String(seq), prevSeq: String(prevSeq), [usageHeaders.kind]: 'void' }
  }
}

/**
 * Lost events by hour, dealt out to the partitions that lost them: each gets as many as it lost, and each hour's parts add up
 * to the hour. Which partition lost which hour's nobody knows where a frame touches two hours; the sums are what is checked.
 * @param counts lost events by partition; as many in sum as the hours
 */
export function dealOutHours (hours: readonly HourCount[], counts: readonly number[]): HourCount[][] {
  const left = hours.map(({ hour, count }) => ({ hour, count }))
  return counts.map((count) => {
    const dealt: HourCount[] = []
    let wanted = count
    for (const rest of left) {
      const taken = Math.min(rest.count, wanted)
      if (taken === 0) continue
      rest.count -= taken
      wanted -= taken
      dealt.push({ hour: rest.hour, count: taken })
    }
    return dealt
  })
}
