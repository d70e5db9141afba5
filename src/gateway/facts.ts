// What is known of a request: found by the handler while it decides, and written into the usage event.
import type { GatewayErrorCode } from '../domain/errors.ts'
import { unitsMax } from '../domain/usage-event.ts'
import type { RouteConfig } from '../config/schema.ts'
import type { PriceBook } from '../domain/price-book.ts'
import type { Caller } from './authentication.ts'
import type { ClientPaceLimits } from './client-pace.ts'
import { noHeaders } from './cors.ts'
import type { RouteCounts, UpstreamCounts } from './counters.ts'
import type { Answer } from './meter.ts'
import type { RateState } from './rate-limits.ts'
import type { Route } from './router.ts'
import type { Upstream } from './upstream.ts'

export class RequestFacts {
  method = ''
  /** The server below is lax about chunks and may lose its place in them (docs/http.md): their connection ends with the answer. */
  isChunked = false
  /** As the client sent it, without query. */
  path = ''
  traceId = ''
  traceparent = ''
  clientAgent = ''
  /** As usage events may have it. */
  clientIp: string | undefined
  route: Route | undefined
  /** Of the route. */
  counts: RouteCounts | undefined
  /** As it was when the request came. */
  priceBook: PriceBook | undefined
  caller: Caller | undefined
  rate: RateState | undefined
  /** What its answer says of CORS. */
  cors = noHeaders

  get isHead (): boolean { return this.method === 'HEAD' }
}

/** An upstream under the rules that a request came under. */
export interface UpstreamInUse {
  readonly upstream: Upstream
  readonly counts: UpstreamCounts
  /** Requests that have called it or still may. */
  users: number
}

/** The request as it goes on. */
export interface Forwarding {
  readonly via: UpstreamInUse
  /** With the query. */
  readonly path: string
  readonly headers: readonly string[]
  /** Bytes of the body as announced: 0 for none, -1 for a chunked one. */
  readonly announcedBytes: number
  readonly bodyBytesMax: number
  /** Of the client, as bounds by address see it. */
  readonly address: string
  readonly clientPace: ClientPaceLimits
  /** Of the answer; '' for none. */
  readonly unitsHeader: string
}

/** What became of it. */
export interface Outcome {
  readonly requestTimeMs: number
  readonly responseTimeMs: number
  readonly status: number
  readonly errorCode: GatewayErrorCode | undefined
  readonly requestBytes: number
  readonly responseBytes: number
  /** Undefined: no upstream answered. */
  readonly upstreamLatencyMs: number | undefined
  readonly units: number
}

export function answerOf (facts: RequestFacts, outcome: Outcome): Answer {
  return {
    requestTimeMs: outcome.requestTimeMs,
    responseTimeMs: outcome.responseTimeMs,
    method: facts.method,
    path: facts.path,
    status: outcome.status,
    errorCode: outcome.errorCode,
    clientIp: facts.clientIp,
    clientAgent: facts.clientAgent,
    caller: facts.caller,
    traceId: facts.traceId,
    traceparent: facts.traceparent,
    routeId: facts.route?.config.id ?? '',
    priceBook: facts.priceBook,
    requestBytes: outcome.requestBytes,
    responseBytes: outcome.responseBytes,
    upstreamLatencyMs: outcome.upstreamLatencyMs,
    units: outcome.units
  }
}

/** The header, in lower case, that says the units of an answer; '' where they are constant. */
export function unitsHeaderOf ({ units }: RouteConfig): string { return typeof units === 'number' ? '' : units.header.toLowerCase() }

/**
 * Units of an upstream's answer: the route's constant, or what the answer's header said; 1 where that is missing.
 * @returns undefined for a header that is no whole number up to `unitsMax`
 */
export function unitsOf (route: RouteConfig | undefined, headerText: string): number | undefined {
  const units = route?.units ?? 1
  if (typeof units === 'number') return units
  if (headerText === '') return 1
  return /^\d{1,10}$/.test(headerText) && Number(headerText) <= unitsMax ? Number(headerText) : undefined
}
