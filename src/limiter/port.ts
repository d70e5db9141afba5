// PORT: how fast. Embedded: shared memory between the worker threads. Cluster: Redis.

export interface RateLimit {
  /** Tokens a second. */
  readonly ratePerS: number
  /** The most tokens that can be taken at once. */
  readonly burst: number
}

export interface LimiterDecision {
  readonly isAllowed: boolean
  /** Whole tokens left after this request. */
  readonly remaining: number
  /** Milliseconds until the same request would be allowed; 0 when it was. */
  readonly retryAfterMs: number
}

export interface Limiter {
  /** Takes `tokens` (at most `limit.burst`) from the bucket of `apiKeyId`, or none at all. */
  take: (apiKeyId: number, tokens: number, limit: RateLimit) => LimiterDecision | Promise<LimiterDecision>
  close: () => void
}
