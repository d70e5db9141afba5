// CORS by route: preflights that the gateway answers, and answers that a page of another origin may read.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RouteConfig } from '../../src/config/schema.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'

const page = 'https://www.example.com'
const cors: NonNullable<RouteConfig['cors']> = { origins: [page], methods: [], headers: ['X-API-KEY'], exposedHeaders: ['X-TRACE-ID'], credentials: false, maxAgeS: 600 }
const routes = [
  { id: 'write', path: '/api/**', methods: ['PUT'], cors: { ...cors, methods: ['PUT'] } },
  { id: 'read', path: '/api/**', methods: ['GET'], cors },
  { id: 'plain', path: '/plain/**' },
  { id: 'open', path: '/open/**', isPublic: true, cors: { ...cors, origins: ['*'] } }
]
const preflight = { Origin: page, 'Access-Control-Request-Method': 'PUT', 'Access-Control-Request-Headers': 'x-api-key' }

async function ask (rig: Rig, line: string, headers: Readonly<Record<string, string>>): Promise<RawAnswer> {
  const client = new RawClient(rig.port)
  client.send(requestText(line, headers))
  try { return await client.answer() } finally { client.destroy() }
}

function corsOf (answer: RawAnswer): Record<string, string> {
  return Object.fromEntries(answer.headers.filter(([name]) => /^(?:access-control-|vary$)/i.test(name)).map(([name, value]) => [name.toLowerCase().replace('access-control-', ''), value]))
}

test('a preflight is answered by the gateway, without a key, an upstream or an event', async (t) => {
  const rig = await startRig(t, { routes })
  const client = new RawClient(rig.port)
  // Twice on one connection: an answer without a body ends where it says.
  for (let times = 0; times < 2; times++) {
    client.send(requestText('OPTIONS /api/echo', preflight))
    const answer = await client.answer()
    assert.equal(answer.status, 204)
    assert.deepEqual(corsOf(answer), { 'allow-origin': page, 'allow-methods': 'PUT', 'allow-headers': 'X-API-KEY', 'expose-headers': 'X-TRACE-ID', 'max-age': '600', vary: 'Origin' })
  }
  client.destroy()
  // The route that takes the method that is asked for answers.
  assert.equal(corsOf(await ask(rig, 'OPTIONS /api/echo', { ...preflight, 'Access-Control-Request-Method': 'GET' }))['allow-methods'], 'GET')
  assert.deepEqual(corsOf(await ask(rig, 'OPTIONS /api/echo', { ...preflight, Origin: 'https://evil.test' })), { vary: 'Origin' })
  assert.equal((await ask(rig, 'OPTIONS /api/echo', { ...preflight, 'Access-Control-Request-Method': 'DELETE' })).status, 404)
  assert.deepEqual([rig.upstream.seen, rig.journal.look()], [[], []])
})

test('what only looks like a preflight is a request like any other', async (t) => {
  const rig = await startRig(t, { routes: [{ id: 'api', path: '/api/**', cors }] })
  for (const headers of [{ Origin: page }, { 'Access-Control-Request-Method': 'PUT' }, { ...preflight, 'Content-Length': '0', 'X-API-KEY': 'none' }] as const) {
    const answer = await ask(rig, 'OPTIONS /api/echo', headers)
    assert.equal(answer.status, 401)
  }
  assert.equal((await ask(rig, 'OPTIONS /api/echo', { ...preflight, 'X-API-KEY': rig.token() })).status, 200)
  assert.equal((await rig.journal.events(4)).length, 4)
})

test('answers say who may read them, and the upstream does not: also answers of the gateway\'s own', async (t) => {
  const rig = await startRig(t, { routes })
  const raw = `/api/raw?end&text=${encodeURIComponent('HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nVary: Accept\r\nContent-Length: 2\r\n\r\nok')}`
  const key = { 'X-API-KEY': rig.token() }
  const answer = await ask(rig, `GET ${raw}`, { Origin: page, ...key })
  assert.equal(answer.body.toString(), 'ok')
  assert.equal(header(answer, 'vary'), 'Accept, Origin')
  assert.deepEqual([header(answer, 'access-control-allow-origin'), header(answer, 'access-control-allow-credentials')], [page, undefined])
  assert.deepEqual(corsOf(await ask(rig, 'GET /api/echo', { Origin: 'https://evil.test', ...key })), { vary: 'Origin' })
  const long = await ask(rig, 'GET /api/big?bytes=100000', { Origin: page, ...key })
  assert.deepEqual([long.body.length, header(long, 'access-control-allow-origin')], [100_000, page])
  const refused = await ask(rig, 'GET /api/echo', { Origin: page })
  assert.deepEqual([json(refused)['code'], header(refused, 'access-control-allow-origin'), header(refused, 'vary')], ['G0001', page, 'Origin'])
  const failed = await ask(rig, 'GET /api/reset', { Origin: page, ...key })
  assert.deepEqual([json(failed)['code'], header(failed, 'access-control-allow-origin')], ['G0008', page])
  assert.deepEqual(corsOf(await ask(rig, 'GET /open/echo', {})), { 'allow-origin': '*', 'expose-headers': 'X-TRACE-ID' })
})

test('a route without it leaves preflights and headers to the upstream', async (t) => {
  const rig = await startRig(t, { routes })
  assert.equal((await ask(rig, 'OPTIONS /plain/status/200', preflight)).status, 200)
  assert.equal(rig.upstream.seen[0]?.method, 'OPTIONS')
  const text = encodeURIComponent('HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\r\nok')
  assert.deepEqual(corsOf(await ask(rig, `GET /plain/raw?end&text=${text}`, { Origin: page, 'X-API-KEY': rig.token() })), { 'allow-origin': '*' })
})
