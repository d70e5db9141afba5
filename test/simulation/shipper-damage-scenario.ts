// A journal of several partitions is damaged while nobody runs, and shipped: each partition's chain goes on, what can still be
// read is counted once, what can't is declared void in the partitions that lost it, and the counts of the loss add up.
import assert from 'node:assert/strict'
import { lastSeqOf } from '../../src/journal/frame.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { apply, drawDamage, framesOf } from './damage-scenario.ts'
import type { Damage, PlacedFrame } from './damage-scenario.ts'
import { JournalMachine } from './journal-machine.ts'
import { Cluster, SimulatedShipper, encoderFor, journalOptions, noFaults, resendAfterMs } from './shipper-world.ts'

const hourMs = 3_600_000

class Life {
  readonly machine: JournalMachine
  readonly cluster: Cluster
  readonly shipper: SimulatedShipper
  readonly #random: () => number

  constructor (random: () => number, partitions: number) {
    this.#random = random
    this.machine = new JournalMachine(random, journalOptions(partitions, 24))
    this.machine.encode = encoderFor(partitions)
    this.cluster = new Cluster(partitions)
    this.shipper = new SimulatedShipper(this.machine, this.cluster, random)
  }

  /** Some openings of the journal, the last one ended well; some of it is shipped and counted meanwhile. */
  live (): void {
    const { machine } = this
    const lives = 1 + Math.floor(this.#random() * 3)
    for (let life = 1; life <= lives; life++) {
      machine.boot()
      for (let round = Math.floor(this.#random() * 40); round >= 0; round--) this.#round(true)
      for (let round = 0; round < 10; round++) this.#round(false)
      if (this.#random() < 0.3) this.ship(Math.floor(this.#random() * 4), false)
      if (life === lives || this.#random() < 0.5) machine.journal?.close()
      else machine.disk.powerCut()
      this.shipper.die()
      machine.die()
    }
  }

  #round (hasNew: boolean): void {
    const { machine } = this
    for (const worker of machine.workers) {
      for (let n = 0; hasNew && n < 3; n++) machine.begin(worker)
      for (let n = 0; n < 3; n++) machine.finish(worker)
      machine.runWorker(worker)
    }
    machine.journal?.turn()
    machine.clock.ms += 100
    // Now and then an hour passes while requests are in flight: frames that touch two.
    machine.clock.wallMs += this.#random() < 0.03 ? hourMs : 100
  }

  ship (rounds: number, isToTheEnd: boolean): void {
    const { shipper, machine, cluster } = this
    if (shipper.shipping === undefined) shipper.start()
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < (isToTheEnd ? 10 : 2); turn++) {
        shipper.open()
        shipper.read()
        shipper.send()
        shipper.settle(noFaults)
        shipper.say(false)
      }
      cluster.partitions.forEach((partition, index) => {
        partition.poll(1000)
        if (isToTheEnd || this.#random() < 0.5) partition.archive()
        partition.publish(index)
        shipper.hear(index)
      })
      shipper.tick()
      machine.clock.ms += resendAfterMs / 10
      if (isToTheEnd && shipper.isQuiet) return
    }
  }
}

export interface ShippedDamage { readonly kind: Damage['kind'], readonly voids: number, readonly gaps: number, readonly lost: number }

export function run (seed: number): ShippedDamage {
  const random = seededRandom(seed)
  const life = new Life(random, 2 + seed % 3)
  life.live()
  const { machine, cluster } = life
  const frames = framesOf(machine)
  const appliedBefore = cluster.partitions.map(({ applied }) => new Map(applied))
  const damage = drawDamage(random, frames)
  apply(machine, damage)
  machine.boot()
  life.ship(60, true)
  const isHit = (frame: PlacedFrame): boolean => frame.file === damage.file && frame.from < damage.to && frame.to > damage.from
  const lost = frames.filter((frame) => frame.header.type === 'events' && isHit(frame))
  check(life, { frames, lost, damage, isHit })
  if (damage.kind === 'flip') checkCounts(life, lost, appliedBefore)
  return { kind: damage.kind, voids: cluster.partitions.reduce((sum, { voids }) => sum + voids.length, 0), gaps: cluster.partitions.reduce((sum, { gaps }) => sum + gaps.size, 0), lost: lost.length }
}

interface Checked { readonly frames: readonly PlacedFrame[], readonly lost: readonly PlacedFrame[], readonly damage: Damage, readonly isHit: (frame: PlacedFrame) => boolean }

function check ({ cluster, shipper }: Life, { frames, lost, damage, isHit }: Checked): void {
  // What the last frames of a file that is cut, or the oldest file held, nobody can say exactly.
  const isUnknown = (damage.kind === 'cut' && damage.isLastFile) || (damage.kind === 'lose' && damage.isOldestFile)
  if (!isUnknown) assert.ok(shipper.isQuiet, 'not all was sent')
  cluster.partitions.forEach(({ applied, gaps, voids, counted }, partition) => {
    for (const [id, count] of counted) assert.equal(count, 1, `event ${id} was counted twice`)
    if (!isUnknown) assert.equal(gaps.size, 0, `partition ${partition} has a gap`)
    for (const { header } of isUnknown ? [] : frames.filter((frame) => frame.header.type === 'events' && !isHit(frame))) {
      const run = header.runs.find((one) => one.partition === partition)
      if (run === undefined) continue
      assert.ok((applied.get(header.streamId) ?? 0) >= run.lastSeq, `${header.streamId} ${run.lastSeq} was not damaged and is not counted`)
      const isVoid = voids.some(({ streamId, prevSeq, seq }) => streamId === header.streamId && run.lastSeq > prevSeq && run.lastSeq <= seq)
      assert.ok(!isVoid, `partition ${partition}: ${header.streamId} ${run.lastSeq} is there and was declared void`)
    }
    for (const { header } of isUnknown ? [] : lost) {
      const run = header.runs.find((one) => one.partition === partition)
      const isLater = frames.some((frame) => frame.header.streamId === header.streamId && frame.header.firstSeq > lastSeqOf(header) && !isHit(frame))
      if (run !== undefined && isLater) assert.ok((applied.get(header.streamId) ?? 0) >= run.lastSeq, `partition ${partition}: ${header.streamId} ${run.lastSeq} was lost and the chain does not say so`)
    }
  })
}

/** Where the header could be read, the voids' counts are exactly what was lost, hour by hour, whatever the partitions. */
function checkCounts ({ cluster }: Life, lost: readonly PlacedFrame[], appliedBefore: readonly ReadonlyMap<string, number>[]): void {
  const voids = cluster.partitions.flatMap((partition) => partition.voids)
  const [frame] = lost
  if (frame === undefined || lost.length > 1 || voids.some(({ isHoursUncertain }) => isHoursUncertain)) return
  if (frame.header.runs.some(({ partition, prevSeq }) => (appliedBefore[partition]?.get(frame.header.streamId) ?? 0) > prevSeq)) return
  const sums = new Map<number, number>()
  for (const { hours } of voids) for (const [hour, count] of hours) sums.set(hour, (sums.get(hour) ?? 0) + count)
  assert.deepEqual([...sums].sort(), frame.header.hours.map(({ hour, count }) => [hour, count]).sort(), 'the hours of what was lost')
}
