// An upstream of several servers behind a real gateway: what one of them does to a request is not the client's to see, and
// whatever happens on the way, an answer is one event.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, requestText } from '../helpers/raw-http.ts'

interface Server { readonly url: string, readonly heads: string[] }

const ok = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`

/** @param answer bytes for the n-th request of all, and of its connection; undefined: the connection is reset */
async function openServer (t: TestContext, answer: (n: number, ofConnection: number) => string | undefined): Promise<Server> {
  const heads: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    let ofConnection = 0
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      heads.push(bytes.toString('latin1'))
      const text = answer(heads.length, ++ofConnection)
      if (text === undefined) socket.resetAndDestroy()
      else socket.write(text)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.after(() => { server.close(); for (const socket of sockets) socket.destroy() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heads }
}

async function statusOf (rig: Rig, line: string, body = ''): Promise<number> {
  const client = new RawClient(rig.port)
  client.send(requestText(line, { 'X-API-KEY': rig.token(), ...(body === '' ? {} : { 'Content-Length': String(body.length) }) }, body))
  const { status } = await client.answer()
  client.destroy()
  return status
}

async function metricOf (rig: Rig, name: string): Promise<readonly (readonly [labels: unknown, value: number])[]> {
  const metrics = (await rig.gateway.metrics()).flat()
  return metrics.find((metric) => metric.name === name)?.values.map(({ labels, value }) => [labels, value] as const) ?? []
}

test('a server that is down costs nobody an answer, and is left out after three failures', async (t) => {
  const up = await openServer(t, () => ok('up'))
  const [port] = await freePorts(1)
  const down = `http://127.0.0.1:${port}`
  const rig = await startRig(t, { upstream: { url: down, otherUrls: [up.url] } })
  for (let n = 0; n < 20; n++) assert.equal(await statusOf(rig, n % 2 === 0 ? 'GET /api/x' : 'POST /api/x', n % 2 === 0 ? '' : 'body'), 200)
  assert.equal(up.heads.length, 20)
  assert.deepEqual(await metricOf(rig, 'tollgate_gateway_upstream_retries_total'), [[{ upstream: 'main' }, 3]])
  assert.deepEqual(await metricOf(rig, 'tollgate_gateway_upstream_targets_out'), [[{ upstream: 'main', target: down }, 1], [{ upstream: 'main', target: up.url }, 0]])
  const events = await rig.journal.events(20)
  assert.deepEqual([events.length, new Set(events.map(({ event }) => event['responseStatus']))], [20, new Set([200])])
  await eventually('all are counted', () => rig.journal.counts().answered === 20)
})

test('a kept connection that the server has just closed: a GET is sent again and billed once, a POST is not sent again', async (t) => {
  // Each connection answers once; what comes after is reset, as by a server whose time for idle connections is over.
  const server = await openServer(t, (_n, ofConnection) => ofConnection === 1 ? ok('once') : undefined)
  const rig = await startRig(t, { upstream: { url: server.url } })
  assert.equal(await statusOf(rig, 'GET /api/first'), 200)
  assert.equal(await statusOf(rig, 'GET /api/second'), 200)
  assert.deepEqual(server.heads.map((head) => head.split(' ', 2).join(' ')), ['GET /api/first', 'GET /api/second', 'GET /api/second'])
  assert.equal(await statusOf(rig, 'POST /api/third', 'body'), 502)
  assert.equal(server.heads.length, 4)
  const events = await rig.journal.events(3)
  assert.deepEqual(events.map(({ event }) => [event['requestUri'], event['responseStatus']]), [['/api/first', 200], ['/api/second', 200], ['/api/third', 502]])
})

test('a body that was collected is sent again whole', async (t) => {
  const server = await openServer(t, (n) => n === 1 ? undefined : ok('put'))
  const rig = await startRig(t, { upstream: { url: server.url } })
  assert.equal(await statusOf(rig, 'PUT /api/x', 'the body'), 200)
  assert.deepEqual(server.heads.map((head) => head.split('\r\n\r\n')[1]), ['the body', 'the body'])
})
