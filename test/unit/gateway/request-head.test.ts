import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HttpRequest } from 'uWebSockets.js'
import { RequestHead } from '../../../src/gateway/request-head.ts'

interface Given { readonly method?: string, readonly path?: string, readonly query?: string, readonly headers?: readonly (readonly [string, string])[] }

/** With a Host, without which the server lets no request through, unless it has its own. */
function request ({ method = 'GET', path = '/', query, headers: own = [] }: Given): HttpRequest {
  const headers = own.some(([name]) => name === 'host') ? own : [['host', 'h'] as const, ...own]
  return {
    getCaseSensitiveMethod: () => method,
    getUrl: () => path,
    getQuery: () => query,
    forEach: (visit: (name: string, value: string) => void) => { for (const [name, value] of headers) visit(name, value) }
  } as unknown as HttpRequest
}

function read (given: Given): { readonly head: RequestHead, readonly verdict: string } {
  const head = new RequestHead()
  return { head, verdict: head.read(request(given)) }
}
const verdictOf = (given: Given): string => read(given).verdict
const withHeader = (name: string, ...values: readonly string[]): Given => ({ headers: values.map((value) => [name, value] as const) })

test('what the gateway decides by, and what goes on', () => {
  const { head, verdict } = read({
    method: 'POST', path: '/a/b', query: 'x=1',
    headers: [['host', 'h.test:80'], ['x-api-key', 'k'], ['user-agent', 'ua'], ['content-length', '7'], ['accept', '*/*'], ['x-own', '1'], ['x-trace-id', 't'], ['x-forwarded-for', '1.1.1.1'], ['x-forwarded-for', '2.2.2.2']]
  })
  assert.equal(verdict, 'good')
  assert.deepEqual([head.method, head.path, head.query, head.host, head.apiKey, head.userAgent, head.contentLength, head.isChunked, head.traceId, head.forwardedFor],
    ['POST', '/a/b', '?x=1', 'h.test:80', 'k', 'ua', 7, false, 't', '1.1.1.1, 2.2.2.2'])
  assert.deepEqual(head.headers, ['user-agent', 'ua', 'accept', '*/*', 'x-own', '1'])
})

test('two keys are no key, an empty one included', () => {
  assert.equal(read(withHeader('x-api-key', 'k')).head.apiKey, 'k')
  for (const keys of [['k', 'k'], ['', 'k'], ['k', ''], ['', 'k', '']]) assert.match(read(withHeader('x-api-key', ...keys)).head.apiKey, /,/, keys.join('|'))
})

test('the length of a head is that of its lines, and headers are counted', () => {
  const { head } = read({ method: 'GET', path: '/a', query: 'b', headers: [['host', 'h'], ['x-a', '1'], ['keep-alive', 'x'], ['x-umlaut', '\u00e4']] })
  assert.equal(head.bytes, Buffer.byteLength('GET /a?b HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nkeep-alive: x\r\nx-umlaut: \u00e4\r\n'))
  assert.equal(head.headerCount, 4)
})

test('nothing of one request is left for the next', () => {
  const head = new RequestHead()
  head.read(request({ method: 'OPTIONS', path: '/a', query: 'q', headers: [['host', 'h'], ['x-api-key', 'k'], ['content-length', '1'], ['transfer-encoding', 'x'], ['upgrade', 'u'], ['connection', 'x-a'], ['x-a', '1'], ['origin', 'o'], ['access-control-request-method', 'PUT'], ['forwarded', 'f'], ['x-forwarded-proto', 'p'], ['x-forwarded-host', 'h']] }))
  assert.equal(head.read(request({})), 'good')
  assert.deepEqual({ ...head, headers: [...head.headers] }, { ...new RequestHead(), method: 'GET', path: '/', host: 'h', bytes: 'GET / HTTP/1.1\r\nhost: h\r\n'.length, headerCount: 1, headers: [] })
})

test('hop-by-hop headers, also those that Connection names, and what only the gateway may say, are dropped', () => {
  const { head } = read({
    headers: [['connection', 'Keep-Alive, X-Hop'], ['connection', 'x-second'], ['x-hop', '1'], ['x-second', '2'], ['keep-alive', 'timeout=5'], ['te', 'trailers'], ['trailer', 'x'], ['proxy-authorization', 'p'],
      ['proxy-connection', 'p'], ['expect', '100-continue'], ['http2-settings', 's'], ['x-member-id', '1'], ['x-api-key-id', '1'], ['x-member-grade', '1'], ['x_member_id', '1'], ['x-api_key-id', '1'],
      ['x_api_key', 'k'], ['x_kept', 'yes'], ['authorization', 'mine']]
  })
  assert.deepEqual(head.headers, ['x_kept', 'yes', 'authorization', 'mine'])
})

test('where a request ends must be beyond doubt', () => {
  for (const value of ['', '-1', '+5', '5, 5', '0x5', '1e3', '5 ', '9'.repeat(16), '１']) assert.equal(verdictOf(withHeader('content-length', value)), 'broken', value)
  for (const value of ['0', '5', '0005', '9'.repeat(15)]) assert.equal(verdictOf(withHeader('content-length', value)), 'good', value)
  assert.equal(verdictOf(withHeader('content-length', '5', '5')), 'broken')
  for (const value of ['xchunked', 'chunked, gzip', 'gzip', '', 'chunked;q=1']) assert.equal(verdictOf(withHeader('transfer-encoding', value)), 'broken', value)
  assert.equal(verdictOf(withHeader('transfer-encoding', 'Chunked')), 'good')
  assert.equal(verdictOf(withHeader('transfer-encoding', 'chunked', 'chunked')), 'broken')
  assert.equal(verdictOf({ headers: [['x-a', 'a\ufffd'], ['content-length', 'x']] }), 'broken')
})

test('methods, targets, names and values that are none', () => {
  for (const method of ['get', 'G(T', '', 'Ä', 'X'.repeat(21), 'A B', '-A']) assert.equal(verdictOf({ method }), 'malformed', method)
  for (const method of ['GET', 'PATCH', 'M-SEARCH', 'QUERY']) assert.equal(verdictOf({ method }), 'good', method)
  for (const path of ['/\x7f', '/ü', '/a b', '/\ufffd']) assert.equal(verdictOf({ path }), 'malformed', path)
  assert.equal(verdictOf({ query: 'ü' }), 'malformed')
  assert.equal(verdictOf(withHeader('x a', '1')), 'malformed')
  assert.equal(verdictOf(withHeader('x-a', 'a\0b')), 'malformed')
  assert.equal(verdictOf(withHeader('x-a', 'a\r\nb')), 'malformed')
  assert.equal(verdictOf(withHeader('x-a', 'bytes lost \ufffd')), 'malformed')
})

test('a Host is a name or an address, and perhaps a port', () => {
  for (const host of ['h', 'a.b-c_d.', 'h:80', '127.0.0.1', '[::1]', '[fe80::1]:8080']) assert.equal(verdictOf(withHeader('host', host)), 'good', host)
  for (const host of ['', 'u@h', 'h/p', 'a b', 'a, b', 'h:http', 'h:', ':80', 'h:123456', '[::1', 'h?', 'h#', 'é']) assert.equal(verdictOf(withHeader('host', host)), 'malformed', host)
})

test('text beyond ASCII goes on as its bytes', () => {
  assert.deepEqual(read(withHeader('x-a', 'é')).head.headers, ['x-a', '\xc3\xa9'])
})

test('a preflight is an OPTIONS with an origin and a method', () => {
  const preflight = [['origin', 'http://a.test'], ['access-control-request-method', 'PUT']] as const
  assert.equal(read({ method: 'OPTIONS', headers: preflight }).head.preflightMethod, 'PUT')
  assert.equal(read({ method: 'GET', headers: preflight }).head.preflightMethod, '')
  assert.equal(read({ method: 'OPTIONS', headers: preflight.slice(1) }).head.preflightMethod, '')
})
