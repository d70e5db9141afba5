// What one worker counts: plain numbers on the request's path, made into metrics when somebody asks for them.
import type { GatewayErrorCode } from '../domain/errors.ts'
import { bucketsOf, histogramJson, metricJson } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import type { UpstreamFailure } from './upstream.ts'

const statusClasses = ['1xx', '2xx', '3xx', '4xx', '5xx'] as const
const latencyBoundsMs = bucketsOf('tollgate_gateway_upstream_seconds').map((bound) => bound * 1000)

/** Why an answer did not reach its end. */
export type CutReason = 'client' | 'upstream' | 'commit' | 'stop' | 'error'

export class Counters {
  readonly #routeIds: readonly string[]
  readonly #upstreamNames: readonly string[]
  /** By route and class of status. */
  readonly #answers: Float64Array
  /** By upstream and bucket, the last one without bound. */
  readonly #latencies: Float64Array
  readonly #latencySumsMs: Float64Array
  readonly #refusals = new Map<GatewayErrorCode, number>()
  readonly #cuts = new Map<CutReason, number>()
  readonly #failures = new Map<string, number>()
  /** Open now. */
  connections = 0
  connectionsRefused = 0
  broken = 0
  invalidUnits = 0

  constructor (routeIds: readonly string[], upstreamNames: readonly string[]) {
    this.#routeIds = routeIds
    this.#upstreamNames = upstreamNames
    this.#answers = new Float64Array(routeIds.length * statusClasses.length)
    this.#latencies = new Float64Array(upstreamNames.length * (latencyBoundsMs.length + 1))
    this.#latencySumsMs = new Float64Array(upstreamNames.length)
  }

  /** An answer that left whole; of a route, or of none. */
  answered (routeIndex: number, status: number): void {
    const at = routeIndex * statusClasses.length + Math.floor(status / 100) - 1
    if (routeIndex >= 0 && status >= 100 && status < 600) this.#answers[at] = (this.#answers[at] as number) + 1
  }

  refused (code: GatewayErrorCode): void { add(this.#refusals, code) }
  cut (reason: CutReason): void { add(this.#cuts, reason) }
  failed (upstreamIndex: number, failure: UpstreamFailure | 'timeout'): void { add(this.#failures, `${upstreamIndex} ${failure}`) }

  /** From the request's start to the answer's head. */
  upstreamAnswered (upstreamIndex: number, latencyMs: number): void {
    let bucket = 0
    while (bucket < latencyBoundsMs.length && latencyMs > (latencyBoundsMs[bucket] as number)) bucket++
    const at = upstreamIndex * (latencyBoundsMs.length + 1) + bucket
    this.#latencies[at] = (this.#latencies[at] as number) + 1
    this.#latencySumsMs[upstreamIndex] = (this.#latencySumsMs[upstreamIndex] as number) + latencyMs
  }

  metrics (): MetricsJson {
    const bucketCount = latencyBoundsMs.length + 1
    return [
      metricJson('tollgate_gateway_answers_total', this.#routeIds.flatMap((route, index) => statusClasses.map((status, statusIndex) => (
        { labels: { route, status }, value: this.#answers[index * statusClasses.length + statusIndex] as number }
      )).filter(({ value }) => value > 0))),
      metricJson('tollgate_gateway_refusals_total', [...this.#refusals].map(([code, value]) => ({ labels: { code }, value }))),
      metricJson('tollgate_gateway_cut_answers_total', [...this.#cuts].map(([reason, value]) => ({ labels: { reason }, value }))),
      metricJson('tollgate_gateway_connections', [{ value: this.connections }]),
      metricJson('tollgate_gateway_connections_refused_total', [{ value: this.connectionsRefused }]),
      metricJson('tollgate_gateway_broken_requests_total', [{ value: this.broken }]),
      metricJson('tollgate_gateway_units_invalid_total', [{ value: this.invalidUnits }]),
      metricJson('tollgate_gateway_upstream_failures_total', [...this.#failures].map(([key, value]) => {
        const [index, failure] = key.split(' ') as [string, string]
        return { labels: { upstream: this.#upstreamNames[Number(index)] ?? '', failure }, value }
      })),
      histogramJson('tollgate_gateway_upstream_seconds', this.#upstreamNames.map((upstream, index) => ({
        labels: { upstream },
        counts: [...this.#latencies.subarray(index * bucketCount, (index + 1) * bucketCount)],
        sum: (this.#latencySumsMs[index] as number) / 1000
      })))
    ]
  }
}

function add<Key> (counts: Map<Key, number>, key: Key): void { counts.set(key, (counts.get(key) ?? 0) + 1) }
