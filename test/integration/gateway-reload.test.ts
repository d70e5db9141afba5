// New rules in a gateway that serves: a request ends by the rules it came under, the next one on the same connection is answered
// by the new ones, and what is replaced is closed when nobody uses it any more.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signApiKeyToken } from '../../src/domain/api-key.ts'
import type { GatewayRules } from '../../src/gateway/options.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'
import { UpstreamSample } from '../helpers/upstream-sample.ts'

async function ask (client: RawClient, line: string, headers: Readonly<Record<string, string>> = {}): Promise<RawAnswer> {
  client.send(requestText(line, headers))
  return await client.answer()
}

async function valuesOf (rig: Rig, name: string): Promise<readonly unknown[]> {
  return (await rig.gateway.metrics()).flat().filter((metric) => metric.name === name).flatMap(({ values }) => values.map(({ labels, value }) => [...Object.values(labels), value]))
}

function withUpstream ({ gateway, ...rules }: GatewayRules, url: string): GatewayRules {
  const { main } = gateway.upstreams
  if (main === undefined) throw new Error('no upstream')
  return { ...rules, gateway: { ...gateway, upstreams: { main: { ...main, url } } } }
}

test('a request under way ends by the rules it came under; its upstream is closed after it', async (t) => {
  const rig = await startRig(t, { workers: 2 })
  const other = await new UpstreamSample().open()
  t.after(() => { other.close() })
  const key = { 'X-API-KEY': rig.token() }
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/things/held', key))
  const held = await rig.upstream.nextHeld()
  const next = withUpstream(rig.rules, other.url)
  await rig.reload({
    ...next,
    gateway: { ...next.gateway, routes: next.gateway.routes.map((route) => route.id === 'api' ? { ...route, id: 'renamed' } : route) },
    priceBook: { ...next.priceBook, endpoints: [{ id: 77, group: 1, method: 'GET', path: '/api/things/{thing}' }] }
  })
  const later = new RawClient(rig.port)
  assert.equal((await ask(later, 'GET /api/things/echo', key)).status, 200)
  assert.deepEqual([other.seen.length, rig.upstream.seen.length], [1, 1])
  assert.ok((await valuesOf(rig, 'tollgate_gateway_upstreams_retired')).some((value) => (value as number[])[0] === 1))

  held.response.end('from the old one')
  assert.equal((await client.answer()).body.toString(), 'from the old one')
  await eventually('the old upstream is closed', async () => (await valuesOf(rig, 'tollgate_gateway_upstreams_retired')).every((value) => (value as number[])[0] === 0))
  await eventually('its connection too', () => new Promise<boolean>((resolve) => { rig.upstream.server.getConnections((_, count) => { resolve(count === 0) }) }))
  // The same connection, the new rules.
  assert.equal((await ask(client, 'GET /api/things/echo', key)).status, 200)
  assert.equal(other.seen.length, 2)
  const events = await rig.journal.events(3)
  assert.deepEqual(events.map(({ event }) => [event['requestUri'], event['routeId'], event['apiEndpointId']]).sort(), [
    ['/api/things/echo', 'renamed', 77], ['/api/things/echo', 'renamed', 77], ['/api/things/held', 'api', 11]
  ])
  // A client has its answer a moment before it is counted.
  await eventually('all are counted', () => rig.journal.counts().answered >= 3)
  assert.deepEqual([rig.journal.counts().answered, rig.deaths], [3, []])
  client.destroy()
  later.destroy()
})

test('numbers belong to names, and what hasn\'t changed goes on with its connections', async (t) => {
  const rig = await startRig(t)
  const key = { 'X-API-KEY': rig.token() }
  const client = new RawClient(rig.port)
  await ask(client, 'GET /api/echo', key)
  await ask(client, 'GET /open/echo')
  const [socket] = rig.upstream.seen.map(({ headers }) => headers.connection)
  assert.equal(socket, undefined)
  const { routes } = rig.rules.gateway
  await rig.reload({ ...rig.rules, gateway: { ...rig.rules.gateway, routes: [...routes].reverse() } })
  await ask(client, 'GET /api/echo', key)
  await rig.reload({ ...rig.rules, gateway: { ...rig.rules.gateway, routes: routes.filter(({ id }) => id === 'open') } })
  assert.equal(json(await ask(client, 'GET /api/echo', key))['code'], 'G0007')
  await ask(client, 'GET /open/echo')
  // The removed route's answers happened: they stay.
  assert.deepEqual(await valuesOf(rig, 'tollgate_gateway_answers_total'), [['api', '2xx', 2], ['open', '2xx', 2]])
  assert.deepEqual(await valuesOf(rig, 'tollgate_gateway_token_cache_total'), [['hit', 1], ['miss', 1]])
  const connections = await new Promise<number>((resolve) => { rig.upstream.server.getConnections((_, count) => { resolve(count) }) })
  assert.equal(connections, 1)
  client.destroy()
})

test('secrets, grades, proxies and sizes of the new rules hold at once', async (t) => {
  const rig = await startRig(t)
  const [former] = rig.rules.authentication.secrets
  const secret = { kid: 'two', secret: 'another-secret-of-the-tests-with-characters' }
  const oldKey = { 'X-API-KEY': rig.token() }
  const newKey = { 'X-API-KEY': signApiKeyToken({ apiKeyId: 7, memberId: 3, grade: 'GRADE_FREE', iatS: Math.floor(Date.now() / 1000) - 10 }, secret) }
  const client = new RawClient(rig.port)
  assert.deepEqual([(await ask(client, 'GET /api/echo', oldKey)).status, (await ask(client, 'GET /api/echo', newKey)).status], [200, 401])
  await rig.reload({ ...rig.rules, authentication: { ...rig.rules.authentication, secrets: [secret, ...former === undefined ? [] : [former]] } })
  assert.deepEqual([(await ask(client, 'GET /api/echo', oldKey)).status, (await ask(client, 'GET /api/echo', newKey)).status], [200, 200])
  const last: GatewayRules = {
    ...rig.rules,
    authentication: { ...rig.rules.authentication, secrets: [secret] },
    grades: { ...rig.rules.grades, GRADE_FREE: { ratePerS: 3, burst: 5 } },
    gateway: { ...rig.rules.gateway, requestBytesMax: 3, trustedProxies: ['127.0.0.1'] }
  }
  await rig.reload(last)
  assert.equal((await ask(client, 'GET /api/echo', oldKey)).status, 401)
  const answer = await ask(client, 'GET /api/echo', { ...newKey, 'X-Forwarded-For': '9.9.9.9' })
  assert.deepEqual([answer.status, header(answer, 'x-ratelimit-burst-capacity')], [200, '5'])
  assert.equal((await rig.journal.events(5)).at(-1)?.event['clientIp'], '9.9.9.9')
  client.send(requestText('POST /api/echo', { ...newKey, 'Content-Length': '4' }, 'four'))
  assert.equal((await client.answer()).status, 413)
  client.destroy()
})

test('what is prepared and not put in force changes nothing, and is prepared anew later', async (t) => {
  const rig = await startRig(t)
  const other = await new UpstreamSample().open()
  t.after(() => { other.close() })
  const key = { 'X-API-KEY': rig.token() }
  const client = new RawClient(rig.port)
  const [thread] = rig.gateway.threads
  await thread?.rpc.ask('prepare', withUpstream(rig.rules, other.url))
  assert.equal((await ask(client, 'GET /api/echo', key)).status, 200)
  await thread?.rpc.ask('abort')
  await assert.rejects(async () => { await thread?.rpc.ask('commit') }, /no rules are prepared/)
  assert.equal((await ask(client, 'GET /api/echo', key)).status, 200)
  assert.deepEqual([other.seen.length, rig.upstream.seen.length], [0, 2])
  await rig.reload(withUpstream(rig.rules, other.url))
  assert.equal((await ask(client, 'GET /api/echo', key)).status, 200)
  assert.equal(other.seen.length, 1)
  client.destroy()
})
