// The edge under load that lasts: seconds in `bin/check`, ten minutes each with `bin/check --long=edge`. Every form prints what it
// has seen; whatever hostile clients do, a paying member is served and billed to the request.
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { archivedByTrace } from '../helpers/oracle-archive.ts'
import { RememberingClient } from '../helpers/remembering-client.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { isLong, mebibyte, seed, startLoadRig } from './load-rig.ts'
import type { LoadRig } from './load-rig.ts'
import { MixedClient } from './mixed-client.ts'
import type { MixedMemory } from './mixed-client.ts'

const memberId = 1
const minutes = Number(process.env['TOLLGATE_EDGE_MINUTES'] ?? 10)
const loadMs = isLong ? minutes * 60_000 : 4_000
const idleCount = isLong ? 10_000 : 1_000
const idleMs = isLong ? 30_000 : 2_000
const streamedBytes = (isLong ? 1024 : 256) * mebibyte
const shorterBytes = 64 * mebibyte
/** The long form has the machine to itself. Beside other tests garbage waits longer; a body that is kept would still show. */
const streamGrowthBytesMax = (isLong ? 50 : 128) * mebibyte
const millions = (bytes: number): string => (bytes / mebibyte).toFixed(0)

function payingClients (port: number, tokens: readonly string[], pauseMs: number): RememberingClient[] {
  return tokens.map((token) => new RememberingClient({
    port,
    pauseMs,
    next: (traceId) => ({ key: 'paying', head: `GET /api/things/s200 HTTP/1.1\r\nHost: test\r\nX-API-KEY: ${token}\r\nX-TRACE-ID: ${traceId}\r\n\r\n` })
  }))
}

/** Runs `clients` until `during` is over. @returns how many answers they have; each is 200 */
async function paidDuring (clients: readonly RememberingClient[], during: () => Promise<void>): Promise<number> {
  const running = clients.map((client) => client.run())
  await during()
  for (const client of clients) client.stop()
  await Promise.all(running)
  const memories = clients.flatMap((client) => client.memories)
  assert.deepEqual(memories.filter(({ outcome, status }) => outcome !== 'complete' || status !== 200), [], 'a paying member was not served')
  return memories.length
}

/** Asks without a key as fast as it is refused. */
class Flooder {
  readonly statuses = new Map<string, number>()
  readonly #port: number
  #isRunning = true

  constructor (port: number) { this.#port = port }

  async run (): Promise<void> { while (this.#isRunning) await this.#useConnection() }
  stop (): void { this.#isRunning = false }

  #useConnection (): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
      const ask = (): void => { socket.write('GET /api/things/s200 HTTP/1.1\r\nHost: flood\r\n\r\n') }
      socket.on('connect', ask)
      socket.on('error', () => {})
      socket.on('close', () => { resolve() })
      socket.on('data', (chunk: Buffer) => {
        const status = chunk.toString('latin1', 9, 12)
        this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
        if (this.#isRunning) ask()
        else socket.destroy()
      })
    })
  }
}

test(`a flood without keys for ${loadMs / 1000} s: a paying member is always served, and billed to the request`, async (t) => {
  const rig = await startLoadRig(t)
  const tokens = rig.tokensOf(memberId, 4)
  const flooders = Array.from({ length: 32 }, () => new Flooder(rig.port))
  const running = flooders.map((flooder) => flooder.run())
  const paid = await paidDuring(payingClients(rig.port, tokens, 5), () => sleep(loadMs))
  for (const flooder of flooders) flooder.stop()
  await Promise.all(running)
  const refused = flooders.reduce((sum, { statuses }) => sum + (statuses.get('401') ?? 0), 0)
  const billed = await rig.billed(memberId)
  t.diagnostic(`note: flood: ${refused} refusals in ${loadMs / 1000} s, ${paid} paying requests, all answered with 200, ${billed} billed`)
  assert.deepEqual([...new Set(flooders.flatMap(({ statuses }) => [...statuses.keys()]))], ['401'])
  assert.equal(billed, paid)
  assert.ok(paid > loadMs / 200 && refused > paid, 'too little happened')
})

function medianOf (values: readonly number[]): number { return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number }

interface Side { readonly rig: LoadRig, readonly clients: readonly MixedClient[], readonly samples: number[] }

/** What is wrong with the archive of one side, request by request; and how many it holds as billable. */
async function judge ({ rig, clients }: Side): Promise<{ readonly wrong: readonly string[], readonly billable: number }> {
  const archived = await archivedByTrace([rig.files.state])
  const isRight = ({ outcome, status, hasKey, traceId }: MixedMemory): boolean => {
    const { times, billable } = archived.get(traceId) ?? { times: 0, billable: 0 }
    if (outcome === 'unsent') return times === 0
    // 413 is a refusal, which isn't held: never billed.
    const isRefused = !hasKey || status === 413
    const isBillable = outcome === 'complete' && status < 500 && !isRefused
    return times <= 1 && (!isRefused || billable === 0) && (outcome !== 'complete' || times === 1) && (!isBillable || billable === 1) && (status < 500 || billable === 0)
  }
  const wrong = clients.flatMap(({ memories }) => memories).filter((memory) => !isRight(memory))
  return {
    wrong: wrong.slice(0, 20).map((memory) => `${JSON.stringify(memory)}: in the archive ${JSON.stringify(archived.get(memory.traceId))}`),
    billable: [...archived.values()].reduce((sum, { billable }) => sum + billable, 0)
  }
}

test(`mixed load for ${loadMs / 1000} s, plain and over TLS, seed ${seed}: the bill is the answers, memory is flat`, async (t) => {
  const random = seededRandom(seed)
  const sides: Side[] = []
  for (const isTls of [false, true]) {
    const rig = await startLoadRig(t, { isTls })
    const tokens = rig.tokensOf(memberId, 4)
    sides.push({ rig, samples: [], clients: Array.from({ length: 12 }, () => new MixedClient({ port: rig.port, isTls, tokens, random })) })
  }
  const running = sides.flatMap(({ clients }) => clients.map((client) => client.run()))
  for (let passedMs = 0; passedMs < loadMs; passedMs += 1_000) {
    await sleep(1_000)
    for (const { rig, samples } of sides) samples.push(rig.memoryBytes())
  }
  for (const { clients } of sides) for (const client of clients) client.stop()
  await Promise.all(running)
  for (const [index, side] of sides.entries()) {
    const billed = await side.rig.billed(memberId)
    const { wrong, billable } = await judge(side)
    const memories = side.clients.flatMap((client) => client.memories)
    const count = (outcome: string): number => memories.filter((memory) => memory.outcome === outcome).length
    const third = Math.floor(side.samples.length / 3)
    const [middle, last] = [medianOf(side.samples.slice(third, 2 * third)), medianOf(side.samples.slice(2 * third))]
    t.diagnostic(`note: ${index === 0 ? 'plain' : 'TLS'}: ${count('complete')} complete, ${count('cut')} cut, ${count('unsent')} unsent, ${side.clients.reduce((sum, { garbageCount }) => sum + garbageCount, 0)} times garbage, ${billed} billed; memory ${millions(middle)} MiB in the middle third, ${millions(last)} in the last`)
    assert.deepEqual(wrong, [])
    assert.equal(billed, billable)
    assert.ok(new Set(memories.map(({ kind }) => kind)).size >= (isLong ? 14 : 8) && count('complete') > (isLong ? 3_000 : 20) && count('cut') > (isLong ? 500 : 5), 'too little happened')
    // Seconds say nothing of memory: the first minute fills caches.
    if (isLong) assert.ok(last <= middle * 1.1 + 16 * mebibyte, `memory grew from ${millions(middle)} to ${millions(last)} MiB`)
  }
})

/** Opens connections in groups, so that the queue of those that wait to be accepted doesn't overflow. */
async function openIdle (port: number, count: number, sockets: Socket[]): Promise<void> {
  while (sockets.length < count) {
    const group = Array.from({ length: Math.min(100, count - sockets.length) }, () => connect({ port, host: '127.0.0.1' }))
    await Promise.all(group.map((socket) => new Promise((resolve, reject) => { socket.once('connect', resolve); socket.once('error', reject) })))
    for (const socket of group) { socket.on('error', () => {}); socket.resume() }
    sockets.push(...group)
  }
}

/** How often each connection says something: the server lets one go that is silent for 10 s. */
const idleRequestMs = 5_000

test(`${idleCount} connections are held while requests are served`, async (t) => {
  const rig = await startLoadRig(t, { env: { TOLLGATE_GATEWAY__ADDRESS_CONNECTIONS_MAX: '20000' } })
  const tokens = rig.tokensOf(memberId, 4)
  // Once, so that what a first request makes is there.
  const before = await paidDuring(payingClients(rig.port, tokens, 5), () => sleep(500))
  const beforeBytes = rig.memoryBytes()
  const sockets: Socket[] = []
  let heldBytes = 0
  const paid = await paidDuring(payingClients(rig.port, tokens, 5), async () => {
    let endMs = Infinity
    const opening = openIdle(rig.port, idleCount, sockets).finally(() => { endMs = performance.now() + idleMs })
    for (let at = 0; performance.now() < endMs; at = (at + 1) % 50) {
      for (let index = at; index < sockets.length; index += 50) (sockets[index] as Socket).write('GET /nowhere HTTP/1.1\r\nHost: idle\r\n\r\n')
      await sleep(idleRequestMs / 50)
      heldBytes = Math.max(heldBytes, rig.memoryBytes())
    }
    await opening
  })
  const open = sockets.filter(({ destroyed, readyState }) => !destroyed && readyState === 'open').length
  for (const socket of sockets) socket.destroy()
  t.diagnostic(`note: ${open} of ${idleCount} connections held, ${((heldBytes - beforeBytes) / 1024 / idleCount).toFixed(1)} KiB each; ${paid} paying requests meanwhile, all answered with 200`)
  assert.equal(open, idleCount)
  assert.equal(await rig.billed(memberId), before + paid)
})

async function highestDuring (rig: LoadRig, during: () => Promise<void>): Promise<number> {
  let highestBytes = 0
  const timer = setInterval(() => { highestBytes = Math.max(highestBytes, rig.memoryBytes()) }, 50)
  try { await during() } finally { clearInterval(timer) }
  return highestBytes
}

/** Sends a body of so many bytes, or asks for one. @returns the bytes that came back */
function transfer (port: number, token: string, path: string, bodyBytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    let [received, sent, expected] = [0, 0, -1]
    const piece = Buffer.alloc(128 * 1024, 'u')
    socket.on('error', reject)
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length
      if (expected < 0) {
        const headEnd = chunk.indexOf('\r\n\r\n') + 4
        expected = headEnd + Number(/content-length: *(\d+)/i.exec(chunk.toString('latin1', 0, headEnd))?.[1])
        if (!chunk.toString('latin1').startsWith('HTTP/1.1 200 ')) reject(new Error(chunk.toString('latin1', 0, headEnd)))
      }
      if (received >= expected) socket.destroy()
    })
    socket.write(`${bodyBytes > 0 ? 'POST' : 'GET'} ${path} HTTP/1.1\r\nHost: test\r\nX-API-KEY: ${token}\r\n${bodyBytes > 0 ? `Content-Length: ${bodyBytes}\r\n` : ''}\r\n`)
    // As fast as a network of 1 Gbit/s: the server is deaf to a pause as long as each of its reads is full (src/gateway/options.ts).
    const sending = setInterval(() => {
      if (sent === bodyBytes || socket.writableNeedDrain) return
      socket.write(piece)
      sent += piece.length
    }, 1)
    socket.on('close', () => { clearInterval(sending); resolve(received) })
  })
}

test(`${streamedBytes / mebibyte} MiB up and down in ${streamGrowthBytesMax / mebibyte} MiB`, async (t) => {
  const rig = await startLoadRig(t, { env: { TOLLGATE_GATEWAY__REQUEST_BYTES_MAX: '2GiB' } })
  const [token = ''] = rig.tokensOf(memberId, 1)
  // Shorter ones first: what is measured is that memory doesn't follow the length, not what the program takes at first use.
  await transfer(rig.port, token, `/api/bytes/${shorterBytes}`, 0)
  await transfer(rig.port, token, '/api/things/s200', shorterBytes)
  const beforeBytes = rig.memoryBytes()
  const downBytes = await highestDuring(rig, async () => { assert.ok(await transfer(rig.port, token, `/api/bytes/${streamedBytes}`, 0) > streamedBytes) })
  const upBytes = await highestDuring(rig, async () => { assert.ok(await transfer(rig.port, token, '/api/things/s200', streamedBytes) > 0) })
  t.diagnostic(`note: ${streamedBytes / mebibyte} MiB each way: ${millions(beforeBytes)} MiB of memory after ${millions(shorterBytes)} MiB each way, at most ${millions(downBytes)} on the way down, ${millions(upBytes)} on the way up`)
  assert.ok(downBytes - beforeBytes < streamGrowthBytesMax, `down: ${millions(downBytes - beforeBytes)} MiB more`)
  assert.ok(upBytes - beforeBytes < streamGrowthBytesMax, `up: ${millions(upBytes - beforeBytes)} MiB more`)
  assert.equal(await rig.billed(memberId), 4)
})
