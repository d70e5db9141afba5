// From an answer to its usage event, and back from the event's fate to the answer. What is metered, and how:
// * held: answers of an upstream and failures to get one. The event is offered before the last byte leaves; the answer
//   waits for its ticket and is cut when that fails.
// * recorded, not held: other answers of the gateway after routing, as long as the journal has room for refusals; beyond
//   that they are counted only.
// The count of answers is taken by the exchange where its answer ends, not here: it is the witness against this file.
import { randomUUID } from 'node:crypto'
import { partitionOf } from '../domain/partition.ts'
import { encodeUsageEvent } from '../domain/usage-event.ts'
import type { UsageEvent } from '../domain/usage-event.ts'
import { hourOf } from '../domain/window.ts'
import type { GatewayErrorCode } from '../domain/errors.ts'
import type { PriceBook } from '../domain/price-book.ts'
import type { EventPlace } from '../journal/handover.ts'
import type { Admission } from '../journal/memory.ts'
import type { Caller } from './authentication.ts'

/** What the meter needs of the journal; see journal/worker-side.ts. */
export interface JournalSide {
  readonly outlet: {
    readonly admission: () => Admission
    readonly mayRecordRefusal: () => boolean
    readonly offer: (eventJson: string, place: EventPlace) => number
    readonly onSettled: (callback: (settledTicket: number, isFailed: (ticket: number) => boolean) => void) => void
  }
  readonly answered: {
    readonly answered: (requestTimeMs: number) => void
    readonly countedOnly: (requestTimeMs: number, code: GatewayErrorCode) => void
  }
  readonly inFlight: { readonly begin: () => number, readonly end: (startMs: number) => void }
}

/** The facts of one answer. */
export interface Answer {
  readonly requestTimeMs: number
  readonly responseTimeMs: number
  readonly method: string
  readonly path: string
  readonly status: number
  readonly errorCode: GatewayErrorCode | undefined
  readonly clientIp: string | undefined
  readonly clientAgent: string
  readonly caller: Caller | undefined
  readonly traceId: string
  readonly traceparent: string
  readonly routeId: string
  readonly priceBook: PriceBook | undefined
  readonly requestBytes: number
  readonly responseBytes: number
  /** Undefined: no upstream answered. */
  readonly upstreamLatencyMs: number | undefined
  readonly units: number
}

/** Whoever waits for a ticket. Called once, and never inside `record`. */
export interface TicketHolder { readonly settled: (isFailed: boolean) => void }

export interface MeterOptions {
  readonly gatewayId: string
  readonly partitions: number
  readonly onError: (error: unknown) => void
}

const protocol = 'HTTP/1.1'
/** Settled holders at the front of the queue that are let go together. */
const compactionMin = 1024

export class Meter {
  /** Answers on priced routes for which the book has no endpoint. */
  unpriced = 0
  readonly #journal: JournalSide
  readonly #options: MeterOptions
  readonly #keylessPartition: number
  /** Tickets rise by one, so a queue says whose each is: the first one's is `#firstTicket`. */
  #holders: TicketHolder[] = []
  #settledCount = 0
  #firstTicket = 1

  constructor (journal: JournalSide, options: MeterOptions) {
    this.#journal = journal
    this.#options = options
    this.#keylessPartition = partitionOf(options.gatewayId, options.partitions)
    journal.outlet.onSettled((settledTicket, isFailed) => { this.#settle(settledTicket, isFailed) })
  }

  /** Events whose tickets aren't settled. */
  get waiting (): number { return this.#holders.length - this.#settledCount }

  get isOpen (): boolean { return this.#journal.outlet.admission() === 'open' }
  get admission (): Admission { return this.#journal.outlet.admission() }

  /** @returns the requestTime, milliseconds; `end` it after its event was offered and its answer counted */
  begin (): number { return this.#journal.inFlight.begin() }
  end (requestTimeMs: number): void { this.#journal.inFlight.end(requestTimeMs) }

  /** Offers the event of an answer. `holder` hears of its ticket later. */
  record (answer: Answer, holder: TicketHolder, isRefusal: boolean): void {
    const { caller } = answer
    const apiEndpointId = answer.priceBook?.endpointOf(answer.method, answer.path, answer.requestTimeMs) ?? 0
    if (apiEndpointId === 0 && !isRefusal) this.unpriced++
    const event = {
      eventId: randomUUID(),
      requestTimeMs: answer.requestTimeMs,
      // The clock may have been set back meanwhile.
      responseTimeMs: Math.max(answer.responseTimeMs, answer.requestTimeMs),
      requestProtocol: protocol,
      requestMethod: answer.method,
      requestUri: answer.path,
      responseStatus: answer.status,
      errorCode: answer.errorCode,
      clientIp: answer.clientIp,
      clientAgent: answer.clientAgent,
      apiKeyId: caller?.claims.apiKeyId,
      memberId: caller?.claims.memberId,
      memberGrade: caller?.claims.grade,
      traceId: answer.traceId,
      traceparent: answer.traceparent,
      routeId: answer.routeId,
      apiEndpointId,
      gatewayId: this.#options.gatewayId,
      requestBytes: answer.requestBytes,
      responseBytes: answer.responseBytes,
      upstreamLatencyMs: answer.upstreamLatencyMs,
      units: answer.units
    } as UsageEvent
    const ticket = this.#journal.outlet.offer(encodeUsageEvent(event), {
      partition: caller?.partition ?? this.#keylessPartition,
      hour: hourOf(answer.requestTimeMs),
      isRefusal
    })
    if (ticket !== this.#firstTicket + this.#holders.length) throw new Error(`ticket ${ticket} is out of order`)
    this.#holders.push(holder)
  }

  mayRecordRefusal (): boolean { return this.#journal.outlet.mayRecordRefusal() }

  #settle (settledTicket: number, isFailed: (ticket: number) => boolean): void {
    while (this.#firstTicket + this.#settledCount <= settledTicket && this.#settledCount < this.#holders.length) {
      const ticket = this.#firstTicket + this.#settledCount
      const holder = this.#holders[this.#settledCount++] as TicketHolder
      try {
        holder.settled(isFailed(ticket))
      } catch (error) {
        this.#options.onError(error)
      }
    }
    if (this.#settledCount < compactionMin && this.#settledCount < this.#holders.length) return
    this.#firstTicket += this.#settledCount
    this.#holders = this.#holders.slice(this.#settledCount)
    this.#settledCount = 0
  }
}
