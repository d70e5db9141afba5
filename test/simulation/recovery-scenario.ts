// Three accidents that are rare in the large simulation, step by step.
import assert from 'node:assert/strict'
import { PowerCut, diskError } from '../helpers/simulated-disk.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { JournalMachine, folder } from './journal-machine.ts'
import { ModelAggregator } from './model-aggregator.ts'

const segmentBytes = 128 * 1024

function openMachine (seed: number): JournalMachine {
  return new JournalMachine(seededRandom(seed), {
    // So long that the first frame of a segment takes two sectors, and can be torn between them.
    folder, gatewayId: 'g'.repeat(128), build: '0'.repeat(64), partitions: 1, segmentBytes, bytesMax: 12 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
  })
}

/** Requests until the log has grown by `bytes`, or `isOver`. */
function work (machine: JournalMachine, bytes: number, isOver = (): boolean => false): void {
  const from = machine.journal?.usedBytes ?? 0
  for (let round = 0; round < 2000 && (machine.journal?.usedBytes ?? 0) < from + bytes && !isOver(); round++) {
    for (const worker of machine.workers) {
      machine.begin(worker)
      machine.finish(worker)
      machine.runWorker(worker)
    }
    machine.journal?.turn()
    machine.clock.ms += 20
    machine.clock.wallMs += 20
  }
}

function dying (machine: JournalMachine, action: () => void): void {
  try { action() } catch (error) { assert.ok(error instanceof PowerCut) }
  machine.die()
}

function checkAll (machine: JournalMachine): void {
  machine.boot()
  const aggregator = new ModelAggregator()
  for (let items = machine.usageLog?.read(0, 64 * 1024) ?? []; items.length > 0; items = machine.usageLog?.read(0, 64 * 1024) ?? []) aggregator.take(items)
  assert.deepEqual(aggregator.gaps, [])
  assert.deepEqual(aggregator.voids, [])
  for (const [id, fate] of machine.fates) if (fate === 'answered') assert.equal(aggregator.counted.get(id), 1, `event ${id}`)
}

/** The program dies between filling a file with zeros and syncing it; the next one uses the file; then the power goes. */
function unsyncedZeros (seed: number): void {
  const machine = openMachine(seed)
  machine.disk.cutAt = 'sync'
  // The first sync is that of the folder, at the start.
  machine.disk.cutIn = 2
  dying(machine, () => { machine.boot() })
  machine.disk.kill()
  machine.boot()
  work(machine, 20_000)
  machine.die()
  machine.disk.powerCut()
  checkAll(machine)
}

/** A new segment's first frame fails, half of it is written; the file can't be removed durably; the program dies. */
function tornFirstFrame (seed: number): void {
  const machine = openMachine(seed)
  machine.boot()
  work(machine, 20_000)
  let failures = 0
  machine.disk.faults.fault = (change, file) => {
    if (failures >= 2 || change !== 'write') return undefined
    failures++
    return diskError('EIO', file)
  }
  work(machine, segmentBytes, () => failures === 2)
  assert.equal(failures, 2)
  machine.die()
  machine.disk.powerCut()
  machine.boot()
  work(machine, 3_000)
  machine.die()
  machine.disk.powerCut()
  checkAll(machine)
}

/**
 * A write fails, and so does the second frame of the segment that should follow: it is removed, which is not durable yet when
 * the program ends. The next one goes on in the segment before. Then the power goes, and the removed one is back.
 */
function removedReturns (seed: number): void {
  const machine = openMachine(seed)
  machine.boot()
  work(machine, 20_000)
  let writes = 0
  const failAt = [1, 3]
  machine.disk.faults.fault = (change, file) => change === 'write' && failAt.includes(++writes) ? diskError('EIO', file) : undefined
  work(machine, segmentBytes, () => writes >= 3)
  machine.disk.faults.fault = undefined
  machine.die()
  machine.disk.kill()
  machine.boot()
  // One commit, and not the time to make the next segment ready: that would sync the folder.
  for (const worker of machine.workers) {
    machine.begin(worker)
    machine.finish(worker)
    machine.runWorker(worker)
  }
  machine.journal?.turn()
  for (const worker of machine.workers) machine.runWorker(worker)
  machine.die()
  machine.disk.powerCut()
  checkAll(machine)
}

export function run (seed: number): void {
  unsyncedZeros(seed)
  tornFirstFrame(seed)
  removedReturns(seed)
}
