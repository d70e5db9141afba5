import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SegmentIndex } from '../../../src/shipper/segment-index.ts'

/** Segments 3, 4 and 5: stream a in partitions 0 and 1, stream b in 1; a statement in each. */
function index (): SegmentIndex {
  const made = new SegmentIndex()
  made.begin(3, 1000, 0)
  made.addStatement('a', 1)
  made.addFrame({ events: 10, bytes: 1000 })
  made.addRun('a', { partition: 0, prevSeq: 0, lastSeq: 9, count: 5 })
  made.addRun('a', { partition: 1, prevSeq: 0, lastSeq: 10, count: 5 })
  made.begin(4, 2000, 1)
  made.addStatement('b', 2)
  made.addFrame({ events: 4, bytes: 800 })
  made.addRun('b', { partition: 1, prevSeq: 0, lastSeq: 4, count: 4 })
  made.begin(5, 3000, 2)
  made.addStatement('b', 3)
  return made
}

test('a segment goes when all its partitions are done and all its statements said, oldest first, the newest never', () => {
  const none = (): number => 0
  const all = (): number => Infinity
  assert.equal(index().trim(none, 3), undefined)
  assert.equal(index().trim(all, 0), undefined, 'its statement is not said')
  assert.equal(index().trim((streamId, partition) => streamId === 'b' ? 4 : partition === 0 ? 9 : 9, 3), undefined, 'one partition is not done')
  assert.equal(index().trim((streamId) => streamId === 'a' ? 10 : 0, 3), 4)
  assert.equal(index().trim(all, 1), 4)
  const made = index()
  assert.equal(made.trim(all, 3), 5)
  assert.deepEqual([made.hasStream('a'), made.hasStream('b')], [false, true])
  assert.equal(made.trim(all, 3), undefined)
})

test('reading goes on in the first segment that holds something wanted', () => {
  assert.equal(index().firstBeyond(() => 0), 3)
  assert.equal(index().firstBeyond((streamId) => streamId === 'a' ? 10 : 3), 4)
  assert.equal(index().firstBeyond(() => Infinity), 5)
  assert.equal(new SegmentIndex().firstBeyond(() => 0), undefined)
})

test('what waits is counted by its share of the seqs', () => {
  assert.deepEqual(index().backlog(() => 0), { events: 14, bytes: 1800, oldestMs: 1000 })
  assert.deepEqual(index().backlog((streamId) => streamId === 'a' ? 10 : 2), { events: 2, bytes: 400, oldestMs: 2000 })
  assert.deepEqual(index().backlog(() => Infinity), { events: 0, bytes: 0, oldestMs: undefined })
})
