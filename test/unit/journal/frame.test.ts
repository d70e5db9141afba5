import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { frameHoursMax, headerBytesFor, lastSeqOf, peekHeaderBytes, readFrameHeader, writeFrameHeader } from '../../../src/journal/frame.ts'
import type { FrameHeader } from '../../../src/journal/frame.ts'

const seq = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const word = fc.integer({ min: 0, max: 0xffffffff })
const partitions = 4
const plain = { noNullPrototype: true } as const
const header = fc.record({
  type: fc.constantFrom('events', 'mark', 'closed', 'continue', 'open', 'void'),
  headerBytes: fc.constant(headerBytesFor(partitions)), segment: seq, offset: word, spanBytes: word, bodyBytes: word, bodyCrc: word,
  streamId: fc.uuid(), firstSeq: seq, count: seq, refusedBytes: word,
  hours: fc.array(fc.record({ hour: word, count: word }, plain), { maxLength: frameHoursMax }),
  runs: fc.array(fc.record({ partition: word, count: word, prevSeq: seq, lastSeq: seq }, plain), { maxLength: partitions })
}, plain) as fc.Arbitrary<FrameHeader>

function encode (value: FrameHeader): Buffer {
  const bytes = Buffer.alloc(value.headerBytes, 0xaa)
  writeFrameHeader(bytes, value)
  return bytes
}

test('a header is read as it was written', () => {
  fc.assert(fc.property(header, (value) => { assert.deepEqual(readFrameHeader(encode(value), value), value) }), { numRuns: 300 })
})

test('a header with one flipped bit is not read', () => {
  fc.assert(fc.property(header, fc.nat(), fc.nat(7), (value, at, bit) => {
    const bytes = encode(value)
    const index = at % bytes.length
    bytes[index] = (bytes[index] as number) ^ (1 << bit)
    assert.equal(readFrameHeader(bytes, value), undefined)
  }), { numRuns: 500 })
})

test('a header is read only where it says that it stands', () => {
  fc.assert(fc.property(header, (value) => {
    assert.equal(readFrameHeader(encode(value), { segment: value.segment + 1, offset: value.offset }), undefined)
    assert.equal(readFrameHeader(encode(value), { segment: value.segment, offset: value.offset + 512 }), undefined)
  }), { numRuns: 50 })
})

test('bytes that are no header, or end too early, are not read', () => {
  const bytes = encode({ type: 'events', headerBytes: headerBytesFor(1), segment: 1, offset: 512, spanBytes: 512, bodyBytes: 3, bodyCrc: 4, streamId: '01234567-89ab-cdef-0123-456789abcdef', firstSeq: 1, count: 1, refusedBytes: 0, hours: [], runs: [] })
  for (let length = 0; length < bytes.length; length++) assert.equal(readFrameHeader(bytes.subarray(0, length), { segment: 1, offset: 512 }), undefined)
  assert.equal(peekHeaderBytes(Buffer.from('{"eventId":"no header here"}'.padEnd(512, ' '))), undefined)
  assert.equal(peekHeaderBytes(Buffer.alloc(512)), undefined)
})

test('a header takes more hours or partitions than it has room for as a mistake', () => {
  const value: FrameHeader = { type: 'events', headerBytes: headerBytesFor(1), segment: 1, offset: 512, spanBytes: 512, bodyBytes: 3, bodyCrc: 4, streamId: '01234567-89ab-cdef-0123-456789abcdef', firstSeq: 1, count: 1, refusedBytes: 0, hours: [], runs: [] }
  const hour = { hour: 1, count: 1 }
  const run = { partition: 0, count: 1, prevSeq: 0, lastSeq: 1 }
  assert.throws(() => encode({ ...value, hours: Array.from({ length: frameHoursMax + 1 }, () => hour) }), RangeError)
  assert.throws(() => encode({ ...value, runs: [run, run] }), RangeError)
})

test('the header of one partition takes 128 bytes, and seqs run without gap', () => {
  assert.equal(headerBytesFor(1), 128)
  assert.equal(lastSeqOf({ firstSeq: 5, count: 3 }), 7)
})
