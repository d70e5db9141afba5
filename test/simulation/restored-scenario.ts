// A journal is put back from an old copy, or a machine is cloned, and both copies go on. What the copies issue from then on
// must be told apart from what was issued before and from each other, by whoever has read the original.
import assert from 'node:assert/strict'
import { seededRandom } from '../helpers/seeded-random.ts'
import { JournalMachine, folder } from './journal-machine.ts'
import { ModelAggregator } from './model-aggregator.ts'

const segmentBytes = 128 * 1024
const idsPerMachine = 1_000_000

function openMachine (random: () => number, firstId: number): JournalMachine {
  return new JournalMachine(random, {
    folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes, bytesMax: 16 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
  }, firstId)
}

/** Some requests; all are answered, and read by the aggregator if it is there. */
function live (machine: JournalMachine, rounds: number, aggregator: ModelAggregator | undefined): void {
  for (let round = 0; round < rounds + 6; round++) {
    for (const worker of machine.workers) {
      if (round < rounds) machine.begin(worker)
      machine.finish(worker)
      machine.runWorker(worker)
    }
    machine.journal?.turn()
    machine.clock.ms += 100
    machine.clock.wallMs += 100
  }
  if (aggregator === undefined) return
  for (let reads = 0, items = 1; items > 0 || reads < 2; reads++) {
    const batch = machine.usageLog?.read(0, 64 * 1024) ?? []
    items = batch.length
    aggregator.take(batch)
  }
  aggregator.flush()
  machine.usageLog?.reportProgress(0, aggregator.progress())
}

function assertCounted (aggregator: ModelAggregator, machine: JournalMachine, isExpected: (id: number) => boolean): void {
  for (const [id, fate] of machine.fates) {
    const count = aggregator.counted.get(id) ?? 0
    if (fate === 'answered' && isExpected(id)) assert.equal(count, 1, `event ${id} was counted ${count} times`)
    assert.ok(count <= 1, `event ${id} was counted ${count} times`)
  }
}

export function run (seed: number): { readonly answered: number } {
  const random = seededRandom(seed)
  const aggregator = new ModelAggregator()
  aggregator.isWatermarkLost = true
  const first = openMachine(random, 0)
  first.boot()
  live(first, 5 + Math.floor(random() * 30), random() < 0.5 ? aggregator : undefined)
  if (random() < 0.5) first.journal?.close()
  const backup = first.disk.copy(random)
  // The original goes on, and may be read further than the copy knows.
  if (first.state?.admission === 'starting') first.boot()
  const copiedAt = Math.max(...first.fates.keys())
  live(first, Math.floor(random() * 30), random() < 0.7 ? aggregator : undefined)
  aggregator.die()
  const machines = [first]
  // Its disk is lost and the copy put in its place; or the copy is a second machine beside it.
  const isClone = random() < 0.5
  const second = openMachine(random, idsPerMachine)
  second.disk = backup
  second.clock.wallMs = first.clock.wallMs
  second.boot()
  machines.push(second)
  live(second, 10 + Math.floor(random() * 30), aggregator)
  if (isClone) {
    first.usageLog?.rewind()
    aggregator.die()
    live(first, 10, aggregator)
  }
  assert.deepEqual(aggregator.gaps, [])
  assert.deepEqual(aggregator.voids, [])
  assertCounted(aggregator, first, (id) => isClone || id <= copiedAt)
  assertCounted(aggregator, second, () => true)
  return { answered: machines.reduce((sum, { fates }) => sum + [...fates.values()].filter((fate) => fate === 'answered').length, 0) }
}
