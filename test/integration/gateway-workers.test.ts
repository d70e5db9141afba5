// A gateway as a whole: several workers on one port, limits and revocations that hold on all of them, starting and stopping.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'

async function ask (rig: Rig, line: string, headers: Readonly<Record<string, string>> = {}): Promise<RawAnswer> {
  const client = new RawClient(rig.port)
  client.send(requestText(line, headers))
  const answer = await client.answer()
  client.destroy()
  return answer
}

test('one limit for all workers, and its headers', async (t) => {
  const rig = await startRig(t, {
    workers: 2,
    grades: { GRADE_FREE: { ratePerS: 1, burst: 100 } },
    routes: [{ id: 'ten', path: '/ten/**', requestedTokens: 10 }]
  })
  const key = { 'X-API-KEY': rig.token() }
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(rig, 'GET /ten/echo', key)))
  const allowed = answers.filter(({ status }) => status === 200)
  const refused = answers.filter(({ status }) => status === 429)
  assert.deepEqual([allowed.length, refused.length], [10, 30])
  const workers = new Set((await rig.journal.events(40)).map(({ worker }) => worker))
  assert.equal(workers.size, 2)

  const remaining = allowed.map((answer) => Number(header(answer, 'x-ratelimit-remaining'))).sort((a, b) => b - a)
  assert.deepEqual(remaining, [90, 80, 70, 60, 50, 40, 30, 20, 10, 0])
  const lowest = allowed.find((answer) => header(answer, 'x-ratelimit-remaining') === '20') ?? assert.fail()
  assert.deepEqual(['x-ratelimit-replenish-rate', 'x-ratelimit-burst-capacity', 'x-ratelimit-requested-tokens', 'ratelimit-policy', 'ratelimit', 'retry-after'].map((name) => header(lowest, name)),
    ['1', '100', '10', '"default";q=10;w=100', '"default";r=2;t=80', undefined])
  const one = refused[0] ?? assert.fail()
  const retryS = Number(header(one, 'retry-after'))
  assert.ok(retryS >= 1 && retryS <= 10)
  assert.deepEqual([json(one)['code'], header(one, 'x-ratelimit-remaining'), header(one, 'ratelimit')], ['G0006', '0', `"default";r=0;t=${retryS}`])
  // Another key has a bucket of its own.
  assert.equal((await ask(rig, 'GET /ten/echo', { 'X-API-KEY': rig.token({ apiKeyId: 8 }) })).status, 200)
})

test('a revoked key is refused by every worker within a second', async (t) => {
  const rig = await startRig(t, { workers: 2 })
  const { memberId } = await rig.registry.createMember({ name: 'someone' })
  const { apiKeyId } = await rig.registry.createKey({ memberId, grade: 'GRADE_FREE' })
  const mine = { 'X-API-KEY': rig.token({ apiKeyId, memberId }) }
  const foreign = { 'X-API-KEY': rig.token({ apiKeyId: 4711 }) }
  const clients = Array.from({ length: 16 }, () => new RawClient(rig.port))
  const statuses = async (headers: Readonly<Record<string, string>>): Promise<readonly number[]> => {
    const seen = new Set<number>()
    for (const client of clients) {
      client.send(requestText('GET /api/echo', headers))
      seen.add((await client.answer()).status)
    }
    return [...seen]
  }
  assert.deepEqual(await statuses(mine), [200])
  assert.deepEqual(await statuses(foreign), [200])
  await rig.registry.revokeKey(apiKeyId)
  await rig.registry.revokeKey(4711)
  await eventually('both are refused', async () => (await statuses(mine)).join() === '401' && (await statuses(foreign)).join() === '401', { withinMs: 1500 })
  const refused = (await rig.journal.events(33)).findLast(({ event }) => event['errorCode'] === 'G0002')
  assert.equal(refused?.event['apiKeyId'], 4711)
  for (const client of clients) client.destroy()
})

test('a key that is not in the registry, where that is asked for, is refused', async (t) => {
  const rig = await startRig(t, { unknownKeys: 'reject' })
  assert.equal(json(await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token() }))['code'], 'G0002')
  const { memberId } = await rig.registry.createMember({ name: 'someone' })
  const { apiKeyId } = await rig.registry.createKey({ memberId, grade: 'GRADE_FREE' })
  await eventually('a new key is accepted', async () => (await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token({ apiKeyId, memberId }) })).status === 200)
})

test('a token that expires while it is remembered is refused from then on', async (t) => {
  const rig = await startRig(t)
  const expS = Math.floor(Date.now() / 1000) + 2
  const key = { 'X-API-KEY': rig.token({ expS }) }
  assert.equal((await ask(rig, 'GET /api/echo', key)).status, 200)
  await eventually('it is refused', async () => (await ask(rig, 'GET /api/echo', key)).status === 401, { withinMs: 5000, everyMs: 100 })
  assert.ok(Date.now() >= expS * 1000)
})

test('a port that another program has is refused by name, shared or not', async (t) => {
  const rig = await startRig(t)
  await assert.rejects(startRig(t, { gateway: { listen: { host: '127.0.0.1', port: rig.port } } }), { code: 'PORT_IN_USE' })
  const [port = 0] = await freePorts(1)
  const other = createServer()
  await new Promise<void>((resolve) => { other.listen(port, '127.0.0.1', resolve) })
  t.after(() => { other.close() })
  await assert.rejects(startRig(t, { gateway: { listen: { host: '127.0.0.1', port } } }), { code: 'PORT_IN_USE' })
})

test('a stop finishes what is in flight, cuts what takes too long, and leaves no event behind', async (t) => {
  const rig = await startRig(t, { gateway: { stopTimeoutMs: 600 } })
  const [quick, slow, idle] = [new RawClient(rig.port), new RawClient(rig.port), new RawClient(rig.port)]
  idle.send(requestText('GET /open/echo'))
  await idle.answer()
  quick.send(requestText('GET /api/held', { 'X-API-KEY': rig.token() }))
  const first = await rig.upstream.nextHeld(0)
  slow.send(requestText('GET /api/held', { 'X-API-KEY': rig.token() }))
  const second = await rig.upstream.nextHeld(1)
  second.response.writeHead(200)
  second.response.write('begun')
  const stopped = rig.gateway.stop()
  await eventually('new connections are refused', async () => {
    const client = new RawClient(rig.port)
    await eventually('refused, or not', () => client.isClosed || client.socket.readyState === 'open', { everyMs: 5 })
    client.destroy()
    return client.errorCode === 'ECONNREFUSED'
  })
  first.response.end('done')
  const answer = await quick.answer()
  assert.deepEqual([answer.status, answer.body.toString(), header(answer, 'connection')], [200, 'done', 'close'])
  await slow.closed()
  assert.equal(slow.peek()?.isComplete, false)
  await stopped
  await idle.closed()
  const events = await rig.journal.events(2)
  assert.deepEqual(events.map(({ event }) => [event['responseStatus'], event['responseBytes']]), [[200, 4], [200, 5]])
  assert.equal(rig.journal.counts().answered, 2)
  assert.equal(rig.journal.oldestInFlightMs(), 0)
})

test('what the operator can read', async (t) => {
  const rig = await startRig(t, { workers: 2 })
  await ask(rig, 'GET /api/things/echo', { 'X-API-KEY': rig.token() })
  await ask(rig, 'GET /api/elsewhere', { 'X-API-KEY': rig.token() })
  await ask(rig, 'GET /api/echo')
  await ask(rig, 'GET /nowhere')
  const all = (await rig.gateway.metrics()).flat()
  const sum = (name: string, labels: Readonly<Record<string, string>> = {}): number => all
    .filter((metric) => metric.name === name).flatMap(({ values }) => values as readonly { labels: Readonly<Record<string, unknown>>, value: number, metricName?: string }[])
    .filter((sample) => Object.entries(labels).every(([label, value]) => String(sample.labels[label]) === value) && sample.metricName?.endsWith('_count') !== false)
    .reduce((total, { value }) => total + value, 0)
  assert.deepEqual({
    ok: sum('tollgate_gateway_answers_total', { route: 'api', status: '2xx' }),
    refused: sum('tollgate_gateway_answers_total', { route: 'api', status: '4xx' }),
    noKey: sum('tollgate_gateway_refusals_total', { code: 'G0001' }),
    noRoute: sum('tollgate_gateway_refusals_total', { code: 'G0007' }),
    upstream: sum('tollgate_gateway_upstream_seconds', { upstream: 'main' }),
    unpriced: sum('tollgate_gateway_unpriced_total'),
    lookedUp: sum('tollgate_gateway_token_cache_total'),
    inFlight: sum('tollgate_gateway_in_flight'),
    held: sum('tollgate_gateway_held_answers')
  }, { ok: 2, refused: 1, noKey: 1, noRoute: 1, upstream: 2, unpriced: 1, lookedUp: 2, inFlight: 0, held: 0 })
  assert.deepEqual(await rig.gateway.health(), { isReady: true, reasons: [] })
})

test('a connection too many is closed at once, and makes room for nobody; the others go on', async (t) => {
  const rig = await startRig(t, { gateway: { connectionsMax: 3 } })
  const valueOf = async (name: string): Promise<unknown> => (await rig.gateway.metrics()).flat().find((metric) => metric.name === name)?.values[0]?.value
  const clients = Array.from({ length: 3 }, () => new RawClient(rig.port))
  const statuses = async (): Promise<number[]> => await Promise.all(clients.map(async (client) => {
    client.send(requestText('GET /open/echo'))
    return (await client.answer()).status
  }))
  assert.deepEqual(await statuses(), [200, 200, 200])
  for (let n = 0; n < 5; n++) {
    const more = new RawClient(rig.port)
    await more.closed()
    assert.equal(more.received().length, 0)
  }
  assert.deepEqual([await valueOf('tollgate_gateway_connections'), await valueOf('tollgate_gateway_connections_refused_total')], [3, 5])
  assert.deepEqual(await statuses(), [200, 200, 200])
  clients.shift()?.destroy()
  await eventually('there is room again', async () => await valueOf('tollgate_gateway_connections') === 2)
  clients.push(new RawClient(rig.port))
  assert.deepEqual(await statuses(), [200, 200, 200])
  for (const client of clients) client.destroy()
  assert.deepEqual(rig.deaths, [])
})
