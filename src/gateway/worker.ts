// Entry of a gateway worker's thread.
import { openPriceBook } from '../domain/price-book.ts'
import { eventBytesMax } from '../domain/usage-event.ts'
import { openWorkerSide } from '../journal/worker-side.ts'
import type { JournalWorkerSpec } from '../journal/worker-side.ts'
import { metricJson } from '../platform/metrics.ts'
import { runThread } from '../platform/thread.ts'
import type { Health, MetricsJson, ThreadContext, ThreadService } from '../platform/thread.ts'
import { openKeyDirectory } from '../registry/directory.ts'
import { Authenticator } from './authentication.ts'
import { Batch } from './batch.ts'
import { createClientAddresses } from './client-address.ts'
import { Counters } from './counters.ts'
import { Gatekeeper } from './gatekeeper.ts'
import { InFlight } from './in-flight.ts'
import { Meter } from './meter.ts'
import { openLimiter } from './open-limiter.ts'
import type { WorkerLimiter } from './open-limiter.ts'
import type { GatewayRules, LimiterSpec, RegistrySpec } from './options.ts'
import { routeLimits } from './rate-limits.ts'
import { createRouter } from './router.ts'
import { openServer } from './server.ts'
import type { Services } from './services.ts'
import { openUpstream } from './open-upstream.ts'
import type { Targets } from './targets.ts'

export interface GatewayWorkerOptions {
  readonly rules: GatewayRules
  /** 0 for the first one. */
  readonly worker: number
  readonly port: number
  readonly journal: JournalWorkerSpec
  readonly limiter: LimiterSpec
  readonly registry: RegistrySpec
}

/** Keeps a revocation well under its second. */
const registryPollIntervalMs = 250

async function start ({ options, log, clock }: ThreadContext<GatewayWorkerOptions>): Promise<ThreadService> {
  const { rules, journal } = options
  const { gateway } = rules
  if (journal.eventBytesMax < eventBytesMax) throw new RangeError(`the journal takes events of ${journal.eventBytesMax} bytes, ours have up to ${eventBytesMax}`)
  const side = openWorkerSide(journal, clock)
  const directory = openKeyDirectory({ ...options.registry, cacheKeysMax: rules.authentication.tokenCacheMax, pollIntervalMs: registryPollIntervalMs, log })
  const limiter = await openLimiter(options.limiter, Object.values(rules.grades), log)
  const router = createRouter(gateway.routes)
  const onError = (error: unknown): void => { log.error({ error }, 'an answer could not be finished; please report it') }
  const services: Services = {
    clock,
    log,
    meter: new Meter(side, { gatewayId: rules.gatewayId, partitions: journal.partitions, priceBook: openPriceBook(rules.priceBook), onError }),
    witness: side.answered,
    batch: new Batch(onError),
    inFlight: new InFlight(),
    counters: new Counters(gateway.routes.map(({ id }) => id), Object.keys(gateway.upstreams)),
    isHolding: journal.ack === 'durable',
    isStopping: false
  }
  const upstreams = new Map(Object.entries(gateway.upstreams).map(([name, config], index) => [name, { index, upstream: openUpstream(config, clock) }]))
  const authenticator = new Authenticator({ ...rules.authentication, partitions: journal.partitions, directory })
  const gatekeeper = new Gatekeeper({
    services,
    router,
    upstreams: gateway.routes.map(({ id, upstream }) => upstreams.get(upstream) ?? unknownUpstream(id, upstream)),
    limits: routeLimits(router.routes, rules.grades),
    authenticator,
    limiter,
    addresses: createClientAddresses({ trustedProxies: gateway.trustedProxies, recorded: gateway.clientIp }),
    inFlightMax: gateway.inFlightMax,
    requestBytesMax: gateway.requestBytesMax,
    isTls: gateway.listen.tls !== undefined
  })
  const server = await openServer({ host: gateway.listen.host, port: options.port, tls: gateway.listen.tls, stopTimeoutMs: gateway.stopTimeoutMs, connectionsMax: gateway.connectionsMax }, services, gatekeeper)
  return {
    health: () => healthOf(services),
    metrics: async () => [...metricsOf(services, authenticator, limiter.metrics(options.worker === 0)), ...upstreamMetrics(upstreams)],
    stop: async () => {
      await server.stop()
      services.inFlight.close()
      side.close()
      directory.close()
      limiter.close()
      await Promise.all([...upstreams.values()].map(({ upstream }) => upstream.close()))
    }
  }
}

function unknownUpstream (routeId: string, name: string): never { throw new Error(`route ${routeId}: there is no upstream ${name}`) }

function healthOf ({ isStopping, meter }: Services): Health {
  if (isStopping) return { isReady: false, reasons: ['stopping'] }
  return meter.isOpen ? { isReady: true, reasons: [] } : { isReady: false, reasons: [`usage can't be recorded: the journal is ${meter.admission}`] }
}

function metricsOf ({ counters, inFlight, meter }: Services, authenticator: Authenticator, limiter: ReturnType<WorkerLimiter['metrics']>): MetricsJson {
  return [
    ...counters.metrics(),
    metricJson('tollgate_gateway_in_flight', [{ value: inFlight.count }]),
    metricJson('tollgate_gateway_held_answers', [{ value: meter.waiting }]),
    metricJson('tollgate_gateway_unpriced_total', [{ value: meter.unpriced }]),
    metricJson('tollgate_gateway_token_cache_total', [{ labels: { result: 'hit' }, value: authenticator.hits }, { labels: { result: 'miss' }, value: authenticator.misses }]),
    ...limiter
  ]
}

function upstreamMetrics (upstreams: ReadonlyMap<string, { readonly upstream: Targets }>): MetricsJson {
  const named = [...upstreams].map(([name, { upstream }]) => ({ labels: { upstream: name }, upstream }))
  return [
    metricJson('tollgate_gateway_upstream_retries_total', named.map(({ labels, upstream }) => ({ labels, value: upstream.retries }))),
    metricJson('tollgate_gateway_upstream_targets_out', named.flatMap(({ labels, upstream }) => upstream.targets.map(({ url, isOut }) => ({ labels: { ...labels, target: url }, value: Number(isOut) }))))
  ]
}

runThread(start)
