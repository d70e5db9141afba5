// One run of the shipper's simulation: steps drawn from a seed, then healing, then the account.
import assert from 'node:assert/strict'
import { PowerCut } from '../helpers/simulated-disk.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { JournalMachine } from './journal-machine.ts'
import { Cluster, SimulatedShipper, encoderFor, journalOptions, noFaults, resendAfterMs } from './shipper-world.ts'
import type { SendFaults } from './shipper-world.ts'

export interface ShipperRunOptions {
  readonly seed: number
  readonly steps: number
  readonly partitions: number
  /** Kafka forgets what it has acknowledged, and aggregators are put back to what they have archived. */
  readonly hasLosses: boolean
  /** Sends fail in all ways, and partitions are blocked for long. */
  readonly hasSendFaults: boolean
  /** The gateway dies, or its machine loses its power. */
  readonly hasDeaths: boolean
}

export interface ShipperOutcome {
  readonly answered: number
  readonly lostRecords: number
  readonly failures: number
  readonly resends: number
  readonly probes: number
  readonly recycled: number
  readonly restarts: number
  readonly streams: number
}

const sendFaults: SendFaults = { refused: 0.05, lostAck: 0.05, torn: 0.05, late: 0.03 }

class Run {
  readonly machine: JournalMachine
  readonly cluster: Cluster
  readonly shipper: SimulatedShipper
  readonly #random: () => number
  readonly #options: ShipperRunOptions
  #muteSays = 0

  constructor (options: ShipperRunOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.machine = new JournalMachine(this.#random, journalOptions(options.partitions))
    this.machine.encode = encoderFor(options.partitions)
    this.cluster = new Cluster(options.partitions)
    this.shipper = new SimulatedShipper(this.machine, this.cluster, this.#random)
  }

  step (): void {
    try {
      if (!this.machine.isUp) this.machine.boot()
      if (this.shipper.shipping === undefined) this.shipper.start()
      this.#act(this.#random())
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error
    }
    if (this.machine.disk.isOff) this.#die('power')
  }

  #die (how: 'power' | 'kill'): void {
    this.shipper.die()
    this.machine.die()
    if (how === 'power') this.machine.disk.powerCut()
    else this.machine.disk.kill()
  }

  #act (draw: number): void {
    const { machine, shipper } = this
    const worker = machine.workers[Math.floor(this.#random() * machine.workers.length)]
    if (worker === undefined) return
    if (draw < 0.14) for (let n = Math.floor(this.#random() * 6); n >= 0; n--) machine.begin(worker)
    else if (draw < 0.26) for (let n = Math.floor(this.#random() * 6); n >= 0; n--) machine.finish(worker)
    else if (draw < 0.28) machine.refuse(worker)
    else if (draw < 0.40) machine.runWorker(worker)
    else if (draw < 0.54) machine.journal?.turn()
    else if (draw < 0.60) this.#advance(this.#random() * 900)
    else if (draw < 0.68) shipper.read()
    else if (draw < 0.74) shipper.send()
    else if (draw < 0.80) shipper.settle(this.#options.hasSendFaults ? sendFaults : noFaults)
    else if (draw < 0.84) shipper.open()
    else if (draw < 0.87) { shipper.hear(this.#partition()); shipper.tick() }
    else if (draw < 0.90) this.#say()
    else if (draw < 0.96) this.#count()
    else this.#disturb(this.#random())
  }

  /** Statements may fail for long, while events get through. */
  #say (): void {
    this.#muteSays = Math.max(this.#muteSays - 1, 0)
    this.shipper.say(this.#muteSays > 0 || (this.#options.hasSendFaults && this.#random() < 0.2))
  }

  #partition (): number { return Math.floor(this.#random() * this.#options.partitions) }

  #advance (ms: number): void {
    this.machine.clock.ms += ms
    this.machine.clock.wallMs += ms
  }

  #count (): void {
    const index = this.#partition()
    const partition = this.cluster.at(index)
    partition.poll(1 + Math.floor(this.#random() * 40))
    if (this.#random() < 0.3) partition.archive()
    if (this.#random() < 0.6) partition.publish(index)
    if (this.#random() < 0.5) partition.flush()
  }

  #disturb (draw: number): void {
    const { hasLosses, hasSendFaults, hasDeaths } = this.#options
    const { machine, shipper, cluster } = this
    if (draw < 0.15 && hasLosses) { const share = this.#random(); for (const partition of cluster.partitions) partition.cut(share) }
    else if (draw < 0.3 && hasLosses) cluster.at(this.#partition()).restore()
    else if (draw < 0.4 && hasSendFaults) shipper.blocked.set(this.#partition(), 1 + Math.floor(this.#random() * 12))
    else if (draw < 0.45 && hasSendFaults) this.#muteSays = 1 + Math.floor(this.#random() * 40)
    else if (draw < 0.55 && hasSendFaults) for (const { partition, records } of cluster.straying.splice(0, 1)) cluster.at(partition).append(records)
    else if (draw < 0.60 && hasDeaths) machine.disk.cutIn = 1 + Math.floor(this.#random() * 40)
    else if (draw < 0.64 && hasDeaths) this.#die('kill')
    else if (draw < 0.68) shipper.die()
    else if (draw < 0.71) this.#stop()
    else if (draw < 0.78) this.#advance(resendAfterMs)
  }

  /** A clean stop: the gateway drains, the journal closes, the shipper gets a little time and no more. */
  #stop (): void {
    const { machine, shipper } = this
    for (let turn = 0; turn < 40 && machine.inFlight > 0; turn++) this.#serve()
    machine.journal?.close()
    for (let turn = Math.floor(this.#random() * 30); turn > 0; turn--) this.#ship(noFaults)
    shipper.die()
    machine.die()
  }

  #serve (): void {
    const { machine } = this
    for (const worker of machine.workers) {
      machine.finish(worker)
      machine.runWorker(worker)
    }
    machine.journal?.turn()
    this.#advance(200)
  }

  #ship (faults: SendFaults): void {
    const { shipper } = this
    shipper.open()
    shipper.read()
    shipper.send()
    shipper.settle(faults)
    shipper.say(false)
  }

  /** No more faults: everything that is durable is sent, counted and archived. */
  heal (): void {
    const { machine, shipper, cluster } = this
    machine.disk.cutIn = Infinity
    shipper.blocked.clear()
    for (const { partition, records } of cluster.straying.splice(0)) cluster.at(partition).append(records)
    if (!machine.isUp) machine.boot()
    if (shipper.shipping === undefined) shipper.start()
    this.#busyEnd()
    for (let turn = 0; turn < 60 && machine.inFlight > 0; turn++) this.#serve()
    assert.equal(machine.inFlight, 0, 'requests were never settled')
    shipper.read()
    if (!shipper.isSaying) shipper.say(false)
    machine.journal?.close()
    shipper.read()
    if (this.#options.hasSendFaults && shipper.isSaying) shipper.say(true)
    // The last that Kafka forgets: nothing comes after it that would show the gap.
    for (let turn = 0; turn < 40; turn++) this.#ship(noFaults)
    if (this.#options.hasLosses) for (const partition of cluster.partitions) partition.cut(this.#random())
    for (let round = 0; round < 200; round++) {
      for (let turn = 0; turn < 10; turn++) this.#ship(noFaults)
      cluster.partitions.forEach((partition, index) => {
        partition.poll(1000)
        partition.archive()
        partition.publish(index)
        shipper.hear(index)
      })
      shipper.tick()
      this.#advance(resendAfterMs / 10)
      if (shipper.isQuiet && this.#isCounted()) return
    }
    assert.fail(`not all was counted in the end: ${this.#missing().join(', ')}`)
  }

  #busyEnd (): void {
    const { machine } = this
    for (let turn = 0; turn < 30; turn++) {
      for (const worker of machine.workers) for (let n = 0; n < 3; n++) machine.begin(worker)
      this.#serve()
    }
  }

  #isCounted (): boolean { return this.#missing().length === 0 }

  #missing (): string[] {
    const { survey } = this.shipper.shipping ?? {}
    return this.cluster.partitions.flatMap(({ archived, published }, partition) => [...published.keys(), ...this.cluster.statements.marks.keys()].flatMap((streamId) => {
      const lastSeq = survey?.lastSeqs.get(streamId, partition) ?? 0
      return (archived.get(streamId) ?? 0) < lastSeq ? [`${streamId}|${partition}: ${archived.get(streamId) ?? 0} of ${lastSeq}`] : []
    }))
  }
}

/** @throws AssertionError when a promise was broken */
export function runShipper (options: ShipperRunOptions): ShipperOutcome {
  const run = new Run(options)
  for (let step = 0; step < options.steps; step++) run.step()
  run.heal()
  return account(run, options)
}

function account ({ machine, cluster, shipper }: Run, { hasLosses }: ShipperRunOptions): ShipperOutcome {
  const counted = new Map<number, number>()
  for (const partition of cluster.partitions) {
    for (const [id, count] of partition.counted) counted.set(id, (counted.get(id) ?? 0) + count)
    for (const [id, count] of partition.counted) assert.ok((partition.archivedIds.get(id) ?? 0) >= count, `event ${id} was counted and not archived`)
    assert.equal(partition.gaps.size, 0, 'a gap')
    assert.deepEqual(partition.voids, [], 'a void without damage')
  }
  for (const [id, fate] of machine.fates) {
    const count = counted.get(id) ?? 0
    if (fate === 'answered') assert.equal(count, 1, `answered event ${id} was counted ${count} times`)
    else assert.ok(count <= 1, `event ${id} was counted ${count} times`)
  }
  shipper.die()
  // A probe can stop by chance exactly where an aggregator pauses.
  if (!hasLosses && shipper.probes === 0) assert.equal(shipper.resends, 0, 'all was sent again though nothing was lost')
  conserve(cluster, counted.size)
  return {
    answered: [...machine.fates.values()].filter((fate) => fate === 'answered').length, lostRecords: cluster.partitions.reduce((sum, { lostRecords }) => sum + lostRecords, 0),
    failures: shipper.failures, resends: shipper.resends, probes: shipper.probes, recycled: (machine.state?.oldestSegment ?? 1) - 1, restarts: shipper.restarts, streams: cluster.statements.marks.size
  }
}

/** All streams are ended on the topic, each mark covers what was counted, and each hour adds up. */
function conserve ({ statements, partitions }: Cluster, countedEvents: number): void {
  let journaled = 0
  for (const { answered, recovered, countedOnly, ...hour } of statements.hours.values()) {
    assert.equal(answered + recovered, hour.journaled + countedOnly, `hour ${hour.hour} of ${hour.streamId} does not add up`)
    journaled += hour.journaled
  }
  assert.equal(journaled, countedEvents, 'journaled by the marks, and counted')
  for (const { streamId, state, lastSeqs } of statements.marks.values()) {
    assert.notEqual(state, 'open', `stream ${streamId} was never ended`)
    for (const [partition, lastSeq] of lastSeqs) assert.ok((partitions[partition]?.applied.get(streamId) ?? 0) >= lastSeq, `mark of ${streamId}: partition ${partition}`)
  }
}
