// The generic cell rate algorithm, in whole nanoseconds. A bucket is one number, its theoretical arrival time (TAT): the
// instant at which it is full again. Taking tokens moves it forward by their price in time; a take is allowed when the
// bucket would then be full again within the time of `burst` tokens.
//
// Bound. Each take raises the TAT by its price, from no less than its own instant to no more than its instant plus the
// burst. So all takes whose instants lie in [a, b] cost together at most burst + (b - a), in whatever order they reached the
// bucket. A token's price is rounded up to a nanosecond, so never more than burst + rate x (b - a) tokens are taken.
import type { LimiterDecision, RateLimit } from './port.ts'

const nsPerS = 1_000_000_000n
const nsPerMs = 1_000_000n
/** Keeps the TAT within 63 bits for centuries of uptime. */
export const ratePerSMax = 1_000_000_000
export const burstMax = 1_000_000_000

/** A RateLimit as the arithmetic needs it; made once for each limit. */
export interface GcraLimit {
  readonly burst: number
  readonly tokenNs: bigint
  readonly burstNs: bigint
}

/** @throws RangeError for a limit that is not made of whole numbers from 1 on: configuration refuses those before. */
export function gcraLimitOf ({ ratePerS, burst }: RateLimit): GcraLimit {
  mustBeWhole('ratePerS', ratePerS, ratePerSMax)
  mustBeWhole('burst', burst, burstMax)
  const rate = BigInt(ratePerS)
  const tokenNs = (nsPerS + rate - 1n) / rate
  return { burst, tokenNs, burstNs: BigInt(burst) * tokenNs }
}

/**
 * One of `count` equal parts of a limit: a token comes back `count` times as slowly, and the burst is its part of the whole
 * one, or `tokens` where that is more, so that a request that costs so many can be let through at all.
 */
export function gcraShareOf (limit: GcraLimit, count: number, tokens: number): GcraLimit {
  const tokenNs = limit.tokenNs * BigInt(count)
  const wholeNs = BigInt(tokens) * tokenNs
  const burstNs = wholeNs > limit.burstNs ? wholeNs : limit.burstNs
  return { burst: Math.max(Math.floor(limit.burst / count), tokens), tokenNs, burstNs }
}

/** @throws RangeError for more tokens than the burst, which could never be allowed, or fewer than one */
export function gcraCostNs (limit: GcraLimit, tokens: number): bigint {
  if (tokens === 1) return limit.tokenNs
  mustBeWhole('tokens', tokens, limit.burst)
  return BigInt(tokens) * limit.tokenNs
}

/** Where the TAT goes when a take of `costNs` is made at `nowNs`. */
export function gcraNextNs (tatNs: bigint, nowNs: bigint, costNs: bigint): bigint {
  return (tatNs > nowNs ? tatNs : nowNs) + costNs
}

export function gcraAllows (limit: GcraLimit, nextNs: bigint, nowNs: bigint): boolean {
  return nextNs - nowNs <= limit.burstNs
}

/** @param nextNs the TAT after the take */
export function allowed (limit: GcraLimit, nextNs: bigint, nowNs: bigint): LimiterDecision {
  return { isAllowed: true, remaining: wholeTokens(limit, limit.burstNs - (nextNs - nowNs)), retryAfterMs: 0 }
}

/** @param nextNs what the TAT would have become */
export function refused (limit: GcraLimit, tatNs: bigint, nextNs: bigint, nowNs: bigint): LimiterDecision {
  const waitNs = nextNs - nowNs - limit.burstNs
  return {
    isAllowed: false,
    remaining: wholeTokens(limit, tatNs > nowNs ? limit.burstNs - (tatNs - nowNs) : limit.burstNs),
    retryAfterMs: Number((waitNs + nsPerMs - 1n) / nsPerMs)
  }
}

/** None where the bucket is deeper in debt than its burst: it was filled under a larger limit before. */
function wholeTokens (limit: GcraLimit, leftNs: bigint): number {
  return leftNs <= 0n ? 0 : Number(leftNs / limit.tokenNs)
}

function mustBeWhole (name: string, value: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < 1 || value > max) throw new RangeError(`${name} must be a whole number from 1 to ${max}, not ${value}`)
}
