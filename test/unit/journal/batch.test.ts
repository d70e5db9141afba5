import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batch } from '../../../src/journal/batch.ts'
import { chainBytesMax } from '../../../src/journal/chain-text.ts'
import { Ring } from '../../../src/journal/ring.ts'
import { Stream } from '../../../src/journal/stream.ts'

const streamId = '01234567-89ab-cdef-0123-456789abcdef'

function put (ring: Ring, event: string, { partition = 0, hour = 7, isRefusal = false } = {}): void {
  assert.ok(ring.put(event, Buffer.byteLength(event), { partition, hour, isRefusal }))
}

function ringsOf (count: number): Ring[] { return Array.from({ length: count }, () => new Ring(Ring.create(16 * 1024))) }

test('each event is closed with its stream, its seq and the seq before it in its partition, to the byte', () => {
  const [ring] = ringsOf(1) as [Ring]
  const stream = new Stream(streamId, 2)
  const batch = new Batch([ring], 'durable')
  const body = Buffer.alloc(4096)
  put(ring, '{"a":1')
  put(ring, '{"a":"é"', { partition: 1 })
  put(ring, '{"a":3')
  assert.equal(batch.fill(body, stream), 3)
  assert.equal(body.toString('utf8', 0, batch.bodyBytes),
    `{"a":1,"streamId":"${streamId}","seq":1,"prevSeq":0}\n{"a":"é","streamId":"${streamId}","seq":2,"prevSeq":0}\n{"a":3,"streamId":"${streamId}","seq":3,"prevSeq":1}\n`)
  assert.deepEqual(batch.runs, [{ partition: 0, count: 2, prevSeq: 0, lastSeq: 3 }, { partition: 1, count: 1, prevSeq: 0, lastSeq: 2 }])
  stream.commit(batch)
  batch.settle()
  assert.deepEqual([ring.settledTicket, ring.isEmpty, stream.lastSeq], [3, true, 3])
  put(ring, '{"a":4', { partition: 1 })
  batch.fill(body, stream)
  assert.equal(body.toString('utf8', 0, batch.bodyBytes), `{"a":4,"streamId":"${streamId}","seq":4,"prevSeq":2}\n`)
})

test('the chain never takes more bytes than are kept for it', () => {
  const [ring] = ringsOf(1) as [Ring]
  const stream = new Stream(streamId, 1)
  stream.lastSeq = Number.MAX_SAFE_INTEGER - 1
  stream.lastSeqs[0] = stream.lastSeq
  const batch = new Batch([ring], 'durable')
  put(ring, '{"a":1')
  batch.fill(Buffer.alloc(4096), stream)
  assert.equal(batch.bodyBytes, '{"a":1'.length + chainBytesMax)
})

test('a batch ends where the next event might not fit, and goes on with it', () => {
  const [ring] = ringsOf(1) as [Ring]
  const stream = new Stream(streamId, 1)
  const batch = new Batch([ring], 'durable')
  for (let n = 0; n < 10; n++) put(ring, `{"a":${n}`)
  const body = Buffer.alloc(3 * (6 + chainBytesMax))
  const counts: number[] = []
  while (!ring.isEmpty) {
    counts.push(batch.fill(body, stream))
    stream.commit(batch)
    batch.settle()
  }
  assert.equal(counts.reduce((sum, count) => sum + count, 0), 10)
  assert.ok(counts.slice(0, -1).every((count) => count >= 3 && count <= 4), String(counts))
  assert.equal(ring.settledTicket, 10)
})

test('events of more hours than a header holds go into two frames', () => {
  const [ring] = ringsOf(1) as [Ring]
  const stream = new Stream(streamId, 1)
  const batch = new Batch([ring], 'durable')
  for (const hour of [1, 2, 1, 3, 4, 1]) put(ring, '{"a":1', { hour })
  assert.equal(batch.fill(Buffer.alloc(4096), stream), 4)
  assert.deepEqual(batch.hours, [{ hour: 1, count: 2 }, { hour: 2, count: 1 }, { hour: 3, count: 1 }])
  stream.commit(batch)
  batch.settle()
  assert.equal(batch.fill(Buffer.alloc(4096), stream), 2)
})

test('each ring comes first in turn, so a busy worker does not keep the others out', () => {
  const rings = ringsOf(3)
  const stream = new Stream(streamId, 1)
  const batch = new Batch(rings, 'durable')
  for (const ring of rings) for (let n = 0; n < 20; n++) put(ring, '{"a":1')
  const body = Buffer.alloc(5 * (6 + chainBytesMax))
  for (let round = 0; round < 3; round++) {
    batch.fill(body, stream)
    stream.commit(batch)
    batch.settle()
  }
  assert.ok(rings.every((ring) => ring.settledTicket >= 5))
})

test('refused bytes are counted apart', () => {
  const [ring] = ringsOf(1) as [Ring]
  const batch = new Batch([ring], 'durable')
  put(ring, '{"a":1')
  put(ring, '{"a":2', { isRefusal: true })
  batch.fill(Buffer.alloc(4096), new Stream(streamId, 1))
  assert.equal(batch.refusedBytes, batch.bodyBytes / 2)
})

test('a failed batch: durable tickets fail in one range, buffered events stay for the next stream', () => {
  const [ring] = ringsOf(1) as [Ring]
  const stream = new Stream(streamId, 1)
  const batch = new Batch([ring], 'durable')
  for (let n = 0; n < 3; n++) put(ring, '{"a":1')
  batch.fill(Buffer.alloc(4096), stream)
  batch.fail()
  put(ring, '{"a":2')
  batch.discard()
  assert.deepEqual([ring.settledTicket, ring.failedTo, ring.isEmpty], [4, 4, true])
  ring.acknowledgedTicket = 4
  put(ring, '{"a":3')
  batch.fill(Buffer.alloc(4096), stream)
  batch.settle()
  put(ring, '{"a":4')
  batch.discard()
  assert.deepEqual([ring.settledTicket, ring.failedFrom, ring.failedTo], [6, 6, 6])

  const [other] = ringsOf(1) as [Ring]
  const buffered = new Batch([other], 'buffered')
  put(other, '{"a":1')
  buffered.fill(Buffer.alloc(4096), stream)
  buffered.fail()
  buffered.discard()
  assert.equal(other.isEmpty, false)
  assert.equal(buffered.fill(Buffer.alloc(4096), new Stream(streamId, 1)), 1)
})

test('a second failure before the worker has seen the first is a mistake of the program', () => {
  const [ring] = ringsOf(1) as [Ring]
  const batch = new Batch([ring], 'durable')
  const stream = new Stream(streamId, 1)
  put(ring, '{"a":1')
  batch.discard()
  put(ring, '{"a":2')
  batch.fill(Buffer.alloc(4096), stream)
  batch.settle()
  put(ring, '{"a":3')
  assert.throws(() => { batch.discard() }, /before their worker has seen/)
})
