// The limiter of a cluster: buckets in Redis, on its clock, so that they are exact across all gateways.
//
// It never fails open and never fails closed. A take waits at most `budgetMs`; when Redis hasn't answered by then, or can't,
// this worker changes to local mode: each gateway limits with its share of the rate, in memory that its workers share. With
// k of n gateways in local mode all together allow at most (1 + k/n) x (burst + rate x time) + k x requestedTokens: those on
// Redis share one bucket, and each of the k has 1/n of the rate and of the burst, or one request's tokens where that is more.
// In local mode nobody waits: Redis is asked in the background until it answers in time again.
import { monotonicNs } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { metricJson } from '../platform/metrics.ts'
import type { RedisOptions } from '../platform/redis.ts'
import type { MetricsJson } from '../platform/thread.ts'
import { allowed, gcraAllows, gcraCostNs, gcraLimitOf, gcraNextNs, gcraShareOf, refused } from './gcra.ts'
import type { GcraLimit } from './gcra.ts'
import type { Limiter, LimiterDecision, RateLimit } from './port.ts'
import { RecentRefusals } from './recent-refusals.ts'
import { BucketTrips } from './redis-trips.ts'
import type { Ask, TripFailure } from './redis-trips.ts'
import { bucketKey, gcraScript, scriptArguments, scriptTime } from './redis-script.ts'
import type { SharedMemoryLimiter } from './shared-memory.ts'

export interface RedisLimiterOptions {
  readonly redis: RedisOptions
  /** Every limit that a take can come with. */
  readonly limits: readonly RateLimit[]
  /** How long a take waits for Redis. */
  readonly budgetMs: number
  /** For local mode; its memory belongs to it alone, and to the other workers of this gateway. */
  readonly local: SharedMemoryLimiter
  /** The last known number of gateways, this one included. */
  readonly gatewayCount: () => number
  readonly log: Logger
  /** Of this machine, never falling; for refusals that are repeated without asking. */
  readonly nowNs?: () => bigint
  /** A test runs Redis on a clock of its own, or with a mistake in it. */
  readonly script?: string
}

export interface RedisLimiter extends Limiter {
  /** Takes come with these limits too from now on. */
  readonly use: (limits: readonly RateLimit[]) => void
  readonly isLocal: () => boolean
  readonly metrics: () => MetricsJson
}

/** Refused keys that are remembered; about 150 bytes each. */
const recentRefusalsMax = 10_000
/** Limits and prices that were worked out: grades times routes. */
const pricesMax = 10_000

/** A limit and a price, made ready for both ways. */
interface Price {
  readonly limit: GcraLimit
  readonly tokens: number
  readonly costNs: bigint
  readonly scriptArguments: readonly string[]
  share: { readonly count: number, readonly limit: GcraLimit, readonly costNs: bigint }
}

/** Resolves when Redis has answered, or after half a second in local mode. @throws RangeError from `take` for limits or tokens that configuration should have refused */
export async function openRedisLimiter (options: RedisLimiterOptions): Promise<RedisLimiter> {
  const limiter = new LimiterOnRedis(options)
  await limiter.begin()
  return limiter
}

class LimiterOnRedis implements RedisLimiter {
  readonly #options: RedisLimiterOptions
  readonly #trips: BucketTrips
  readonly #recent = new RecentRefusals(recentRefusalsMax)
  readonly #prices = new Map<RateLimit, Map<number, Price>>()
  readonly #nowNs: () => bigint
  readonly #failures = new Map<TripFailure | 'foreign', number>()
  /** Of all bursts there have been: a bucket may still be as far ahead as a former one allowed. */
  #longestNs = 0n
  #longest = scriptTime(0n)
  #priceCount = 0
  #localCount = 0
  #redisCount = 0

  constructor (options: RedisLimiterOptions) {
    this.#options = options
    this.#nowNs = options.nowNs ?? monotonicNs
    this.#trips = new BucketTrips({
      redis: options.redis,
      budgetMs: options.budgetMs,
      script: options.script ?? gcraScript,
      longest: () => this.#longest,
      log: options.log,
      takenLocally: () => this.#localCount,
      onFailure: (failure) => { this.#count(failure) }
    })
    this.use(options.limits)
  }

  use (limits: readonly RateLimit[]): void {
    for (const limit of limits) {
      const { burstNs } = gcraLimitOf(limit)
      if (burstNs > this.#longestNs) this.#longestNs = burstNs
    }
    this.#longest = scriptTime(this.#longestNs)
  }

  begin (): Promise<void> { return this.#trips.begin() }

  take (apiKeyId: number, tokens: number, rateLimit: RateLimit): LimiterDecision | Promise<LimiterDecision> {
    if (!Number.isSafeInteger(apiKeyId) || apiKeyId < 0) throw new RangeError(`apiKeyId must be a whole number, not ${apiKeyId}`)
    const price = this.#priceOf(rateLimit, tokens)
    if (this.#trips.isLocal) return this.#takeLocally(apiKeyId, price)
    const nowNs = this.#nowNs()
    const fullNs = this.#recent.fullNs(apiKeyId, nowNs)
    if (fullNs !== undefined) {
      const nextNs = gcraNextNs(fullNs, nowNs, price.costNs)
      if (!gcraAllows(price.limit, nextNs, nowNs)) {
        this.#recent.repeated++
        return refused(price.limit, fullNs, nextNs, nowNs)
      }
    }
    return new Promise((resolve) => { this.#trips.add(this.#askOf(apiKeyId, price, nowNs, resolve)) })
  }

  isLocal (): boolean { return this.#trips.isLocal }

  metrics (): MetricsJson {
    return [
      metricJson('tollgate_limiter_local_workers', [{ value: this.#trips.isLocal ? 1 : 0 }]),
      metricJson('tollgate_limiter_local_takes_total', [{ value: this.#localCount }]),
      metricJson('tollgate_limiter_redis_takes_total', [{ value: this.#redisCount }]),
      metricJson('tollgate_limiter_redis_trips_total', [{ value: this.#trips.count }]),
      metricJson('tollgate_limiter_repeated_refusals_total', [{ value: this.#recent.repeated }]),
      metricJson('tollgate_limiter_failures_total', [...this.#failures].map(([failure, value]) => ({ labels: { failure }, value })))
    ]
  }

  close (): void {
    this.#trips.close()
    this.#options.local.close()
  }

  #askOf (apiKeyId: number, price: Price, sentNs: bigint, resolve: (decision: LimiterDecision) => void): Ask {
    return {
      key: bucketKey(this.#options.redis.keyPrefix, apiKeyId),
      arguments: price.scriptArguments,
      onAnswer: (isAllowed, aheadNs) => {
        this.#redisCount++
        if (isAllowed) { resolve(allowed(price.limit, aheadNs, 0n)); return }
        // From when it was sent, not from when it was answered: never refused for longer than Redis would.
        this.#recent.remember(apiKeyId, sentNs + aheadNs)
        resolve(refused(price.limit, aheadNs, gcraNextNs(aheadNs, 0n, price.costNs), 0n))
      },
      onForeign: () => {
        this.#foreign(apiKeyId)
        resolve(this.#takeLocally(apiKeyId, price))
      },
      onUnanswered: () => { resolve(this.#takeLocally(apiKeyId, price)) }
    }
  }

  #takeLocally (apiKeyId: number, price: Price): LimiterDecision {
    const count = Math.max(1, this.#options.gatewayCount())
    if (price.share.count !== count) price.share = shareOf(price, count)
    this.#localCount++
    return this.#options.local.takeAt(apiKeyId, price.share.costNs, price.share.limit)
  }

  #foreign (apiKeyId: number): void {
    if (!this.#failures.has('foreign')) {
      this.#options.log.error({ key: bucketKey(this.#options.redis.keyPrefix, apiKeyId) }, 'a bucket in Redis holds something else: its key is limited with this gateway\'s share until it is removed; more such buckets are only counted')
    }
    this.#count('foreign')
  }

  #count (failure: TripFailure | 'foreign'): void { this.#failures.set(failure, (this.#failures.get(failure) ?? 0) + 1) }

  #priceOf (rateLimit: RateLimit, tokens: number): Price {
    const known = this.#prices.get(rateLimit)?.get(tokens)
    if (known !== undefined) return known
    const limit = gcraLimitOf(rateLimit)
    const costNs = gcraCostNs(limit, tokens)
    const base = { limit, tokens, costNs, scriptArguments: scriptArguments(limit, costNs) }
    const price = { ...base, share: shareOf(base, Math.max(1, this.#options.gatewayCount())) }
    // Far more than a configuration has: whoever passes new limits all the time gets no memory for it.
    if (this.#priceCount >= pricesMax) { this.#prices.clear(); this.#priceCount = 0 }
    const ofLimit = this.#prices.get(rateLimit) ?? new Map<number, Price>()
    this.#prices.set(rateLimit, ofLimit.set(tokens, price))
    this.#priceCount++
    return price
  }
}

function shareOf ({ limit, tokens }: Omit<Price, 'share'>, count: number): Price['share'] {
  const share = gcraShareOf(limit, count, tokens)
  return { count, limit: share, costNs: gcraCostNs(share, tokens) }
}
