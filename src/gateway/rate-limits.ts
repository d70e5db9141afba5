// The rate of a key: what its grade allows, what the route's requests cost, and the headers that tell the client. All text
// that doesn't change from request to request is made once.
import { gradeTypes } from '../domain/usage-event.ts'
import type { GradeType } from '../domain/usage-event.ts'
import type { LimiterDecision, RateLimit } from '../limiter/port.ts'
import type { HttpResponse } from 'uWebSockets.js'
import type { Route } from './router.ts'

/** A grade's limit on one route, with its headers. */
export interface RouteLimit {
  readonly limit: RateLimit
  readonly requestedTokens: number
  /** X-RateLimit-Replenish-Rate, -Burst-Capacity, -Requested-Tokens and RateLimit-Policy: lines, the last without its end. */
  readonly fixedHeaders: string
}

export type RouteLimits = Readonly<Record<GradeType, RouteLimit>>

/** What the headers of one answer say beside the constants. */
export interface RateState {
  readonly limit: RouteLimit
  /** Whole tokens left. */
  readonly remaining: number
}

const policyName = '"default"'

/** By the route's index. */
export function routeLimits (routes: readonly Route[], grades: Readonly<Record<GradeType, RateLimit>>): readonly RouteLimits[] {
  return routes.map(({ config }) => Object.fromEntries(gradeTypes.map((grade) => [grade, routeLimit(grades[grade], config.requestedTokens)])) as unknown as RouteLimits)
}

function routeLimit (limit: RateLimit, requestedTokens: number): RouteLimit {
  // A bucket is a window in which it fills up once; the quota is in requests, the unit that the draft has by default.
  const quota = Math.floor(limit.burst / requestedTokens)
  const windowS = Math.max(1, Math.ceil(limit.burst / limit.ratePerS))
  return {
    limit,
    requestedTokens,
    fixedHeaders: [
      `X-RateLimit-Replenish-Rate: ${limit.ratePerS}`,
      `X-RateLimit-Burst-Capacity: ${limit.burst}`,
      `X-RateLimit-Requested-Tokens: ${requestedTokens}`,
      // draft-ietf-httpapi-ratelimit-headers-10: quota in requests, window in seconds.
      `RateLimit-Policy: ${policyName};q=${quota};w=${windowS}`
    ].join('\r\n')
  }
}

/** RateLimit: requests left, and the seconds until the bucket is full again. */
export function rateLimitText (limit: RouteLimit, remaining: number): string {
  const left = Math.floor(remaining / limit.requestedTokens)
  return policyName + ';r=' + left + ';t=' + Math.ceil((limit.limit.burst - remaining) / limit.limit.ratePerS)
}

/** Retry-After and the RateLimit header's `t` name the same instant, as the draft asks. Seconds, from 1 on. */
export function retryAfterS (decision: LimiterDecision): number {
  return Math.max(1, Math.ceil(decision.retryAfterMs / 1000))
}

/** RateLimit of a refused request. */
export function refusedText (retryS: number): string { return policyName + ';r=0;t=' + retryS }

/**
 * The headers that tell a client its rate. Call it corked.
 *
 * One call of the server for all of them: six calls cost a whole microsecond. Lines may stand in a value here, and nowhere
 * else, because the text is made of constants and numbers alone.
 * @param rateLimit the RateLimit header
 */
export function writeRate (response: HttpResponse, { limit, remaining }: RateState, rateLimit: string): void {
  response.writeHeader('X-RateLimit-Remaining', remaining + '\r\nRateLimit: ' + rateLimit + '\r\n' + limit.fixedHeaders)
}
