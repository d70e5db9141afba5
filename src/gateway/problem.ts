// What the gateway says when it answers by itself: a code of the catalogue, never a stack, never a token.
import { gatewayErrors } from '../domain/errors.ts'
import type { GatewayErrorCode } from '../domain/errors.ts'
import type { HttpResponse } from 'uWebSockets.js'
import { endWhole, writeFacts } from './answer-head.ts'
import type { AnswerFacts } from './answer-head.ts'
import { rateLimitText, refusedText, writeRate } from './rate-limits.ts'
import { statusLine } from './status-line.ts'

export interface Problem {
  readonly code: GatewayErrorCode
  /** The code's own where it isn't said. */
  readonly status?: 400 | 413 | 431
  readonly message?: string
  readonly retryAfterS?: number
  /** The rest of the request is not worth reading, or can't be trusted. */
  readonly mustClose?: boolean
}

export function problemStatus ({ code, status }: Problem): number { return status ?? gatewayErrors[code].status }

/** `{"code","message","traceId"}`. All of it is of our own making, so that nothing needs an escape. */
export function problemBody ({ code, message }: Problem, traceId: string): string {
  return '{"code":"' + code + '","message":"' + (message ?? gatewayErrors[code].message) + '","traceId":"' + traceId + '"}'
}

/** Call it corked. @returns see `endWhole` */
export function writeProblem (response: HttpResponse, problem: Problem, { facts, mustClose }: { readonly facts: ProblemFacts, readonly mustClose: boolean }): boolean {
  const body = problemBody(problem, facts.traceId)
  const { rate } = facts
  response.writeStatus(statusLine(problemStatus(problem)))
  response.writeHeader('Content-Type', 'application/json')
  writeFacts(response, facts)
  if (problem.retryAfterS !== undefined) response.writeHeader('Retry-After', '' + problem.retryAfterS)
  if (rate !== undefined) writeRate(response, rate, problem.code === 'G0006' ? refusedText(problem.retryAfterS ?? 1) : rateLimitText(rate.limit, rate.remaining))
  if (!facts.isHead) return endWhole(response, Buffer.from(body), mustClose)
  response.endWithoutBody(body.length, mustClose)
  return true
}

export interface ProblemFacts extends AnswerFacts { readonly isHead: boolean }
