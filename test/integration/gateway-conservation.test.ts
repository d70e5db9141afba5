// Clients, upstream and journal all misbehave at once. Afterwards the witness's counts equal the events that were recorded,
// nothing is in flight, and each client saw what it may see: a complete answer only with a recorded event.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, requestText } from '../helpers/raw-http.ts'
import { seededRandom } from '../helpers/seeded-random.ts'

const seed = 20_260_731
const clients = 24
const requestsPerClient = 40

interface Seen { complete: number, cut: number, readonly traces: string[] }

const paths = ['/api/echo', '/api/echo', '/api/things/echo', '/api/status/404', '/api/chunked', '/api/big?bytes=200000', '/api/big?chunked&bytes=150000', '/api/reset', '/api/reset-chunked', '/api/reset-body?length=100000',
  '/api/garbage', '/api/hang', '/api/hang-body?length=100000', '/open/echo', '/nowhere', '/api/status/204']

/** One request on a connection of its own or a kept one; sometimes the client leaves before the end. */
async function useOnce (rig: Rig, random: () => number, seen: Seen, kept: RawClient | undefined): Promise<RawClient | undefined> {
  const client = kept ?? new RawClient(rig.port)
  const path = paths[Math.floor(random() * paths.length)] as string
  const key: Record<string, string> = random() < 0.9 ? { 'X-API-KEY': rig.token() } : {}
  const body = random() < 0.2 ? 'x'.repeat(Math.floor(random() * 150_000)) : ''
  client.send(requestText(`${body === '' ? 'GET' : 'POST'} ${path}`, { ...key, ...(body === '' ? {} : { 'Content-Length': String(body.length) }) }, body))
  if (random() < 0.15) {
    const patience = Math.floor(random() * 20)
    for (let turn = 0; turn < patience; turn++) await new Promise((resolve) => { setImmediate(resolve) })
    if (random() < 0.5) client.reset()
    else client.destroy()
    return undefined
  }
  try {
    const answer = await client.answer()
    if (path.startsWith('/api/') && answer.status !== 401 && answer.status !== 413) {
      seen.complete++
      seen.traces.push(header(answer, 'x-trace-id') ?? '')
    }
    if (header(answer, 'connection') !== 'close' && random() < 0.8) return client
    client.destroy()
    return undefined
  } catch {
    seen.cut++
    return undefined
  }
}

test('whatever goes wrong, what was answered is what was recorded', async (t) => {
  const rig = await startRig(t, { workers: 2, isByHand: true, upstream: { responseTimeoutMs: 300, idleTimeoutMs: 300 } })
  const random = seededRandom(seed)
  const failed = new Set<unknown>()
  const journal = setInterval(() => {
    if (random() < 0.1 && rig.journal.isAcknowledged) for (const { event } of rig.journal.fail()) failed.add(event['traceId'])
    else rig.journal.settle()
  }, 3)
  t.after(() => { clearInterval(journal) })

  const seen: Seen = { complete: 0, cut: 0, traces: [] }
  await Promise.all(Array.from({ length: clients }, async () => {
    let kept: RawClient | undefined
    for (let request = 0; request < requestsPerClient; request++) kept = await useOnce(rig, random, seen, kept)
    kept?.destroy()
  }))
  await eventually('nothing is in flight', async () => {
    const metrics = (await rig.gateway.metrics()).flat().filter(({ name }) => name === 'tollgate_gateway_in_flight' || name === 'tollgate_gateway_held_answers')
    return metrics.length === 4 && metrics.every(({ values }) => values[0]?.value === 0) && rig.journal.oldestInFlightMs(0) === 0 && rig.journal.oldestInFlightMs(1) === 0
  })
  clearInterval(journal)

  const offered = rig.journal.look()
  const failedRefusals = offered.filter(({ isRefusal, event }) => isRefusal && failed.has(event['traceId'])).length
  const recorded = offered.filter(({ event }) => !failed.has(event['traceId'])).length
  const { answered, countedOnly } = rig.journal.counts()
  assert.equal(answered, recorded + countedOnly)
  assert.equal(countedOnly, failedRefusals)
  const traces = offered.map(({ event }) => event['traceId'])
  assert.equal(new Set(traces).size, traces.length, 'an event was offered twice')
  for (const trace of seen.traces) {
    assert.ok(traces.includes(trace), 'a complete answer without an event')
    assert.ok(!failed.has(trace), 'a complete answer whose event failed')
  }
  assert.deepEqual(rig.deaths, [])
  assert.ok(seen.complete > 150 && seen.cut > 20 && failed.size > 20, `too little happened: ${seen.complete} complete, ${seen.cut} cut, ${failed.size} failed`)
  t.diagnostic(`note: ${seen.complete} complete, ${seen.cut} cut, ${failed.size} failed commits, ${offered.length} events, seed ${seed}`)
})
