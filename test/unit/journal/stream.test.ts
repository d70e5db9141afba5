import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batch } from '../../../src/journal/batch.ts'
import { Ring } from '../../../src/journal/ring.ts'
import { Stream } from '../../../src/journal/stream.ts'

const hourMs = 3_600_000

/** A stream that has journaled `count` events in `hour`. */
function journal (stream: Stream, hour: number, count: number): void {
  const ring = new Ring(Ring.create(64 * 1024))
  for (let n = 0; n < count; n++) ring.put('{"a":1', 6, { partition: 0, hour, isRefusal: false })
  const batch = new Batch([ring], 'durable')
  batch.fill(Buffer.alloc(64 * 1024), stream)
  stream.commit(batch)
}

const open = (): Stream => new Stream('01234567-89ab-cdef-0123-456789abcdef', 1)

test('a mark states what has changed, absolutely; a new segment restates all', () => {
  const stream = open()
  journal(stream, 10, 3)
  stream.addAnswered(10, 2)
  stream.addCountedOnly(11, 1)
  assert.deepEqual(stream.hours('changed'), [
    { hour: 10, answered: 2, journaled: 3, countedOnly: 0, recovered: 0 }, { hour: 11, answered: 0, journaled: 0, countedOnly: 1, recovered: 0 }
  ])
  stream.markSaid()
  assert.equal(stream.hasChanged, false)
  stream.addAnswered(10, 1)
  assert.deepEqual(stream.hours('changed'), [{ hour: 10, answered: 3, journaled: 3, countedOnly: 0, recovered: 0 }])
  assert.equal(stream.hours('all').length, 2)
})

test('an hour is forgotten when it can no longer change, adds up, and was restated twice', () => {
  const stream = open()
  journal(stream, 10, 1)
  stream.addAnswered(10, 1)
  journal(stream, 11, 1)
  stream.allSaid(11 * hourMs)
  assert.equal(stream.hours('all').length, 2)
  stream.allSaid(11 * hourMs)
  assert.deepEqual(stream.hours('all').map(({ hour }) => hour), [11])
  // Hour 11 does not add up, and is restated for long after it has ended.
  stream.allSaid(20 * hourMs)
  stream.allSaid(20 * hourMs)
  assert.equal(stream.hours('all').length, 1)
  stream.allSaid(2000 * hourMs)
  stream.allSaid(2000 * hourMs)
  assert.equal(stream.hours('all').length, 0)
})

test('the last account of a failed stream: what was answered beyond it is carried on, what was not is recovered', () => {
  const stream = open()
  journal(stream, 10, 5)
  stream.addCountedOnly(10, 1)
  stream.addAnswered(10, 4)
  journal(stream, 11, 2)
  stream.addAnswered(11, 3)
  assert.deepEqual(stream.settleAccount(true), {
    hours: [{ hour: 10, answered: 4, journaled: 5, countedOnly: 1, recovered: 2 }, { hour: 11, answered: 2, journaled: 2, countedOnly: 0, recovered: 0 }],
    carried: [{ hour: 11, answered: 1 }]
  })
  // Buffered: the answers are out, whether they were counted in time or not.
  assert.deepEqual(stream.settleAccount(false), {
    hours: [{ hour: 10, answered: 6, journaled: 5, countedOnly: 1, recovered: 0 }, { hour: 11, answered: 2, journaled: 2, countedOnly: 0, recovered: 0 }],
    carried: [{ hour: 10, answered: -2 }, { hour: 11, answered: 1 }]
  })
})
