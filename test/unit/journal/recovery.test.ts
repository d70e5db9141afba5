// What recovery says and refuses, case by case; that it loses nothing is shown by the simulations.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { readFrameHeader, writeFrameHeader } from '../../../src/journal/frame.ts'
import type { FrameHeader } from '../../../src/journal/frame.ts'
import { writeSegmentHeader } from '../../../src/journal/segment.ts'
import { SimulatedDisk } from '../../helpers/simulated-disk.ts'
import { seededRandom } from '../../helpers/seeded-random.ts'
import { openLogger } from '../../../src/platform/logger.ts'
import { recoverJournal } from '../../../src/journal/recovery.ts'
import { JournalMachine, folder } from '../../simulation/journal-machine.ts'

const segmentBytes = 128 * 1024
const log = openLogger({ level: 'silent', thread: 'test' })
const newUuid = (): string => '01234567-89ab-cdef-0123-456789abcdef'

/** A journal of three segments and more, closed. */
function journal (isClosed = true): SimulatedDisk {
  const machine = new JournalMachine(seededRandom(5), {
    folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes, bytesMax: 24 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
  })
  machine.boot()
  while ((machine.journal?.usedBytes ?? 0) < 3.5 * segmentBytes) {
    for (const worker of machine.workers) {
      machine.begin(worker)
      machine.finish(worker)
      machine.runWorker(worker)
    }
    machine.journal?.turn()
    machine.clock.ms += 50
    machine.clock.wallMs += 50
  }
  if (isClosed) machine.journal?.close()
  return machine.disk
}

const recover = (disk: SimulatedDisk): ReturnType<typeof recoverJournal> => recoverJournal({ disk, folder, segmentBytes, newUuid, log })
const file = (segment: number): string => `${folder}/${String(segment).padStart(12, '0')}.segment`

test('a new folder is an empty journal', () => {
  assert.deepEqual(recover(new SimulatedDisk(seededRandom(1))), {
    kept: [], freeNames: [], nextFree: 1, nextSegment: 1, journalId: newUuid(), tail: undefined, tailSegment: undefined, unended: [], lastStream: undefined, watermarkMs: 0
  })
})

test('a closed journal ends no stream, an open one ends its last, with what was not answered recovered', () => {
  assert.deepEqual(recover(journal()).unended, [])
  const { unended, lastStream } = recover(journal(false))
  assert.equal(unended.length, 1)
  assert.equal(unended[0]?.streamId, lastStream?.streamId)
  assert.equal(unended[0]?.gatewayId, 'gateway-1')
  for (const { answered, journaled, countedOnly, recovered } of unended[0]?.hours ?? []) assert.equal(answered + recovered, journaled + countedOnly)
})

test('recovering twice finds the same', () => {
  const disk = journal(false)
  disk.damage(file(2), (data) => data.fill(0, 20_000, 20_100))
  const first = recover(disk)
  const second = recover(disk)
  assert.deepEqual(second.unended, first.unended)
  assert.deepEqual(second.tail, first.tail)
})

test('a file under another number, of another journal, or of a newer format is refused by name', () => {
  const renamed = journal()
  renamed.rename(file(2), file(9))
  assert.throws(() => recover(renamed), { code: 'JOURNAL_CORRUPT', message: `${file(9)} says that it is segment 2` })

  const foreign = journal()
  foreign.damage(file(2), (data) => { writeSegmentHeader(data.subarray(0, 512), { version: 1, blockBytes: 512, segmentBytes, journalId: newUuid(), segment: 2 }); return data })
  assert.throws(() => recover(foreign), (error: NodeJS.ErrnoException) => error.code === 'JOURNAL_CORRUPT' && error.message.includes(`${file(2)} belongs to another journal`))

  const newer = journal()
  newer.damage(file(3), (data) => { writeSegmentHeader(data.subarray(0, 512), { version: 2, blockBytes: 512, segmentBytes, journalId: newUuid(), segment: 3 }); return data })
  assert.throws(() => recover(newer), { code: 'JOURNAL_TOO_NEW' })
})

test('events that no other segment leads to are refused, not recycled', () => {
  const disk = journal()
  disk.damage(file(3), (data) => {
    const header = readFrameHeader(data.subarray(512), { segment: 3, offset: 512 }) as FrameHeader
    const body = JSON.parse(data.toString('utf8', 512 + header.headerBytes, 512 + header.headerBytes + header.bodyBytes)) as object
    const changed = Buffer.from(JSON.stringify({ ...body, previous: { segment: 1, offset: segmentBytes } }))
    changed.copy(data, 512 + header.headerBytes)
    writeFrameHeader(data.subarray(512), { ...header, bodyBytes: changed.length, bodyCrc: crc32(changed) })
    return data
  })
  assert.throws(() => recover(disk), { code: 'JOURNAL_CORRUPT', message: `${file(2)} holds events, and the segments after it do not lead to it` })
})

test('a spoiled header is written again, and nothing is lost by it', () => {
  const disk = journal()
  const before = recover(disk)
  disk.damage(file(2), (data) => data.fill(0x11, 0, 60))
  const after = recover(disk)
  assert.deepEqual({ ...after, freeNames: [], nextFree: 0 }, { ...before, freeNames: [], nextFree: 0 })
  assert.deepEqual(disk.names(`${folder}/quarantine`), [])
})

test('even without any header that can be read', () => {
  const disk = journal()
  for (const segment of recover(disk).kept.map((kept) => kept.segment)) disk.damage(file(segment), (data) => data.fill(0x11, 0, 60))
  const { journalId, kept, unended } = recover(disk)
  assert.equal(journalId, newUuid())
  assert.ok(kept.length >= 3)
  assert.deepEqual(unended, [])
})

test('what was damaged is kept, byte by byte', () => {
  const disk = journal()
  const original = disk.content(file(2))
  disk.damage(file(2), (data) => { data[5000] = (data[5000] as number) ^ 1; return data })
  recover(disk)
  const [copy] = disk.names(`${folder}/quarantine`)
  const [, from, to] = /-(\d+)-(\d+)\.bytes$/.exec(copy ?? '') ?? []
  const kept = disk.content(`${folder}/quarantine/${copy}`)
  const expected = original.subarray(Number(from), Number(to))
  expected[5000 - Number(from)] = (expected[5000 - Number(from)] as number) ^ 1
  assert.deepEqual(kept.subarray(0, expected.length), expected)
})
