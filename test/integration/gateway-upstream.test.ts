// What an upstream may do, or not do, and what becomes of the answer and of its event.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { OfferedEvent, Rig } from '../helpers/gateway-rig.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'

function open (rig: Rig, line: string, headers: Readonly<Record<string, string>> = {}): RawClient {
  const client = new RawClient(rig.port)
  client.send(requestText(line, { 'X-API-KEY': rig.token(), ...headers }))
  return client
}

async function onlyEvent (rig: Rig): Promise<OfferedEvent> {
  const events = await rig.journal.events(1)
  assert.equal(events.length, 1)
  return events[0] as OfferedEvent
}

async function answerAndEvent (rig: Rig, line: string): Promise<readonly unknown[]> {
  const client = open(rig, line)
  const answer = await client.answer()
  client.destroy()
  const { event } = await onlyEvent(rig)
  await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
  return [answer.status, json(answer)['code'], event['responseStatus'], event['errorCode'], event['upstreamLatencyMs']]
}

for (const path of ['/api/reset', '/api/end', '/api/garbage', '/api/reset-body', `/api/raw?end&text=${encodeURIComponent('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc')}`]) {
  test(`an upstream that fails before anything was passed on: G0008 (${path.slice(0, 30)})`, async (t) => {
    const rig = await startRig(t)
    assert.deepEqual(await answerAndEvent(rig, `GET ${path}`), [502, 'G0008', 502, 'G0008', undefined])
  })
}

test('an upstream that nobody can connect to: G0008', async (t) => {
  const [port] = await freePorts(1)
  const rig = await startRig(t, { upstream: { url: `http://127.0.0.1:${port}` } })
  assert.deepEqual(await answerAndEvent(rig, 'GET /api/x'), [502, 'G0008', 502, 'G0008', undefined])
  const metrics = (await rig.gateway.metrics()).flat()
  assert.deepEqual(metrics.find(({ name }) => name === 'tollgate_gateway_upstream_failures_total')?.values.map(({ labels, value }) => [labels, value]), [[{ upstream: 'main', failure: 'unreachable' }, 1]])
})

test('an upstream that accepts no connection in time: G0008', async (t) => {
  // An address that nobody answers for (RFC 5737): the connection is neither made nor refused, or refused at once.
  const rig = await startRig(t, { upstream: { url: 'http://192.0.2.1:9', connectTimeoutMs: 200 } })
  assert.deepEqual(await answerAndEvent(rig, 'GET /api/x'), [502, 'G0008', 502, 'G0008', undefined])
})

for (const path of ['/api/hang', '/api/stalled', '/api/hang-body?length=100']) {
  test(`an upstream that does not answer in time: G0009 (${path})`, async (t) => {
    const rig = await startRig(t, { upstream: { responseTimeoutMs: 200, idleTimeoutMs: 200 } })
    assert.deepEqual(await answerAndEvent(rig, `GET ${path}`), [504, 'G0009', 504, 'G0009', undefined])
    await eventually('the upstream sees that it is over', () => rig.upstream.seen[0]?.isAborted === true)
  })
}

for (const [path, code] of [['/api/reset-body?length=100000', 'G0008'], ['/api/reset-chunked', 'G0008'], ['/api/hang-body?length=100000', 'G0009']] as const) {
  test(`an answer that breaks off after it has begun is cut, and recorded with the upstream's status and ${code} (${path})`, async (t) => {
    const rig = await startRig(t, { upstream: { idleTimeoutMs: 300 } })
    const client = open(rig, `GET ${path}`)
    await client.closed()
    const seen = client.peek()
    assert.deepEqual([seen?.status, seen?.isComplete, seen?.body.toString()], [200, false, '0123456789'])
    const { event } = await onlyEvent(rig)
    assert.deepEqual([event['responseStatus'], event['errorCode'], event['responseBytes']], [200, code, 10])
    await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
  })
}

test('a client that leaves before any status: the upstream is told, 499, not billable', async (t) => {
  const rig = await startRig(t)
  const client = open(rig, 'GET /api/held')
  await rig.upstream.nextHeld()
  client.reset()
  const { event, isRefusal } = await onlyEvent(rig)
  assert.deepEqual([event['responseStatus'], event['errorCode'], event['upstreamLatencyMs'], event['units'], isRefusal], [499, undefined, undefined, 0, false])
  await eventually('the upstream sees that it is over', () => rig.upstream.seen[0]?.isAborted === true)
  await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
  assert.equal(rig.journal.oldestInFlightMs(), 0)
})

test('a client that leaves in the middle of an answer: recorded with the upstream\'s status', async (t) => {
  const rig = await startRig(t)
  const client = open(rig, 'GET /api/held')
  const { response } = await rig.upstream.nextHeld()
  response.writeHead(206)
  response.write('some')
  await eventually('the client has the first part', () => client.peek()?.body.toString() === 'some')
  client.reset()
  const { event } = await onlyEvent(rig)
  assert.deepEqual([event['responseStatus'], event['errorCode'], event['responseBytes'], event['units']], [206, undefined, 4, 1])
  assert.ok(typeof event['upstreamLatencyMs'] === 'number')
  await eventually('the upstream sees that it is over', () => rig.upstream.seen[0]?.isAborted === true)
  await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
})

test('a client that leaves while its answer is held: counted once, and once only', async (t) => {
  const rig = await startRig(t, { isByHand: true })
  const client = open(rig, 'GET /api/echo')
  await rig.journal.events(1)
  client.reset()
  await eventually('the gateway has noticed', async () => (await rig.gateway.metrics()).flat().find(({ name }) => name === 'tollgate_gateway_cut_answers_total')?.values[0]?.value === 1)
  rig.journal.settle()
  await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
  assert.equal(rig.journal.look().length, 1)
  assert.equal(rig.journal.oldestInFlightMs(), 0)
})

test('parts of an answer are passed on as they come', async (t) => {
  const rig = await startRig(t)
  const client = open(rig, 'GET /api/held')
  const { response } = await rig.upstream.nextHeld()
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const part of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
    response.write(part)
    await eventually(`the client has ${part}`, () => client.peek()?.body.toString().endsWith(part) === true)
  }
  response.end()
  assert.equal((await client.answer()).body.toString(), 'data: 1\n\ndata: 2\n\ndata: 3\n\n')
  client.destroy()
})

test('without retries a request that failed is never sent again, whatever its method', async (t) => {
  const rig = await startRig(t, { upstream: { retriesMax: 0 } })
  const client = open(rig, 'GET /api/echo')
  await client.answer()
  for (const method of ['GET', 'POST', 'PUT', 'DELETE']) {
    client.send(requestText(`${method} /api/reset`, { 'X-API-KEY': rig.token() }))
    assert.equal((await client.answer()).status, 502)
  }
  assert.equal(rig.upstream.seen.filter(({ url }) => url === '/api/reset').length, 4)
  client.destroy()
})

test('headers on their way to the upstream', async (t) => {
  const rig = await startRig(t, {
    routes: [{ id: 'api', path: '/api/**', trustTraceId: true }, { id: 'open', path: '/open/**', isPublic: true, forwardApiKey: true }],
    gateway: { trustedProxies: [] }
  })
  const traceId = '0f8fad5b-d9cb-469f-a165-70867728950e'
  const client = open(rig, 'GET /api/echo', {
    'X-TRACE-ID': traceId, 'X-Member-Id': '666', 'X-Api-Key-Id': '666', X_Member_Id: '666', 'X-Member-Grade': 'GRADE_PREMIUM', 'X-Forwarded-For': '6.6.6.6',
    'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'evil.test', Forwarded: 'for=6.6.6.6', Connection: 'keep-alive, X-Hop', 'X-Hop': '1', TE: 'trailers', 'X-Kept': 'k\xc3\xa9pt',
    'Proxy-Authorization': 'Basic x', Authorization: 'Bearer mine', Cookie: 'a=b'
  })
  const answer = await client.answer()
  const { traceparent = '', ...sent } = json(answer)['headers'] as Record<string, string>
  assert.match(traceparent, /^00-0f8fad5bd9cb469fa16570867728950e-[0-9a-f]{16}-01$/)
  assert.deepEqual({ ...sent, host: '' }, {
    host: '', 'x-kept': 'k\xc3\xa9pt', authorization: 'Bearer mine', cookie: 'a=b', 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http',
    'x-forwarded-host': 'gateway.test', 'x-trace-id': traceId, 'x-member-id': '3', 'x-api-key-id': '7', 'x-member-grade': 'GRADE_FREE'
  })
  assert.equal(header(answer, 'x-trace-id'), traceId)
  client.send(requestText('GET /open/echo', { 'X-API-KEY': 'abc', 'X-TRACE-ID': traceId }))
  const open2 = json(await client.answer())['headers'] as Record<string, string>
  assert.equal(open2['x-api-key'], 'abc')
  assert.notEqual(open2['x-trace-id'], traceId)
  client.destroy()
})

test('a trace goes on to the upstream and into the event; what is no trace is replaced, and its state with it', async (t) => {
  const rig = await startRig(t)
  const client = open(rig, 'GET /api/echo', { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00', tracestate: 'vendor=1' })
  const sentOf = async (): Promise<unknown[]> => {
    const { traceparent, tracestate } = json(await client.answer())['headers'] as Record<string, string>
    return [traceparent, tracestate]
  }
  assert.deepEqual(await sentOf(), ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00', 'vendor=1'])
  client.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token(), traceparent: '00-nonsense', tracestate: 'vendor=1' }))
  const [made, state] = await sentOf()
  assert.match(String(made), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  assert.equal(state, undefined)
  client.destroy()
  const events = (await rig.journal.events(2)).map(({ event }) => event)
  assert.deepEqual(events.map(({ traceparent }) => traceparent), ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00', made])
})

test('behind a trusted proxy its word about the client goes on', async (t) => {
  const rig = await startRig(t, { gateway: { trustedProxies: ['127.0.0.0/8'] }, upstream: { forwardHost: true } })
  const client = open(rig, 'GET /api/echo', { 'X-Forwarded-For': '203.0.113.9', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'api.example.com', Forwarded: 'for=203.0.113.9' })
  const sent = json(await client.answer())['headers'] as Record<string, string>
  assert.deepEqual([sent['x-forwarded-for'], sent['x-forwarded-proto'], sent['x-forwarded-host'], sent['forwarded'], sent['host']], ['203.0.113.9, 127.0.0.1', 'https', 'api.example.com', 'for=203.0.113.9', 'gateway.test'])
  client.destroy()
})
