// Entry of a gateway worker's thread.
import path from 'node:path'
import { eventBytesMax } from '../domain/usage-event.ts'
import { openWorkerSide } from '../journal/worker-side.ts'
import type { JournalWorkerSpec } from '../journal/worker-side.ts'
import { metricJson } from '../platform/metrics.ts'
import { runThread } from '../platform/thread.ts'
import type { Health, MetricsJson, ThreadContext, ThreadService } from '../platform/thread.ts'
import { openKeyDirectory } from '../registry/directory.ts'
import { Batch } from './batch.ts'
import { BodiesAhead } from './bodies-ahead.ts'
import type { PortTls } from './client-port.ts'
import { Counters } from './counters.ts'
import { InFlight } from './in-flight.ts'
import { LastAnswers } from './last-answers.ts'
import { Meter } from './meter.ts'
import { openLimiter } from './open-limiter.ts'
import type { GatewayRules, LimiterSpec, RegistrySpec } from './options.ts'
import { RulesInForce } from './rules-in-force.ts'
import { openServer } from './server.ts'
import type { Services } from './services.ts'

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
  const onError = (error: unknown): void => { log.error({ error }, 'an answer could not be finished; please report it') }
  const counters = new Counters()
  const services: Services = {
    clock,
    log,
    meter: new Meter(side, { gatewayId: rules.gatewayId, partitions: journal.partitions, onError }),
    witness: side.answered,
    batch: new Batch(onError),
    inFlight: new InFlight(),
    bodiesAhead: new BodiesAhead(gateway.bodiesAheadBytesMax),
    counters,
    lastAnswers: new LastAnswers(counters),
    isHolding: journal.ack === 'durable',
    isStopping: false
  }
  const inForce = new RulesInForce(rules, { services, limiter, directory, partitions: journal.partitions })
  const server = await openServer({ host: gateway.listen.host, port: options.port, tls: portTlsOf(rules), socketFile: path.join(path.dirname(options.registry.file), `mutual-tls-${options.worker}.sock`), stopTimeoutMs: gateway.stopTimeoutMs }, services, inForce)
  return {
    health: () => healthOf(services),
    metrics: async () => [...metricsOf(services), ...inForce.metrics(), ...limiter.metrics(options.worker === 0)],
    stop: async () => {
      await server.stop()
      services.inFlight.close()
      services.lastAnswers.close()
      side.close()
      directory.close()
      limiter.close()
      await inForce.close()
    },
    handlers: {
      prepare: (next: GatewayRules) => {
        const tls = portTlsOf(next)
        if (tls !== undefined) server.port.prepare(tls)
        inForce.prepare(next)
      },
      commit: () => {
        server.port.commit()
        inForce.commit()
      },
      abort: () => {
        server.port.abort()
        inForce.abort()
      }
    }
  }
}

function portTlsOf ({ gateway: { listen: { tls } }, certificate }: GatewayRules): PortTls | undefined {
  if ((tls === undefined) !== (certificate === undefined)) throw new TypeError('a port with TLS has a certificate that was checked, and no other has one')
  return tls === undefined || certificate === undefined ? undefined : { files: tls, texts: certificate }
}

function healthOf ({ isStopping, meter }: Services): Health {
  if (isStopping) return { isReady: false, reasons: ['stopping'] }
  return meter.isOpen ? { isReady: true, reasons: [] } : { isReady: false, reasons: [`usage can't be recorded: the journal is ${meter.admission}`] }
}

function metricsOf ({ counters, inFlight, meter }: Services): MetricsJson {
  return [
    ...counters.metrics(),
    metricJson('tollgate_gateway_in_flight', [{ value: inFlight.count }]),
    metricJson('tollgate_gateway_held_answers', [{ value: meter.waiting }]),
    metricJson('tollgate_gateway_unpriced_total', [{ value: meter.unpriced }])
  ]
}

runThread(start)
