// What is metered and how: the rules of the contract as a table, and the promise that no complete answer leaves before its
// event is settled.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { hourNow, startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'

async function ask (rig: Rig, line: string, headers: Readonly<Record<string, string>> = {}, body = ''): Promise<RawAnswer> {
  const client = new RawClient(rig.port)
  client.send(requestText(line, headers, body))
  const answer = await client.answer({ isHead: line.startsWith('HEAD') })
  client.destroy()
  return answer
}

/** The one worker has come round several times: what it had to write before has been written. */
async function turnsOfTheLoop (rig: Rig): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await ask(rig, 'GET /open/echo')
}

const routes = [
  { id: 'api', path: '/api/**' },
  { id: 'open', path: '/open/**', isPublic: true },
  { id: 'units', path: '/units/**', units: { header: 'X-Units' }, requestBytesMax: 10 },
  { id: 'five', path: '/five/**', units: 5 },
  { id: 'strict', path: '/strict/**', forwardPreflights: false },
  { id: 'moved', path: '/moved/{what}', rewrite: '/status/{what}', methods: ['GET'] }
]

interface Row {
  readonly line: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly hasKey?: boolean
  readonly status: number
  readonly code?: string
  /** Left out: not metered. */
  readonly event?: Readonly<Record<string, unknown>>
  readonly isRefusal?: boolean
}

const rows: readonly Row[] = [
  { line: 'GET /api/things/echo', hasKey: true, status: 200, event: { routeId: 'api', apiEndpointId: 11, units: 1, apiKeyId: 7, memberId: 3, memberGrade: 'GRADE_FREE', requestMethod: 'GET', requestProtocol: 'HTTP/1.1' } },
  { line: 'GET /api/other?secret=1', hasKey: true, status: 200, event: { apiEndpointId: 0, requestUri: '/api/other' } },
  { line: 'GET /api/status/404', hasKey: true, status: 404, event: { responseStatus: 404, errorCode: undefined, responseBytes: 4 } },
  { line: 'GET /api/status/500', hasKey: true, status: 500, event: { responseStatus: 500, errorCode: undefined } },
  { line: 'GET /api/status/204', hasKey: true, status: 204, event: { responseStatus: 204, responseBytes: 0 } },
  { line: 'HEAD /api/things/status/200', hasKey: true, status: 200, event: { requestMethod: 'HEAD', responseBytes: 0, apiEndpointId: 0 } },
  { line: 'POST /api/echo', hasKey: true, headers: { 'Content-Length': '5' }, body: 'hello', status: 200, event: { requestBytes: 5 } },
  { line: 'POST /api/echo', hasKey: true, headers: { 'Transfer-Encoding': 'chunked' }, body: '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', status: 200, event: { requestBytes: 5 } },
  { line: 'GET /moved/404', hasKey: true, status: 404, event: { routeId: 'moved', requestUri: '/moved/404' } },
  { line: 'GET /five/echo', hasKey: true, status: 200, event: { units: 5 } },
  { line: 'GET /units/units?value=17', hasKey: true, status: 200, event: { units: 17 } },
  { line: 'GET /units/units?value=0', hasKey: true, status: 200, event: { units: 0 } },
  { line: 'GET /units/units?value=1.5', hasKey: true, status: 200, event: { units: 1 } },
  { line: 'GET /units/units?value=-3', hasKey: true, status: 200, event: { units: 1 } },
  { line: 'GET /units/units?value=99999999999', hasKey: true, status: 200, event: { units: 1 } },
  { line: 'GET /units/echo', hasKey: true, status: 200, event: { units: 1 } },
  { line: 'GET /api/reset', hasKey: true, status: 502, code: 'G0008', event: { errorCode: 'G0008', responseStatus: 502, upstreamLatencyMs: undefined } },
  { line: 'GET /api/garbage', hasKey: true, status: 502, code: 'G0008', event: { errorCode: 'G0008' } },
  { line: 'GET /api/hang', hasKey: true, status: 504, code: 'G0009', event: { errorCode: 'G0009', responseStatus: 504, upstreamLatencyMs: undefined } },
  // Answers that the gateway makes itself after routing: recorded, not held.
  { line: 'GET /api/echo', status: 401, code: 'G0001', isRefusal: true, event: { errorCode: 'G0001', apiKeyId: undefined, memberId: undefined, units: 0 } },
  { line: 'GET /api/echo', headers: { 'X-API-KEY': 'x.y.z' }, status: 401, code: 'G0002', isRefusal: true, event: { errorCode: 'G0002', apiKeyId: undefined } },
  { line: 'POST /units/echo', hasKey: true, headers: { 'Content-Length': '11' }, body: '12345678901', status: 413, code: 'G0011', isRefusal: true, event: { errorCode: 'G0011', apiKeyId: 7 } },
  { line: 'POST /units/echo', hasKey: true, headers: { 'Transfer-Encoding': 'chunked' }, body: 'b\r\n12345678901\r\n0\r\n\r\n', status: 413, code: 'G0011', isRefusal: true, event: { errorCode: 'G0011', requestBytes: 11 } },
  { line: 'OPTIONS /strict/echo', headers: { Origin: 'http://a.test', 'Access-Control-Request-Method': 'GET' }, status: 401, code: 'G0001', isRefusal: true, event: { requestMethod: 'OPTIONS' } },
  // Not metered.
  { line: 'GET /open/echo', status: 200 },
  { line: 'GET /open/reset', status: 502, code: 'G0008' },
  { line: 'GET /nowhere', hasKey: true, status: 404, code: 'G0007' },
  { line: 'POST /moved/404', hasKey: true, status: 404, code: 'G0007' },
  { line: 'GET /api/echo', hasKey: true, headers: { Upgrade: 'websocket', Connection: 'Upgrade' }, status: 501, code: 'G0014' },
  { line: 'GET /api/../echo', hasKey: true, status: 400, code: 'G0011' },
  { line: 'OPTIONS /api/echo', headers: { Origin: 'http://a.test', 'Access-Control-Request-Method': 'PUT' }, status: 200 },
  { line: 'OPTIONS /moved/200', headers: { Origin: 'http://a.test', 'Access-Control-Request-Method': 'GET' }, status: 200 }
]

test('the table of what is metered', async (t) => {
  const rig = await startRig(t, { routes, upstream: { responseTimeoutMs: 300 } })
  let metered = 0
  for (const row of rows) {
    const what = `${row.line} ${row.code ?? ''}`
    const answer = await ask(rig, row.line, { ...(row.hasKey === true ? { 'X-API-KEY': rig.token() } : {}), ...row.headers }, row.body)
    assert.equal(answer.status, row.status, what)
    if (row.code !== undefined) {
      assert.deepEqual(Object.keys(json(answer)), ['code', 'message', 'traceId'], what)
      assert.equal(json(answer)['code'], row.code, what)
    }
    const traceId = header(answer, 'x-trace-id') ?? ''
    assert.match(traceId, /^[0-9a-f-]{36}$/, what)
    if (row.event !== undefined) metered++
    const offered = await rig.journal.events(metered)
    assert.equal(offered.length, metered, what)
    if (row.event === undefined) continue
    const { event, isRefusal, hour } = offered.at(-1) ?? assert.fail(what)
    assert.equal(event['traceId'], traceId, what)
    assert.equal(isRefusal, row.isRefusal === true, what)
    assert.ok(Math.abs(hour - hourNow()) <= 1, what)
    for (const [field, value] of Object.entries(row.event)) assert.deepEqual(event[field], value, `${what}: ${field}`)
    assert.equal(event['gatewayId'], 'rig', what)
    assert.ok(!JSON.stringify(event).includes('secret'), what)
  }
  // The witness has counted each metered answer once, by itself.
  await eventually('all answers are counted', () => rig.journal.counts().answered === metered)
  assert.equal(rig.journal.counts().countedOnly, 0)
  assert.equal(rig.journal.oldestInFlightMs(), 0)
  assert.ok(!rig.upstream.seen.some(({ headers }) => headers['x-api-key'] !== undefined))
})

test('the units header does not reach the client; an answer that says no whole number is counted', async (t) => {
  const rig = await startRig(t, { routes })
  const answer = await ask(rig, 'GET /units/units?value=many', { 'X-API-KEY': rig.token() })
  assert.equal(header(answer, 'x-units'), undefined)
  assert.equal(answer.body.toString(), 'ok')
  const metrics = (await rig.gateway.metrics()).flat()
  assert.equal(metrics.find(({ name }) => name === 'tollgate_gateway_units_invalid_total')?.values[0]?.value, 1)
})

for (const [what, path, isWhole] of [
  ['a short answer', '/api/echo', true],
  ['a chunked answer that comes at once', '/api/chunked', true],
  ['an answer without a body', '/api/status/204', true],
  ['an answer that says nothing has changed', '/api/status/304', true],
  ['a long answer', '/api/big?bytes=200000', false],
  ['a long chunked answer', '/api/big?chunked&bytes=200000', false]
] as const) {
  test(`the last byte of ${what} waits for its event`, async (t) => {
    const rig = await startRig(t, { isByHand: true })
    const client = new RawClient(rig.port)
    client.send(requestText(`GET ${path}`, { 'X-API-KEY': rig.token() }))
    const [offered] = await rig.journal.events(1)
    assert.equal(offered?.event['errorCode'], undefined)
    await turnsOfTheLoop(rig)
    const early = client.peek()
    if (isWhole) assert.equal(early, undefined)
    else assert.ok(early !== undefined && !early.isComplete && early.body.length > 0)
    assert.equal(rig.journal.counts().answered, 0)
    assert.ok(rig.journal.oldestInFlightMs() > 0)
    rig.journal.settle()
    const answer = await client.answer()
    assert.equal(answer.body.length, offered?.event['responseBytes'])
    await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
    await eventually('nothing is in flight', () => rig.journal.oldestInFlightMs() === 0)
    client.destroy()
  })

  test(`${what} whose event fails is cut, and not counted`, async (t) => {
    const rig = await startRig(t, { isByHand: true })
    const client = new RawClient(rig.port)
    client.send(requestText(`GET ${path}`, { 'X-API-KEY': rig.token() }))
    await rig.journal.events(1)
    rig.journal.fail()
    await client.closed()
    const seen = client.peek()
    assert.ok(seen === undefined || !seen.isComplete)
    await eventually('nothing is in flight', () => rig.journal.oldestInFlightMs() === 0)
    assert.equal(rig.journal.counts().answered, 0)
  })
}

test('failures of the upstream are held too', async (t) => {
  const rig = await startRig(t, { isByHand: true })
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/reset', { 'X-API-KEY': rig.token() }))
  await rig.journal.events(1)
  await turnsOfTheLoop(rig)
  assert.equal(client.peek(), undefined)
  rig.journal.settle()
  assert.equal((await client.answer()).status, 502)
  client.destroy()
})

test('refusals are answered without waiting, and counted only where the journal has no room for them', async (t) => {
  const rig = await startRig(t, { isByHand: true })
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/echo'))
  assert.equal((await client.answer()).status, 401)
  assert.equal((await rig.journal.events(1))[0]?.isRefusal, true)
  assert.deepEqual(rig.journal.counts(), { answered: 0, countedOnly: 0 })
  rig.journal.settle()
  await eventually('it is counted with its event', () => rig.journal.counts().answered === 1)

  rig.journal.state.isRefusalRoom = false
  client.send(requestText('GET /api/echo'))
  assert.equal((await client.answer()).status, 401)
  await eventually('it is counted', () => rig.journal.counts().answered === 2)
  assert.deepEqual(rig.journal.counts(), { answered: 2, countedOnly: 1 })
  assert.equal(rig.journal.look().length, 1)

  // A refusal whose record fails has been answered: it counts, without an event.
  rig.journal.state.isRefusalRoom = true
  client.send(requestText('GET /api/echo'))
  assert.equal((await client.answer()).status, 401)
  await rig.journal.events(2)
  rig.journal.fail()
  await eventually('it is counted', () => rig.journal.counts().answered === 3)
  assert.deepEqual(rig.journal.counts(), { answered: 3, countedOnly: 2 })
  client.destroy()
})

for (const admission of ['full', 'failing', 'starting'] as const) {
  test(`while the journal is ${admission}, no upstream is called: G0010, not metered`, async (t) => {
    const rig = await startRig(t)
    rig.journal.state.admission = admission
    const answer = await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token() })
    assert.deepEqual([answer.status, json(answer)['code'], header(answer, 'retry-after')], [503, 'G0010', '1'])
    assert.deepEqual(rig.upstream.seen, [])
    assert.equal((await rig.gateway.health()).isReady, false)
    assert.equal((await ask(rig, 'GET /open/echo')).status, 200)
    assert.equal((await ask(rig, 'GET /api/echo')).status, 401)
    assert.deepEqual(rig.journal.look(), [])
    // Counted after its last byte has left, which the client may see first.
    await eventually('the refusal is counted', () => rig.journal.counts().answered === 1)
    assert.deepEqual(rig.journal.counts(), { answered: 1, countedOnly: 1 })
    await eventually('nothing is in flight', () => rig.journal.oldestInFlightMs() === 0)
  })
}

test('more requests at a time than allowed get G0010 without calling the upstream', async (t) => {
  const rig = await startRig(t, { gateway: { inFlightMax: 2 } })
  const clients = [new RawClient(rig.port), new RawClient(rig.port)]
  for (const client of clients) client.send(requestText('GET /api/held', { 'X-API-KEY': rig.token() }))
  await rig.upstream.nextHeld(1)
  const refused = await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token() })
  assert.deepEqual([refused.status, json(refused)['code'], json(refused)['message']], [503, 'G0010', 'too many requests at a time'])
  for (const { response } of rig.upstream.held) response.end('ok')
  for (const client of clients) assert.equal((await client.answer()).status, 200)
  assert.equal((await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token() })).status, 200)
  assert.equal(rig.upstream.seen.length, 3)
  for (const client of clients) client.destroy()
})

test('buffered: the answer does not wait, and is counted all the same', async (t) => {
  const rig = await startRig(t, { ack: 'buffered', isByHand: true })
  assert.equal((await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token() })).status, 200)
  const answer = await ask(rig, 'GET /api/big?bytes=200000', { 'X-API-KEY': rig.token() })
  assert.equal(answer.body.length, 200_000)
  await rig.journal.events(2)
  await eventually('both are counted', () => rig.journal.counts().answered === 2)
  assert.equal(rig.journal.oldestInFlightMs(), 0)
})

test('the address of a client stands in its event as the configuration says', async (t) => {
  const forwarded = { 'X-Forwarded-For': '203.0.113.9, 198.51.100.7, 10.1.2.3' }
  const addressOf = async (gateway: { readonly clientIp: 'full' | 'truncated' | 'off', readonly trustedProxies: string[] }): Promise<unknown> => {
    const rig = await startRig(t, { gateway })
    await ask(rig, 'GET /api/echo', { 'X-API-KEY': rig.token(), ...forwarded })
    return (await rig.journal.events(1))[0]?.event['clientIp']
  }
  assert.equal(await addressOf({ clientIp: 'full', trustedProxies: [] }), '127.0.0.1')
  assert.equal(await addressOf({ clientIp: 'full', trustedProxies: ['127.0.0.1', '10.0.0.0/8'] }), '198.51.100.7')
  assert.equal(await addressOf({ clientIp: 'truncated', trustedProxies: ['127.0.0.1', '10.0.0.0/8'] }), '198.51.100.0')
  assert.equal(await addressOf({ clientIp: 'off', trustedProxies: [] }), undefined)
})
