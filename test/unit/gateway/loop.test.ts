// What runs between the events of a worker's loop: the batch, the list of requests in flight, uploads.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Readable } from 'node:stream'
import type { HttpResponse } from 'uWebSockets.js'
import { Batch } from '../../../src/gateway/batch.ts'
import { BodiesAhead } from '../../../src/gateway/bodies-ahead.ts'
import { Counters } from '../../../src/gateway/counters.ts'
import { ClientPace } from '../../../src/gateway/client-pace.ts'
import { InFlight } from '../../../src/gateway/in-flight.ts'
import type { Waiting } from '../../../src/gateway/in-flight.ts'
import { Upload } from '../../../src/gateway/upload.ts'

const nextTurn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

test('what is added runs after the microtasks, in the next turn, in order; an error stops nobody else', async () => {
  const errors: unknown[] = []
  const batch = new Batch((error) => { errors.push(error) })
  const ran: string[] = []
  batch.add({ turn: () => { ran.push('a'); batch.add({ turn: () => { ran.push('next') } }) } })
  batch.add({ turn: () => { throw new Error('b') } })
  batch.add({ turn: () => { ran.push('c') } })
  await Promise.resolve()
  assert.deepEqual(ran, [])
  await nextTurn()
  assert.deepEqual([ran, errors.length], [['a', 'c'], 1])
  await nextTurn()
  assert.deepEqual(ran, ['a', 'c', 'next'])
})

function waiting (deadlineTick: number, onDeadline: () => void = () => {}, address = '', watch: (tick: number) => void = () => {}): Waiting {
  return { previous: undefined, next: undefined, deadlineTick, onDeadline, address, watch, stop: () => {} }
}

test('requests in flight are told when their time is up, once, and may leave meanwhile', () => {
  const inFlight = new InFlight()
  const told: string[] = []
  const items = [1, 2, 3, 4].map((number) => waiting(number === 3 ? Infinity : number % 2 + 1, () => { told.push(`${number}`); if (number === 2) inFlight.remove(items[1] as Waiting) }))
  for (const item of items) inFlight.add(item)
  inFlight.sweep()
  assert.deepEqual(told, ['2', '4'])
  inFlight.sweep()
  inFlight.sweep()
  assert.deepEqual([told, inFlight.count], [['2', '4', '1'], 3])
  const seen: Waiting[] = []
  inFlight.forEach((item) => { seen.push(item); inFlight.remove(item) })
  assert.deepEqual([seen.length, inFlight.count], [3, 0])
  assert.ok(inFlight.tickAfter(0) > inFlight.tick && inFlight.tickAfter(1000) >= inFlight.tick + 4)
  inFlight.close()
})

class Sender {
  paused = 0
  resumed = 0
  #take: (chunk: ArrayBuffer, isLast: boolean) => void = () => {}
  onData (take: (chunk: ArrayBuffer, isLast: boolean) => void): void { this.#take = take }
  pause (): void { this.paused++ }
  resume (): void { this.resumed++ }
  /** As the server does: the memory is gone when the handler returns. */
  send (bytes: number, isLast: boolean, fill = 97): void {
    const memory = new Uint8Array(bytes).fill(fill)
    this.#take(memory.buffer, isLast)
    memory.fill(0)
  }
}

function upload (announcedBytes: number, bytesMax = 1_000_000, bodiesAhead = new BodiesAhead(32 * 1024 * 1024)): { readonly sender: Sender, readonly upload: Upload, readonly bodies: (Buffer | Readable)[], readonly told: string[] } {
  const sender = new Sender()
  const bodies: (Buffer | Readable)[] = []
  const told: string[] = []
  return {
    sender,
    bodies,
    told,
    upload: new Upload(sender as unknown as HttpResponse, { bytesMax, announcedBytes, bodiesAhead }, {
      onBody: (body) => { bodies.push(body) },
      onTooLarge: (message) => { told.push(message) },
      onProgress: () => {},
      onError: (error) => { throw error }
    })
  }
}

test('a short body comes in one piece, copied', () => {
  const one = upload(5)
  one.sender.send(5, true)
  assert.deepEqual(one.bodies, [Buffer.from('aaaaa')])
  const parts = upload(-1)
  parts.sender.send(2, false)
  parts.sender.send(3, false, 98)
  parts.sender.send(0, true)
  assert.deepEqual(parts.bodies, [Buffer.from('aabbb')])
  assert.deepEqual([parts.upload.isComplete, parts.upload.receivedBytes], [true, 5])
})

test('a long body is streamed, and the client paused while nobody reads', async () => {
  const { sender, upload: long, bodies } = upload(300_000)
  sender.send(60_000, false)
  const stream = bodies[0] as Readable
  assert.ok(!Buffer.isBuffer(stream))
  for (let piece = 0; piece < 3; piece++) sender.send(60_000, false)
  assert.ok(sender.paused === 1 && long.isPaused)
  const read: Buffer[] = []
  stream.on('data', (chunk: Buffer) => { read.push(chunk) })
  await nextTurn()
  assert.equal(sender.resumed, 1)
  sender.send(60_000, true)
  await new Promise((resolve) => { stream.on('end', resolve) })
  assert.equal(Buffer.concat(read).length, 300_000)
  assert.ok(Buffer.concat(read).every((byte) => byte === 97))
})

test('a chunked body turns into a stream when it gets long', () => {
  const { sender, bodies } = upload(-1)
  sender.send(60_000, false)
  assert.deepEqual(bodies, [])
  sender.send(60_000, false)
  assert.deepEqual(bodies.map((body) => Buffer.isBuffer(body)), [false])
})

test('a body that is too large is told once and not kept; one that nobody wants is read and dropped', () => {
  const large = upload(-1, 100)
  for (let piece = 0; piece < 3; piece++) large.sender.send(60, false)
  assert.deepEqual([large.told, large.bodies], [['request body too large'], []])
  const unwanted = upload(300_000)
  for (let piece = 0; piece < 4; piece++) unwanted.sender.send(60_000, false)
  assert.equal(unwanted.upload.isPaused, true)
  unwanted.upload.drop()
  assert.equal(unwanted.sender.resumed, 1)
  unwanted.sender.send(60_000, true)
  assert.ok(unwanted.upload.isComplete && (unwanted.bodies[0] as Readable).destroyed)
})

test('a client that goes on sending although it is paused is given up before memory is', () => {
  const fast = upload(200_000_000, 200_000_000)
  for (let piece = 0; piece < 400; piece++) fast.sender.send(512 * 1024, false)
  assert.deepEqual(fast.told, ['request body too large to be held while the upstream is slow'])
  const [stream] = fast.bodies as Readable[]
  assert.ok((stream?.readableLength ?? 0) < 34 * 1024 * 1024)
  fast.upload.drop()
  assert.ok(stream?.destroyed === true && fast.sender.resumed === 1)
})

test('what is held of bodies has one bound for all, refuses none that is little ahead, and counts no body that is over', async () => {
  const bodiesAhead = new BodiesAhead(32 * 1024 * 1024)
  type Uploading = ReturnType<typeof upload>
  const bodies = Array.from({ length: 3 }, () => upload(200_000_000, 200_000_000, bodiesAhead))
  const [first, second, little] = bodies as [Uploading, Uploading, Uploading]
  const send = ({ sender }: Uploading, mebibytes: number): void => { for (let piece = 0; piece < 2 * mebibytes; piece++) sender.send(512 * 1024, false) }
  send(first, 20)
  send(second, 11)
  assert.deepEqual([first.told, second.told], [[], []])
  send(second, 2)
  assert.equal(second.told.length, 1)
  send(little, 1)
  assert.deepEqual([first.told, little.told], [[], []])
  second.upload.end()
  await nextTurn()
  send(first, 10)
  assert.deepEqual(first.told, [])
  for (const { upload: one } of bodies) one.end()
})

test('counters as metrics', () => {
  const counters = new Counters()
  const [a, b, main] = [counters.route('a'), counters.route('b'), counters.upstream('main')]
  counters.use(new Map([['a', a], ['b', b]]), new Map([['main', main]]))
  b.answered(204)
  b.answered(299)
  counters.refused('G0007')
  counters.cut('client')
  main.failed('reset')
  main.answered(3)
  main.answered(40_000)
  const metrics = counters.metrics()
  const values = (name: string): readonly unknown[] => metrics.find((metric) => metric.name === name)?.values.map(({ labels, value }) => [labels, value]) ?? []
  assert.deepEqual(values('tollgate_gateway_answers_total'), [[{ route: 'b', status: '2xx' }, 2]])
  assert.deepEqual(values('tollgate_gateway_refusals_total'), [[{ code: 'G0007' }, 1]])
  assert.deepEqual(values('tollgate_gateway_cut_answers_total'), [[{ reason: 'client' }, 1]])
  assert.deepEqual(values('tollgate_gateway_upstream_failures_total'), [[{ upstream: 'main', failure: 'reset' }, 1]])
  const histogram = metrics.find((metric) => metric.name === 'tollgate_gateway_upstream_seconds')?.values as unknown as readonly { labels: Readonly<Record<string, unknown>>, value: number, metricName: string }[]
  const bucket = (le: unknown): number | undefined => histogram.find(({ labels, metricName }) => metricName.endsWith('_bucket') && labels['le'] === le)?.value
  assert.deepEqual([bucket(0.002), bucket(0.005), bucket(30), bucket('+Inf')], [0, 1, 1, 2])
  assert.deepEqual(histogram.filter(({ metricName }) => !metricName.endsWith('_bucket')).map(({ value }) => value), [40.003, 2])
})

test('requests are counted by address, and nothing is kept of one that has none', () => {
  const inFlight = new InFlight()
  const items = ['a', 'b', 'a'].map((address) => waiting(Infinity, undefined, address))
  for (const item of items) inFlight.add(item)
  assert.deepEqual(['a', 'b', 'c'].map((address) => inFlight.ofAddress(address)), [2, 1, 0])
  for (const item of items) inFlight.remove(item)
  assert.deepEqual([inFlight.ofAddress('a'), inFlight.ofAddress('b'), inFlight.count], [0, 0, 0])
  inFlight.close()
})

test('each request is looked at once a second', () => {
  const inFlight = new InFlight()
  const ticks: number[] = []
  inFlight.add(waiting(Infinity, undefined, '', (tick) => { ticks.push(tick) }))
  for (let tick = 0; tick < 9; tick++) inFlight.sweep()
  assert.deepEqual(ticks, [4, 8])
  inFlight.close()
})

const pace = { bytesPerSMin: 100, windowMs: 2000 }

test('a client is too slow when a whole window brought too little, and only while it is waited for', () => {
  const silent = new ClientPace(pace)
  assert.deepEqual([0, 4, 7, 8].map((tick) => silent.isTooSlow(tick, 500)), [false, false, false, true])
  const slow = new ClientPace(pace)
  assert.deepEqual([[0, 0], [4, 100], [8, 199]].map(([tick = 0, bytes = 0]) => slow.isTooSlow(tick, bytes)), [false, false, true])
  const steady = new ClientPace(pace)
  for (let tick = 0; tick < 100; tick += 4) assert.equal(steady.isTooSlow(tick, tick * 25), false)
  const waitedForTwice = new ClientPace(pace)
  assert.deepEqual([[0, 5], [4, 5], [5, -1], [8, 5], [15, 5], [16, 5]].map(([tick = 0, bytes = 0]) => waitedForTwice.isTooSlow(tick, bytes)), [false, false, false, false, false, true])
  // Without a rate one byte is enough.
  const anyhow = new ClientPace({ ...pace, bytesPerSMin: 0 })
  assert.deepEqual([[0, 0], [7, 1], [14, 1], [15, 1]].map(([tick = 0, bytes = 0]) => anyhow.isTooSlow(tick, bytes)), [false, false, false, true])
})
