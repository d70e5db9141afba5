// A copy of a journal has what was durable when it was asked for, and nothing of a segment that is recycled under its hands.
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { copyJournal } from '../../../src/journal/copy.ts'
import { probeDisk } from '../../../src/journal/disk.ts'
import { JournalState } from '../../../src/journal/memory.ts'
import { freeName, segmentName, writeSegmentHeader } from '../../../src/journal/segment.ts'
import type { JournalReaderSpec } from '../../../src/journal/start.ts'
import { temporaryFolder } from '../../helpers/temporary-folder.ts'

const segmentBytes = 3 * 1024 * 1024
const journalId = randomUUID()

function makeJournal (t: TestContext, segments: readonly number[]): { readonly spec: JournalReaderSpec, readonly state: JournalState, readonly fileOf: (segment: number) => string, readonly target: string } {
  const folder = temporaryFolder(t, 'journal')
  const memory = JournalState.create()
  const state = new JournalState(memory)
  const fileOf = (segment: number): string => path.join(folder, segmentName(segment))
  for (const segment of segments) {
    const block = Buffer.alloc(512)
    writeSegmentHeader(block, { version: 1, blockBytes: 512, segmentBytes, journalId, segment })
    writeFileSync(fileOf(segment), Buffer.concat([block, randomBytes(segmentBytes - 512)]))
  }
  writeFileSync(path.join(folder, freeName(1)), randomBytes(segmentBytes))
  state.oldestSegment = segments[0] ?? 0
  return { spec: { folder, disk: probeDisk(folder), state: memory }, state, fileOf, target: path.join(folder, 'copy') }
}

test('segments up to the durable end; behind it, where the next write may be under way, zeros', async (t) => {
  const { spec, state, fileOf, target } = makeJournal(t, [5, 6, 7, 8])
  state.durableEnd = { segment: 7, offset: 1024 * 1024 + 512 }
  assert.deepEqual(await copyJournal(spec, target), { journalId, segments: 3, bytes: 3 * segmentBytes })
  assert.deepEqual(readdirSync(target).sort(), [5, 6, 7].map(segmentName))
  for (const segment of [5, 6]) assert.ok(readFileSync(path.join(target, segmentName(segment))).equals(readFileSync(fileOf(segment))))
  const last = readFileSync(path.join(target, segmentName(7)))
  assert.equal(last.length, segmentBytes)
  assert.ok(last.subarray(0, 1024 * 1024 + 512).equals(readFileSync(fileOf(7)).subarray(0, 1024 * 1024 + 512)))
  assert.ok(last.subarray(1024 * 1024 + 512).equals(Buffer.alloc(segmentBytes - 1024 * 1024 - 512)))
})

test('a segment that is recycled while it is read is left out', async (t) => {
  const { spec, state, fileOf, target } = makeJournal(t, [5, 6])
  state.durableEnd = { segment: 6, offset: 4096 }
  const copying = copyJournal(spec, target)
  while (!existsSync(path.join(target, segmentName(5)))) await setImmediate()
  state.oldestSegment = 6
  writeFileSync(fileOf(5), Buffer.alloc(segmentBytes))
  assert.deepEqual(await copying, { journalId, segments: 1, bytes: segmentBytes })
  assert.deepEqual(readdirSync(target), [segmentName(6)])
})

test('a journal in which nothing was written has nothing to copy', async (t) => {
  const { spec, target } = makeJournal(t, [])
  assert.deepEqual(await copyJournal(spec, target), { journalId: undefined, segments: 0, bytes: 0 })
})
