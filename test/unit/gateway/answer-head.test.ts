import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HttpResponse } from 'uWebSockets.js'
import { readAnswerHead, writeAnswerHead, writeWholeAnswer } from '../../../src/gateway/answer-head.ts'
import { Batch } from '../../../src/gateway/batch.ts'
import type { RequestFacts } from '../../../src/gateway/facts.ts'
import { problemBody, problemStatus, writeProblem } from '../../../src/gateway/problem.ts'
import { rateLimitText, refusedText, retryAfterS, routeLimits } from '../../../src/gateway/rate-limits.ts'
import type { RouteLimit } from '../../../src/gateway/rate-limits.ts'
import { Reply } from '../../../src/gateway/reply.ts'
import { createRouter } from '../../../src/gateway/router.ts'
import { statusLine } from '../../../src/gateway/status-line.ts'
import { traceIdOf, traceparentOf } from '../../../src/gateway/trace-id.ts'

const rules = { unitsHeader: '', isLimited: false, hasCors: false }

/** A response that remembers what was called on it. */
class Spy {
  readonly calls: unknown[][] = []
  readonly response = new Proxy({}, {
    get: (_target, name) => (...given: unknown[]) => {
      this.calls.push([name, ...given])
      return this.response
    }
  }) as HttpResponse
}

test('headers of the hop, and those that the gateway writes itself, are dropped', () => {
  const head = readAnswerHead(['content-type', 'a/b', 'connection', 'close, X-Hop', 'x-hop', '1', 'keep-alive', 'timeout=5', 'transfer-encoding', 'chunked', 'upgrade', 'h2c', 'trailer', 'x', 'te', 'x',
    'proxy-connection', 'x', 'date', 'today', 'x-trace-id', 'theirs', 'content-length', '12', 'set-cookie', 'a', 'set-cookie', 'b', 'x-ratelimit-remaining', '1'], rules)
  assert.deepEqual(head, { headers: ['content-type', 'a/b', 'set-cookie', 'a', 'set-cookie', 'b', 'x-ratelimit-remaining', '1'], contentLength: 12, unitsText: '' })
})

test('on a limited route the upstream\'s own limits are dropped; the units header is read and dropped', () => {
  const head = readAnswerHead(['x-ratelimit-remaining', '1', 'ratelimit', 'x', 'ratelimit-policy', 'y', 'x-units', '7', 'x-a', '1'], { ...rules, unitsHeader: 'x-units', isLimited: true })
  assert.deepEqual(head, { headers: ['x-a', '1'], contentLength: -1, unitsText: '7' })
  assert.equal(readAnswerHead(['x-units', '7', 'x-units', '8'], { ...rules, unitsHeader: 'x-units', isLimited: true })?.unitsText, '7,8')
})

test('where the gateway says who may read an answer, the upstream does not', () => {
  const received = ['access-control-allow-origin', '*', 'access-control-max-age', '1', 'vary', 'Accept', 'x-a', '1']
  assert.deepEqual(readAnswerHead(received, { ...rules, hasCors: true })?.headers, ['vary', 'Accept', 'x-a', '1'])
  assert.deepEqual(readAnswerHead(received, rules)?.headers, received)
})

test('what would split the answer is refused, bytes beyond ASCII are kept', () => {
  for (const value of ['a\r\nb', 'a\nb', 'a\rb', 'a\0', '\x7f', 'a\u0100']) assert.equal(readAnswerHead(['x-a', value], rules), undefined, JSON.stringify(value))
  for (const name of ['x a', 'x:', 'x\r\n']) assert.equal(readAnswerHead([name, 'a'], rules), undefined, JSON.stringify(name))
  assert.deepEqual(readAnswerHead(['x-a', 'k\xe9'], rules)?.headers, ['x-a', Buffer.from([0x6b, 0xe9])])
})

const [limits] = routeLimits(createRouter([{ id: 'a', path: '/', hosts: [], methods: [], upstream: 'm', isPublic: false, requestedTokens: 10, units: 1, forwardApiKey: false, forwardPreflights: true, trustTraceId: false }]).routes,
  { GRADE_FREE: { ratePerS: 50, burst: 105 }, GRADE_CLASSIC: { ratePerS: 100, burst: 500 }, GRADE_PREMIUM: { ratePerS: 200, burst: 1000 } })
const free = limits?.GRADE_FREE as RouteLimit

test('limits in headers: tokens in the kept ones, requests and seconds in the draft\'s', () => {
  assert.equal(free.fixedHeaders, 'X-RateLimit-Replenish-Rate: 50\r\nX-RateLimit-Burst-Capacity: 105\r\nX-RateLimit-Requested-Tokens: 10\r\nRateLimit-Policy: "default";q=10;w=3')
  assert.equal(rateLimitText(free, 95), '"default";r=9;t=1')
  assert.equal(rateLimitText(free, 105), '"default";r=10;t=0')
  assert.equal(rateLimitText(free, 0), '"default";r=0;t=3')
  assert.deepEqual([0, 1, 1000, 1001].map((retryAfterMs) => retryAfterS({ isAllowed: false, remaining: 0, retryAfterMs })), [1, 1, 1, 2])
  assert.equal(refusedText(2), '"default";r=0;t=2')
})

test('an answer is written in the order that the server needs', () => {
  const spy = new Spy()
  writeAnswerHead(spy.response, 200, ['x-a', '1'], { traceId: 'trace', rate: { limit: free, remaining: 95 }, cors: ['Vary', 'Origin'] })
  assert.deepEqual(spy.calls, [['writeStatus', '200 OK'], ['writeHeader', 'x-a', '1'], ['writeHeader', 'X-TRACE-ID', 'trace'], ['writeHeader', 'Vary', 'Origin'], ['writeHeader', 'X-RateLimit-Remaining', `95\r\nRateLimit: "default";r=9;t=1\r\n${free.fixedHeaders}`]])
})

test('an answer without a body is ended without one', () => {
  const written = (contentLength: number, more: Partial<Parameters<typeof writeWholeAnswer>[2]>): unknown[][] => {
    const spy = new Spy()
    writeWholeAnswer(spy.response, { headers: [], contentLength, unitsText: '' }, { body: Buffer.alloc(0), isBodyless: true, isHead: false, mustClose: false, ...more })
    return spy.calls
  }
  assert.deepEqual(written(5, { isHead: true, mustClose: true }), [['endWithoutBody', 5, true]])
  // An undefined length would be written as a number: it must not be given at all.
  assert.deepEqual(written(-1, { isHead: true, mustClose: true }), [['writeHeader', 'Connection', 'close'], ['endWithoutBody']])
  assert.deepEqual(written(-1, { isHead: true }), [['endWithoutBody']])
  assert.deepEqual(written(5, {}), [['endWithoutBody']])
  assert.deepEqual(written(2, { isBodyless: false, body: Buffer.from('ab'), mustClose: true }), [['end', Buffer.from('ab'), true]])
})

test('an answer that the client does not take is not left with the server', () => {
  const refusing = (offset: number): { readonly response: HttpResponse, readonly given: string[], readonly take: () => void } => {
    const given: string[] = []
    let onWritable: ((offset: number) => boolean) | undefined
    let isTaken = false
    const response: Partial<Record<string, (...values: never[]) => unknown>> = {
      cork: (action: () => void) => { action() },
      writeStatus: () => response, writeHeader: () => response,
      onWritable: (handler: (offset: number) => boolean) => { onWritable = handler },
      getWriteOffset: () => offset,
      tryEnd: (body: Buffer) => {
        given.push(body.toString())
        return [isTaken, isTaken]
      },
      close: () => { given.push('closed') }
    }
    return { response: response as unknown as HttpResponse, given, take: () => { isTaken = true; onWritable?.(offset) } }
  }
  const facts = { traceId: 'id', cors: [], isHead: false, isChunked: false } as unknown as RequestFacts
  const thrown = (error: unknown): void => { throw error }
  let done = 0
  const ends = { pauseUpstream: () => {}, resumeUpstream: () => {}, onDone: () => { done++ }, onError: thrown }
  const relaying = { batch: new Batch(thrown), ends, giveLast: undefined }
  const answering = refusing(2)
  const reply = new Reply(answering.response, facts, relaying)
  reply.begin(200, { headers: [], contentLength: 5, unitsText: '' })
  reply.push(Buffer.from('hello'))
  assert.equal(reply.complete(), 5)
  assert.equal(reply.release(false), false)
  assert.deepEqual([reply.isBlocked, done], [true, 0])
  answering.take()
  assert.deepEqual([answering.given, reply.isBlocked, done], [['hello', 'llo', 'llo'], false, 1])

  const saysNo = refusing(0)
  const refusal = new Reply(saysNo.response, facts, relaying)
  refusal.replace({ code: 'G0001' })
  assert.equal(refusal.release(false), true)
  assert.deepEqual(saysNo.given, [problemBody({ code: 'G0001' }, 'id'), 'closed'])
  assert.ok(refusal.isClientGone)
})

test('problems: status, body and headers', () => {
  assert.deepEqual([problemStatus({ code: 'G0011' }), problemStatus({ code: 'G0011', status: 413 }), problemStatus({ code: 'G0010' })], [400, 413, 503])
  assert.equal(problemBody({ code: 'G0007' }, 'id'), '{"code":"G0007","message":"no route","traceId":"id"}')
  const spy = new Spy()
  writeProblem(spy.response, { code: 'G0006', retryAfterS: 3 }, { facts: { traceId: 'id', rate: { limit: free, remaining: 4 }, cors: ['Vary', 'Origin'], isHead: true }, mustClose: false })
  assert.deepEqual(spy.calls[0], ['writeStatus', '429 Too Many Requests'])
  assert.deepEqual(spy.calls.find(([, name]) => name === 'Retry-After'), ['writeHeader', 'Retry-After', '3'])
  assert.ok(String(spy.calls.find(([, name]) => name === 'X-RateLimit-Remaining')?.[2]).startsWith('4\r\nRateLimit: "default";r=0;t=3\r\n'))
  assert.ok(spy.calls.some(([, name]) => name === 'Vary'))
  assert.deepEqual(spy.calls.at(-1), ['endWithoutBody', problemBody({ code: 'G0006' }, 'id').length, false])
  assert.deepEqual([statusLine(200), statusLine(799)], ['200 OK', '799 Unknown'])
})

test('a trace id is the client\'s only where it is trusted and a UUID', () => {
  const id = '0F8fad5b-d9cb-469f-a165-70867728950e'
  assert.equal(traceIdOf(id, true), id)
  for (const [given, isTrusted] of [[id, false], ['', true], [`${id}x`, true], ['x'.repeat(36), true]] as const) assert.match(traceIdOf(given, isTrusted), /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  assert.notEqual(traceIdOf(id, false), id)
})

test('a traceparent is the client\'s where it is valid; else one of the trace id, and of no other request', () => {
  const given = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const id = '0F8fad5b-d9cb-469f-a165-70867728950e'
  assert.equal(traceparentOf(given, id), given)
  assert.equal(traceparentOf(given.replace('00-', '01-'), id), given.replace('00-', '01-'), 'a later version')
  const invalid = ['', 'ff' + given.slice(2), given.slice(0, -1), given + '0', given.toUpperCase(), given + ', ' + given, given.replace(/-4bf9[^-]*/, '-' + '0'.repeat(32)), given.replace(/-00f0[^-]*/, '-' + '0'.repeat(16))]
  for (const text of invalid) assert.match(traceparentOf(text, id), /^00-0f8fad5bd9cb469fa16570867728950e-[0-9a-f]{16}-01$/, text)
  assert.notEqual(traceparentOf('', id), traceparentOf('', id))
  assert.doesNotMatch(traceparentOf('', '00000000-0000-0000-0000-000000000000'), /^00-0{32}/)
})
