// The head of an upstream's answer on its way to the client: what belongs to the hop between gateway and upstream is taken
// out, values are checked (uWebSockets.js writes whatever it is given), and the gateway's own headers are added.
import type { HttpResponse } from 'uWebSockets.js'
import { corsHeaderPrefix } from './cors.ts'
import type { HeaderList } from './cors.ts'
import { statusLine } from './status-line.ts'
import { rateLimitText, writeRate } from './rate-limits.ts'
import type { RateState } from './rate-limits.ts'

export interface AnswerHead {
  /** Name, value, name, value …. A value beyond ASCII stands as its bytes. */
  readonly headers: readonly (string | Buffer)[]
  /** Bytes of the body as announced; -1 where it isn't. */
  readonly contentLength: number
  /** What the units header said, where the route names one; '' without it. */
  readonly unitsText: string
}

export interface AnswerHeadRules {
  /** In lower case; '' for none. */
  readonly unitsHeader: string
  /** The gateway limits this route itself: an upstream's own rate headers would contradict. */
  readonly isLimited: boolean
  /** The gateway says itself who may read the answer. */
  readonly hasCors: boolean
}

/** What the gateway adds to an answer. */
export interface AnswerFacts {
  readonly traceId: string
  /** What the limiter said, where it was asked. */
  readonly rate: RateState | undefined
  readonly cors: HeaderList
}

const hopHeaders: ReadonlySet<string> = new Set([
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authentication-info', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade',
  // Written by the server itself.
  'date',
  // The gateway's own.
  'x-trace-id'
])
const limitHeaders: ReadonlySet<string> = new Set([
  'x-ratelimit-remaining', 'x-ratelimit-replenish-rate', 'x-ratelimit-burst-capacity', 'x-ratelimit-requested-tokens', 'ratelimit', 'ratelimit-policy'
])
const isPlainText = /^[\t\x20-\x7e]*$/
const isSafeText = /^[\t\x20-\x7e\x80-\xff]*$/
const isToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

export const noAnswerHead: AnswerHead = { headers: [], contentLength: -1, unitsText: '' }

/**
 * @param received name in lower case, value in latin1, name, value …
 * @returns undefined where a name or value can't be passed on, such as one with a line break
 */
export function readAnswerHead (received: readonly string[], rules: AnswerHeadRules): AnswerHead | undefined {
  const headers: (string | Buffer)[] = []
  const hop = namedByConnection(received)
  let unitsText = ''
  let contentLength = -1
  for (let at = 0; at < received.length; at += 2) {
    const name = received[at] as string
    const value = received[at + 1] as string
    if (name === 'content-length') { contentLength = Number(value); continue }
    if (hopHeaders.has(name) || hop?.has(name) === true) continue
    if (name === rules.unitsHeader) { unitsText = unitsText === '' ? value : unitsText + ',' + value; continue }
    if (rules.isLimited && limitHeaders.has(name)) continue
    if (rules.hasCors && name.startsWith(corsHeaderPrefix)) continue
    if (!push(headers, name, value)) return undefined
  }
  return { headers, contentLength, unitsText }
}

function push (headers: (string | Buffer)[], name: string, value: string): boolean {
  if (!isToken.test(name)) return false
  if (isPlainText.test(value)) headers.push(name, value)
  else if (isSafeText.test(value)) headers.push(name, Buffer.from(value, 'latin1'))
  else return false
  return true
}

function namedByConnection (received: readonly string[]): ReadonlySet<string> | undefined {
  let named: Set<string> | undefined
  for (let at = 0; at < received.length; at += 2) {
    const value = received[at + 1] as string
    if (received[at] !== 'connection' || value === 'keep-alive' || value === 'close') continue
    named ??= new Set()
    for (const token of value.toLowerCase().split(',')) named.add(token.trim())
  }
  return named
}

/** Status, the upstream's headers, the gateway's. Call it corked. */
export function writeAnswerHead (response: HttpResponse, status: number, headers: readonly (string | Buffer)[], facts: AnswerFacts): void {
  response.writeStatus(statusLine(status))
  for (let at = 0; at < headers.length; at += 2) response.writeHeader(headers[at] as string, headers[at + 1] as string)
  writeFacts(response, facts)
  const { rate } = facts
  if (rate !== undefined) writeRate(response, rate, rateLimitText(rate.limit, rate.remaining))
}

/** Trace id and CORS. Call it corked. */
export function writeFacts (response: HttpResponse, { traceId, cors }: AnswerFacts): void {
  response.writeHeader('X-TRACE-ID', traceId)
  for (let at = 0; at < cors.length; at += 2) response.writeHeader(cors[at] as string, cors[at + 1] as string)
}

/** An answer whose body is here, or has none. Call it corked. @returns see `endWhole` */
export function writeWholeAnswer (response: HttpResponse, { contentLength }: AnswerHead, { body, isBodyless, isHead, mustClose }: { readonly body: Buffer, readonly isBodyless: boolean, readonly isHead: boolean, readonly mustClose: boolean }): boolean {
  if (!isBodyless) return endWhole(response, body, mustClose)
  if (isHead && contentLength >= 0) response.endWithoutBody(contentLength, mustClose)
  else {
    // 204 and 304 have no length, and the server takes no other arguments without one.
    if (mustClose) response.writeHeader('Connection', 'close')
    response.endWithoutBody()
  }
  return true
}

/**
 * Ends an answer with its body. What the server is told to end it keeps, however much the client hasn't taken of earlier answers, or
 * drops, where it doesn't fit the cork: so it is asked whether it can.
 * @returns false: the client takes nothing, and the rest of the body, from the response's write offset, has to be given later
 */
export function endWhole (response: HttpResponse, body: Buffer, mustClose: boolean): boolean {
  if (!mustClose && body.length > 0) return response.tryEnd(body, body.length)[1]
  response.end(body, mustClose)
  return true
}
