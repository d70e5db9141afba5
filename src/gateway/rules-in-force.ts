// The rules that one worker serves by: made whole from one configuration, put in force by one assignment. A request keeps those
// it came under to its end, so an upstream that the new rules don't have is closed when the last request that may call it has
// ended. What hasn't changed goes on as it is: an upstream with its connections and its state, the tokens that are remembered.
import { isDeepStrictEqual } from 'node:util'
import { openPriceBook } from '../domain/price-book.ts'
import { metricJson } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import type { KeyDirectory } from '../registry/port.ts'
import { Authenticator } from './authentication.ts'
import { createClientAddresses } from './client-address.ts'
import type { ClientAddresses } from './client-address.ts'
import type { ConnectionBounds } from './connection-bounds.ts'
import type { RouteCounts } from './counters.ts'
import type { UpstreamInUse } from './facts.ts'
import { Gatekeeper } from './gatekeeper.ts'
import type { WorkerLimiter } from './open-limiter.ts'
import { openUpstream } from './open-upstream.ts'
import type { GatewayRules } from './options.ts'
import { routeLimits } from './rate-limits.ts'
import { Retired } from './retired.ts'
import { createRouter } from './router.ts'
import type { Services } from './services.ts'
import type { Targets } from './targets.ts'

export interface RuleParts {
  readonly services: Services
  readonly limiter: WorkerLimiter
  readonly directory: KeyDirectory
  /** Of the usage log. */
  readonly partitions: number
}

interface OpenUpstream extends UpstreamInUse { readonly upstream: Targets }

interface Made {
  readonly rules: GatewayRules
  readonly gatekeeper: Gatekeeper
  readonly authenticator: Authenticator
  readonly addresses: ClientAddresses
  readonly upstreams: ReadonlyMap<string, OpenUpstream>
  readonly counts: ReadonlyMap<string, RouteCounts>
}

/** How often upstreams that are no longer in force are looked through. */
const retiredSweepMs = 500

export class RulesInForce {
  readonly #parts: RuleParts
  #now: Made
  #prepared: Made | undefined
  /** Not in force any more; requests that came before may still call them. */
  readonly #retired = new Retired<OpenUpstream>({ periodMs: retiredSweepMs, isUsed: ({ users }) => users > 0, close: ({ upstream }) => { void upstream.close() } })

  constructor (rules: GatewayRules, parts: RuleParts) {
    this.#parts = parts
    this.#now = make(rules, parts, undefined)
    this.#count(this.#now)
  }

  get gatekeeper (): Gatekeeper { return this.#now.gatekeeper }
  get rules (): GatewayRules { return this.#now.rules }
  get connectionBounds (): ConnectionBounds { return { ...this.#now.rules.gateway, addresses: this.#now.addresses } }

  /** Makes everything that the rules need, and puts nothing in force. */
  prepare (rules: GatewayRules): void {
    this.abort()
    this.#prepared = make(rules, this.#parts, this.#now)
  }

  /** Nothing here can fail. */
  commit (): void {
    const next = this.#prepared
    if (next === undefined) throw new Error('no rules are prepared')
    const former = this.#now
    this.#prepared = undefined
    this.#now = next
    if (next.authenticator !== former.authenticator) next.authenticator.countFrom(former.authenticator)
    this.#parts.limiter.use(Object.values(next.rules.grades))
    this.#count(next)
    this.#retired.add(notIn(former, next))
  }

  /** Forgets what is prepared. */
  abort (): void {
    const prepared = this.#prepared
    this.#prepared = undefined
    if (prepared !== undefined) for (const { upstream } of notIn(prepared, this.#now)) void upstream.close()
  }

  metrics (): MetricsJson {
    const { authenticator, upstreams } = this.#now
    return [
      metricJson('tollgate_gateway_token_cache_total', [{ labels: { result: 'hit' }, value: authenticator.hits }, { labels: { result: 'miss' }, value: authenticator.misses }]),
      metricJson('tollgate_gateway_upstream_targets_out', [...upstreams].flatMap(([name, { upstream }]) => upstream.targets.map(({ url, isOut }) => ({ labels: { upstream: name, target: url }, value: Number(isOut) })))),
      metricJson('tollgate_gateway_upstreams_retired', [{ value: this.#retired.size }])
    ]
  }

  async close (): Promise<void> {
    this.abort()
    this.#retired.cancel()
    await Promise.all([...this.#now.upstreams.values(), ...this.#retired].map(({ upstream }) => upstream.close()))
  }

  #count ({ counts, upstreams }: Made): void {
    this.#parts.services.counters.use(counts, new Map([...upstreams].map(([name, one]) => [name, one.counts])))
  }
}

/** @param former what it has unchanged is used again */
function make (rules: GatewayRules, { services, limiter, directory, partitions }: RuleParts, former: Made | undefined): Made {
  const { gateway } = rules
  const { counters, clock } = services
  const router = createRouter(gateway.routes)
  const upstreams = new Map(Object.entries(gateway.upstreams).map(([name, config]): [string, OpenUpstream] => {
    const same = former?.upstreams.get(name)
    if (same !== undefined && isDeepStrictEqual(same.upstream.config, config) && isDeepStrictEqual(former?.rules.upstreamTls[name], rules.upstreamTls[name])) return [name, same]
    const counts = counters.upstream(name)
    return [name, { upstream: openUpstream(config, clock, counts, rules.upstreamTls[name]), counts, users: 0 }]
  }))
  const authenticator = former !== undefined && isDeepStrictEqual(former.rules.authentication, rules.authentication)
    ? former.authenticator
    : new Authenticator({ ...rules.authentication, partitions, directory })
  const counts = new Map(gateway.routes.map(({ id }) => [id, counters.route(id)]))
  const addresses = createClientAddresses({ trustedProxies: gateway.trustedProxies, recorded: gateway.clientIp })
  const gatekeeper = new Gatekeeper({
    services,
    router,
    counts: [...counts.values()],
    upstreams: gateway.routes.map(({ id, upstream }) => upstreams.get(upstream) ?? unknownUpstream(id, upstream)),
    limits: routeLimits(router.routes, rules.grades),
    authenticator,
    limiter,
    addresses,
    priceBook: openPriceBook(rules.priceBook),
    inFlightMax: gateway.inFlightMax,
    addressInFlightMax: gateway.addressInFlightMax,
    clientPace: { bytesPerSMin: gateway.clientBytesPerSMin, windowMs: gateway.clientTimeoutMs },
    requestBytesMax: gateway.requestBytesMax,
    isTls: gateway.listen.tls !== undefined,
    isBehindTls: gateway.listen.tls?.clientCaFile !== undefined
  })
  return { rules, gatekeeper, authenticator, addresses, upstreams, counts }
}

function notIn (some: Made, others: Made): OpenUpstream[] {
  const kept = new Set(others.upstreams.values())
  return [...some.upstreams.values()].filter((one) => !kept.has(one))
}

function unknownUpstream (routeId: string, name: string): never { throw new Error(`route ${routeId}: there is no upstream ${name}`) }
