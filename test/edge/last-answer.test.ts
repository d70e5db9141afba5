// An answer that ends its connection is the last one on it, whatever comes behind: malformed chunks, after which the server
// below takes what follows for a request, byte by byte and at moments when it hasn't closed the connection yet.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { HttpRequest } from 'uWebSockets.js'
import { Batch } from '../../src/gateway/batch.ts'
import { Counters } from '../../src/gateway/counters.ts'
import type { Exchange } from '../../src/gateway/exchange.ts'
import { InFlight } from '../../src/gateway/in-flight.ts'
import { LastAnswers } from '../../src/gateway/last-answers.ts'
import type { RulesInForce } from '../../src/gateway/rules-in-force.ts'
import { openServer } from '../../src/gateway/server.ts'
import type { Services } from '../../src/gateway/services.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'

/** So many heads of this length are more than the kernel takes for a client that takes nothing. */
const answersMin = 700
const headBytes = 15_000
const answerBytes = 65_536
const chunked = { 'Transfer-Encoding': 'chunked' }
/** The server takes the empty line for the last chunk, drops two bytes, and is ready for a request. */
const malformedChunks = '5\r\nabcde\r\n\r\n'
const dropped = 'xx'
const hidden = (rig: Rig): string => requestText('GET /api/hidden', { 'X-API-KEY': rig.token() })

async function sendByteByByte (client: RawClient, text: string): Promise<void> {
  for (const byte of text) {
    client.send(byte)
    await turn()
  }
}

async function metric (rig: Rig, name: string): Promise<number> {
  const found = (await rig.gateway.metrics()).flat().filter((one) => one.name === name)
  return found.flatMap(({ values }) => values).reduce((sum, { value }) => sum + value, 0)
}

async function answered (rig: Rig, count: number): Promise<void> {
  await eventually(`${count} answers`, async () => await metric(rig, 'tollgate_gateway_answers_total') >= count, { everyMs: 1 })
}

/** A worker takes what has come in the order in which it came: what was sent before has been looked at, when this is answered. */
async function assertHiddenNeverRan (rig: Rig): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const other = new RawClient(rig.port)
    other.send(requestText('GET /open/echo/other'))
    assert.equal((await other.answer()).status, 200)
    other.destroy()
  }
  assert.deepEqual(rig.upstream.seen.filter(({ url }) => url.includes('hidden')), [])
  assert.equal(rig.journal.look().filter(({ event }) => String(event['requestUri']).includes('hidden')).length, 0)
}

function open (t: TestContext, rig: Rig): RawClient {
  const client = new RawClient(rig.port)
  t.after(() => { client.destroy() })
  return client
}

/** A client that has taken none of its answers, so many that the server waits to write the rest: only an answer without a body isn't held back then. */
async function openBlocked (t: TestContext, rig: Rig): Promise<RawClient> {
  const client = open(t, rig)
  client.socket.pause()
  for (let count = 1; count <= answersMin; count++) {
    client.send(requestText(`HEAD /open/big-head?bytes=${headBytes}`))
    await answered(rig, count)
  }
  return client
}

function lookOf (answer: RawAnswer): readonly unknown[] { return [answer.body.length, header(answer, 'connection')] }

for (const [name, request, status] of [
  ['an answer of the upstream', requestText('POST /open/echo', chunked), 200],
  ['an answer without a body', requestText('POST /open/status/204', chunked), 204],
  ['an answer in place of an upstream that has failed', requestText('POST /open/reset', chunked), 502],
  ['a refusal', requestText('POST /api/echo', chunked), 401],
  ['a refusal of a path', requestText('GET /open/../echo'), 400],
  ['a refusal of a method', requestText('G(T /open/echo', { 'Content-Length': '0' }), 400],
  ['a refusal of a protocol', requestText('GET /open/echo', { Upgrade: 'websocket' }), 501]
] as const) {
  test(`nothing runs behind it while the client takes nothing: ${name}`, async (t) => {
    const rig = await startRig(t)
    const client = await openBlocked(t, rig)
    const refusals = await metric(rig, 'tollgate_gateway_refusals_total')
    const isChunked = request.includes('chunked')
    await sendByteByByte(client, request + (isChunked ? malformedChunks : ''))
    if (status >= 400) await eventually('a refusal', async () => await metric(rig, 'tollgate_gateway_refusals_total') > refusals)
    else await answered(rig, answersMin + 1)
    await sendByteByByte(client, isChunked ? dropped + hidden(rig) : hidden(rig))
    await assertHiddenNeverRan(rig)
    if (status !== 204) assert.equal(await metric(rig, 'tollgate_gateway_connections'), 1, 'the server had all of it, so this shows nothing')
    // What a client has sent and nobody reads makes the kernel reset the connection: it may not have all of its answers.
    client.socket.resume()
    await client.closed()
    await assertHiddenNeverRan(rig)
  })
}

test('a client that sends no more than it should has all of the last answer, however late it takes it', async (t) => {
  const rig = await startRig(t)
  const client = await openBlocked(t, rig)
  client.send(requestText(`POST /open/big?bytes=${answerBytes}`, chunked) + '0\r\n\r\n')
  await answered(rig, answersMin + 1)
  assert.equal(await metric(rig, 'tollgate_gateway_connections'), 1, 'the server had all of it, so this shows nothing')
  client.socket.resume()
  for (let taken = 0; taken < answersMin; taken++) assert.deepEqual(lookOf(await client.answer({ isHead: true })), [0, undefined])
  assert.deepEqual(lookOf(await client.answer()), [answerBytes, 'close'])
  await client.closed()
  assert.equal(client.errorCode, undefined)
})

test('a client that never takes its last answer is cut', async (t) => {
  const rig = await startRig(t)
  const client = await openBlocked(t, rig)
  client.send(requestText(`POST /open/big?bytes=${answerBytes}`, chunked) + '0\r\n\r\n')
  await answered(rig, answersMin + 1)
  assert.equal(await metric(rig, 'tollgate_gateway_connections'), 1)
  await eventually('nobody is connected', async () => await metric(rig, 'tollgate_gateway_connections') === 0, { withinMs: 30_000, everyMs: 50 })
})

for (const [name, target, isHead] of [
  ['a short answer', '/open/echo', false],
  ['an answer to HEAD', '/open/echo', true],
  ['an answer without a body', '/open/status/204', false],
  ['a long answer', '/open/big?bytes=3000000', false],
  ['a long answer of unknown length', '/open/big?bytes=3000000&chunked', false],
  ['an answer that ends in a turn of its own', '/open/chunked', false],
  ['a recorded answer', '/api/echo', false],
  ['a recorded long answer', '/api/big?bytes=3000000', false]
] as const) {
  test(`a chunked request's connection ends with its answer, and takes no other request: ${name}`, async (t) => {
    const rig = await startRig(t)
    const client = open(t, rig)
    client.send(requestText(`${isHead ? 'HEAD' : 'POST'} ${target}`, { ...chunked, 'X-API-KEY': rig.token() }))
    await sendByteByByte(client, malformedChunks)
    const answer = await client.answer({ isHead })
    assert.deepEqual([answer.status, header(answer, 'connection'), answer.restBytes], [target.endsWith('204') ? 204 : 200, 'close', 0])
    if (target.includes('3000000')) assert.equal(answer.body.length, 3_000_000)
    client.send(requestText('GET /open/hidden'))
    await client.closed()
    await assertHiddenNeverRan(rig)
    await eventually('nobody is connected', async () => await metric(rig, 'tollgate_gateway_connections') === 0)
  })
}

/** Sends malformed chunks; when it is told to, what is behind them, and resets the connection. */
const resettingClient = `
const { parentPort, workerData: { port, isDone } } = require('node:worker_threads')
const socket = require('node:net').connect(port, '127.0.0.1')
socket.on('error', () => {})
socket.write(${JSON.stringify(requestText('POST /malformed', chunked) + malformedChunks)})
parentPort.once('message', () => {
  socket.write(${JSON.stringify(dropped + requestText('GET /hidden'))}, () => {
    socket.once('close', () => { Atomics.store(isDone, 0, 1); Atomics.notify(isDone, 0) })
    socket.resetAndDestroy()
  })
})
`

/** A server in this thread, whose loop stands still from before an answer until its client has sent the rest and reset. */
test('nothing runs behind an answer that its client has reset meanwhile', async (t) => {
  const [port = 0] = await freePorts(1)
  const isDone = new Int32Array(new SharedArrayBuffer(4))
  const client = new Worker(resettingClient, { eval: true, workerData: { port, isDone } })
  const [read, counters, batch] = [[] as string[], new Counters(), new Batch((error) => { throw error })]
  const gatekeeper = {
    read: (request: HttpRequest) => { read.push(request.getUrl()); return true },
    admit: (exchange: Exchange) => {
      if (read.length === 1) batch.add({ turn: () => { client.postMessage('go'); Atomics.wait(isDone, 0, 0, 10_000) } })
      exchange.facts.isChunked = true
      exchange.refuse({ code: 'G0007' })
    }
  }
  const connectionBounds = { connectionsMax: 10, addressConnectionsMax: 10, workers: 1, addresses: { find: () => ({ isProxyTrusted: true }) } }
  const services = { batch, counters, lastAnswers: new LastAnswers(counters), inFlight: new InFlight(), meter: { waiting: 0 }, clock: { monotonicMs: () => performance.now() } } as unknown as Services
  const server = await openServer({ host: '127.0.0.1', port, tls: undefined, socketFile: '', stopTimeoutMs: 100 }, services, { gatekeeper, connectionBounds } as unknown as RulesInForce)
  t.after(async () => {
    await client.terminate()
    await server.stop()
    services.inFlight.close()
    services.lastAnswers.close()
  })
  await eventually('the client has reset', () => Atomics.load(isDone, 0) === 1)
  for (const name of ['/other', '/another']) {
    const other = new RawClient(port)
    other.send(requestText(`GET ${name}`))
    assert.equal((await other.answer()).status, 404)
    other.destroy()
  }
  assert.deepEqual(read, ['/malformed', '/other', '/another'])
  assert.equal(services.lastAnswers.drainingCount, 1, 'the answer had left, so this shows nothing')
})
