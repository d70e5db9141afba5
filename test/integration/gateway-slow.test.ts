// Slow clients: whoever holds a place without need is cut in bounded time, and whoever is only slow is served.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, requestText } from '../helpers/raw-http.ts'

const impatient = { clientTimeoutMs: 1500, clientBytesPerSMin: 10_000 }
const mebibyte = 1024 * 1024

/** Sends `piece` each `everyMs` until the connection ends. */
function drip (t: TestContext, client: RawClient, everyMs: number, piece: () => string): void {
  const timer = setInterval(() => { if (!client.isClosed) client.send(piece()) }, everyMs)
  t.after(() => { clearInterval(timer); client.destroy() })
}

/** Takes `bytes` each `everyMs`, and no more. @returns how many it has */
function sip (t: TestContext, client: RawClient, everyMs: number, bytes: number): () => number {
  let taken = 0
  client.socket.removeAllListeners('data')
  client.socket.pause()
  const timer = setInterval(() => { taken += ((client.socket.read(bytes) ?? client.socket.read()) as Buffer | null)?.length ?? 0 }, everyMs)
  t.after(() => { clearInterval(timer); client.destroy() })
  return () => taken
}

async function slowCuts (rig: Rig): Promise<number> {
  const metric = (await rig.gateway.metrics()).flat().find(({ name }) => name === 'tollgate_gateway_cut_answers_total')
  return metric?.values.find(({ labels }) => (labels as Record<string, unknown>)['reason'] === 'slow')?.value ?? 0
}

test('a body that only drips is cut, whether it is collected, streamed or chunked; the upstream is told', async (t) => {
  const rig = await startRig(t, { gateway: impatient })
  const clients = [
    ['/api/held/collected', { 'Content-Length': '5000' }, 'x'.repeat(100)],
    ['/api/held/streamed', { 'Content-Length': '5000000' }, 'x'.repeat(100)],
    ['/api/held/chunked', { 'Transfer-Encoding': 'chunked' }, '5\r\nabcde\r\n']
  ].map(([target, headers, piece]) => {
    const client = new RawClient(rig.port)
    client.send(requestText(`POST ${target as string}`, { 'X-API-KEY': rig.token(), ...(headers as Record<string, string>) }))
    if (target === '/api/held/streamed') client.send(Buffer.alloc(70_000))
    drip(t, client, 100, () => piece as string)
    return client
  })
  for (const client of clients) await client.closed()
  const events = await rig.journal.events(3)
  assert.deepEqual(events.map(({ event }) => [event['responseStatus'], event['errorCode']]), Array(3).fill([499, undefined]))
  assert.deepEqual(rig.upstream.seen.map(({ url }) => url), ['/api/held/streamed'])
  await eventually('the upstream sees that it is over', () => rig.upstream.seen[0]?.isAborted === true)
  assert.equal(await slowCuts(rig), 3)
  await eventually('all are counted', () => rig.journal.counts().answered === 3)
})

test('a client that doesn\'t take its answer is cut, and recorded with what it has', async (t) => {
  const rig = await startRig(t, { gateway: impatient })
  const totalBytes = 100 * mebibyte
  const clients = ['', '&chunked'].map((query) => {
    const client = new RawClient(rig.port)
    sip(t, client, 1000, 1)
    client.send(requestText(`GET /api/big?bytes=${totalBytes}${query}`, { 'X-API-KEY': rig.token() }))
    return client
  })
  const events = await rig.journal.events(2)
  for (const { event } of events) {
    assert.deepEqual([event['responseStatus'], event['errorCode']], [200, undefined])
    assert.ok(Number(event['responseBytes']) > 0 && Number(event['responseBytes']) < totalBytes)
  }
  assert.equal(await slowCuts(rig), 2)
  await eventually('the upstream sees that it is over', () => rig.upstream.seen.every(({ isAborted }) => isAborted))
  for (const client of clients) client.destroy()
})

test('whoever is slow and steady is served for longer than the server would wait by itself; a head that drips is not', async (t) => {
  const rig = await startRig(t, { gateway: { requestBytesMax: 10 * mebibyte } })
  // More than the kernel holds for a client, so that the gateway waits for it.
  const totalBytes = 9 * mebibyte
  const readers = ['', '&chunked'].map((query) => {
    const client = new RawClient(rig.port)
    const taken = sip(t, client, 100, 30_000)
    client.send(requestText(`GET /api/big?bytes=${totalBytes}${query}`, { 'X-API-KEY': rig.token() }))
    return taken
  })
  const sender = new RawClient(rig.port)
  const bodyBytes = 120_000
  let sentBytes = 70_000
  sender.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), 'Content-Length': String(bodyBytes) }))
  sender.send('x'.repeat(sentBytes))
  drip(t, sender, 200, () => {
    const piece = 'x'.repeat(Math.min(600, bodyBytes - sentBytes))
    sentBytes += piece.length
    return piece
  })
  const idler = new RawClient(rig.port)
  idler.send('GET /open/echo HTTP/1.1\r\nHost: x\r\nX: ')
  drip(t, idler, 250, () => 'y')
  await idler.closed(30_000)
  assert.equal(idler.received().length, 0)
  assert.ok(sentBytes < bodyBytes, 'the body was over before anybody could have lost patience')
  assert.equal((await sender.answer({ withinMs: 60_000 })).status, 200)
  await eventually('both have all', () => readers.every((taken) => taken() > totalBytes), { withinMs: 90_000 })
  const events = await rig.journal.events(3)
  assert.deepEqual(events.map(({ event }) => event['responseStatus']), [200, 200, 200])
  assert.equal(await slowCuts(rig), 0)
})
