// The worker's end of the journal. A worker offers an event, holds the last byte of the answer, and releases or cuts it
// when the event's ticket is settled. Nothing here waits: a ring that is full makes events wait in a list, which is
// bounded because each of them holds an answer back, and the gateway bounds its requests in flight.
import { JournalState } from './memory.ts'
import type { Admission } from './memory.ts'
import { Ring } from './ring.ts'

export interface EventPlace {
  readonly partition: number
  /** Hours since the epoch of the event's requestTime. */
  readonly hour: number
  /** The answer is not held for it, and its bytes count against `journal.refusedBytesMax`. */
  readonly isRefusal: boolean
}

/** @param isFailed whether a settled ticket's event was not recorded: its answer must be cut, or, for a refusal, counted only */
export type SettledCallback = (settledTicket: number, isFailed: (ticket: number) => boolean) => void

/** `durable`: a ticket settles when its event is on disk. `buffered`: when it is in the ring. */
export type Ack = 'durable' | 'buffered'

export interface OutletOptions {
  readonly state: SharedArrayBuffer
  readonly ring: SharedArrayBuffer
  readonly ack: Ack
  readonly eventBytesMax: number
  /** Runs `action` once the events of this turn of the worker's loop are handled. */
  readonly defer: (action: () => void) => void
  /** Requests of this worker that have begun and not ended, those whose events wait here among them. */
  readonly inFlight: () => number
  /** Runs `action` after `ms` milliseconds. */
  readonly later: (action: () => void, ms: number) => void
}

/**
 * A commit costs the same for one event as for fifty. Durable, the journal is called when `gatheringFactor` times as many
 * events wait for it as requests are still on their way to join them, or when the first has waited `gatheringMsMax`. Alone, a
 * request is never kept waiting. What the values bring: docs/decisions/0020-journal.md.
 */
const gatheringFactor = 3
export const gatheringMsMax = 1

const neverFailed = (): boolean => false

export class EventOutlet {
  readonly #state: JournalState
  readonly #ring: Ring
  readonly #options: OutletOptions
  readonly #overflow: { readonly event: string, readonly bytes: number, readonly place: EventPlace }[] = []
  #lastTicket = 0
  /** Tickets up to here have been told to the callback. */
  #toldTicket = 0
  #callback: SettledCallback = () => { throw new Error('onSettled was not called') }
  #isDeferred = false
  /** The journal was called for tickets up to here. */
  #calledTicket = 0
  #isGathering = false
  readonly #look = (): void => {
    this.#isDeferred = false
    this.settle()
    if (this.#options.ack === 'durable') this.#gather()
    // Buffered, the journal comes by itself: it is called only before the ring is full.
    else if (this.#ring.isHalfFull) this.#state.ring()
  }
  readonly #gathered = (): void => {
    this.#isGathering = false
    this.#call()
  }

  constructor (options: OutletOptions) {
    this.#options = options
    this.#state = new JournalState(options.state)
    this.#ring = new Ring(options.ring)
    if (options.eventBytesMax > this.#ring.eventBytesMax) throw new RangeError(`events of ${options.eventBytesMax} bytes don't fit a ring of ${this.#ring.bytes}`)
  }

  /** Whether requests that would have to be metered may be forwarded now. */
  admission (): Admission { return this.#state.admission }

  /** False: count the refusal with `AnsweredCounter.countedOnly`, don't offer it. */
  mayRecordRefusal (): boolean {
    // Its answer is not held, so it must not have to wait outside of the ring.
    return this.#state.admission === 'open' && this.#state.isRefusalRoom && this.#overflow.length === 0 && this.#ring.hasRoom(this.#options.eventBytesMax)
  }

  /** Called at most once a turn of the loop with all that was settled since; never from inside `offer`. */
  onSettled (callback: SettledCallback): void { this.#callback = callback }

  /**
   * Hands an event over. Tickets rise by one from 1.
   * @param eventJson the event's JSON without its closing brace
   */
  offer (eventJson: string, place: EventPlace): number {
    const bytes = Buffer.byteLength(eventJson)
    if (bytes > this.#options.eventBytesMax) throw new RangeError(`an event of ${bytes} bytes: the limit is ${this.#options.eventBytesMax}`)
    if (this.#overflow.length > 0 || !this.#ring.put(eventJson, bytes, place)) this.#overflow.push({ event: eventJson, bytes, place })
    const ticket = ++this.#lastTicket
    this.#deferLook()
    return ticket
  }

  /** Tells the callback what is settled. Called when the journal wakes this worker, and by itself after offers. */
  settle (): void {
    this.#refill()
    for (;;) {
      const settled = this.#settledTicket()
      if (settled > this.#toldTicket) this.#tell(settled)
      if (settled === this.#lastTicket && this.#overflow.length === 0) { this.#ring.wantWake(false); return }
      // Armed before looking once more: what settles in between is either seen here or wakes this worker.
      this.#ring.wantWake(true)
      this.#refill()
      if (this.#settledTicket() === settled) return
    }
  }

  #tell (settled: number): void {
    // The range is read after the settled ticket, and the journal wrote it before: it covers every ticket up to there. Its
    // end first: the journal writes the start first, so an end that is new never meets a start that is old.
    const failedTo = this.#ring.failedTo
    const failedFrom = this.#ring.failedFrom
    const hasFailures = failedTo > this.#toldTicket && failedFrom <= settled
    this.#toldTicket = settled
    this.#callback(settled, hasFailures ? (ticket) => ticket >= failedFrom && ticket <= failedTo : neverFailed)
    this.#ring.acknowledgedTicket = settled
  }

  #settledTicket (): number {
    return this.#options.ack === 'buffered' ? this.#lastTicket - this.#overflow.length : this.#ring.settledTicket
  }

  #refill (): void {
    let moved = 0
    for (const { event, bytes, place } of this.#overflow) {
      if (!this.#ring.put(event, bytes, place)) break
      moved++
    }
    if (moved > 0) {
      this.#overflow.splice(0, moved)
      this.#ring.askCommit()
      this.#state.ring()
    }
  }

  /** Calls the journal now, or soon where more events are about to come. */
  #gather (): void {
    const { inFlight, later } = this.#options
    const uncalled = this.#lastTicket - Math.max(this.#calledTicket, this.#toldTicket)
    const underWay = inFlight() - (this.#lastTicket - this.#toldTicket)
    if (uncalled >= gatheringFactor * underWay || this.#overflow.length > 0 || this.#ring.isHalfFull) { this.#call(); return }
    if (uncalled === 0 || this.#isGathering) return
    this.#isGathering = true
    later(this.#gathered, gatheringMsMax)
  }

  #call (): void {
    if (Math.max(this.#calledTicket, this.#toldTicket) === this.#lastTicket) return
    this.#calledTicket = this.#lastTicket
    this.#ring.askCommit()
    this.#state.ring()
  }

  /** Once a turn of the loop: its events then go into one commit. */
  #deferLook (): void {
    if (this.#isDeferred) return
    this.#isDeferred = true
    this.#options.defer(this.#look)
  }
}
