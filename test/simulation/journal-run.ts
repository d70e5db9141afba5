// One run of the simulation: steps drawn from a seed, then healing, then the account.
import assert from 'node:assert/strict'
import type { UsageLogItem } from '../../src/usage-log/port.ts'
import type { Ack } from '../../src/journal/handover.ts'
import { PowerCut, diskError } from '../helpers/simulated-disk.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { JournalMachine, folder } from './journal-machine.ts'
import { ModelAggregator } from './model-aggregator.ts'

export interface RunOptions {
  readonly seed: number
  readonly steps: number
  readonly ack: Ack
  /** Power cuts and kills. */
  readonly hasDeaths: boolean
  /** Writes that fail, and a disk that fills up. */
  readonly hasFaults: boolean
  /** The program dies again and again soon after its start. */
  readonly hasShortLives: boolean
}

/** What a run was like: one in which nothing happens proves nothing. */
export interface Outcome {
  readonly answered: number
  readonly failed: number
  readonly lost: number
  readonly powerCuts: number
  readonly kills: number
  readonly streams: number
  readonly recycled: number
  readonly refused: number
  readonly countedOnly: number
  readonly recovered: number
}

const segmentBytes = 128 * 1024

class Run {
  readonly machine: JournalMachine
  readonly aggregator = new ModelAggregator()
  readonly #random: () => number
  readonly #options: RunOptions
  powerCuts = 0
  kills = 0
  #faultsLeft = 0
  /** A worker that is kept from running, and for how many more steps. */
  #sleeper = { worker: 0, steps: 0 }
  /** What the aggregator has asked for ahead of what it takes. */
  #ahead: readonly UsageLogItem[] = []

  constructor (options: RunOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.machine = new JournalMachine(this.#random, {
      folder, gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes, bytesMax: 6 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 8 * 1024,
      refusedBytesMax: segmentBytes, inFlightMax: 12, eventBytesMax: 4000, ack: options.ack, bufferedIntervalMs: 1500, markIntervalMs: 1000
    })
    this.machine.disk.faults.fault = (change, file) => this.#fault(change, file)
  }

  /** Draws and does one step; whatever it throws because the power went is the end of the program, not of the run. */
  step (): void {
    try {
      if (this.machine.isUp) this.#act(this.#random())
      else {
        if (this.#options.hasShortLives && this.#random() < 0.8) this.#aim()
        this.machine.boot()
      }
    } catch (error) {
      if (!(error instanceof PowerCut)) {
        // A program that can't start, or a reader that meets a failing disk, ends and is started again.
        const { code } = error as NodeJS.ErrnoException
        if (code !== 'EIO' && code !== 'ENOSPC' && code !== 'JOURNAL_NO_ROOM') throw error
        this.#die('kill')
      }
    }
    if (this.machine.disk.isOff) this.#die(this.#random() < 0.6 ? 'power' : 'kill')
  }

  #die (how: 'power' | 'kill'): void {
    this.machine.die()
    this.#forgetRead()
    if (how === 'power') { this.machine.disk.powerCut(); this.powerCuts++ } else { this.machine.disk.kill(); this.kills++ }
    this.#faultsLeft = 0
  }

  #forgetRead (): void {
    this.aggregator.die()
    this.#ahead = []
  }

  #act (draw: number): void {
    const { machine } = this
    const index = Math.floor(this.#random() * machine.workers.length)
    const worker = machine.workers[index]
    if (worker === undefined) return
    if (this.#sleeper.steps > 0) this.#sleeper.steps--
    else if (this.#random() < 0.01) this.#sleeper = { worker: index, steps: Math.floor(this.#random() * 80) }
    const isAsleep = this.#sleeper.steps > 0 && this.#sleeper.worker === index
    if (draw < 0.2) for (let n = Math.floor(this.#random() * 6); n >= 0; n--) machine.begin(worker)
    else if (draw < 0.38) for (let n = Math.floor(this.#random() * 6); n >= 0; n--) machine.finish(worker)
    else if (draw < 0.42) machine.refuse(worker)
    else if (draw < 0.6) { if (!isAsleep) machine.runWorker(worker) }
    else if (draw < 0.82) machine.journal?.turn()
    else if (draw < 0.86) this.#advance()
    else if (draw < 0.93) this.aggregate()
    else if (draw < 0.95) this.#archive()
    else if (draw < 0.96) { machine.usageLog?.rewind(); this.#forgetRead() }
    else if (draw < 0.965) { machine.usageLog?.rewind(); this.#forgetRead(); this.aggregator.restore() }
    else this.#disturb(this.#random())
  }

  #advance (): void {
    const { clock } = this.machine
    const draw = this.#random()
    const ms = this.#random() < 0.1 ? 3000 : this.#random() * 700
    clock.ms += ms
    clock.wallMs += draw < 0.85 ? ms : draw < 0.95 ? 600_000 : -300_000
  }

  aggregate (): void {
    const items = this.machine.usageLog?.read(0, 1 + Math.floor(this.#random() * 64 * 1024)) ?? []
    // An aggregator may ask for one batch while it commits another, and die in between.
    const isAhead = this.#random() < 0.5
    this.aggregator.take(isAhead ? this.#ahead : [...this.#ahead, ...items])
    this.#ahead = isAhead ? items : []
    this.machine.usageLog?.reportProgress(0, this.aggregator.progress())
  }

  #archive (): void {
    this.aggregator.flush()
    this.machine.usageLog?.reportProgress(0, this.aggregator.progress())
  }

  #disturb (draw: number): void {
    const { machine } = this
    if (this.#options.hasFaults && draw < 0.3) this.#faultsLeft = 1 + Math.floor(this.#random() * 4)
    else if (this.#options.hasFaults && draw < 0.4) machine.disk.capacityBytes = machine.disk.capacityBytes === Infinity ? (2 + Math.floor(this.#random() * 4)) * segmentBytes : Infinity
    else if (this.#options.hasDeaths && draw < 0.8) this.#aim()
    else if (this.#options.hasDeaths && draw < 0.95) this.#die(this.#random() < 0.5 ? 'power' : 'kill')
    else this.#stop()
  }

  /** The power will go soon, in the middle of a write, a sync or a change of names. */
  #aim (): void {
    const { disk } = this.machine
    disk.cutAt = (['any', 'any', 'sync', 'name'] as const)[Math.floor(this.#random() * 4)] ?? 'any'
    disk.cutIn = 1 + Math.floor(this.#random() ** 2 * (disk.cutAt === 'any' ? 50 : 8))
  }

  #fault (change: string, file: string): NodeJS.ErrnoException | undefined {
    if (this.#faultsLeft === 0 || this.#random() < 0.5) return undefined
    this.#faultsLeft--
    return diskError(change === 'write' && this.#random() < 0.3 ? 'ENOSPC' : 'EIO', file)
  }

  /** A clean stop: the gateway has drained before the journal is closed. */
  #stop (): void {
    const { machine } = this
    for (let turn = 0; turn < 40 && machine.inFlight > 0; turn++) {
      for (const worker of machine.workers) {
        machine.finish(worker)
        machine.runWorker(worker)
      }
      machine.journal?.turn()
      machine.clock.ms += 200
    }
    // A program that is told to stop while its disk fails can't say its last word: that is a crash.
    if (machine.inFlight > 0 || machine.state?.admission === 'failing' || this.#faultsLeft > 0) this.kills++
    machine.journal?.close()
    machine.die()
    this.#forgetRead()
  }

  /** No more faults: everything that can still be read is read, counted and archived. */
  heal (): void {
    const { machine } = this
    this.#faultsLeft = 0
    machine.disk.cutIn = Infinity
    machine.disk.capacityBytes = Infinity
    if (!machine.isUp) machine.boot()
    for (let turn = 0; turn < 400 && (turn < 20 || machine.inFlight > 0); turn++) {
      for (const worker of machine.workers) {
        machine.finish(worker)
        machine.runWorker(worker)
      }
      machine.journal?.turn()
      machine.clock.ms += 500
      machine.clock.wallMs += 500
      if (turn % 4 === 0) { this.aggregate(); this.#archive() }
    }
    assert.equal(machine.inFlight, 0, 'requests were never settled')
    machine.journal?.close()
    this.aggregator.take(this.#ahead)
    this.#ahead = []
    for (let reads = 0, items = 1; items > 0 || reads < 3; reads++) {
      const batch = machine.usageLog?.read(0, 256 * 1024) ?? []
      items = batch.length
      this.aggregator.take(batch)
    }
    this.#archive()
  }
}

/** @throws AssertionError when a promise was broken */
export function runJournal (options: RunOptions): Outcome {
  const run = new Run(options)
  for (let step = 0; step < options.steps; step++) run.step()
  run.heal()
  return account(run, options)
}

function account ({ machine, aggregator, powerCuts, kills }: Run, { ack }: RunOptions): Outcome {
  assert.deepEqual(aggregator.gaps, [], 'a gap')
  assert.deepEqual(aggregator.voids, [], 'a void without damage')
  const fates = [...machine.fates]
  for (const [id, fate] of fates) {
    const count = aggregator.counted.get(id) ?? 0
    if (fate === 'answered' && ack === 'durable') assert.equal(count, 1, `answered event ${id} was counted ${count} times`)
    else assert.ok(count <= 1, `event ${id} was counted ${count} times`)
  }
  for (const [id, count] of aggregator.counted) {
    assert.ok(machine.fates.has(id), `event ${id} was never offered`)
    assert.equal(aggregator.archived.get(id), count, `event ${id} was counted and not archived`)
  }
  const recovered = conserve(machine, aggregator, powerCuts + kills > 0)
  return {
    answered: fates.filter(([, fate]) => fate === 'answered').length, failed: fates.filter(([, fate]) => fate === 'failed').length,
    lost: fates.filter(([id, fate]) => fate === 'offered' && !aggregator.counted.has(id)).length,
    powerCuts, kills, streams: aggregator.streams.size, recycled: (machine.state?.oldestSegment ?? 1) - 1, refused: machine.refusedCount,
    countedOnly: machine.countedOnlyCount, recovered
  }
}

/** answered + recovered = journaled + counted only, hour by hour, over all streams; and journaled is what was counted. */
function conserve (machine: JournalMachine, aggregator: ModelAggregator, hasDied: boolean): number {
  const sums = new Map<number, { answered: number, journaled: number, countedOnly: number, recovered: number }>()
  for (const [streamId, hours] of aggregator.marks) {
    assert.ok(aggregator.ended.has(streamId), `stream ${streamId} was never ended`)
    for (const { hour, answered, journaled, countedOnly, recovered } of hours.values()) {
      const sum = sums.get(hour) ?? { answered: 0, journaled: 0, countedOnly: 0, recovered: 0 }
      sums.set(hour, { answered: sum.answered + answered, journaled: sum.journaled + journaled, countedOnly: sum.countedOnly + countedOnly, recovered: sum.recovered + recovered })
    }
  }
  let answered = 0
  let recovered = 0
  for (const hour of new Set([...sums.keys(), ...aggregator.hours.keys()])) {
    const sum = sums.get(hour) ?? { answered: 0, journaled: 0, countedOnly: 0, recovered: 0 }
    assert.equal(sum.journaled, aggregator.hours.get(hour) ?? 0, `hour ${hour}: journaled and counted differ`)
    assert.equal(sum.answered + sum.recovered, sum.journaled + sum.countedOnly, `hour ${hour} does not add up: ${JSON.stringify(sum)}`)
    answered += sum.answered
    recovered += sum.recovered
  }
  assert.ok(answered <= machine.answeredCount, `${answered} answers stated, ${machine.answeredCount} given`)
  if (!hasDied) assert.equal(answered, machine.answeredCount, 'without a crash every answer is stated')
  return recovered
}
