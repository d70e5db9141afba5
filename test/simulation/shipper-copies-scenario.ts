// A gateway's journal is put back from an older copy, or the whole machine is cloned and both run, while Kafka knows what the
// original has said and sent.
import assert from 'node:assert/strict'
import { seededRandom } from '../helpers/seeded-random.ts'
import { JournalMachine } from './journal-machine.ts'
import { Cluster, SimulatedShipper, encoderFor, journalOptions, noFaults, resendAfterMs } from './shipper-world.ts'

const partitions = 3
const idsPerMachine = 1_000_000

class Gateway {
  readonly machine: JournalMachine
  readonly shipper: SimulatedShipper
  readonly #cluster: Cluster

  constructor (random: () => number, cluster: Cluster, firstId: number) {
    this.machine = new JournalMachine(random, journalOptions(partitions, 24), firstId)
    this.machine.encode = encoderFor(partitions)
    this.shipper = new SimulatedShipper(this.machine, cluster, random)
    this.#cluster = cluster
  }

  start (): void {
    this.machine.boot()
    this.shipper.start()
  }

  die (): void {
    this.shipper.die()
    this.machine.die()
  }

  /** Some requests, all answered. */
  live (rounds: number): void {
    const { machine } = this
    for (let round = 0; round < rounds + 6; round++) {
      for (const worker of machine.workers) {
        if (round < rounds) machine.begin(worker)
        machine.finish(worker)
        machine.runWorker(worker)
      }
      machine.journal?.turn()
      machine.clock.ms += 200
      machine.clock.wallMs += 200
    }
  }

  ship (rounds: number): void {
    const { shipper, machine } = this
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < 5; turn++) {
        shipper.open()
        shipper.read()
        shipper.send()
        shipper.settle(noFaults)
        shipper.say(false)
      }
      this.#cluster.partitions.forEach((partition, index) => {
        partition.poll(1000)
        partition.archive()
        partition.publish(index)
        shipper.hear(index)
      })
      shipper.tick()
      machine.clock.ms += resendAfterMs / 20
    }
  }
}

export function run (seed: number): { readonly answered: number, readonly isClone: number } {
  const random = seededRandom(seed)
  const cluster = new Cluster(partitions)
  const first = new Gateway(random, cluster, 0)
  first.start()
  first.live(5 + Math.floor(random() * 30))
  first.ship(Math.floor(random() * 10))
  if (random() < 0.5) { first.machine.journal?.close(); first.die() }
  const backup = first.machine.disk.copy(random)
  if (!first.machine.isUp) first.start()
  const copiedAt = Math.max(...first.machine.fates.keys())
  // The original goes on, and others hear of it.
  first.live(Math.floor(random() * 30))
  const isClone = random() < 0.5
  if (isClone || random() < 0.7) first.ship(60)
  const saidBefore = [...cluster.statements.marks.values()]
  if (!isClone) first.die()
  const second = new Gateway(random, cluster, idsPerMachine)
  second.machine.disk = backup
  second.machine.clock.wallMs = first.machine.clock.wallMs
  second.start()
  second.live(10 + Math.floor(random() * 30))
  second.ship(100)
  for (const { streamId, seq, state } of saidBefore) {
    const now = cluster.statements.marks.get(streamId)
    assert.ok(now !== undefined && now.seq >= seq, `the mark of ${streamId} fell from ${seq} to ${now?.seq}`)
    if (isClone && state === 'open' && now.seq > seq) assert.equal(now.state, 'open', `${streamId} goes on elsewhere`)
  }
  if (isClone) { first.live(5); first.ship(100) }
  check(first, cluster, (id) => isClone || id <= copiedAt)
  check(second, cluster, () => true)
  return { answered: first.machine.fates.size + second.machine.fates.size, isClone: Number(isClone) }
}

function check ({ machine }: Gateway, cluster: Cluster, isExpected: (id: number) => boolean): void {
  for (const partition of cluster.partitions) assert.equal(partition.gaps.size, 0, 'a gap')
  for (const [id, fate] of machine.fates) {
    const count = cluster.partitions.reduce((sum, { counted }) => sum + (counted.get(id) ?? 0), 0)
    if (fate === 'answered' && isExpected(id)) assert.equal(count, 1, `event ${id} was counted ${count} times`)
    assert.ok(count <= 1, `event ${id} was counted ${count} times`)
  }
}
