// Requests that wait for the limiter: Redis is stopped while they come, so that they wait until the test lets it go on, or until
// their budget is over.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { LimiterSpec } from '../../src/gateway/options.ts'
import { createLimiterMemory } from '../../src/limiter/shared-memory.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig, RigOptions } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'
import { startRedis } from '../services/redis.ts'

const server = await startRedis({ after })
const longBudgetMs = 5_000

/** @param gateways the last known number */
async function rigOn (t: TestContext, { budgetMs = longBudgetMs, gateways = 1, ...options }: RigOptions & { readonly budgetMs?: number, readonly gateways?: number } = {}): Promise<Rig> {
  await server.flush()
  const gatewayCount = new SharedArrayBuffer(4)
  new Int32Array(gatewayCount)[0] = gateways
  const limiter: LimiterSpec = { kind: 'redis', memory: createLimiterMemory({ keysMax: 1_000 }), redis: server.options(), budgetMs, gatewayCount }
  t.after(() => { server.resume() })
  return await startRig(t, { limiter, ...options })
}

async function valueOf (rig: Rig, name: string, label?: string): Promise<number> {
  return (await rig.gateway.metrics()).flat().filter((metric) => metric.name === name).flatMap(({ values }) => values)
    .filter(({ labels }) => label === undefined || Object.values(labels).includes(label)).reduce((sum, { value }) => sum + value, 0)
}

const inFlight = (rig: Rig, count: number): Promise<unknown> => eventually(`${count} requests in flight`, async () => await valueOf(rig, 'tollgate_gateway_in_flight') === count, { everyMs: 5 })

async function ask (rig: Rig, line: string, claims = {}): Promise<RawAnswer> {
  const client = new RawClient(rig.port)
  client.send(requestText(line, { 'X-API-KEY': rig.token(claims) }))
  const answer = await client.answer()
  client.destroy()
  return answer
}

test('one limit for all workers, and its headers, by Redis', async (t) => {
  const rig = await rigOn(t, { workers: 2, grades: { GRADE_FREE: { ratePerS: 1, burst: 100 } }, routes: [{ id: 'ten', path: '/ten/**', requestedTokens: 10 }] })
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(rig, 'GET /ten/echo')))
  const allowed = answers.filter(({ status }) => status === 200)
  assert.deepEqual([allowed.length, answers.filter(({ status }) => status === 429).length], [10, 30])
  const remaining = allowed.map((answer) => Number(header(answer, 'x-ratelimit-remaining'))).sort((a, b) => b - a)
  assert.equal(remaining[0], 90)
  const refused = answers.find(({ status }) => status === 429) ?? assert.fail()
  assert.deepEqual([json(refused)['code'], header(refused, 'x-ratelimit-remaining')], ['G0006', '0'])
  assert.ok(Number(header(refused, 'retry-after')) >= 1)
  assert.equal(await valueOf(rig, 'tollgate_limiter_local_workers'), 0)
  assert.equal((await ask(rig, 'GET /ten/echo', { apiKeyId: 8 })).status, 200)
  await eventually('all are counted', () => rig.journal.counts().answered === 41)
})

const bodies: Readonly<Record<string, { readonly bytes: number, readonly isChunked: boolean }>> = {
  'a small body': { bytes: 5, isChunked: false },
  'a body that is collected': { bytes: 60_000, isChunked: false },
  'a large body': { bytes: 3_000_000, isChunked: false },
  'a small chunked body': { bytes: 10, isChunked: true },
  'a large chunked body': { bytes: 3_000_000, isChunked: true }
}

for (const [what, { bytes, isChunked }] of Object.entries(bodies)) {
  test(`${what} that comes while the limiter is waited for reaches the upstream whole`, async (t) => {
    const rig = await rigOn(t)
    const body = Buffer.alloc(bytes, 'some text that is not all the same ')
    server.pause()
    const client = new RawClient(rig.port)
    client.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), ...(isChunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(bytes) }) }))
    for (let at = 0; at < bytes; at += 50_000) {
      const piece = body.subarray(at, at + 50_000)
      client.send(isChunked ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]) : piece)
    }
    if (isChunked) client.send('0\r\n\r\n')
    await inFlight(rig, 1)
    assert.equal(rig.upstream.seen.length, 0)
    server.resume()
    assert.equal((await client.answer()).status, 200)
    const seen = rig.upstream.seen.at(0)
    assert.deepEqual([seen?.bodyBytes, seen?.bodySha256], [bytes, createHash('sha256').update(body).digest('hex')])
    const [offered] = await rig.journal.events(1)
    assert.equal(offered?.event['requestBytes'], bytes)
    assert.equal(await valueOf(rig, 'tollgate_limiter_local_takes_total'), 0)
    client.destroy()
  })
}

test('a client that leaves while its request waits: 499, never sent, counted once', async (t) => {
  const rig = await rigOn(t)
  server.pause()
  const clients = [new RawClient(rig.port), new RawClient(rig.port)]
  clients[0]?.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token() }))
  clients[1]?.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), 'Content-Length': '100' }, 'half of it'))
  await inFlight(rig, 2)
  for (const client of clients) client.reset()
  const offered = await rig.journal.events(2)
  assert.deepEqual(offered.map(({ event, isRefusal }) => [event['responseStatus'], event['units'], event['upstreamLatencyMs'], isRefusal]), [[499, 0, undefined, false], [499, 0, undefined, false]])
  await inFlight(rig, 0)
  server.resume()
  await eventually('Redis has answered', async () => await valueOf(rig, 'tollgate_limiter_redis_takes_total') === 2)
  assert.equal((await ask(rig, 'GET /api/echo')).status, 200)
  assert.equal(rig.upstream.seen.length, 1)
  await eventually('all are counted', () => rig.journal.counts().answered === 3)
  assert.equal(rig.journal.oldestInFlightMs(), 0)
  assert.equal(await valueOf(rig, 'tollgate_gateway_cut_answers_total', 'client'), 2)
})

test('a body that is too large is refused while the request waits', async (t) => {
  const rig = await rigOn(t, { gateway: { requestBytesMax: 100 } })
  server.pause()
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), 'Transfer-Encoding': 'chunked' }, `c8\r\n${'x'.repeat(200)}\r\n`))
  const answer = await client.answer()
  assert.deepEqual([answer.status, json(answer)['code'], header(answer, 'connection')], [413, 'G0011', 'close'])
  server.resume()
  await eventually('Redis has answered', async () => await valueOf(rig, 'tollgate_limiter_redis_takes_total') === 1)
  assert.deepEqual([rig.upstream.seen.length, (await rig.journal.events(1)).length], [0, 1])
  await inFlight(rig, 0)
})

test('a request that is refused after it waited: 429, and its connection goes on', async (t) => {
  const rig = await rigOn(t, { grades: { GRADE_FREE: { ratePerS: 1, burst: 1 } } })
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token() }))
  assert.equal((await client.answer()).status, 200)
  server.pause()
  client.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), 'Content-Length': '5' }, 'hello'))
  await inFlight(rig, 1)
  server.resume()
  const answer = await client.answer()
  assert.deepEqual([answer.status, json(answer)['code'], header(answer, 'connection'), header(answer, 'x-ratelimit-remaining')], [429, 'G0006', undefined, '0'])
  client.send(requestText('GET /open/echo'))
  assert.equal((await client.answer()).status, 200)
  assert.equal((await rig.journal.events(2))[1]?.isRefusal, true)
  client.destroy()
})

test('a second request behind one that waits closes the connection and never runs', async (t) => {
  const rig = await rigOn(t)
  server.pause()
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token() }) + requestText('GET /api/hidden', { 'X-API-KEY': rig.token() }))
  await client.closed()
  server.resume()
  await eventually('it is counted', () => rig.journal.counts().answered === 1)
  assert.ok(!rig.upstream.seen.some(({ url }) => url.includes('hidden')))
  assert.deepEqual(rig.deaths, [])
})

test('while a request waits the journal closes: G0010, not metered, no upstream', async (t) => {
  const rig = await rigOn(t)
  server.pause()
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token() }))
  await inFlight(rig, 1)
  rig.journal.state.admission = 'full'
  server.resume()
  const answer = await client.answer()
  assert.deepEqual([answer.status, json(answer)['code'], rig.upstream.seen.length, rig.journal.look().length], [503, 'G0010', 0, 0])
  assert.equal(rig.journal.oldestInFlightMs(), 0)
  client.destroy()
})

test('requests that wait count as in flight, and a stop cuts them', async (t) => {
  const rig = await rigOn(t, { gateway: { inFlightMax: 2, stopTimeoutMs: 300 }, budgetMs: 60_000 })
  server.pause()
  const clients = [new RawClient(rig.port), new RawClient(rig.port)]
  for (const client of clients) client.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token() }))
  await inFlight(rig, 2)
  const refused = await ask(rig, 'GET /api/echo')
  assert.deepEqual([refused.status, json(refused)['message']], [503, 'too many requests at a time'])
  await rig.gateway.stop()
  for (const client of clients) await client.closed()
  assert.equal(rig.journal.counts().answered, 2)
  assert.deepEqual(rig.upstream.seen, [])
})

test('Redis that says nothing: the budget once, then the local share without waiting, then Redis again', async (t) => {
  const rig = await rigOn(t, { budgetMs: 50, gateways: 4, grades: { GRADE_FREE: { ratePerS: 1, burst: 40 } } })
  assert.equal((await ask(rig, 'GET /api/echo')).status, 200)
  server.pause()
  // A quarter of the burst, and what comes back meanwhile.
  const answers: number[] = []
  for (let i = 0; i < 30; i++) answers.push((await ask(rig, 'GET /api/echo')).status)
  const allowed = answers.filter((status) => status === 200).length
  assert.ok(allowed >= 10 && allowed <= 20, `${allowed} were allowed`)
  assert.equal(answers[0], 200)
  assert.equal(answers.at(-1), 429)
  assert.equal(await valueOf(rig, 'tollgate_limiter_failures_total', 'timeout'), 1)
  assert.equal(await valueOf(rig, 'tollgate_limiter_local_takes_total'), 30)
  assert.equal(await valueOf(rig, 'tollgate_limiter_local_workers'), 1)
  server.resume()
  await eventually('Redis counts again', async () => await valueOf(rig, 'tollgate_limiter_local_workers') === 0)
  assert.equal((await ask(rig, 'GET /api/echo')).status, 200)
  assert.equal(await valueOf(rig, 'tollgate_limiter_local_takes_total'), 30)
})

test('a gateway starts without Redis, limits with its share, and takes part when Redis comes', async (t) => {
  await server.kill()
  const gatewayCount = new SharedArrayBuffer(4)
  new Int32Array(gatewayCount)[0] = 2
  const rig = await startRig(t, {
    limiter: { kind: 'redis', memory: createLimiterMemory({ keysMax: 1_000 }), redis: server.options(), budgetMs: 50, gatewayCount },
    grades: { GRADE_FREE: { ratePerS: 1, burst: 10 } }
  })
  const statuses: number[] = []
  for (let i = 0; i < 12; i++) statuses.push((await ask(rig, 'GET /api/echo')).status)
  assert.deepEqual([statuses[0], statuses.at(-1)], [200, 429])
  assert.equal(await valueOf(rig, 'tollgate_limiter_local_workers'), 1)
  await server.start()
  await eventually('Redis counts', async () => await valueOf(rig, 'tollgate_limiter_local_workers') === 0)
  assert.equal((await ask(rig, 'GET /api/echo')).status, 200)
  assert.equal(await valueOf(rig, 'tollgate_limiter_redis_takes_total'), 1)
})
