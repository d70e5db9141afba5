import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCors } from '../../../src/gateway/cors.ts'

const config = { origins: ['https://www.example.com', 'https://*.shop.test', 'http://localhost:5173'], methods: [], headers: ['X-API-KEY'], exposedHeaders: ['X-TRACE-ID'], credentials: false, maxAgeS: 60 }
const allowedTo = (origins: readonly string[], origin: string): string | undefined => {
  const headers = createCors({ ...config, origins }, []).headersFor(origin)
  const at = headers.indexOf('Access-Control-Allow-Origin')
  return at < 0 ? undefined : headers[at + 1]
}

test('an origin is allowed whole, or below a name; nothing that looks like it is', () => {
  for (const origin of ['https://www.example.com', 'https://a.shop.test', 'https://a.b.shop.test', 'http://localhost:5173']) assert.equal(allowedTo(config.origins, origin), origin)
  for (const origin of ['', 'null', '*', 'http://www.example.com', 'https://www.example.com:443', 'https://www.example.com.evil.test', 'https://evil.test/https://www.example.com', 'https://shop.test', 'https://.shop.test', 'https://evilshop.test',
    'https://evil.test/.shop.test', 'https://evil.test#.shop.test', 'https://a@b.shop.test', 'https://a\r\n.shop.test', 'https://a.shop.test\r\n', 'HTTPS://a.shop.test', 'http://localhost']) assert.equal(allowedTo(config.origins, origin), undefined, JSON.stringify(origin))
})

test('everybody gets one text, the same for all: a cache may keep it', () => {
  const cors = createCors({ ...config, origins: ['*'] }, [])
  assert.deepEqual(cors.headersFor('https://a.test'), ['Access-Control-Allow-Origin', '*', 'Access-Control-Expose-Headers', 'X-TRACE-ID'])
  assert.equal(cors.headersFor(''), cors.headersFor('https://b.test'))
})

test('an answer that depends on the origin says so, whoever asks', () => {
  const cors = createCors({ ...config, credentials: true, exposedHeaders: [] }, [])
  assert.deepEqual(cors.headersFor('http://localhost:5173'), ['Vary', 'Origin', 'Access-Control-Allow-Origin', 'http://localhost:5173', 'Access-Control-Allow-Credentials', 'true'])
  assert.deepEqual(cors.headersFor(''), ['Vary', 'Origin'])
  assert.deepEqual(cors.headersFor('https://other.test'), ['Vary', 'Origin'])
})

test('a preflight is told methods, headers and how long that holds; a stranger nothing', () => {
  const preflight = (methods: readonly string[], routeMethods: readonly string[]): readonly string[] => createCors({ ...config, methods }, routeMethods).preflightHeadersFor('http://localhost:5173')
  assert.deepEqual(preflight(['PUT', 'GET'], ['POST']), ['Access-Control-Allow-Methods', 'PUT, GET', 'Access-Control-Allow-Headers', 'X-API-KEY', 'Access-Control-Max-Age', '60'])
  assert.equal(preflight([], ['POST'])[1], 'POST')
  assert.equal(preflight([], [])[1], 'GET, HEAD, POST, PUT, PATCH, DELETE')
  assert.deepEqual(createCors(config, []).preflightHeadersFor('https://other.test'), [])
})
