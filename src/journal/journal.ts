// The journal: one turn of its loop takes what the workers have handed over, writes it as one frame, and settles the tickets
// once it is durable. Everything it does happens in turns, on one thread, so nothing here races with itself.
//
// A stream ends with its first failed write. What of that frame reached the disk is unknown, so its numbers are never used
// again: after a while a new segment and a new stream begin, and they say where the log had ended.
import { crashPoint } from '../platform/crash-points.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { AnsweredReader } from './answered.ts'
import { Batch } from './batch.ts'
import type { Disk } from './disk.ts'
import { JournalLog } from './log.ts'
import { JournalState } from './memory.ts'
import type { JournalMemory } from './memory.ts'
import type { JournalCounters } from './counters.ts'
import { checkJournalOptions, reserveBytesFor } from './options.ts'
import type { JournalOptions } from './options.ts'
import { recoverJournal } from './recovery.ts'
import { Ring } from './ring.ts'
import type { RefusalRow } from './statement.ts'
import { Watermark } from './watermark.ts'

export interface JournalParts {
  readonly disk: Disk
  readonly clock: Clock
  readonly memory: JournalMemory
  /** Makes the worker with this index look at what is settled. */
  readonly wake: (worker: number) => void
  readonly newUuid: () => string
  readonly log: Logger
  readonly counters: JournalCounters
}

/** After a failed write, and between attempts to make segments ready. */
const retryIntervalMs = 1000
const diskLookIntervalMs = 1000
/** Marks that say only that time has passed are this much rarer. */
const idleMarksFactor = 10

export class Journal {
  readonly #options: JournalOptions
  readonly #parts: JournalParts
  readonly #state: JournalState
  readonly #rings: readonly Ring[]
  readonly #batch: Batch
  readonly #answered: AnsweredReader
  readonly #log: JournalLog
  readonly #watermark: Watermark
  readonly #reserveBytes: number
  #refusals: RefusalRow[] = []
  #markedSeq = 0
  #markedMs = 0
  /** Somebody waits for a mark, also for one that says only that time has passed. */
  #isMarkAsked = false
  #markDueMs: number
  #commitDueMs = 0
  #diskDueMs = 0
  #houseDueMs = 0
  /** Set while nothing can be written. */
  #retryDueMs: number | undefined

  /**
   * Recovers what is in the folder and begins a stream.
   * @throws TollgateError JOURNAL_CORRUPT, JOURNAL_TOO_NEW; RangeError when the options don't fit together
   */
  constructor (options: JournalOptions, parts: JournalParts) {
    const { disk, memory, clock, newUuid, log } = parts
    checkJournalOptions(options, disk.blockBytes)
    this.#options = options
    this.#parts = parts
    this.#state = new JournalState(memory.state)
    this.#rings = memory.rings.map((ring) => new Ring(ring))
    this.#batch = new Batch(this.#rings, options.ack)
    this.#answered = new AnsweredReader(memory.answered)
    this.#reserveBytes = reserveBytesFor(options, disk.blockBytes)
    const recovered = recoverJournal({ disk, folder: options.folder, segmentBytes: options.segmentBytes, newUuid, log })
    this.#watermark = new Watermark(this.#state, this.#rings, clock, recovered.watermarkMs)
    this.#log = new JournalLog(options, { disk, state: this.#state, newUuid }, recovered)
    this.#markDueMs = clock.monotonicMs() + options.markIntervalMs
    this.#updateAdmission()
  }

  get streamId (): string { return this.#log.stream.streamId }
  get usedBytes (): number { return this.#log.store.usedBytes }
  get refusedBytes (): number { return this.#log.store.refusedBytes }

  /** One turn of the loop. @returns false when there was nothing to do */
  turn (): boolean {
    this.#state.addTurn()
    const nowMs = this.#parts.clock.monotonicMs()
    if (this.#retryDueMs !== undefined) return this.#failingTurn(nowMs, this.#retryDueMs)
    let hasWorked = false
    if (nowMs >= this.#markDueMs) {
      this.#markDueMs = nowMs + this.#options.markIntervalMs
      hasWorked = this.#mark('open')
    } else if (this.hasWork()) {
      this.#commitDueMs = nowMs + this.#options.bufferedIntervalMs
      hasWorked = this.#commit()
    }
    hasWorked = this.#keepHouse(nowMs, !hasWorked) || hasWorked
    this.#updateAdmission()
    return hasWorked
  }

  /** Whether a turn would commit, or fail, something now. */
  hasWork (): boolean {
    if (this.#options.ack === 'durable') return this.#rings.some((ring) => ring.isCommitAsked)
    if (this.#rings.every((ring) => ring.isEmpty)) return false
    if (this.#retryDueMs !== undefined) return false
    return this.#parts.clock.monotonicMs() >= this.#commitDueMs || this.#rings.some((ring) => ring.isHalfFull)
  }

  /** How long a turn would find nothing to do, unless something is offered: milliseconds, at most `maxMs`. */
  restMs (maxMs: number): number {
    const { ack, bufferedIntervalMs } = this.#options
    return ack === 'buffered' ? Math.min(maxMs, bufferedIntervalMs) : maxMs
  }

  /** Writes a mark in the next turn, instead of when it would be due. */
  askMark (): void {
    this.#isMarkAsked = true
    this.#markDueMs = 0
  }

  /** No request that starts from now on is given a time before it, milliseconds. */
  startAt (startMs: number): void { this.#watermark.raise(startMs) }

  /** Writes all that was offered and the stream's last mark. The journal can't be used any more. */
  close (): void {
    if (this.#retryDueMs === undefined) this.#mark('closed')
    this.#state.admission = 'starting'
    this.#log.close()
  }

  /** Takes one frame full. @returns whether anything was taken, also when it failed */
  #commit (): boolean {
    const startMs = this.#parts.clock.monotonicMs()
    let count = 0
    try {
      count = this.#batch.fill(this.#log.batchBody(), this.#log.stream)
      if (count === 0) return false
      const bytes = this.#log.writeEvents(this.#batch)
      this.#parts.counters.committed({ events: count, bytes, latencyMs: this.#parts.clock.monotonicMs() - startMs, nowMs: this.#parts.clock.nowMs() })
    } catch (error) {
      if (count > 0) this.#batch.fail()
      this.#fail(error)
      return true
    }
    this.#batch.settle()
    this.#wakeWorkers()
    crashPoint('journal.after-publish')
    return true
  }

  /** Answered is read first, then all that was offered by then is committed: no mark says more answered than it accounts for. */
  #mark (state: 'open' | 'closed'): boolean {
    const watermarkMs = this.#watermark.propose()
    const { stream } = this.#log
    const answered: { readonly hour: number, readonly count: number }[] = []
    this.#answered.takeAnswered((hour, count) => { answered.push({ hour, count }) })
    this.#commitOffered()
    // Only now: a segment that began meanwhile has restated the stream's hours.
    for (const { hour, count } of answered) stream.addAnswered(hour, count)
    if (this.#retryDueMs !== undefined) return true
    this.#takeCountedOnly()
    const nowMs = this.#parts.clock.monotonicMs()
    const isIdleDue = this.#isMarkAsked || (this.#state.admission === 'open' && nowMs - this.#markedMs >= idleMarksFactor * this.#options.markIntervalMs)
    if (state === 'open' && !stream.hasChanged && stream.lastSeq === this.#markedSeq && !isIdleDue) return false
    crashPoint('journal.before-mark')
    try {
      this.#log.writeMark({ state, watermarkMs, refusals: this.#refusals })
    } catch (error) {
      this.#fail(error)
      return true
    }
    this.#watermark.confirm(watermarkMs)
    this.#refusals = []
    this.#markedSeq = stream.lastSeq
    this.#markedMs = nowMs
    this.#isMarkAsked = false
    this.#parts.counters.marked()
    crashPoint('journal.after-mark')
    return true
  }

  /** Commits all that is in the rings now, or fails. */
  #commitOffered (): void {
    const offered = this.#rings.map((ring) => ring.written)
    const isTaken = (): boolean => this.#rings.every((ring, index) => (((offered[index] as number) - ring.read) | 0) <= 0)
    while (this.#retryDueMs === undefined && !isTaken()) {
      if (!this.#commit()) throw new Error('events are offered and none can be taken')
    }
  }

  #takeCountedOnly (): void {
    this.#answered.takeCountedOnly((hour, count) => { this.#log.stream.addCountedOnly(hour, count) })
    for (const { minute, code, count } of this.#answered.takeRefusals()) {
      this.#refusals.push([minute, code, count])
      this.#parts.counters.countedOnly(code, count)
    }
  }

  #wakeWorkers (): void {
    this.#rings.forEach((ring, worker) => { if (ring.takeWakeWish()) this.#parts.wake(worker) })
  }

  /** What must not fail a commit: recycling, and having the next segment ready. */
  #keepHouse (nowMs: number, isIdle: boolean): boolean {
    const { store } = this.#log
    if (nowMs < this.#houseDueMs) return false
    try {
      if (store.trim(this.#state.trimBelow, (oldest) => { this.#state.oldestSegment = oldest })) return true
      if (nowMs >= this.#diskDueMs) {
        this.#diskDueMs = nowMs + diskLookIntervalMs
        store.lookAtDisk()
      }
      return (isIdle || store.isPrepareDue) && store.prepare()
    } catch (error) {
      this.#houseDueMs = nowMs + retryIntervalMs
      this.#parts.log.warn({ error }, 'a journal segment could not be made ready or recycled; it is tried again')
      return false
    }
  }

  #updateAdmission (): void {
    if (this.#retryDueMs !== undefined) return
    const { store } = this.#log
    // Half a segment more before it is open again: else it would open and close with every few events.
    const neededBytes = this.#state.admission === 'full' ? this.#reserveBytes + this.#options.segmentBytes / 2 : this.#reserveBytes
    const admission = store.roomBytes < neededBytes ? 'full' : 'open'
    if (admission !== this.#state.admission) {
      const room = { usedBytes: store.usedBytes, roomBytes: store.roomBytes, reserveBytes: this.#reserveBytes, bytesMax: this.#options.bytesMax }
      if (admission === 'full') this.#parts.log.error(room, 'the journal is full: metered requests are refused until what it holds is counted and archived, or the disk has room again')
      else this.#parts.log.info(room, 'the journal takes events')
      this.#state.admission = admission
    }
    const isRefusalRoom = store.refusedBytes < this.#options.refusedBytesMax
    if (isRefusalRoom !== this.#state.isRefusalRoom) this.#state.isRefusalRoom = isRefusalRoom
  }

  #fail (error: unknown): void {
    this.#state.admission = 'failing'
    this.#retryDueMs = this.#parts.clock.monotonicMs() + retryIntervalMs
    this.#parts.counters.failed()
    this.#parts.log.error({ error, streamId: this.streamId }, 'the journal could not be written: answers that wait for it are cut, and metered requests refused until it can')
    this.#batch.discard()
    this.#wakeWorkers()
  }

  /**
   * All that is offered fails, until a new segment and a new stream can be begun. Not before every worker has acted on all
   * its tickets: then the ended stream's answers are all counted, and what is missing was never answered.
   */
  #failingTurn (nowMs: number, retryDueMs: number): boolean {
    const { ack } = this.#options
    this.#batch.discard()
    this.#wakeWorkers()
    const haveActed = ack === 'buffered' || this.#rings.every((ring) => ring.acknowledgedTicket === ring.settledTicket)
    if (nowMs < retryDueMs || !haveActed) return false
    this.#retryDueMs = nowMs + retryIntervalMs
    const ended = this.#log.stream
    this.#answered.takeAnswered((hour, count) => { ended.addAnswered(hour, count) })
    this.#takeCountedOnly()
    try {
      this.#log.reopen(ended.settleAccount(ack === 'durable'))
    } catch (error) {
      this.#parts.log.error({ error }, 'the journal still cannot be written')
      return false
    }
    this.#retryDueMs = undefined
    this.#parts.log.info({ streamId: this.streamId, endedStreamId: ended.streamId, lastSeq: ended.lastSeq }, 'the journal takes events again, in a new stream')
    this.#updateAdmission()
    return true
  }
}
