// Bounds by client address: what one client may have open at a time, whatever the others have.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'

async function valueOf (rig: Rig, name: string, labels: Readonly<Record<string, string>>): Promise<number> {
  const metrics = (await rig.gateway.metrics()).flat().filter((metric) => metric.name === name)
  return metrics.flatMap(({ values }) => values).filter((sample) => Object.entries(labels).every(([label, value]) => (sample.labels as Record<string, unknown>)[label] === value)).reduce((sum, { value }) => sum + value, 0)
}

async function isLetIn (rig: Rig, localAddress?: string): Promise<RawClient | undefined> {
  const client = new RawClient(rig.port, '127.0.0.1', localAddress)
  client.send(requestText('GET /open/echo'))
  const answer = await client.answer().catch(() => undefined)
  if (answer?.status === 200) return client
  client.destroy()
  return undefined
}

test('one address has so many requests in flight, another its own; refused ones are told when to come back, and not metered', async (t) => {
  const rig = await startRig(t, { gateway: { addressInFlightMax: 2, trustedProxies: ['127.0.0.1'] } })
  const send = (forwardedFor: string): RawClient => {
    const client = new RawClient(rig.port)
    client.send(requestText('GET /api/held', { 'X-API-KEY': rig.token(), 'X-Forwarded-For': forwardedFor }))
    return client
  }
  const first = [send('192.0.2.1'), send('192.0.2.1')]
  await eventually('both are held', () => rig.upstream.held.length === 2)
  const refused = send('192.0.2.1')
  const answer = await refused.answer()
  assert.deepEqual([answer.status, json(answer)['code'], json(answer)['message'], header(answer, 'retry-after')], [503, 'G0010', 'too many requests at a time from this address', '1'])
  // An IPv6 client has its whole network.
  const others = [send('192.0.2.2'), send('2001:db8::1'), send('2001:db8::2')]
  await eventually('the others are held too', () => rig.upstream.held.length === 5)
  assert.equal((await send('2001:db8::3').answer()).status, 503)
  for (const { response } of rig.upstream.held) response.end('done')
  for (const client of [...first, ...others]) assert.equal((await client.answer()).status, 200)
  assert.equal((await rig.journal.events(5)).length, 5)
  assert.deepEqual([await valueOf(rig, 'tollgate_gateway_crowd_refusals_total', { bound: 'address' }), await valueOf(rig, 'tollgate_gateway_crowd_refusals_total', { bound: 'total' })], [2, 0])
  const again = send('192.0.2.1')
  const held = await rig.upstream.nextHeld(5)
  held.response.end('done')
  assert.equal((await again.answer()).status, 200)
  for (const client of [refused, again, ...first, ...others]) client.destroy()
})

test('one address has so many connections, another its own', async (t) => {
  const rig = await startRig(t, { gateway: { addressConnectionsMax: 4 } })
  const clients: RawClient[] = []
  // What is opened between two counts is bounded too.
  await eventually('some are refused', async () => {
    const client = await isLetIn(rig)
    if (client !== undefined) clients.push(client)
    return client === undefined
  }, { everyMs: 0 })
  assert.ok(clients.length >= 4 && clients.length <= 8, `${clients.length} were let in`)
  // Over a count: the kernel says that they are still there.
  const counts = await valueOf(rig, 'tollgate_gateway_connections_refused_total', { bound: 'address' })
  for (let times = 0; times < 8; times++) {
    // The server lets a connection go that says nothing for 10 s.
    for (const client of clients) {
      client.send(requestText('GET /open/echo'))
      assert.equal((await client.answer()).status, 200)
    }
    assert.equal(await isLetIn(rig), undefined)
    await eventually('others are let in meanwhile', async () => { const other = await isLetIn(rig, '127.0.0.2'); other?.destroy(); return other !== undefined }, { everyMs: 200 })
  }
  assert.ok(await valueOf(rig, 'tollgate_gateway_connections_refused_total', { bound: 'address' }) >= counts + 8)
  for (const client of clients.splice(0)) client.destroy()
  await eventually('there is room again', async () => {
    const client = await isLetIn(rig)
    client?.destroy()
    return client !== undefined
  }, { everyMs: 100 })
})

test('a trusted proxy is not one client', async (t) => {
  const rig = await startRig(t, { gateway: { addressConnectionsMax: 2, trustedProxies: ['127.0.0.0/8'] } })
  const clients = await Promise.all(Array.from({ length: 12 }, () => isLetIn(rig)))
  assert.ok(clients.every((client) => client !== undefined))
  for (const client of clients) client?.destroy()
})
