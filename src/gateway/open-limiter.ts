// Which limiter a worker asks. What speaks to Redis is loaded only where there is one: it takes memory in every thread.
import type { Limiter, RateLimit } from '../limiter/port.ts'
import { openSharedMemoryLimiter } from '../limiter/shared-memory.ts'
import type { Logger } from '../platform/logger.ts'
import { metricJson } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import type { LimiterSpec } from './options.ts'

export interface WorkerLimiter extends Limiter {
  /** Takes come with these limits too from now on. */
  readonly use: (limits: readonly RateLimit[]) => void
  /** @param isFirst of the workers: what they share is told by one of them */
  readonly metrics: (isFirst: boolean) => MetricsJson
}

/** @param limits every limit that a take can come with */
export async function openLimiter (spec: LimiterSpec, limits: readonly RateLimit[], log: Logger): Promise<WorkerLimiter> {
  const local = openSharedMemoryLimiter(spec.memory)
  const shared = (isFirst: boolean): MetricsJson => isFirst ? [metricJson('tollgate_limiter_shared_takes_total', [{ value: local.overflowCount() }])] : []
  if (spec.kind === 'shared-memory') return { take: local.take, use: () => {}, close: local.close, metrics: shared }
  const [{ openRedisLimiter }, { gatewayCountIn }] = await Promise.all([import('../limiter/redis.ts'), import('../limiter/gateway-count.ts')])
  const limiter = await openRedisLimiter({ redis: spec.redis, limits, budgetMs: spec.budgetMs, local, gatewayCount: gatewayCountIn(spec.gatewayCount), log })
  return {
    take: (apiKeyId, tokens, limit) => limiter.take(apiKeyId, tokens, limit),
    use: (more) => { limiter.use(more) },
    close: () => { limiter.close() },
    metrics: (isFirst) => [...shared(isFirst), ...limiter.metrics()]
  }
}
