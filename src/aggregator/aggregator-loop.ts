// The aggregator's loop: reads the usage log, counts, archives, closes segments, and begins again from what is durable
// after every error. Whatever else wants the database's writer takes its turn between two steps.
import { sleepMs } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import { isDamage, isGivenUp } from '../platform/duckdb.ts'
import type { Logger } from '../platform/logger.ts'
import type { Health } from '../platform/thread.ts'
import type { UsageLog, UsageLogItem } from '../usage-log/port.ts'
import type { Aggregator } from './aggregator.ts'
import type { AggregatorMetrics } from './aggregator-metrics.ts'
import type { SharedMemory } from './shared-memory.ts'

export interface LoopOptions {
  /** Events of one transaction, at about. */
  readonly batchEventsMax: number
  /** The pause between two transactions while there is little to count. */
  readonly batchIntervalMs: number
  readonly flushIntervalMs: number
  readonly flushEventsMax: number
  /** Memory of DuckDB; a quarter of it may wait for the archive. */
  readonly memoryBytesMax: number
}

export interface LoopParts {
  readonly aggregator: Aggregator
  readonly usageLog: UsageLog
  readonly options: LoopOptions
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: AggregatorMetrics
  /** Something was committed. */
  readonly onCommit: () => void
  /** With the process's other loops: what takes much memory, a large batch or writing the archive, is done in turn. Without it there is no other loop. */
  readonly shared?: SharedMemory
}

/** Bytes of one batch; with events of some 500 bytes it is batchEventsMax that ends it, with little memory an eighth of that. */
const batchBytesMax = 16 * 2 ** 20
/** Counted without a turn: what comes to a partition that isn't behind. */
const quietBytesMax = 256 * 1024
/** After a failure half as much is taken at a time, down to this part of it, and then slowly more again. */
const appetiteMin = 1 / 256
const appetiteGrowth = 1.02
/** The pause after an error, and between two looks for records that are missing. */
const retryMs = 1_000
const gapRetryMs = 5_000
/** A loop that has not finished a step for so long gets no work done. */
const stuckMs = 30_000

export class AggregatorLoop {
  readonly #parts: LoopParts
  readonly #stopping = new AbortController()
  #turn: Promise<unknown> = Promise.resolve()
  #running: Promise<void> = Promise.resolve()
  #problem: string | undefined
  /** Something failed: memory may not say what the file says. */
  #isDoubtful = false
  /** How much is taken at a time, of what the bounds allow. What failed is not tried again in the same size: memory may be short. */
  #appetite = 1
  /** An operator's work takes its turn, as long as it needs. */
  #isOperated = false
  #lastStepMs: number
  #lastFlushMs: number
  #lastGapRetryMs = 0
  #wake: (() => void) | undefined
  /** Ends the turn that is held: from a step that needs it to the flush that gives the memory back, or until little is left to count. */
  #heldTurn: (() => void) | undefined

  constructor (parts: LoopParts) {
    this.#parts = parts
    this.#lastStepMs = parts.clock.monotonicMs()
    this.#lastFlushMs = this.#lastStepMs
  }

  /** @param onDeath called when the database can't go on: only a new start helps */
  async start (onDeath: (error: unknown) => void): Promise<void> {
    await this.#reportProgress()
    this.#running = this.#run().catch(onDeath)
  }

  health (): Health {
    const { aggregator, clock } = this.#parts
    const reasons = aggregator.gaps.map(({ streamId, reason }) => `stream ${streamId}: ${reason}`)
    if (this.#problem !== undefined) reasons.push(this.#problem)
    const stillMs = clock.monotonicMs() - this.#lastStepMs
    if (stillMs > stuckMs && !this.#isOperated) reasons.push(`the aggregator has not finished a step for ${Math.round(stillMs / 1000)} s`)
    return { isReady: reasons.length === 0, reasons }
  }

  /** Runs `work` between two steps. */
  async exclusively<Result> (work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => { this.#isDoubtful = true })
    return await result
  }

  /** Work of an operator's that may take longer than any step: nothing is stuck meanwhile. */
  async operate<Result> (work: () => Promise<Result>): Promise<Result> {
    return await this.exclusively(async () => {
      this.#isOperated = true
      try { return await work() } finally {
        this.#isOperated = false
        this.#lastStepMs = this.#parts.clock.monotonicMs()
      }
    })
  }

  /** Archives what is counted. Only exclusively. */
  async flush (): Promise<void> {
    const endTurn = this.#heldTurn === undefined ? await this.#parts.shared?.takeTurn() : undefined
    try {
      await this.#flush()
    } finally {
      endTurn?.()
    }
  }

  async #flush (): Promise<void> {
    const { aggregator, clock, metrics, onCommit } = this.#parts
    // What is staged may lack a part of what counts as staged: then nothing of it may be called archived.
    if (this.#isDoubtful) await this.#forget()
    const startMs = clock.monotonicMs()
    const events = aggregator.stagedEvents
    if (await aggregator.flush()) {
      metrics.flushSeconds.observe((clock.monotonicMs() - startMs) / 1000)
      metrics.archivedEvents.inc(events)
      onCommit()
    }
    // Also when nothing was new: an idle gateway still says marks, and their space must come free.
    await this.#reportProgress()
    this.#lastFlushMs = clock.monotonicMs()
  }

  /** Counts what the usage log still holds, archives it, and ends. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    this.#wake?.()
    await this.#running
    try {
      while (await this.exclusively(async () => await this.#step()) > 0);
      await this.exclusively(async () => { await this.flush() })
    } catch (error) {
      this.#parts.log.warn({ error }, 'the last events were not counted before the stop; they are still in the usage log')
    } finally {
      this.#leave()
    }
  }

  /** Ends after the step that is being taken, without another one. */
  async halt (): Promise<void> {
    this.#stopping.abort()
    this.#wake?.()
    await this.#running
    await this.#turn
    this.#leave()
  }

  #leave (): void {
    this.#endTurn()
    this.#parts.shared?.forget(this)
  }

  async #run (): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        if (this.#isDoubtful) await this.exclusively(async () => { await this.#forget() })
        const events = await this.exclusively(async () => await this.#step())
        const isFlushed = await this.exclusively(async () => await this.#flushWhenDue())
        // A full batch says that more is waiting.
        const isBehind = events >= this.#parts.options.batchEventsMax / 2 * this.#appetite
        if (isFlushed || !isBehind) this.#endTurn()
        this.#lastStepMs = this.#parts.clock.monotonicMs()
        if (this.#problem !== undefined) this.#parts.log.info('the aggregator goes on')
        this.#problem = undefined
        this.#appetite = Math.min(1, this.#appetite * appetiteGrowth)
        if (!isBehind) await this.#pause(this.#parts.options.batchIntervalMs)
        await this.#retryGaps()
      } catch (error) {
        this.#endTurn()
        await this.#beginAgain(error)
      }
    }
  }

  #endTurn (): void {
    this.#heldTurn?.()
    this.#heldTurn = undefined
  }

  /** Reads and counts one batch of each partition. @returns the events read */
  async #step (): Promise<number> {
    let read = 0
    for (const partition of this.#parts.usageLog.partitions) read += await this.#count(partition)
    return read
  }

  async #count (partition: number): Promise<number> {
    const { aggregator, usageLog, metrics, clock, onCommit } = this.#parts
    usageLog.release?.()
    const { items, events } = await this.#collect(partition)
    const readTo = usageLog.readTo?.(partition)
    if (items.length === 0 && readTo?.offset === aggregator.state.partitions.get(partition)?.readTo?.offset) return events
    const startMs = clock.monotonicMs()
    const taken = await aggregator.take(partition, items, readTo)
    if (!taken.isChanged) return events
    metrics.batchSeconds.observe((clock.monotonicMs() - startMs) / 1000)
    metrics.events.inc(taken.events)
    metrics.deadLetters.inc(taken.deadLetters)
    await aggregator.closeSegmentWhenFull(partition)
    onCommit()
    return events
  }

  async #collect (partition: number): Promise<{ readonly items: readonly UsageLogItem[], readonly events: number }> {
    const { usageLog, options, shared } = this.#parts
    const items: UsageLogItem[] = []
    const bytesMax = Math.max(1, Math.floor(Math.min(batchBytesMax, options.memoryBytesMax / 8) * this.#appetite))
    const eventsMax = options.batchEventsMax * this.#appetite
    let events = 0
    let bytes = 0
    while (events < eventsMax && bytes < bytesMax) {
      if (bytes >= quietBytesMax) this.#heldTurn ??= await shared?.takeTurn()
      const isQuiet = shared !== undefined && this.#heldTurn === undefined
      const more = await usageLog.read(partition, Math.min(bytesMax, isQuiet ? quietBytesMax : bytesMax) - bytes)
      if (more.length === 0) break
      items.push(...more)
      for (const item of more) {
        if (item.kind !== 'events') continue
        events += item.count
        bytes += item.ndjson.length
      }
    }
    return { items, events }
  }

  async #flushWhenDue (): Promise<boolean> {
    const { aggregator, clock, options, shared } = this.#parts
    const { stagedEvents, stagedBytes } = aggregator
    const isFull = stagedEvents >= options.flushEventsMax || stagedBytes >= options.memoryBytesMax / 4 * this.#appetite || shared?.isFull(this, stagedBytes) === true
    if (!isFull && clock.monotonicMs() - this.#lastFlushMs < options.flushIntervalMs) return false
    await this.flush()
    return true
  }

  /** Only after a flush: then everything that was read is counted and in the archive, marks included, and may go. */
  async #reportProgress (): Promise<void> {
    const { aggregator, usageLog } = this.#parts
    for (const partition of usageLog.partitions) await usageLog.reportProgress(partition, aggregator.progress(partition))
  }

  async #retryGaps (): Promise<void> {
    const { aggregator, usageLog, clock } = this.#parts
    if (usageLog.isGapSentAgain === true || aggregator.gaps.length === 0 || clock.monotonicMs() - this.#lastGapRetryMs < gapRetryMs) return
    this.#lastGapRetryMs = clock.monotonicMs()
    for (const partition of usageLog.partitions) await usageLog.rewind(partition)
  }

  async #beginAgain (error: unknown): Promise<void> {
    if (isGivenUp(error) || isDamage(error)) throw error
    const { log, metrics } = this.#parts
    const message = error instanceof Error ? error.message : String(error)
    if (this.#problem !== message) log.error({ error }, 'the aggregator could not go on; nothing is lost, it is tried again')
    this.#problem = message
    metrics.failures.inc()
    this.#appetite = Math.max(appetiteMin, this.#appetite / 2)
    await this.#pause(retryMs)
  }

  /** Nothing in memory is believed after an error; what the file and the usage log hold is. */
  async #forget (): Promise<void> {
    const { aggregator, usageLog } = this.#parts
    await aggregator.reset()
    for (const partition of usageLog.partitions) await usageLog.rewind(partition)
    this.#isDoubtful = false
  }

  async #pause (delayMs: number): Promise<void> {
    if (this.#stopping.signal.aborted) return
    const waking = new AbortController()
    this.#wake = () => { waking.abort() }
    await sleepMs(delayMs, waking.signal).catch(() => undefined)
    this.#wake = undefined
  }
}
