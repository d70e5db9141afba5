import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FrameHeader } from '../../../src/journal/frame.ts'
import { TrimLedger } from '../../../src/usage-log/trim-ledger.ts'

const frame = (streamId: string, firstSeq: number, count: number): FrameHeader => ({ streamId, firstSeq, count }) as FrameHeader

test('a segment may go when all its events are counted and archived, and it was handed out whole before the last read', () => {
  const ledger = new TrimLedger()
  ledger.beginRead()
  ledger.took(1, frame('a', 1, 10))
  ledger.took(2, frame('a', 11, 5))
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 15, archivedSeq: 15 }]), undefined, 'its last marks may not be taken yet')
  ledger.beginRead()
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 15, archivedSeq: 9 }]), undefined)
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 9, archivedSeq: 15 }]), undefined)
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 15, archivedSeq: 10 }]), 2)
  assert.equal(ledger.archivedSeq('a'), 10)
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 15, archivedSeq: 15 }]), undefined, 'the one that is being read stays')
})

test('every stream of a segment counts, and one that is not reported is not archived', () => {
  const ledger = new TrimLedger()
  ledger.took(1, frame('a', 1, 10))
  ledger.took(1, frame('b', 1, 2))
  ledger.took(2, frame('b', 3, 0))
  ledger.beginRead()
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 10, archivedSeq: 10 }]), undefined)
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 10, archivedSeq: 10 }, { streamId: 'b', appliedSeq: 2, archivedSeq: 2 }]), 2)
})

test('segments with nothing but marks go with a report', () => {
  const ledger = new TrimLedger()
  for (const segment of [1, 2, 3]) ledger.took(segment, frame('a', 0, 0))
  ledger.beginRead()
  assert.equal(ledger.report([]), 3)
})

test('after a rewind nothing may go that was not handed out again', () => {
  const ledger = new TrimLedger()
  ledger.took(1, frame('a', 1, 1))
  ledger.took(2, frame('a', 2, 1))
  ledger.beginRead()
  ledger.rewind()
  ledger.took(1, frame('a', 1, 1))
  assert.equal(ledger.report([{ streamId: 'a', appliedSeq: 2, archivedSeq: 2 }]), undefined)
})
