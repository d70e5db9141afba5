// Owners of partitions on a Kafka, each with a folder of its own as if it were another machine, and gateways that write to
// the usage log. What the topics hold is folded here by code that shares nothing with the program's.
import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import { openAggregatorMetrics } from '../../src/aggregator/aggregator-metrics.ts'
import { openClusterMetrics } from '../../src/aggregator/cluster-metrics.ts'
import { clusterTopics } from '../../src/aggregator/cluster-topics.ts'
import type { ClusterTopics } from '../../src/aggregator/cluster-topics.ts'
import { PartitionOwner } from '../../src/aggregator/owner.ts'
import type { OwnerParts, OwnerSettings } from '../../src/aggregator/owner.ts'
import { SharedMemory } from '../../src/aggregator/shared-memory.ts'
import { encodeUsageEvent } from '../../src/domain/usage-event.ts'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import { formatTimeMs } from '../../src/domain/window.ts'
import { hourlyTopicSpecs } from '../../src/hourly-log/kafka-topics.ts'
import type { KafkaClient, RecordOut, TopicSpec } from '../../src/kafka/port.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Logger } from '../../src/platform/logger.ts'
import { openMetrics } from '../../src/platform/metrics.ts'
import { usageTopicSpecs } from '../../src/usage-log/kafka-topics.ts'
import { silent, temporaryFolder } from './aggregator-rig.ts'
import { eventually } from './eventually.ts'

export function clusterSpecs (prefix: string, partitions = 1): readonly TopicSpec[] {
  const options = { prefix, partitions, minInsyncReplicas: 1 }
  return [...usageTopicSpecs(options), ...hourlyTopicSpecs(options)]
}

/** One opening of a gateway's journal, as its shipper sends it to partition 0. */
export class ClusterStream {
  readonly streamId = randomUUID()
  readonly gatewayId: string
  lastSeq = 0

  constructor (gatewayId = 'gateway-1') { this.gatewayId = gatewayId }

  records (events: readonly UsageEvent[], values: ReadonlyMap<number, RecordOut['value']> = new Map()): RecordOut[] {
    return events.map((event, index) => {
      const prevSeq = this.lastSeq
      const seq = ++this.lastSeq
      const { streamId, gatewayId } = this
      const value = `${encodeUsageEvent({ ...event, gatewayId })},"streamId":"${streamId}","seq":${seq},"prevSeq":${prevSeq}}`
      const given = values.get(index)
      return {
        key: String(event.apiKeyId ?? gatewayId),
        value: given === undefined ? value : given,
        headers: { gatewayId, streamId, seq: String(seq), prevSeq: String(prevSeq), requestTime: formatTimeMs(event.requestTimeMs) }
      }
    })
  }

  void (count: number, hours: readonly (readonly [number, number])[]): RecordOut {
    const prevSeq = this.lastSeq
    const seq = this.lastSeq += count
    const { streamId, gatewayId } = this
    return {
      key: gatewayId,
      value: JSON.stringify({ schemaVersion: 1, kind: 'void', gatewayId, streamId, seq, prevSeq, reason: 'unreadable block', hours, isHoursUncertain: false }),
      headers: { gatewayId, streamId, seq: String(seq), prevSeq: String(prevSeq), kind: 'void' }
    }
  }
}

export interface OwnerRig {
  readonly topics: ClusterTopics
  readonly kafka: KafkaClient
  /** Another machine: a folder and a name of its own. */
  readonly machine: (name: string, folder?: string) => Machine
  readonly append: (records: readonly RecordOut[]) => Promise<void>
}

export interface Machine {
  readonly name: string
  readonly folder: string
  /** Deals partition 0 to the machine. Every owner is closed after the test. */
  readonly own: (given?: Partial<OwnerSettings>, parts?: Partial<OwnerParts>) => PartitionOwner
}

export const rigSettings = {
  threads: 1, segmentRowsMax: 100_000, memoryBytesMax: 128 * 2 ** 20, batchEventsMax: 10_000, batchIntervalMs: 10,
  // Archived by hand, so that a test knows what is.
  flushIntervalMs: 3_600_000, flushEventsMax: 1_000_000, publishIntervalMs: 20, keepHours: 72
} as const satisfies Omit<OwnerSettings, 'stateFolder'>

export function openOwnerRig (t: TestContext, { kafka, prefix, log = silent }: { readonly kafka: KafkaClient, readonly prefix: string, readonly log?: Logger }): OwnerRig {
  const topics = clusterTopics(prefix)
  const admin = kafka.openAdmin()
  const machine = (name: string, folder = temporaryFolder(t, name)): Machine => ({
    name,
    folder,
    own: (given = {}, parts = {}) => {
      const registry = openMetrics()
      const owner = new PartitionOwner({
        partition: 0, kafka, admin, topics, ownerName: name, settings: { ...rigSettings, stateFolder: folder, ...given }, onArchived: async () => true, clock: systemClock, log,
        metrics: openAggregatorMetrics(registry), clusterMetrics: openClusterMetrics(registry), randomId: () => randomUUID(), isMember: () => true, shared: new SharedMemory(rigSettings.memoryBytesMax), ...parts
      })
      owner.start()
      t.after(async () => { await owner.close() })
      return owner
    }
  })
  return {
    topics,
    kafka,
    machine,
    append: async (records) => {
      const producer = kafka.openPartitionProducer({ topic: topics.usage, partition: 0 })
      await producer.send(records)
      await producer.close()
    }
  }
}

export async function owned (owner: PartitionOwner): Promise<void> {
  await eventually(`${owner.partition} is owned, it is ${owner.status().state}: ${owner.status().reason ?? ''}`, () => owner.status().state === 'owning', { withinMs: 60_000 })
}

/** Everything that the usage log holds is counted and published. */
export async function settled ({ kafka, topics }: OwnerRig, owner: PartitionOwner): Promise<void> {
  const admin = kafka.openAdmin()
  try {
    await eventually('the owner has published all that the usage log holds', async () => {
      const [offsets] = await admin.offsets(topics.usage)
      const { ownership } = owner.status()
      return ownership?.lag === 0 && ownership.appliedOffset >= (offsets?.endOffset ?? Infinity) && ownership.publishedRevision === ownership.revision
    }, { withinMs: 60_000 })
  } finally { await admin.close() }
}

/** A topic record as any client sees it. */
export interface SeenRecord { readonly key: string, readonly value: string | null, readonly headers?: Readonly<Record<string, string>> }

export interface HourlyView {
  readonly rows: ReadonlyMap<string, Readonly<Record<string, unknown>>>
  readonly statements: ReadonlyMap<string, Readonly<Record<string, unknown>>>
  readonly tombstones: number
  /** Over open segments; closed ones are files. */
  readonly count: number
}

/** The newest of each key. */
export function foldHourly (records: readonly SeenRecord[]): HourlyView {
  const rows = new Map<string, Readonly<Record<string, unknown>>>()
  const statements = new Map<string, Readonly<Record<string, unknown>>>()
  let tombstones = 0
  for (const { key, value } of records) {
    if (value === null) { tombstones++; rows.delete(key); continue }
    const parsed = JSON.parse(value) as Readonly<Record<string, unknown>>
    if (/^\d/.test(key)) rows.set(key, parsed)
    else statements.set(key, parsed)
  }
  return { rows, statements, tombstones, count: [...rows.values()].reduce((sum, row) => sum + (row['count'] as number), 0) }
}
