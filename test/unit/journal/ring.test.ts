import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Ring } from '../../../src/journal/ring.ts'
import type { RingEntry } from '../../../src/journal/ring.ts'

const blank = (): RingEntry => ({ offset: 0, bytes: 0, partition: 0, hour: 0, isRefusal: false })

test('what goes in comes out, in order, whatever the lengths and however the two sides take turns', () => {
  const event = fc.record({ text: fc.string({ unit: 'binary', maxLength: 60 }), partition: fc.nat(100), hour: fc.nat(500_000), isRefusal: fc.boolean() })
  fc.assert(fc.property(fc.array(fc.oneof({ weight: 3, arbitrary: event }, { weight: 2, arbitrary: fc.nat(4) }), { maxLength: 200 }), fc.nat(0xffffffff), (steps, start) => {
    const memory = Ring.create(1024)
    const producer = new Ring(memory)
    const consumer = new Ring(memory)
    // Positions are modulo 2^32: both sides begin anywhere.
    new Int32Array(memory)[0] = (start - start % 16) | 0
    consumer.read = start - start % 16
    const waiting: string[] = []
    const entry = blank()
    for (const step of steps) {
      if (typeof step === 'number') {
        for (let n = 0; n < step && !consumer.isEmpty; n++) {
          consumer.read = consumer.take(consumer.read, entry)
          const text = consumer.data.toString('utf8', entry.offset, entry.offset + entry.bytes)
          assert.equal(JSON.stringify([text, entry.partition, entry.hour, entry.isRefusal]), waiting.shift())
        }
      } else {
        const text = Buffer.from(step.text).toString()
        const bytes = Buffer.byteLength(text)
        const hasRoom = producer.hasRoom(bytes)
        assert.equal(producer.put(text, bytes, step), hasRoom)
        if (hasRoom) waiting.push(JSON.stringify([text, step.partition, step.hour, step.isRefusal]))
      }
    }
  }), { numRuns: 60 })
})

test('an event of the largest size always fits into an empty ring', () => {
  const ring = new Ring(Ring.create(1024))
  const largest = 'x'.repeat(ring.eventBytesMax)
  const entry = blank()
  for (let round = 0; round < 200; round++) {
    assert.ok(ring.put('y'.repeat(round % 30), round % 30, { partition: 0, hour: 0, isRefusal: false }))
    ring.read = ring.take(ring.read, entry)
    assert.ok(ring.put(largest, largest.length, { partition: 0, hour: 0, isRefusal: false }), `round ${round}`)
    ring.read = ring.take(ring.read, entry)
    assert.equal(entry.bytes, largest.length)
  }
})

test('a full ring takes nothing, and says when it is half full', () => {
  const ring = new Ring(Ring.create(1024))
  let taken = 0
  while (ring.put('x'.repeat(48), 48, { partition: 0, hour: 0, isRefusal: false })) {
    taken++
    assert.equal(ring.isHalfFull, taken * 64 >= 512)
  }
  assert.equal(taken, 16)
  assert.ok(!ring.hasRoom(1))
})

test('sizes that are no power of two are refused', () => {
  for (const bytes of [0, 512, 1000, 3 * 1024, 2 ** 31]) assert.throws(() => Ring.create(bytes), RangeError)
})
