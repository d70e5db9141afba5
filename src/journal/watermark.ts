// The watermark W: no event with a requestTime below it will follow. W = min(clock, start of the oldest request in
// flight); it never falls, and it is in a durable mark before anybody hears of it.
//
// A request that starts while W is taken must not slip below it. The worker stores its start and then reads the proposed
// mark; the journal stores the proposed mark and then reads the starts. Whichever comes second sees the other: the
// worker then moves its request up to the proposed mark, or the journal takes the request's start for W.
import type { Clock } from '../platform/clock.ts'
import { JournalState } from './memory.ts'
import { Ring } from './ring.ts'

/** A start may be shown this much older than it is, which only holds W back: saves a store to shared memory per request. */
const staleMsMax = 50

/** The worker's side: gives each request its requestTime and keeps track of those in flight. */
export class InFlightRequests {
  readonly #state: JournalState
  readonly #ring: Ring
  readonly #clock: Clock
  /** Starts in flight, in rising order, and how many requests started then. */
  readonly #starts = new Map<number, number>()
  #count = 0
  #lastMs = 0
  /** What the journal sees; 0 for none. */
  #shownMs = 0

  constructor (memory: { readonly state: SharedArrayBuffer, readonly ring: SharedArrayBuffer }, clock: Clock) {
    this.#state = new JournalState(memory.state)
    this.#ring = new Ring(memory.ring)
    this.#clock = clock
  }

  get count (): number { return this.#count }

  /** Starts a request. @returns its requestTime, milliseconds: the clock, but never before an earlier request or the mark */
  begin (): number {
    let startMs = Math.max(this.#clock.nowMs(), this.#lastMs)
    if (this.#shownMs === 0) {
      startMs = Math.max(startMs, this.#state.proposedMarkMs)
      this.#show(startMs)
      startMs = Math.max(startMs, this.#state.proposedMarkMs)
    }
    // With a start on show W cannot pass it, and this one is not before it: nothing to read, nothing to store.
    this.#lastMs = startMs
    this.#count++
    this.#starts.set(startMs, (this.#starts.get(startMs) ?? 0) + 1)
    return startMs
  }

  /** Ends a request, after its event was offered and its answer counted. @param startMs what `begin` returned */
  end (startMs: number): void {
    const count = this.#starts.get(startMs)
    if (count === undefined) throw new Error(`no request in flight started at ${startMs}`)
    this.#count--
    if (count > 1) this.#starts.set(startMs, count - 1)
    else this.#starts.delete(startMs)
    const oldest = this.#starts.keys().next()
    if (oldest.done === true) this.#show(0)
    else if (oldest.value - this.#shownMs >= staleMsMax) this.#show(oldest.value)
  }

  #show (startMs: number): void {
    this.#shownMs = startMs
    this.#ring.oldestInFlightMs = startMs
  }
}

/** The journal's side. */
export class Watermark {
  readonly #state: JournalState
  readonly #rings: readonly Ring[]
  readonly #clock: Clock

  /** @param startMs the last mark of all earlier streams: no request may start before it */
  constructor (state: JournalState, rings: readonly Ring[], clock: Clock, startMs: number) {
    this.#state = state
    this.#rings = rings
    this.#clock = clock
    state.proposedMarkMs = Math.max(state.proposedMarkMs, startMs)
    state.durableMarkMs = Math.max(state.durableMarkMs, startMs)
  }

  get durableMs (): number { return this.#state.durableMarkMs }

  /** No request that starts from now on is given a time before it. */
  raise (startMs: number): void { this.#state.proposedMarkMs = Math.max(this.#state.proposedMarkMs, startMs) }

  /** What the next mark may say, milliseconds. */
  propose (): number {
    this.#state.proposedMarkMs = Math.max(this.#clock.nowMs(), this.#state.proposedMarkMs)
    let markMs = this.#state.proposedMarkMs
    for (const ring of this.#rings) {
      const oldestMs = ring.oldestInFlightMs
      if (oldestMs > 0) markMs = Math.min(markMs, oldestMs)
    }
    // A start on show that is older than the durable mark can only be a stale one of a request that has ended.
    return Math.max(markMs, this.#state.durableMarkMs)
  }

  /** The mark is on disk. */
  confirm (markMs: number): void { this.#state.durableMarkMs = markMs }
}
