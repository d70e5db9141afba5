import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SegmentStore } from '../../../src/journal/store.ts'
import { readSegmentHeader } from '../../../src/journal/segment.ts'
import { SimulatedDisk, diskError } from '../../helpers/simulated-disk.ts'
import { seededRandom } from '../../helpers/seeded-random.ts'

const folder = '/journal'
const segmentBytes = 1 << 20
const journalId = '01234567-89ab-cdef-0123-456789abcdef'

function open (segmentsMax = 4) {
  const disk = new SimulatedDisk(seededRandom(1))
  const store = new SegmentStore(disk, { folder, journalId, segmentBytes, segmentsMax, diskFreeBytesMin: 0 }, { kept: [], freeNames: [], nextSegment: 1, nextFree: 1, tail: undefined })
  return { disk, store, names: () => [...disk.names(folder)].sort() }
}

test('segments are made, filled, rolled, recycled under a new number and never beyond the bound', () => {
  const { disk, store, names } = open()
  store.roll()
  assert.deepEqual(store.position, { segment: 1, offset: 512 })
  assert.equal(disk.content('/journal/000000000001.segment').length, segmentBytes)
  while (store.prepare()) { /* the next one is made ready, in slices */ }
  assert.deepEqual(names(), ['000000000001.segment', '000000000002.segment'])
  for (let segment = 2; segment <= 4; segment++) store.roll()
  assert.throws(() => { store.roll() }, { code: 'ENOSPC' })
  assert.deepEqual(store.position, { segment: 4, offset: 512 })
  let oldest = 0
  assert.ok(store.trim(3, (segment) => { oldest = segment }))
  assert.ok(store.trim(3, (segment) => { oldest = segment }))
  assert.ok(!store.trim(3, () => {}))
  assert.equal(oldest, 3)
  assert.deepEqual(names().filter((name) => name.startsWith('free')).length, 2)
  store.roll()
  assert.equal(store.position?.segment, 5)
  const content = disk.content('/journal/000000000005.segment')
  assert.deepEqual(readSegmentHeader(content), { version: 1, blockBytes: 512, segmentBytes, journalId, segment: 5 })
})

test('the current segment is never recycled', () => {
  const { store } = open()
  store.roll()
  assert.ok(!store.trim(100, () => {}))
})

test('room counts what can still be made, on this disk too', () => {
  const { disk, store } = open()
  store.roll()
  assert.equal(store.roomBytes, 4 * (segmentBytes - 512))
  disk.capacityBytes = 2.5 * segmentBytes
  store.lookAtDisk()
  assert.equal(store.roomBytes, 2 * (segmentBytes - 512))
  store.append(Buffer.alloc(1024), 1024, 0)
  assert.equal(store.roomBytes, 2 * (segmentBytes - 512) - 1024)
  assert.equal(store.usedBytes, 512 + 1024)
})

test('a disk without room leaves nothing behind', () => {
  const { disk, store, names } = open()
  store.roll()
  disk.capacityBytes = 1.5 * segmentBytes
  assert.ok(!store.prepare())
  disk.capacityBytes = 2 * segmentBytes
  assert.ok(store.prepare())
  disk.capacityBytes = 1.2 * segmentBytes
  assert.throws(() => { for (;;) if (!store.prepare()) break }, { code: 'ENOSPC' })
  assert.deepEqual(names(), ['000000000001.segment'])
})

test('a file that fails while it is claimed is given up, and its number is not used again', () => {
  const { disk, store, names } = open()
  store.roll()
  // The first change of a name makes the file, the second one gives it its number.
  let changes = 0
  disk.faults.fault = (change, file) => change === 'name' && ++changes === 2 ? diskError('EIO', file) : undefined
  assert.throws(() => { for (;;) if (!store.prepare()) break }, { code: 'EIO' })
  assert.deepEqual(names(), ['000000000001.segment'])
  disk.faults.fault = undefined
  store.roll()
  assert.equal(store.position?.segment, 3)
})

test('refused bytes leave with their segment', () => {
  const { store } = open()
  store.roll()
  store.append(Buffer.alloc(512), 512, 300)
  store.roll()
  store.append(Buffer.alloc(512), 512, 200)
  assert.equal(store.refusedBytes, 500)
  store.trim(2, () => {})
  assert.equal(store.refusedBytes, 200)
})

test('a frame longer than the rest is a mistake of the program', () => {
  const { store } = open()
  store.roll()
  assert.throws(() => { store.append(Buffer.alloc(512), segmentBytes, 0) }, RangeError)
})
