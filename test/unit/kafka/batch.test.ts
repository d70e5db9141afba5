import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRecordsBatch, Reader, readRecordsBatch } from '@platformatic/kafka'
import fc from 'fast-check'
import { batchAt, readBatch } from '../../../src/kafka/decode-batch.ts'
import { batchBytesMax, batchesOf, encodeBatch, recordBytesMax, sequenceAfter } from '../../../src/kafka/encode-batch.ts'
import type { Unpacked } from '../../../src/kafka/decode-batch.ts'
import { Fetched } from '../../../src/kafka/fetched.ts'
import type { RecordIn, RecordOut } from '../../../src/kafka/port.ts'
import { giveBack } from '../../../src/platform/give-back.ts'
import { VarintCursor, varintBytes, writeVarint } from '../../../src/kafka/varint.ts'

const identity = { producerId: 7n, producerEpoch: 3, sequence: 11, isTransactional: false, nowMs: 1_800_000_000_123 }
const records = fc.array(fc.record({
  key: fc.string({ unit: 'binary', maxLength: 300 }),
  value: fc.oneof(fc.constant(null), fc.string({ unit: 'binary', maxLength: 300 }), fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))),
  headers: fc.dictionary(fc.string({ minLength: 1, maxLength: 10 }), fc.string({ unit: 'binary', maxLength: 30 }), { maxKeys: 4 })
}), { minLength: 1, maxLength: 50 })

interface Place { readonly offset?: number, readonly lastOffset?: number, readonly producerId?: bigint, readonly isTransactional?: boolean, readonly isControl?: boolean }

/** As a broker keeps it: it writes the first offset into the batch's head. */
function batchOf (own: readonly RecordOut[], { offset = 0, lastOffset = offset + own.length - 1, producerId = -1n, isTransactional = false, isControl = false }: Place = {}): Buffer {
  const batch = encodeBatch(own, { ...identity, producerId, isTransactional })
  batch.writeBigInt64BE(BigInt(offset), 0)
  batch.writeInt32BE(lastOffset - offset, 23)
  if (isControl) batch.writeInt16BE(batch.readInt16BE(21) | 0x20, 21)
  return sealed(batch)
}

function sealed (batch: Buffer): Buffer {
  const { crc } = checksum(batch)
  batch.writeUInt32BE(crc, 17)
  return batch
}

/** Castagnoli's polynomial, bit by bit. */
function checksum (batch: Buffer): { readonly crc: number } {
  let crc = 0xffffffff
  for (const byte of batch.subarray(21)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return { crc: (crc ^ 0xffffffff) >>> 0 }
}

function decoded (batch: Buffer, fromOffset = 0): RecordIn[] { return unpackedFrom(batch, fromOffset).records }

function unpackedFrom (batch: Buffer, fromOffset = 0): Unpacked {
  const into: Unpacked = { records: [], memory: [] }
  const head = batchAt(batch, 0)
  assert.ok(head !== undefined)
  readBatch(batch, 0, { batch: head, fromOffset, into })
  return into
}

test('integers of variable length come back, and take the bytes that were said', () => {
  fc.assert(fc.property(fc.integer(), (value) => {
    const buffer = Buffer.alloc(8)
    const end = writeVarint(buffer, 0, value)
    assert.equal(end, varintBytes(value))
    const cursor = new VarintCursor(buffer, 0)
    assert.equal(cursor.next(), value)
    assert.equal(cursor.position, end)
  }))
  assert.throws(() => new VarintCursor(Buffer.from([0x80]), 0).next(), RangeError)
  assert.throws(() => new VarintCursor(Buffer.alloc(20, 0xff), 0).next(), RangeError)
})

test('the library reads what we write, and we read what it writes', () => {
  fc.assert(fc.property(records, (own) => {
    const batch = encodeBatch(own, identity)
    assert.equal(checksum(batch).crc, batch.readUInt32BE(17))
    const theirs = readRecordsBatch(Reader.from(batch))
    assert.deepEqual([theirs.producerId, theirs.producerEpoch, theirs.firstSequence, theirs.firstTimestamp], [7n, 3, 11, 1_800_000_000_123n])
    assert.deepEqual(theirs.records.map(({ key, value }) => [String(key), value?.toString('hex')]), own.map(({ key, value }) => [Buffer.from(key).toString(), value === null ? undefined : Buffer.from(value as string).toString('hex')]))
    const ours = decoded(batch)
    assert.deepEqual(ours.map(({ offset, timestampMs }) => [offset, timestampMs]), own.map((_, index) => [index, 1_800_000_000_123]))
    assert.deepEqual(ours.map(({ headers }) => [...headers]), own.map(({ headers }) => Object.entries(headers).map(([name, value]) => [name, Buffer.from(value).toString()])))

    const messages = own.map(({ key, value }, index) => ({ topic: 't', partition: 0, key: Buffer.from(key), value: (value === null ? null : Buffer.from(value as string)) as Buffer, timestamp: BigInt(1_000 + index * 7) }))
    for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
      const read = decoded(createRecordsBatch(messages, { compression, producerId: 1n, producerEpoch: 0 }).buffer)
      assert.deepEqual(read.map(({ key, value, timestampMs }) => [key, value?.toString('hex'), timestampMs]), messages.map(({ key, value, timestamp }) => [key.toString(), (value as Buffer | null)?.toString('hex'), Number(timestamp)]))
    }
  }), { numRuns: 30 })
})

test('headers that repeat from record to record, or nearly, come back as they are', () => {
  const few = fc.constantFrom('', 'a', 'b', 'ab', 'bb', 'ba', 'é', 'e\u0301', '\u{1f600}', 'abcd', 'abce')
  const repeating = fc.array(fc.dictionary(fc.constantFrom('one', 'two', 'öne', 'three'), few, { maxKeys: 4 }), { minLength: 2, maxLength: 20 })
  fc.assert(fc.property(repeating, (all) => {
    const read = decoded(batchOf(all.map((headers) => ({ key: 'k', value: 'v', headers }))))
    assert.deepEqual(read.map(({ headers }) => Object.fromEntries(headers)), all.map((headers) => ({ ...headers })))
    // Asked for again, and out of order.
    assert.deepEqual(read.toReversed().map(({ headers }) => Object.fromEntries(headers)), all.toReversed().map((headers) => ({ ...headers })))
  }))
})

test('batches stay below the bound, lose nothing and keep the order; a record that fits nowhere is refused', () => {
  const own = Array.from({ length: 300 }, (_, index) => ({ key: String(index), value: Buffer.alloc((index * 7_919) % 30_000) }))
  const batches = batchesOf(own)
  assert.deepEqual(batches.flat(), own)
  assert.ok(batches.length > 1)
  for (const batch of batches) assert.ok(batch.reduce((sum, { value }) => sum + (value as Buffer).length, 0) <= batchBytesMax)
  assert.deepEqual(batchesOf([]), [])
  assert.equal(batchesOf([{ key: 'a', value: Buffer.alloc(batchBytesMax + 1) }, { key: 'b', value: 'x' }]).length, 2)
  assert.throws(() => batchesOf([{ key: 'giant', value: Buffer.alloc(recordBytesMax) }]), { code: 'KAFKA_REFUSED', message: /giant/ })
})

test('what a large batch was unpacked into can be given back, and nothing else goes with it', () => {
  const large = batchOf(Array.from({ length: 300 }, (_, index) => ({ key: `k${index}`, value: `${index}`.padEnd(500, 'x') })), { offset: 0 })
  const small = batchOf([{ key: 'small', value: 'y'.repeat(1_000) }], { offset: 300 })
  const { records, memory } = unpackedFrom(large)
  assert.equal(memory.length, 1)
  assert.deepEqual(new Set(records.map(({ value }) => value?.buffer)), new Set(memory))
  // It may stand in memory that belongs to others too.
  const other = unpackedFrom(small)
  assert.deepEqual(other.memory, [])
  for (const one of memory) giveBack(one)
  for (const one of memory) giveBack(one)
  assert.equal(records[0]?.value?.length, 0)
  assert.equal(other.records[0]?.value?.toString(), 'y'.repeat(1_000))
  assert.equal(decoded(large)[299]?.value?.length, 500)
})

test('sequence numbers begin again behind 2^31 - 1', () => {
  assert.equal(sequenceAfter(0, 10), 10)
  assert.equal(sequenceAfter(2 ** 31 - 10, 10), 0)
  assert.equal(sequenceAfter(2 ** 31 - 3, 10), 7)
})

const key = (name: string): RecordOut => ({ key: name, value: name })
const taken = (fetched: Fetched, bytesMax = 1_000_000): (string | undefined)[] => fetched.take(bytesMax).records.map((record) => record.key)

test('aborted transactions are hidden from their first record to their end, and only that producer\'s', () => {
  const log = Buffer.concat([
    batchOf([key('a1'), key('a2')], { offset: 10, producerId: 1n, isTransactional: true }),
    batchOf([key('plain')], { offset: 12 }),
    batchOf([key('b')], { offset: 13, producerId: 2n, isTransactional: true }),
    batchOf([key('a3')], { offset: 14, producerId: 1n, isTransactional: true }),
    batchOf([key('abort')], { offset: 15, producerId: 1n, isTransactional: true, isControl: true }),
    batchOf([key('a4')], { offset: 16, producerId: 1n, isTransactional: true }),
    batchOf([key('commit')], { offset: 17, producerId: 1n, isTransactional: true, isControl: true }),
    batchOf([key('commit')], { offset: 18, producerId: 2n, isTransactional: true, isControl: true })
  ])
  const aborted = [{ producerId: 1n, firstOffset: 10 }]
  const committed = new Fetched(log, { offset: 10, aborted })
  assert.deepEqual(taken(committed), ['plain', 'b', 'a4'])
  assert.deepEqual([committed.nextOffset, committed.isDone], [19, true])
  assert.deepEqual(taken(new Fetched(log, { offset: 10, aborted: [] })), ['a1', 'a2', 'plain', 'b', 'a3', 'a4'])
  // The transaction began before the place that is read from.
  assert.deepEqual(taken(new Fetched(log, { offset: 14, aborted: [{ producerId: 1n, firstOffset: 3 }] })), ['a4'])
})

test('hidden batches move the position on, holes of compaction too, and a cut batch at the end is left for the next read', () => {
  const control = batchOf([key('abort')], { offset: 5, producerId: 1n, isTransactional: true, isControl: true })
  const onlyControl = new Fetched(control, { offset: 5, aborted: [] })
  assert.deepEqual([taken(onlyControl), onlyControl.nextOffset], [[], 6])
  const hole = new Fetched(batchOf([key('kept')], { offset: 20, lastOffset: 39 }), { offset: 7, aborted: [] })
  assert.deepEqual([taken(hole), hole.nextOffset], [['kept'], 40])
  const second = batchOf([key('two')], { offset: 1 })
  const cut = new Fetched(Buffer.concat([batchOf([key('one')], { offset: 0 }), second.subarray(0, second.length - 1)]), { offset: 0, aborted: [] })
  assert.deepEqual([taken(cut), cut.nextOffset, cut.isDone], [['one'], 1, true])
  assert.deepEqual(new Fetched(Buffer.alloc(0), { offset: 3, aborted: [] }).nextOffset, 3)
})

test('never a record before the offset asked for; parts are handed out batch by batch', () => {
  const log = Buffer.concat([batchOf([key('0'), key('1'), key('2')], { offset: 0 }), batchOf([key('3')], { offset: 3 }), batchOf([key('4')], { offset: 4 })])
  const fetched = new Fetched(log, { offset: 2, aborted: [] })
  assert.deepEqual([taken(fetched, 1), fetched.nextOffset], [['2'], 3])
  assert.deepEqual([taken(fetched, 1), fetched.nextOffset], [['3'], 4])
  assert.deepEqual([taken(fetched, 1), fetched.nextOffset, fetched.isDone], [['4'], 5, true])
})

test('a damaged batch is never read', () => {
  const batch = batchOf([key('a'.repeat(100))], { offset: 0 })
  const flipped = Buffer.from(batch)
  flipped[70] = (flipped[70] ?? 0) ^ 1
  assert.throws(() => decoded(flipped), /checksum/)
  const old = Buffer.from(batch)
  old[16] = 1
  assert.throws(() => batchAt(old, 0), /format 1/)
  const unknown = Buffer.from(batch)
  unknown.writeInt16BE(7, 21)
  assert.throws(() => decoded(sealed(unknown)), /compression 7/)
  const torn = batchOf([{ key: 'a', value: 'b' }])
  torn.writeInt32BE(5, 57)
  assert.throws(() => decoded(sealed(torn)), /ends in the middle|can't be read/)
})
