// A cluster's stores without its processes: gateways that say what they answered, aggregators on real files that count,
// archive and publish it by their own code, and their operator listeners.
import { randomUUID } from 'node:crypto'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { partitionFolder } from '../../src/aggregator/cluster-folders.ts'
import { openFilesForOthers } from '../../src/aggregator/files-for-others.ts'
import { GiveUps } from '../../src/aggregator/give-up.ts'
import type { OpenedAggregator } from '../../src/aggregator/open.ts'
import { Publishing } from '../../src/aggregator/publishing.ts'
import type { AggregatorAddress } from '../../src/billing/aggregator-files.ts'
import { fileRoutes } from '../../src/compose/file-routes.ts'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import { hourOf } from '../../src/domain/window.ts'
import { hourlyTopics, ownerTransactionalId } from '../../src/hourly-log/kafka-topics.ts'
import { openOperatorListener } from '../../src/platform/operator-http.ts'
import type { HourMark, Mark, RunOrigin } from '../../src/usage-log/port.ts'
import { usageTopics } from '../../src/usage-log/kafka-topics.ts'
import type { RunningKafka } from '../services/kafka.ts'
import { openTestAggregator, silent } from './aggregator-rig.ts'
import { BillingWorld } from './billing-cluster.ts'
import { freePorts } from './free-ports.ts'
import { MemoryUsageLog, lineOf } from './memory-usage-log.ts'
import { saidRecords } from './topic-records.ts'

const token = 'an-operator-token-of-an-aggregator-here'

/** One opening of a gateway's journal in a cluster: its events go to several partitions. */
export class ClusterStream {
  readonly streamId = randomUUID()
  readonly gatewayId: string
  readonly #logs: readonly MemoryUsageLog[]
  readonly #lastSeqs = new Map<number, number>()
  readonly #hours = new Map<number, HourMark>()
  seq = 0

  constructor (gatewayId: string, logs: readonly MemoryUsageLog[]) {
    this.gatewayId = gatewayId
    this.#logs = logs
  }

  append (partition: number, events: readonly UsageEvent[], replace: ReadonlyMap<number, string> = new Map()): void {
    const prevSeq = this.#lastSeqs.get(partition) ?? 0
    const firstSeq = this.seq + 1
    const lines = events.map((event, index) => replace.get(index) ?? lineOf({ ...event, gatewayId: this.gatewayId }, { streamId: this.streamId, seq: firstSeq + index, prevSeq: index === 0 ? prevSeq : firstSeq + index - 1 }))
    this.seq += events.length
    for (const event of events) this.account(hourOf(event.requestTimeMs), { answered: 1, journaled: 1 })
    this.#lastSeqs.set(partition, this.seq)
    this.#logs[partition]?.push({ kind: 'events', streamId: this.streamId, prevSeq, firstSeq, lastSeq: this.seq, count: events.length, ndjson: Buffer.from(lines.map((line) => `${line}\n`).join('')), origin: this.#originOf(events, firstSeq) })
  }

  /** As Kafka knows records by their headers. */
  #originOf (events: readonly UsageEvent[], firstSeq: number): RunOrigin {
    const loggedAtMs = Math.max(...events.map(({ requestTimeMs }) => requestTimeMs))
    return {
      loggedAtMs,
      recordOf: (seq) => ({ offset: seq, loggedAtMs, requestTimeMs: events[seq - firstSeq]?.requestTimeMs, gatewayId: this.gatewayId, problem: undefined, key: undefined, value: undefined, headers: new Map() })
    }
  }

  /** Journaled, and in no usage log. */
  miss (partition: number, events: readonly UsageEvent[]): void {
    this.seq += events.length
    this.#lastSeqs.set(partition, this.seq)
    for (const event of events) this.account(hourOf(event.requestTimeMs), { answered: 1, journaled: 1 })
  }

  /** Events that can't be read any more. */
  lose (partition: number, events: readonly UsageEvent[], { isHoursUncertain = false } = {}): void {
    const prevSeq = this.#lastSeqs.get(partition) ?? 0
    const hours = new Map<number, number>()
    for (const { requestTimeMs } of events) {
      this.account(hourOf(requestTimeMs), { answered: 1, journaled: 1 })
      hours.set(hourOf(requestTimeMs), isHoursUncertain ? 0 : (hours.get(hourOf(requestTimeMs)) ?? 0) + 1)
    }
    this.seq += events.length
    this.#lastSeqs.set(partition, this.seq)
    this.#logs[partition]?.push({ kind: 'void', streamId: this.streamId, gatewayId: this.gatewayId, prevSeq, lastSeq: this.seq, reason: 'unreadable block', hours: [...hours].map(([hour, count]) => ({ hour, count })), isHoursUncertain })
  }

  account (hour: number, change: Partial<Omit<HourMark, 'hour'>>): void {
    const { answered, journaled, countedOnly, recovered } = this.#hours.get(hour) ?? { answered: 0, journaled: 0, countedOnly: 0, recovered: 0 }
    this.#hours.set(hour, {
      hour, answered: answered + (change.answered ?? 0), journaled: journaled + (change.journaled ?? 0), countedOnly: countedOnly + (change.countedOnly ?? 0), recovered: recovered + (change.recovered ?? 0)
    })
  }

  /** What the gateway says now. */
  said (watermarkMs: number, state: Mark['state'] = 'open'): ReturnType<typeof saidRecords> {
    return saidRecords({
      gatewayId: this.gatewayId, streamId: this.streamId, seq: this.seq, watermarkMs, state, lastSeqs: [...this.#lastSeqs],
      hours: Object.fromEntries([...this.#hours].map(([hour, { answered, journaled, countedOnly, recovered }]) => [hour, [answered, journaled, countedOnly, recovered] as const]))
    })
  }
}

/** One partition at one aggregator. */
interface Owned { readonly opened: OpenedAggregator, readonly publish: () => Promise<void> }

export class ClusterStores {
  readonly billing: BillingWorld
  readonly logs: readonly MemoryUsageLog[]
  readonly addresses = new Map<string, AggregatorAddress>()
  readonly #owned = new Map<string, Owned>()
  readonly #t: TestContext
  readonly #given: { readonly segmentRowsMax?: number }

  constructor (t: TestContext, kafka: RunningKafka, partitions: number, given: { readonly segmentRowsMax?: number } = {}) {
    this.#t = t
    this.#given = given
    this.billing = new BillingWorld(t, kafka, partitions)
    this.logs = Array.from({ length: partitions }, () => new MemoryUsageLog())
  }

  stream (gatewayId = 'gateway-1'): ClusterStream { return new ClusterStream(gatewayId, this.logs) }

  stateOf (owner: string): string { return path.join(this.billing.folder, owner) }

  /** Counts what the usage log holds of a partition, at one aggregator, and publishes it. */
  async count (owner: string, partition: number): Promise<void> {
    const owned = this.#owned.get(`${owner} ${partition}`) ?? await this.#open(owner, partition)
    const { aggregator } = owned.opened
    const log = this.logs[partition] as MemoryUsageLog
    for (let items = log.read(0, Infinity); items.length > 0; items = log.read(0, Infinity)) {
      await aggregator.take(partition, items)
      await aggregator.closeSegmentWhenFull(partition)
    }
    await owned.publish()
  }

  async flush (owner: string, partition: number): Promise<void> {
    const owned = this.#owned.get(`${owner} ${partition}`)
    await owned?.opened.aggregator.flush()
    await owned?.publish()
  }

  /** What is counted and not archived is nowhere else any more. */
  async loseUnarchived (owner: string, partition: number): Promise<void> {
    const aggregator = this.#owned.get(`${owner} ${partition}`)?.opened.aggregator
    await aggregator?.reset()
    aggregator?.noteUnstaged(partition)
  }

  /** As `tollgate recover --give-up` does. What follows is counted afterwards. */
  async giveUp (owner: string, partition: number, { streamId }: ClusterStream): Promise<void> {
    const { aggregator } = (this.#owned.get(`${owner} ${partition}`) as Owned).opened
    const giveUps = new GiveUps(aggregator, this.logs[partition] as MemoryUsageLog, partition)
    await giveUps.count(giveUps.gapOf(streamId), 'its disk is gone')
    await aggregator.flush()
    await giveUps.readAgain([streamId])
    await this.count(owner, partition)
  }

  /** The operator listener of an aggregator. */
  async serve (owner: string, givenPort?: number): Promise<AggregatorAddress> {
    const known = this.addresses.get(owner)
    if (known !== undefined) return known
    const port = givenPort ?? (await freePorts(1))[0] ?? 0
    const files = openFilesForOthers({ ownerName: owner, stateFolder: this.stateOf(owner), flush: async (partition) => { await this.flush(owner, partition) } })
    const server = await openOperatorListener({ host: '127.0.0.1', port, sources: () => [], routes: () => fileRoutes({ files, tokens: () => [{ name: 'test', token }] }), phase: () => 'serving', log: silent })
    this.#t.after(() => { server.close(); server.closeAllConnections() })
    const address = { url: `http://127.0.0.1:${port}`, token }
    this.addresses.set(owner, address)
    return address
  }

  async #open (owner: string, partition: number): Promise<Owned> {
    const opened = await openTestAggregator(partitionFolder(this.stateOf(owner), partition), { partitions: [partition], ...this.#given })
    const { duckDb, writer } = opened.aggregator.parts
    await writer.run('INSERT OR REPLACE INTO log_positions SELECT $1::INTEGER, \'usage\', \'hourly\', 0, 0, 0', [partition])
    const reader = await duckDb.connect()
    this.#t.after(() => { reader.close(); opened.close() })
    const { prefix, client } = this.billing
    const publisher = await client.openTransactionalPublisher({ transactionalId: ownerTransactionalId(prefix, partition), transactionTimeoutMs: 10_000 })
    const topics = { hourly: hourlyTopics(prefix).hourly, usageProgress: usageTopics(prefix).usageProgress }
    const publishing = new Publishing({ aggregator: opened.aggregator, reader, publisher, topics, partition, ownerName: owner, publishedRevision: -1, monotonicMs: () => performance.now() })
    const owned: Owned = { opened, publish: async () => { await publishing.publish() } }
    this.#owned.set(`${owner} ${partition}`, owned)
    return owned
  }
}
