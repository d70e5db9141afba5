// The journal's states, one by one; the simulations mix them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JournalOptions } from '../../../src/journal/options.ts'
import type { Mark, UsageLogItem } from '../../../src/usage-log/port.ts'
import { JournalMachine, folder } from '../../simulation/journal-machine.ts'
import { diskError } from '../../helpers/simulated-disk.ts'
import { seededRandom } from '../../helpers/seeded-random.ts'

const segmentBytes = 128 * 1024

function open (options: Partial<JournalOptions> = {}): JournalMachine {
  const machine = new JournalMachine(seededRandom(7), {
    folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes, bytesMax: 6 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000, ...options
  })
  machine.boot()
  return machine
}

function round (machine: JournalMachine, { ms = 50, hasNew = true } = {}): void {
  for (const worker of machine.workers) {
    if (hasNew) machine.begin(worker)
    machine.finish(worker)
    machine.runWorker(worker)
  }
  machine.journal?.turn()
  machine.clock.ms += ms
  machine.clock.wallMs += ms
}

/** All that can be read now. */
function read (machine: JournalMachine): UsageLogItem[] {
  const items: UsageLogItem[] = []
  for (let more = machine.usageLog?.read(0, 64 * 1024) ?? []; more.length > 0; more = machine.usageLog?.read(0, 64 * 1024) ?? []) items.push(...more)
  return items
}
const marksOf = (machine: JournalMachine): Mark[] => read(machine).filter((item) => item.kind === 'mark')

test('it is full while there is still room for every request in flight, and opens when its segments are recycled', () => {
  const machine = open()
  for (let turn = 0; turn < 1000 && machine.state?.admission === 'open'; turn++) round(machine)
  assert.equal(machine.state?.admission, 'full')
  for (let turn = 0; turn < 20; turn++) round(machine)
  assert.equal(machine.inFlight, 0)
  assert.ok(machine.refusedCount > 0)
  assert.ok([...machine.fates.values()].every((fate) => fate === 'answered'))
  assert.equal(machine.state?.admission, 'full')
  const items = read(machine)
  assert.equal(items.reduce((sum, item) => sum + (item.kind === 'events' ? item.count : 0), 0), machine.fates.size)
  const run = items.findLast((item) => item.kind === 'events')
  machine.usageLog?.reportProgress(0, [{ streamId: run?.streamId ?? '', appliedSeq: run?.lastSeq ?? 0, archivedSeq: run?.lastSeq ?? 0 }])
  for (let turn = 0; turn < 20; turn++) round(machine, { hasNew: false })
  assert.equal(machine.state?.admission, 'open')
})

test('a disk that others have filled makes it full, not failing; freed, it opens', () => {
  const machine = open()
  round(machine)
  machine.disk.capacityBytes = 2.2 * segmentBytes
  for (let turn = 0; turn < 60; turn++) round(machine)
  assert.equal(machine.state?.admission, 'full')
  machine.disk.capacityBytes = Infinity
  for (let turn = 0; turn < 60; turn++) round(machine)
  assert.equal(machine.state?.admission, 'open')
  assert.ok([...machine.fates.values()].every((fate) => fate !== 'failed'))
})

test('a start without any room says so', () => {
  const machine = new JournalMachine(seededRandom(7), open().options)
  machine.disk.capacityBytes = segmentBytes / 2
  assert.throws(() => { machine.boot() }, { code: 'JOURNAL_NO_ROOM' })
})

test('a failed write fails what waits for it; a new stream begins once every worker has seen that', () => {
  const machine = open()
  for (let turn = 0; turn < 10; turn++) round(machine)
  const streamId = machine.journal?.streamId
  machine.disk.faults.fault = (change, file) => change === 'write' && file.endsWith('.segment') ? diskError('EIO', file) : undefined
  for (let turn = 0; turn < 4; turn++) round(machine)
  assert.equal(machine.state?.admission, 'failing')
  assert.ok([...machine.fates.values()].includes('failed'))
  machine.disk.faults.fault = undefined
  // Somebody has not looked yet.
  for (let turn = 0; turn < 40; turn++) { machine.journal?.turn(); machine.clock.ms += 100 }
  const [worker] = machine.workers
  assert.ok(worker !== undefined)
  for (let turn = 0; turn < 60 && machine.state?.admission === 'failing'; turn++) round(machine, { ms: 100, hasNew: false })
  assert.equal(machine.state?.admission, 'open')
  assert.notEqual(machine.journal?.streamId, streamId)
  const ended = marksOf(machine).filter((mark) => mark.streamId === streamId).at(-1)
  assert.equal(ended?.state, 'recovered')
  for (const { answered, journaled, countedOnly, recovered } of ended?.hours ?? []) assert.deepEqual([answered, recovered], [journaled + countedOnly, 0])
})

test('refusals have room of their own, and get it back when their segment goes', () => {
  const machine = open({ refusedBytesMax: 20_000 })
  for (let turn = 0; turn < 200 && machine.countedOnlyCount === 0; turn++) {
    machine.refuse(machine.workers[0] ?? assert.fail())
    round(machine, { hasNew: false })
  }
  assert.ok(machine.countedOnlyCount > 0)
  assert.equal(machine.state?.isRefusalRoom, false)
  assert.equal(machine.state?.admission, 'open')
  const run = read(machine).findLast((item) => item.kind === 'events')
  for (let turn = 0; turn < 300 && (machine.state?.durableEnd.segment ?? 0) < 3; turn++) round(machine)
  const later = read(machine).findLast((item) => item.kind === 'events')
  machine.usageLog?.read(0, 1)
  machine.usageLog?.reportProgress(0, [{ streamId: run?.streamId ?? '', appliedSeq: later?.lastSeq ?? 0, archivedSeq: later?.lastSeq ?? 0 }])
  for (let turn = 0; turn < 5; turn++) round(machine, { hasNew: false })
  assert.equal(machine.state?.isRefusalRoom, true)
})

test('marks come each interval while something changes, rarely while only time passes, and at once when asked for', () => {
  const machine = open()
  const idle = (seconds: number): void => { for (let turn = 0; turn < seconds * 10; turn++) round(machine, { ms: 100, hasNew: false }) }
  const count = (): number => { machine.usageLog?.rewind(); return marksOf(machine).length }
  for (let turn = 0; turn < 100; turn++) round(machine, { ms: 100 })
  idle(3)
  const busy = count()
  assert.ok(busy >= 10 && busy <= 15, String(busy))
  idle(60)
  const after = count()
  assert.ok(after - busy >= 4 && after - busy <= 7, String(after - busy))
  machine.journal?.askMark()
  round(machine, { hasNew: false })
  assert.equal(count(), after + 1)
})

test('buffered: a frame each interval, sooner only when a ring fills up', () => {
  const machine = open({ ack: 'buffered' })
  for (const worker of machine.workers) { machine.begin(worker); machine.finish(worker) }
  machine.journal?.turn()
  const end = machine.state?.durableEnd.offset ?? 0
  for (let turn = 0; turn < 9; turn++) round(machine, { ms: 10, hasNew: turn % 4 === 0 })
  assert.ok((machine.state?.durableEnd.offset ?? 0) - end <= 8 * 1024)
  for (let turn = 0; turn < 3; turn++) round(machine, { ms: 100, hasNew: false })
  assert.equal(machine.inFlight, 0)
  assert.equal(read(machine).reduce((sum, item) => sum + (item.kind === 'events' ? item.count : 0), 0), machine.fates.size)
})
