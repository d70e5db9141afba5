import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JournalReader } from '../../../src/journal/reader.ts'
import type { JournalState } from '../../../src/journal/memory.ts'
import { JournalMachine, folder } from '../../simulation/journal-machine.ts'
import { seededRandom } from '../../helpers/seeded-random.ts'

const segmentBytes = 128 * 1024

function open () {
  const machine = new JournalMachine(seededRandom(3), {
    folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes, bytesMax: 24 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
  })
  machine.boot()
  const work = (bytes: number): void => {
    const from = machine.journal?.usedBytes ?? 0
    while ((machine.journal?.usedBytes ?? 0) < from + bytes) {
      for (const worker of machine.workers) {
        machine.begin(worker)
        machine.finish(worker)
        machine.runWorker(worker)
      }
      machine.journal?.turn()
      machine.clock.ms += 50
      machine.clock.wallMs += 50
    }
  }
  const state = machine.state as JournalState
  return { machine, work, state, reader: new JournalReader({ disk: machine.disk, folder, state }) }
}

function seqs (reader: JournalReader, isWanted = true): number[] {
  const found: number[] = []
  for (let frame = reader.next(() => isWanted); frame !== undefined; frame = reader.next(() => isWanted)) {
    if (frame.header.type !== 'events') continue
    assert.equal(frame.body !== undefined, isWanted)
    for (let n = 0; n < frame.header.count; n++) found.push(frame.header.firstSeq + n)
  }
  return found
}

test('what is committed is read, across segments, and nothing beyond what is published', () => {
  const { work, state, reader } = open()
  work(1000)
  const end = state.durableEnd
  work(2.5 * segmentBytes)
  const all = seqs(reader)
  assert.deepEqual(all, all.map((_, index) => index + 1))
  assert.ok(all.length > 50)
  reader.rewind()
  state.durableEnd = end
  const few = seqs(reader)
  assert.ok(few.length > 0 && few.length < 10)
})

test('bodies that nobody wants are not read', () => {
  const { work, reader } = open()
  work(2.5 * segmentBytes)
  assert.ok(seqs(reader, false).length > 50)
})

test('reading goes on where it stood, as the log grows', () => {
  const { work, reader } = open()
  const all: number[] = []
  for (let round = 0; round < 30; round++) {
    work(20_000)
    all.push(...seqs(reader))
  }
  assert.deepEqual(all, all.map((_, index) => index + 1))
})

test('damage below the end stops the reader, each time, with the file and the byte', () => {
  const { machine, work, reader } = open()
  work(50_000)
  machine.disk.damage(`${folder}/000000000001.segment`, (data) => { data[30_000] = (data[30_000] as number) ^ 1; return data })
  for (let n = 0; n < 2; n++) {
    assert.throws(() => { seqs(reader) }, (error: NodeJS.ErrnoException) => error.code === 'JOURNAL_CORRUPT' && /000000000001\.segment can't be read at byte \d+/.test(error.message))
  }
})

test('a reader whose segment was recycled goes on at the oldest that is kept', () => {
  const { machine, work, state, reader } = open()
  work(1000)
  assert.ok(seqs(reader).length > 0)
  work(2 * segmentBytes)
  state.trimBelow = 3
  for (let turn = 0; turn < 10; turn++) {
    machine.clock.ms += 10
    machine.journal?.turn()
  }
  assert.equal(state.oldestSegment, 3)
  work(2 * segmentBytes)
  const rest = seqs(reader)
  assert.deepEqual(rest, rest.map((_, index) => (rest[0] as number) + index))
  assert.equal(reader.segment, state.durableEnd.segment)
})
