// What happens to a request, decided while the server still holds it: refused, or forwarded. The order is part of the
// contract: what comes before the route is never metered, and no upstream is called for what could not be recorded.
import type { HttpRequest, HttpResponse } from 'uWebSockets.js'
import type { GatewayErrorCode } from '../domain/errors.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { isPathPlain } from '../domain/route-pattern.ts'
import type { Limiter, LimiterDecision } from '../limiter/port.ts'
import type { Authenticator, Caller } from './authentication.ts'
import { addressBlock, addressText } from './client-address.ts'
import type { ClientAddresses } from './client-address.ts'
import type { ClientPaceLimits } from './client-pace.ts'
import { noHeaders } from './cors.ts'
import type { RouteCounts } from './counters.ts'
import type { Exchange } from './exchange.ts'
import { unitsHeaderOf } from './facts.ts'
import type { UpstreamInUse } from './facts.ts'
import { drainedBytesMax } from './options.ts'
import type { Problem } from './problem.ts'
import { retryAfterS } from './rate-limits.ts'
import type { RouteLimit, RouteLimits } from './rate-limits.ts'
import { RequestHead } from './request-head.ts'
import type { HeadVerdict } from './request-head.ts'
import { upstreamPath } from './router.ts'
import type { Route, Router } from './router.ts'
import type { Services } from './services.ts'
import { traceIdOf, traceparentOf } from './trace-id.ts'
import { upstreamHeaders } from './upstream-headers.ts'
import type { RequestOrigin } from './upstream-headers.ts'

export interface GatekeeperOptions {
  readonly services: Services
  readonly router: Router
  /** By route. */
  readonly counts: readonly RouteCounts[]
  /** By route. */
  readonly upstreams: readonly UpstreamInUse[]
  /** By route. */
  readonly limits: readonly RouteLimits[]
  readonly authenticator: Authenticator
  readonly limiter: Pick<Limiter, 'take'>
  readonly addresses: ClientAddresses
  readonly priceBook: PriceBook
  readonly inFlightMax: number
  /** Of one client. */
  readonly addressInFlightMax: number
  readonly clientPace: ClientPaceLimits
  /** Of routes that don't say their own. */
  readonly requestBytesMax: number
  readonly isTls: boolean
  /** Clients come through mutual-tls-port.ts, which says their addresses. */
  readonly isBehindTls: boolean
}

/** Not a failure of the caller's: it may come back at once. */
const retrySoonS = 1

export class Gatekeeper {
  readonly #options: GatekeeperOptions
  /** Used again for each request: read and acted upon within one call of the server's. */
  readonly #head = new RequestHead()
  #verdict: HeadVerdict = 'good'
  #address = ''
  #origin: RequestOrigin = { peer: '', isProxyTrusted: false, isTls: false }

  constructor (options: GatekeeperOptions) { this.#options = options }

  /** @returns true: what follows this request on its connection is in doubt, so that its answer may have to be the last one */
  read (request: HttpRequest): boolean {
    const head = this.#head
    const verdict = head.read(request)
    this.#verdict = verdict === 'good' && !isPathPlain(head.path) ? 'malformed' : verdict
    return this.#verdict !== 'good' || head.isChunked || head.upgrade !== ''
  }

  /** The request that was read just now. */
  admit (exchange: Exchange, response: HttpResponse): void {
    const head = this.#head
    const { facts } = exchange
    const verdict = this.#verdict
    if (verdict === 'broken') { exchange.abandon(); return }
    facts.method = head.method
    facts.isChunked = head.isChunked
    facts.path = head.path
    facts.clientAgent = head.userAgent
    if (verdict === 'malformed') {
      facts.traceId = traceIdOf('', false)
      exchange.refuse({ code: 'G0011', mustClose: true })
      return
    }
    const route = this.#route()
    facts.traceId = traceIdOf(head.traceId, route?.config.trustTraceId === true)
    facts.traceparent = traceparentOf(head.traceparent, facts.traceId)
    facts.route = route
    facts.cors = route?.cors?.headersFor(head.origin) ?? noHeaders
    facts.counts = route === undefined ? undefined : this.#options.counts[route.index]
    facts.priceBook = this.#options.priceBook
    if (isUpgradeAsked(head.upgrade)) exchange.refuse({ code: 'G0014', mustClose: true })
    else if (route === undefined) exchange.refuse(this.#withBody({ code: 'G0007' }))
    else if (route.cors !== undefined && this.#isPreflight) exchange.answer(204, route.cors.preflightHeadersFor(head.origin))
    else this.#admitTo(exchange, route, response)
  }

  #route (): Route | undefined {
    const { host, method, path, preflightMethod } = this.#head
    const { router } = this.#options
    const asked = preflightMethod === '' ? undefined : router.find(host, preflightMethod, path)
    return asked?.cors === undefined ? router.find(host, method, path) ?? asked : asked
  }

  /** What a browser asks before it sends a page's request: never with a key or a body. */
  get #isPreflight (): boolean { return this.#head.preflightMethod !== '' && this.#head.apiKey === '' && !this.#head.hasBody }

  #admitTo (exchange: Exchange, route: Route, response: HttpResponse): void {
    const { addresses, isTls, isBehindTls } = this.#options
    const peer = addressText(new Uint8Array(isBehindTls ? response.getProxiedRemoteAddress() : response.getRemoteAddress()))
    const { clientIp, isProxyTrusted } = addresses.find(peer, this.#head.forwardedFor)
    this.#origin = { peer, isProxyTrusted, isTls }
    this.#address = addressBlock(clientIp)
    exchange.facts.clientIp = addresses.recorded(clientIp)
    if (route.config.isPublic || (this.#isPreflight && route.config.forwardPreflights)) this.#forwardUnmetered(exchange, route)
    else this.#forwardMetered(exchange, route)
  }

  #forwardUnmetered (exchange: Exchange, route: Route): void {
    const problem = this.#sizeProblem(route) ?? this.#crowdProblem(route)
    if (problem === undefined) this.#forward(exchange, route, undefined, true)
    else exchange.refuse(this.#withBody(problem))
  }

  #forwardMetered (exchange: Exchange, route: Route): void {
    const { authenticator, services } = this.#options
    const requestTimeMs = exchange.meter()
    const caller = authenticator.authenticate(this.#head.apiKey, requestTimeMs)
    if (typeof caller === 'string') {
      exchange.facts.caller = authenticator.refusedCaller
      exchange.refuse(this.#withBody(keyProblem(caller)))
      return
    }
    exchange.facts.caller = caller
    const tooLarge = this.#sizeProblem(route)
    if (tooLarge !== undefined) { exchange.refuse(tooLarge); return }
    const unrecordable = services.meter.isOpen ? this.#crowdProblem(route) : { code: 'G0010', retryAfterS: retrySoonS } as const
    if (unrecordable !== undefined) {
      exchange.unmeter()
      exchange.refuse(this.#withBody(unrecordable))
      return
    }
    this.#limit(exchange, route, caller)
  }

  #sizeProblem ({ config }: Route): Problem | undefined {
    const { contentLength, bytes, headerCount } = this.#head
    if (bytes > (config.headerBytesMax ?? Infinity)) return { code: 'G0011', status: 431, message: 'request head too large', mustClose: true }
    if (headerCount > (config.headersMax ?? Infinity)) return { code: 'G0011', status: 431, message: 'too many request headers', mustClose: true }
    if (contentLength <= (config.requestBytesMax ?? this.#options.requestBytesMax)) return undefined
    return { code: 'G0011', status: 413, message: 'request body too large', mustClose: true }
  }

  /** More at a time than this worker may hold; requests that the upstream's client has not let go of count too. */
  #crowdProblem (route: Route): Problem | undefined {
    const { services: { inFlight, counters }, inFlightMax, addressInFlightMax, upstreams } = this.#options
    const { upstream } = upstreams[route.index] as UpstreamInUse
    if (inFlight.count >= inFlightMax || upstream.openCalls() >= inFlightMax) {
      counters.refusedCrowds.total++
      return { code: 'G0010', message: 'too many requests at a time', retryAfterS: retrySoonS }
    }
    if (inFlight.ofAddress(this.#address) < addressInFlightMax) return undefined
    counters.refusedCrowds.address++
    return { code: 'G0010', message: 'too many requests at a time from this address', retryAfterS: retrySoonS }
  }

  #limit (exchange: Exchange, route: Route, caller: Caller): void {
    const { claims } = caller
    const limit = (this.#options.limits[route.index] as RouteLimits)[claims.grade]
    const decision = this.#options.limiter.take(claims.apiKeyId, limit.requestedTokens, limit.limit)
    if (decision instanceof Promise) {
      // All that needs the server's request is taken now; the client's body comes meanwhile.
      this.#forward(exchange, route, caller, false)
      decision.then((later) => { this.#goOn(exchange, limit, later) }).catch((error: unknown) => { exchange.crash(error) })
      return
    }
    exchange.facts.rate = { limit, remaining: decision.remaining }
    if (decision.isAllowed) this.#forward(exchange, route, caller, true)
    else exchange.refuse(this.#withBody(limitProblem(decision)))
  }

  /** The limiter has answered a request that waited for it, if it still does. A body that is not at its end closes the connection by itself. */
  #goOn (exchange: Exchange, limit: RouteLimit, decision: LimiterDecision): void {
    if (!exchange.isLimiting) return
    exchange.facts.rate = { limit, remaining: decision.remaining }
    if (!decision.isAllowed) exchange.refuse(limitProblem(decision))
    else if (this.#options.services.meter.isOpen) exchange.proceed()
    else {
      exchange.unmeter()
      exchange.refuse({ code: 'G0010', retryAfterS: retrySoonS })
    }
  }

  #forward (exchange: Exchange, route: Route, caller: Caller | undefined, isAllowed: boolean): void {
    const { upstreams, requestBytesMax, clientPace } = this.#options
    const head = this.#head
    const via = upstreams[route.index] as UpstreamInUse
    exchange.forward({
      via,
      path: upstreamPath(route, head.path, head.query),
      headers: upstreamHeaders(head, route, via.upstream.config, this.#origin, caller, exchange.facts),
      announcedBytes: head.isChunked ? -1 : Math.max(head.contentLength, 0),
      bodyBytesMax: route.config.requestBytesMax ?? requestBytesMax,
      address: this.#address,
      clientPace,
      unitsHeader: unitsHeaderOf(route.config)
    }, isAllowed)
  }

  /** A long body of a refused request isn't worth reading: the connection is closed instead. */
  #withBody (problem: Problem): Problem {
    return this.#head.contentLength > drainedBytesMax ? { ...problem, mustClose: true } : problem
  }
}

/** `Upgrade: h2c` may be ignored (RFC 9110, 7.8), and some clients send it with every first request. */
function isUpgradeAsked (upgrade: string): boolean {
  return upgrade !== '' && upgrade.split(',').some((protocol) => protocol.trim().toLowerCase() !== 'h2c')
}

function limitProblem (decision: LimiterDecision): Problem { return { code: 'G0006', retryAfterS: retryAfterS(decision) } }

function keyProblem (code: GatewayErrorCode): Problem {
  return code === 'G0013' ? { code, retryAfterS: retrySoonS } : { code }
}
