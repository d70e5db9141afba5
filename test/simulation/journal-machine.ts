// A machine in one thread: gateway workers and the real journal, on a disk that forgets. Each method is one step of the
// world; the program dies when the power goes, and `boot` starts it again.
import type { Clock } from '../../src/platform/clock.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { hourOf } from '../../src/domain/window.ts'
import { AnsweredCounter, createAnsweredMemory } from '../../src/journal/answered.ts'
import { JournalCounters } from '../../src/journal/counters.ts'
import { EventOutlet } from '../../src/journal/handover.ts'
import { Journal } from '../../src/journal/journal.ts'
import { JournalState } from '../../src/journal/memory.ts'
import type { JournalOptions } from '../../src/journal/options.ts'
import { Ring } from '../../src/journal/ring.ts'
import { InFlightRequests } from '../../src/journal/watermark.ts'
import { EmbeddedUsageLog } from '../../src/usage-log/embedded.ts'
import { SimulatedDisk } from '../helpers/simulated-disk.ts'

export const folder = '/state/journal'
const workerCount = 2
const ringBytes = 16 * 1024
const logger = openLogger({ level: 'silent', thread: 'simulation' })

export interface Request { readonly id: number, readonly t: number, readonly isRefusal: boolean }

class SimulatedWorker {
  readonly outlet: EventOutlet
  readonly answered: AnsweredCounter
  readonly inFlight: InFlightRequests
  readonly begun: Request[] = []
  readonly held: Request[] = []
  readonly deferred: (() => void)[] = []
  readonly timers: (() => void)[] = []
  isWakeComing = false

  constructor (memory: { readonly state: SharedArrayBuffer, readonly ring: SharedArrayBuffer, readonly answered: SharedArrayBuffer }, { ack, eventBytesMax }: JournalOptions, clock: Clock) {
    this.answered = new AnsweredCounter(memory.answered)
    this.inFlight = new InFlightRequests(memory, clock)
    this.outlet = new EventOutlet({
      ...memory, ack, eventBytesMax, defer: (action) => { this.deferred.push(action) }, inFlight: () => this.inFlight.count, later: (action) => { this.timers.push(action) }
    })
  }
}

/** What became of an event, as its worker saw it. */
export type Fate = 'offered' | 'answered' | 'failed'

export class JournalMachine {
  disk: SimulatedDisk
  readonly options: JournalOptions
  readonly fates = new Map<number, Fate>()
  /** An event's line without its chain, and its partition. */
  encode: (request: Request, padding: string) => { readonly event: string, readonly partition: number } = ({ id, t }, padding) =>
    ({ event: `{"id":${id},"hour":${hourOf(t)},"t":${t},"padding":"${padding}"`, partition: 0 })
  readonly clock: Clock & { ms: number, wallMs: number }
  workers: SimulatedWorker[] = []
  journal: Journal | undefined
  usageLog: EmbeddedUsageLog | undefined
  state: JournalState | undefined
  boots = 0
  answeredCount = 0
  countedOnlyCount = 0
  refusedCount = 0
  readonly #random: () => number
  #lastId: number

  /** @param firstId machines that share a log need numbers of their own for their events */
  constructor (random: () => number, options: JournalOptions, firstId = 0) {
    this.#random = random
    this.#lastId = firstId
    this.options = options
    this.disk = new SimulatedDisk(random)
    const clock = { ms: 0, wallMs: 1_800_000_000_000, nowMs: () => Math.floor(clock.wallMs), monotonicMs: () => clock.ms }
    this.clock = clock
  }

  /** Starts the program. @throws PowerCut, and what the journal refuses with */
  boot (): void {
    this.die()
    this.boots++
    const memory = {
      state: JournalState.create(), rings: Array.from({ length: workerCount }, () => Ring.create(ringBytes)),
      answered: Array.from({ length: workerCount }, createAnsweredMemory)
    }
    const wake = (index: number): void => { (this.workers[index] as SimulatedWorker).isWakeComing = true }
    const newUuid = (): string => {
      const hex = Array.from({ length: 32 }, () => Math.floor(this.#random() * 16).toString(16)).join('')
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
    }
    this.workers = memory.rings.map((ring, index) => new SimulatedWorker({ state: memory.state, ring, answered: memory.answered[index] as SharedArrayBuffer }, this.options, this.clock))
    for (const worker of this.workers) worker.outlet.onSettled((ticket, isFailed) => { this.#settled(worker, ticket, isFailed) })
    this.state = new JournalState(memory.state)
    this.journal = new Journal(this.options, { disk: this.disk, clock: this.clock, memory, wake, newUuid, log: logger, counters: new JournalCounters() })
    this.usageLog = new EmbeddedUsageLog(this.disk, folder, this.state)
  }

  /** All that was only in memory is gone. */
  die (): void {
    this.journal = undefined
    this.usageLog = undefined
    this.state = undefined
    this.workers = []
  }

  get isUp (): boolean { return this.journal !== undefined }
  get inFlight (): number { return this.workers.reduce((sum, { begun, held }) => sum + begun.length + held.length, 0) }

  begin (worker: SimulatedWorker): void {
    if (worker.outlet.admission() !== 'open' || this.inFlight >= this.options.inFlightMax) { this.refusedCount++; return }
    worker.begun.push({ id: ++this.#lastId, t: worker.inFlight.begin(), isRefusal: false })
  }

  /** A request that was begun, any of them, is answered by its upstream: its event is offered. */
  finish (worker: SimulatedWorker): void {
    const [request] = worker.begun.splice(Math.floor(this.#random() * worker.begun.length), 1)
    if (request !== undefined) this.#offer(worker, request)
  }

  /** The gateway refuses a request by itself. */
  refuse (worker: SimulatedWorker): void {
    const request: Request = { id: ++this.#lastId, t: worker.inFlight.begin(), isRefusal: true }
    if (worker.outlet.mayRecordRefusal()) { this.#offer(worker, request); return }
    this.#countOnly(worker, request)
    worker.inFlight.end(request.t)
  }

  /** What a worker's event loop does by itself. */
  runWorker (worker: SimulatedWorker): void {
    for (const action of worker.deferred.splice(0)) action()
    for (const action of worker.timers.splice(0)) action()
    if (!worker.isWakeComing) return
    worker.isWakeComing = false
    worker.outlet.settle()
  }

  #offer (worker: SimulatedWorker, request: Request): void {
    const { eventBytesMax } = this.options
    const padding = 'x'.repeat(Math.floor(this.#random() ** 2 * (eventBytesMax - 100)))
    this.fates.set(request.id, 'offered')
    worker.held.push(request)
    const { event, partition } = this.encode(request, padding)
    worker.outlet.offer(event, { partition, hour: hourOf(request.t), isRefusal: request.isRefusal })
  }

  #settled (worker: SimulatedWorker, settledTicket: number, isFailed: (ticket: number) => boolean): void {
    const told = this.#told.get(worker) ?? 0
    for (let ticket = told + 1; ticket <= settledTicket; ticket++) {
      const request = worker.held.shift()
      if (request === undefined) throw new Error(`ticket ${ticket} was settled twice`)
      this.fates.set(request.id, isFailed(ticket) ? 'failed' : 'answered')
      if (!isFailed(ticket)) {
        worker.answered.answered(request.t)
        this.answeredCount++
      } else if (request.isRefusal) this.#countOnly(worker, request)
      worker.inFlight.end(request.t)
    }
    this.#told.set(worker, settledTicket)
  }

  readonly #told = new Map<SimulatedWorker, number>()

  #countOnly (worker: SimulatedWorker, request: Request): void {
    worker.answered.countedOnly(request.t, 'G0006')
    worker.answered.answered(request.t)
    this.countedOnlyCount++
    this.answeredCount++
  }
}
