// A partition while it is ours: the loop that counts and archives, and beside it the one that publishes. The first failure
// to publish ends it all: nobody knows then what the topic has, so everything is closed, and whoever still wants the
// partition takes it over again.
import { sleepMs } from '../platform/clock.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import type { Health } from '../platform/thread.ts'
import { unlessAborted } from '../platform/unless-aborted.ts'
import { KafkaUsageLog } from '../usage-log/kafka.ts'
import { AggregatorLoop } from './aggregator-loop.ts'
import { copyAggregator } from './backup.ts'
import type { AggregatorCopy } from './backup.ts'
import { GiveUps } from './give-up.ts'
import type { GivenUp, GivingUp } from './give-up.ts'
import type { OwnershipParts, OwnershipStatus } from './ownership-parts.ts'
import { Publishing } from './publishing.ts'
import { Retention } from './retention.ts'
import { partitionOf } from './state.ts'
import type { OwnedPartition } from './take-over.ts'
import { nextTombstones, segmentsWithRows } from './tombstones.ts'

/** So many batches in the usage log, and the partition is behind: then rows that change with every batch are published less often. */
const behindBatches = 2
const behindPublishIntervalMs = 5_000
const retentionIntervalMs = 10_000
const checkIntervalMs = 10_000
/** So long an operator's flush waits for copies: a peer may be silent for longer, and what waits for it is brought later. */
const copiesWaitMs = 10_000
const hourMs = 3_600_000

export class Ownership {
  /** Rejects with what ended it. */
  readonly failed: Promise<never>
  readonly #parts: OwnershipParts
  readonly #owned: OwnedPartition
  readonly #usageLog: KafkaUsageLog
  readonly #loop: AggregatorLoop
  readonly #reader: SqlConnection
  readonly #publishing: Publishing
  readonly #retention: Retention
  readonly #giveUps: GiveUps
  readonly #ending = new AbortController()
  /** Of retention. */
  readonly #copying: SqlConnection
  /** Copies of what is archived up to here were asked for. */
  #offeredOffset = 0
  /** Beside everything else: it may take as long as a peer is silent. */
  #letGoTurn: Promise<void> = Promise.resolve()
  #isLettingGo = false
  #running: Promise<void> = Promise.resolve()
  #publishTurn: Promise<unknown> = Promise.resolve()
  #fail: (error: unknown) => void = () => {}

  private constructor (parts: OwnershipParts, owned: OwnedPartition, [reader, copying]: readonly [SqlConnection, SqlConnection]) {
    this.#parts = parts
    this.#owned = owned
    this.#reader = reader
    this.#copying = copying
    const { promise, reject } = Promise.withResolvers<never>()
    this.failed = promise
    // Whoever waits for it gets the error; nobody has to.
    promise.catch(() => {})
    this.#fail = reject
    const { partition, topics, kafka, log, clock, metrics, settings, deadLetters, admin, onArchived, ownerName, clusterMetrics } = parts
    const { opened: { aggregator }, publisher, publishedRevision, topicIds } = owned
    this.#usageLog = new KafkaUsageLog({
      partition,
      reader: kafka.openPartitionReader({ topic: topics.usage, partition, isolation: 'uncommitted', topicId: topicIds.usageTopicId }),
      archivedOffset: () => partitionOf(aggregator.state, partition).positions?.archivedOffset ?? 0,
      setAside: async (strays) => { await deadLetters.sendStrays(strays) },
      onGone: this.#fail,
      log
    })
    this.#publishing = new Publishing({
      aggregator, reader, publisher, topics, partition, ownerName, publishedRevision, monotonicMs: clock.monotonicMs,
      onPublished: (records) => { clusterMetrics.publishedRecords.inc(records) }
    })
    this.#loop = new AggregatorLoop({ aggregator, usageLog: this.#usageLog, options: settings, clock, log, metrics, onCommit: () => {}, shared: parts.shared })
    this.#giveUps = new GiveUps(aggregator, this.#usageLog, partition)
    this.#retention = new Retention({
      partition, topic: topics.usage, admin, folders: aggregator.parts.folders, ownerName, reader: copying, onArchived, keepMs: settings.keepHours * hourMs, nowMs: clock.nowMs, log, signal: this.#ending.signal,
      write: async (sql, values) => { await this.#loop.exclusively(async () => { await aggregator.parts.writer.run(sql, values) }) }
    })
  }

  /** Publishes first: the topic must say who goes on, and gateways what is counted, before anything else is. */
  static async begin (parts: OwnershipParts, owned: OwnedPartition): Promise<Ownership> {
    const { duckDb } = owned.opened.aggregator.parts
    const ownership = new Ownership(parts, owned, [await duckDb.connect(), await duckDb.connect()])
    try {
      await ownership.#publish()
      await ownership.#loop.start(ownership.#fail)
    } catch (error) {
      await ownership.end()
      throw error
    }
    ownership.#running = ownership.#run().catch(ownership.#fail)
    return ownership
  }

  health (): Health {
    const { reasons } = this.#loop.health()
    const all = this.#usageLog.problem === undefined ? reasons : [...reasons, this.#usageLog.problem]
    return { isReady: all.length === 0, reasons: all }
  }

  status (): OwnershipStatus {
    const { aggregator } = this.#owned.opened
    const { segment, positions } = partitionOf(aggregator.state, this.#parts.partition)
    return {
      term: aggregator.state.term,
      revision: aggregator.state.revision,
      publishedRevision: this.#publishing.revision,
      segment,
      appliedOffset: positions?.appliedOffset ?? 0,
      archivedOffset: positions?.archivedOffset ?? 0,
      safeOffset: this.#publishing.safeOffset,
      lag: this.#usageLog.lag,
      readToMs: this.#usageLog.readTo().timestampMs,
      gaps: aggregator.gaps,
      waitingEvents: aggregator.stagedEvents
    }
  }

  get aggregator (): OwnedPartition['opened']['aggregator'] { return this.#owned.opened.aggregator }
  get problems (): OwnedPartition['opened']['problems'] { return this.#owned.opened.problems }

  /** Everything counted goes to the archive, and both are published; so is what has its copies by then, which is waited for a moment. */
  async flush (): Promise<void> {
    await this.#archive()
    await unlessAborted(AbortSignal.timeout(copiesWaitMs), this.#letGo())
    await this.#publish()
  }

  /** What is missing of a stream is a void from now on; for what follows it, the usage log is read from its beginning. @throws TollgateError ARGUMENT_INVALID */
  async giveUp ({ streamId, reason }: GivingUp): Promise<GivenUp> {
    const gap = this.#giveUps.gapOf(streamId)
    await this.#loop.operate(async () => {
      // What is in doubt after a failure is settled by it.
      await this.#loop.flush()
      await this.#giveUps.count(gap, reason)
      await this.#loop.flush()
    })
    // A new owner that knew of it from the counts alone, and not from the archive, would miss the records again.
    await this.flush()
    await this.#loop.operate(async () => { await this.#giveUps.readAgain([streamId]) })
    await this.#publish()
    const { afterSeq, toSeq } = gap
    return { streamId, afterSeq, toSeq }
  }

  /** Copies the database, with everything counted in the archive. */
  async copyTo (folder: string): Promise<AggregatorCopy> {
    return await copyAggregator({ aggregator: this.aggregator, operate: async (work) => await this.#loop.operate(work), flush: async () => { await this.#loop.flush() } }, folder)
  }

  async setMemory (bytes: number): Promise<void> {
    await this.#loop.exclusively(async () => { await this.aggregator.parts.writer.run(`SET memory_limit = '${bytes}B'`) })
  }

  /** Closes everything after the step that is being taken. @param isDrained what was counted is archived and published first */
  async end ({ isDrained = false } = {}): Promise<void> {
    const { log, partition } = this.#parts
    this.#ending.abort()
    await this.#loop.halt()
    await this.#running
    // Copies may take as long as a peer is silent: a stop doesn't wait for them, and a new owner archives what has none again.
    if (isDrained) await this.#archive().catch((error: unknown) => { log.warn({ error, partition }, 'the last counts were not archived or published before the stop; whoever takes the partition over reads them again') })
    await this.#publishTurn.catch(() => undefined)
    await this.#letGoTurn
    const { opened, publisher } = this.#owned
    await publisher.close()
    await this.#usageLog.close()
    this.#reader.close()
    this.#copying.close()
    opened.close()
  }

  async #archive (): Promise<void> {
    await this.#loop.exclusively(async () => { await this.#loop.flush() })
    await this.#publish()
  }

  async #run (): Promise<void> {
    const { settings, clock } = this.#parts
    let lastPublishMs = clock.monotonicMs()
    let lastRetentionMs = lastPublishMs
    let lastCheckMs = lastPublishMs
    while (!this.#ending.signal.aborted) {
      await sleepMs(settings.publishIntervalMs, this.#ending.signal).catch(() => undefined)
      if (this.#ending.signal.aborted) return
      const isBehind = (this.#usageLog.lag ?? 0) > behindBatches * settings.batchEventsMax
      if (isBehind && clock.monotonicMs() - lastPublishMs < behindPublishIntervalMs) continue
      lastPublishMs = clock.monotonicMs()
      await this.#publish()
      await this.#sendTombstones()
      const nowMs = clock.monotonicMs()
      // New files are brought to the peers at once.
      if (!this.#isLettingGo && (this.#publishing.archivedOffset > this.#offeredOffset || nowMs - lastRetentionMs >= retentionIntervalMs)) {
        lastRetentionMs = nowMs
        void this.#letGo()
      }
      if (nowMs - lastCheckMs >= checkIntervalMs) {
        lastCheckMs = nowMs
        await this.#checkTopics()
        await this.#loop.exclusively(async () => {
          if (this.#usageLog.lag !== 0) return
          this.aggregator.noteUnstaged(this.#parts.partition)
          await this.#giveUps.reachedEnd(async () => { await this.#loop.flush() })
        })
      }
    }
  }

  async #publish (): Promise<void> {
    const { clock, clusterMetrics } = this.#parts
    const turn = this.#publishTurn.then(async () => {
      const startMs = clock.monotonicMs()
      if (await this.#publishing.publish()) clusterMetrics.publishSeconds.observe((clock.monotonicMs() - startMs) / 1000)
    })
    this.#publishTurn = turn.catch(() => undefined)
    await turn
  }

  /** One step at a time, so that publishing what is new never waits long. */
  async #sendTombstones (): Promise<void> {
    const { partition, topics } = this.#parts
    const { publisher } = this.#owned
    const turn = this.#publishTurn.then(async () => {
      const [closed] = await segmentsWithRows(this.#reader, { partition, publishedRevision: this.#publishing.revision })
      if (closed === undefined || !this.#retention.isSafe(closed)) return
      const step = await nextTombstones(this.#reader, { topic: topics.hourly, partition, closed })
      if (step.records.records.length > 0) await publisher.publish([step.records])
      const { writer } = this.aggregator.parts
      await this.#loop.exclusively(async () => { await writer.transaction(async () => { await step.forget(writer) }) })
    })
    this.#publishTurn = turn.catch(() => undefined)
    await turn
  }

  /** What can't be copied or deleted now is asked for again later. */
  async #letGo (): Promise<void> {
    const { log, partition } = this.#parts
    const turn = this.#letGoTurn.then(async () => {
      this.#isLettingGo = true
      this.#offeredOffset = this.#publishing.archivedOffset
      try {
        while (await this.#retention.tick(this.#publishing));
      } catch (error) {
        log.warn({ error, partition }, 'what is archived could not be deleted from the usage log; it is tried again')
      } finally {
        this.#isLettingGo = false
      }
    })
    this.#letGoTurn = turn
    await turn
  }

  /** A topic that was made anew under us is found at the latest here. */
  async #checkTopics (): Promise<void> {
    const { admin, topics } = this.#parts
    const { usageTopicId, hourlyTopicId } = this.#owned.topicIds
    let ids
    try {
      ids = [await admin.topic(topics.usage), await admin.topic(topics.hourly)].map((topic) => topic?.topicId)
    } catch {
      // Brokers that are away are told by those who need them.
      return
    }
    if (ids[0] !== usageTopicId || ids[1] !== hourlyTopicId) throw new Error('a topic was deleted or made anew')
  }
}
