import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batch } from '../../../src/journal/batch.ts'
import { EventOutlet } from '../../../src/journal/handover.ts'
import type { Ack } from '../../../src/journal/handover.ts'
import { JournalState } from '../../../src/journal/memory.ts'
import { Ring } from '../../../src/journal/ring.ts'
import { Stream } from '../../../src/journal/stream.ts'

const place = { partition: 0, hour: 1, isRefusal: false }
const eventBytesMax = 400

function open (ack: Ack = 'durable', inFlight = (): number => 0) {
  const memory = { state: JournalState.create(), ring: Ring.create(1024) }
  const deferred: (() => void)[] = []
  const timers: (() => void)[] = []
  const outlet = new EventOutlet({ ...memory, ack, eventBytesMax, defer: (action) => { deferred.push(action) }, inFlight, later: (action) => { timers.push(action) } })
  const told: { readonly ticket: number, readonly failed: number[] }[] = []
  let last = 0
  outlet.onSettled((ticket, isFailed) => {
    const failed: number[] = []
    for (; last < ticket; last++) if (isFailed(last + 1)) failed.push(last + 1)
    told.push({ ticket, failed })
  })
  const ring = new Ring(memory.ring)
  const batch = new Batch([ring], ack)
  const commit = (outcome: 'settle' | 'fail'): number => {
    const count = batch.fill(Buffer.alloc(4096), new Stream('01234567-89ab-cdef-0123-456789abcdef', 1))
    if (count > 0) batch[outcome]()
    return count
  }
  const runDeferred = (): void => { for (const action of deferred.splice(0)) action() }
  return { outlet, told, ring, state: new JournalState(memory.state), commit, deferred, runDeferred, timers }
}

test('tickets rise by one, and are told together once they are settled', () => {
  const { outlet, told, commit } = open()
  assert.deepEqual([outlet.offer('{"a":1', place), outlet.offer('{"a":2', place)], [1, 2])
  outlet.settle()
  assert.deepEqual(told, [])
  commit('settle')
  outlet.settle()
  outlet.settle()
  assert.deepEqual(told, [{ ticket: 2, failed: [] }])
})

test('the look after an offer comes once a turn of the loop, and never inside the offer', () => {
  const { outlet, told, commit, deferred, runDeferred } = open()
  for (let n = 0; n < 3; n++) outlet.offer('{"a":1', place)
  assert.equal(deferred.length, 1)
  commit('settle')
  assert.deepEqual(told, [])
  runDeferred()
  assert.deepEqual(told, [{ ticket: 3, failed: [] }])
  outlet.offer('{"a":1', place)
  assert.equal(deferred.length, 1)
})

test('failed tickets are told as failed, and those before and after are not', () => {
  const { outlet, told, commit } = open()
  outlet.offer('{"a":1', place)
  commit('settle')
  outlet.offer('{"a":2', place)
  commit('fail')
  outlet.settle()
  outlet.offer('{"a":3', place)
  commit('settle')
  outlet.settle()
  assert.deepEqual(told, [{ ticket: 2, failed: [2] }, { ticket: 3, failed: [] }])
})

test('what does not fit waits in order, and follows when there is room', () => {
  const { outlet, told, ring, commit } = open()
  for (let n = 1; n <= 6; n++) assert.equal(outlet.offer('x'.repeat(300), place), n)
  const taken = commit('settle')
  assert.ok(taken < 6)
  for (let round = 0; round < 6 && told.at(-1)?.ticket !== 6; round++) {
    outlet.settle()
    commit('settle')
  }
  outlet.settle()
  assert.equal(told.at(-1)?.ticket, 6)
  assert.ok(ring.isEmpty)
})

test('buffered: a ticket is settled when its event is in the ring, not before', () => {
  const { outlet, told, runDeferred, commit } = open('buffered')
  for (let n = 0; n < 6; n++) outlet.offer('x'.repeat(300), place)
  runDeferred()
  const first = told.at(-1)?.ticket ?? 0
  assert.ok(first >= 1 && first < 6, String(first))
  commit('settle')
  outlet.settle()
  assert.ok((told.at(-1)?.ticket ?? 0) > first)
})

test('the journal is called when most of the requests in flight wait for it, or the first has waited long enough', () => {
  let inFlight = 1
  const { outlet, ring, commit, runDeferred, timers } = open('durable', () => inFlight)
  const offer = (): void => { outlet.offer('{"a":1', place); runDeferred() }
  offer()
  assert.ok(ring.isCommitAsked, 'alone, nobody keeps it waiting')
  commit('settle')
  assert.equal(ring.isCommitAsked, false)
  outlet.settle()

  inFlight = 4
  offer()
  offer()
  assert.deepEqual([ring.isCommitAsked, timers.length], [false, 1])
  offer()
  assert.ok(ring.isCommitAsked, 'three wait and one is under way')
  commit('settle')
  outlet.settle()

  inFlight = 100
  timers.shift()?.()
  assert.equal(ring.isCommitAsked, false, 'what it was set for is on disk')
  offer()
  assert.deepEqual([ring.isCommitAsked, timers.length], [false, 1])
  timers.shift()?.()
  assert.ok(ring.isCommitAsked)
})

test('a ring that fills is not left waiting for more', () => {
  const { outlet, ring, runDeferred } = open('durable', () => 1_000)
  outlet.offer('x'.repeat(300), place)
  runDeferred()
  assert.equal(ring.isCommitAsked, false)
  outlet.offer('x'.repeat(300), place)
  runDeferred()
  assert.ok(ring.isCommitAsked)
})

test('refusals are recorded only while the journal is open, has room for them, and the ring too', () => {
  const { outlet, state } = open()
  assert.equal(outlet.mayRecordRefusal(), false)
  state.admission = 'open'
  assert.equal(outlet.mayRecordRefusal(), false)
  state.isRefusalRoom = true
  assert.equal(outlet.mayRecordRefusal(), true)
  assert.equal(outlet.admission(), 'open')
  state.admission = 'full'
  assert.equal(outlet.mayRecordRefusal(), false)
  state.admission = 'open'
  outlet.offer('x'.repeat(400), place)
  outlet.offer('x'.repeat(400), place)
  assert.equal(outlet.mayRecordRefusal(), false)
})

test('events longer than agreed, and rings that could not hold one, are mistakes of the program', () => {
  const { outlet } = open()
  assert.throws(() => outlet.offer('x'.repeat(eventBytesMax + 1), place), RangeError)
  assert.throws(() => new EventOutlet({ state: JournalState.create(), ring: Ring.create(1024), ack: 'durable', eventBytesMax: 600, defer: () => {}, inFlight: () => 0, later: () => {} }), RangeError)
})
