// What one worker counts: plain numbers on the request's path, made into metrics when somebody asks for them.
import type { GatewayErrorCode } from '../domain/errors.ts'
import { bucketsOf, histogramJson, metricJson } from '../platform/metrics.ts'
import type { Sample } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import type { UpstreamFailure } from './upstream.ts'

const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const
const latencyBoundsMs = bucketsOf('tollgate_gateway_upstream_seconds').map((bound) => bound * 1000)

/** Why an answer did not reach its end. */
export type CutReason = 'client' | 'slow' | 'upstream' | 'commit' | 'stop' | 'error'

/** Routes and upstreams that a reload has removed and whose numbers are still shown; the oldest go first. */
const formerNamesMax = 1_000

/** Of one route: answers by class of status. */
export class RouteCounts {
  readonly answers = new Float64Array(statusClasses.length)

  /** An answer that left whole. */
  answered (status: number): void {
    const at = Math.floor(status / 100) - 1
    if (status >= 100 && status < 600) this.answers[at] = (this.answers[at] as number) + 1
  }
}

/** Of one upstream, through all its servers. */
export class UpstreamCounts {
  readonly failures = new Map<UpstreamFailure | 'timeout', number>()
  /** By bucket, the last one without bound. */
  readonly latencies = new Float64Array(latencyBoundsMs.length + 1)
  latencySumMs = 0
  /** Requests that were sent again. */
  retries = 0

  failed (failure: UpstreamFailure | 'timeout'): void { add(this.failures, failure) }

  /** From the request's start to the answer's head. */
  answered (latencyMs: number): void {
    let bucket = 0
    while (bucket < latencyBoundsMs.length && latencyMs > (latencyBoundsMs[bucket] as number)) bucket++
    this.latencies[bucket] = (this.latencies[bucket] as number) + 1
    this.latencySumMs += latencyMs
  }
}

export class Counters {
  readonly #routes = new Map<string, RouteCounts>()
  readonly #upstreams = new Map<string, UpstreamCounts>()
  readonly #refusals = new Map<GatewayErrorCode, number>()
  readonly #cuts = new Map<CutReason, number>()
  /** Open now. */
  connections = 0
  /** Connections closed at once, and requests refused, because there were too many: of all clients, or of one address. */
  readonly refusedConnections = { total: 0, address: 0 }
  readonly refusedCrowds = { total: 0, address: 0 }
  broken = 0
  invalidUnits = 0

  /** Of a route by its id: the same numbers for as long as the process runs, whatever is reloaded. New ones are shown once they are in use. */
  route (id: string): RouteCounts { return this.#routes.get(id) ?? new RouteCounts() }
  upstream (name: string): UpstreamCounts { return this.#upstreams.get(name) ?? new UpstreamCounts() }

  /** What is in use from now on, by id and name. */
  use (routes: ReadonlyMap<string, RouteCounts>, upstreams: ReadonlyMap<string, UpstreamCounts>): void {
    use(this.#routes, routes)
    use(this.#upstreams, upstreams)
  }

  refused (code: GatewayErrorCode): void { add(this.#refusals, code) }
  cut (reason: CutReason): void { add(this.#cuts, reason) }

  /** @returns the units that are taken where a header says none that can be read */
  unitsInvalid (): number {
    this.invalidUnits++
    return 1
  }

  metrics (): MetricsJson {
    const upstreams = [...this.#upstreams].map(([upstream, counts]) => ({ labels: { upstream }, counts }))
    return [
      metricJson('tollgate_gateway_answers_total', [...this.#routes].flatMap(([route, { answers }]) => statusClasses.map((status, index) => (
        { labels: { route, status }, value: answers[index] as number }
      )).filter(({ value }) => value > 0))),
      metricJson('tollgate_gateway_refusals_total', [...this.#refusals].map(([code, value]) => ({ labels: { code }, value }))),
      metricJson('tollgate_gateway_cut_answers_total', [...this.#cuts].map(([reason, value]) => ({ labels: { reason }, value }))),
      metricJson('tollgate_gateway_connections', [{ value: this.connections }]),
      metricJson('tollgate_gateway_connections_refused_total', boundSamples(this.refusedConnections)),
      metricJson('tollgate_gateway_crowd_refusals_total', boundSamples(this.refusedCrowds)),
      metricJson('tollgate_gateway_broken_requests_total', [{ value: this.broken }]),
      metricJson('tollgate_gateway_units_invalid_total', [{ value: this.invalidUnits }]),
      metricJson('tollgate_gateway_upstream_failures_total', upstreams.flatMap(({ labels, counts }) => [...counts.failures].map(([failure, value]) => ({ labels: { ...labels, failure }, value })))),
      metricJson('tollgate_gateway_upstream_retries_total', upstreams.map(({ labels, counts }) => ({ labels, value: counts.retries }))),
      histogramJson('tollgate_gateway_upstream_seconds', upstreams.map(({ labels, counts }) => ({ labels, counts: [...counts.latencies], sum: counts.latencySumMs / 1000 })))
    ]
  }
}

function use<Counts> (all: Map<string, Counts>, used: ReadonlyMap<string, Counts>): void {
  for (const [name, counts] of used) all.set(name, counts)
  const former = [...all.keys()].filter((name) => !used.has(name))
  for (const name of former.slice(0, Math.max(0, former.length - formerNamesMax))) all.delete(name)
}

function boundSamples (counts: Readonly<Record<'total' | 'address', number>>): readonly Sample[] {
  return [{ labels: { bound: 'total' }, value: counts.total }, { labels: { bound: 'address' }, value: counts.address }]
}

function add<Key> (counts: Map<Key, number>, key: Key): void { counts.set(key, (counts.get(key) ?? 0) + 1) }
