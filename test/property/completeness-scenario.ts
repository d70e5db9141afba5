// A cluster of gateways as completeness sees it, at random: requests that last, clocks that step, gateways that crash, stop,
// return or are new, events that are counted late. The oracle: nothing is counted into an hour that was called complete, and
// in the end every past hour is.
import { Completeness } from '../../src/billing/completeness.ts'
import { GatewayBook } from '../../src/billing/gateway-book.ts'
import { hourOf } from '../../src/domain/window.ts'
import type { AccountTally } from '../../src/ledger/account.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { MemoryPartition, saidRecords, streamOf } from '../helpers/topic-records.ts'

export const faults = ['long', 'crash', 'new', 'clock', 'stop'] as const
export type Fault = typeof faults[number]
/** What a gateway must do for it to hold; each can be left out, to see that the oracle notices. */
export interface GatewayRules { readonly hasInFlightMark: boolean, readonly saysHello: boolean, readonly clampsClock: boolean }
export const allRules: GatewayRules = { hasInFlightMark: true, saysHello: true, clampsClock: true }

const tickMs = 360_000
const ticksPerHour = 10
const startMs = 490_000 * ticksPerHour * tickMs
const gatewaysMax = 5

interface Stream { readonly streamId: string, readonly events: number[], readonly answered: Map<number, number>, journaled: Map<number, number>, applied: number, hasEnded: boolean }

export class CompletenessWorld {
  readonly problems: string[] = []
  nowMs = startMs
  said = 0
  complete = 0
  /** Hours that were called complete while the faults went on. */
  completeHours = 0
  readonly random: () => number
  readonly #rules: GatewayRules
  readonly #faults: ReadonlySet<Fault>
  readonly #topic = new MemoryPartition()
  readonly #book = new GatewayBook({ onAhead: () => {}, onMalformed: () => {} })
  readonly #completeness = new Completeness({ book: this.#book, graceMs: tickMs, isAccepted: () => false })
  readonly #gateways: Gateway[] = []
  readonly #streams = new Map<string, { readonly gatewayId: string, readonly stream: Stream }>()

  constructor (seed: number, faultSet: readonly Fault[], rules: GatewayRules) {
    this.random = seededRandom(seed)
    this.#faults = new Set(faultSet)
    this.#rules = rules
  }

  run (steps: number): void {
    for (let i = 0; i < 2; i++) this.#addGateway()
    for (let i = 0; i < steps; i++) this.#step()
    this.completeHours = Math.max(0, this.complete - hourOf(startMs))
    this.#heal()
    if (this.complete < hourOf(this.nowMs) - 3) this.problems.push(`an old hour never became complete: ${this.complete - hourOf(startMs)} of ${hourOf(this.nowMs) - hourOf(startMs)}`)
  }

  has (fault: Fault): boolean { return this.#faults.has(fault) }
  pick (count: number): number { return Math.floor(this.random() * count) }

  say (gatewayId: string, { streamId, events, answered, journaled, hasEnded }: Stream, watermarkMs: number): void {
    this.said++
    const hours = Object.fromEntries([...journaled].map(([hour, count]) => [hour, [answered.get(hour) ?? 0, count] as const]))
    this.#book.take(this.#topic.append(saidRecords({ gatewayId, streamId, seq: events.length, watermarkMs, state: hasEnded ? 'closed' : 'open', hours }), this.nowMs))
  }

  register (gatewayId: string, stream: Stream): void { this.#streams.set(stream.streamId, { gatewayId, stream }) }
  nextStream (): string { return streamOf(this.#streams.size + 1) }

  /** The last hour that may be complete by the broker's clock: a gateway that says hello begins there at the earliest. */
  get floorMs (): number { return hourOf(this.nowMs - tickMs) * ticksPerHour * tickMs }

  #addGateway (): void { this.#gateways.push(new Gateway(this, `g${this.#gateways.length + 1}`, this.#rules)) }

  #step (): void {
    const gateway = this.#gateways[this.pick(this.#gateways.length)] as Gateway
    const dice = this.random()
    if (dice < 0.25) this.nowMs += tickMs
    else if (dice < 0.45) gateway.begin()
    else if (dice < 0.62) gateway.finish()
    else if (dice < 0.74) gateway.mark()
    else if (dice < 0.86) { this.#count(this.random() < 0.5); this.#judge() } else if (dice < 0.89) { if (this.has('crash')) gateway.crash() } else if (dice < 0.91) { if (this.has('stop')) gateway.stop() } else if (dice < 0.96) gateway.start()
    else if (dice < 0.97) { if (this.has('new') && this.#gateways.length < gatewaysMax) this.#addGateway() } else if (dice < 0.985) { if (this.has('clock')) gateway.skew() } else this.nowMs += this.pick(8) * tickMs
  }

  /** Some of what was journaled is counted, in order. */
  #count (isAll = false): void {
    for (const { stream } of this.#streams.values()) {
      const upTo = isAll ? stream.events.length : stream.applied + this.pick(stream.events.length - stream.applied + 1)
      for (; stream.applied < upTo; stream.applied++) {
        const hour = hourOf(stream.events[stream.applied] as number)
        if (hour < this.complete) this.problems.push(`counted into hour ${hour - hourOf(startMs)} after it was called complete`)
        this.#completeness.noteCounted([hour])
      }
    }
  }

  #judge (): void {
    const { fromHour } = this.#completeness.question()
    const streams = [...this.#streams.values()].map(({ stream: { streamId, applied } }) => ({ partition: 0, streamId, gatewayId: null, appliedSeq: applied, archivedSeq: 0 }))
    const tallies = [...this.#streams.values()].flatMap(({ gatewayId, stream }) => talliesOf(gatewayId, stream)).filter(({ hour }) => hour >= fromHour)
    this.complete = Math.max(this.complete, this.#completeness.evaluate({ streams, tallies, uncertain: [] }, this.nowMs).completeBeforeHour)
  }

  #heal (): void {
    for (const gateway of this.#gateways) gateway.heal()
    this.nowMs += 6 * ticksPerHour * tickMs
    for (let round = 0; round < 3; round++) {
      for (const gateway of this.#gateways) gateway.mark()
      this.#count(true)
      this.#judge()
      this.nowMs += 5 * tickMs
    }
  }
}

function talliesOf (gatewayId: string, { streamId, events, applied }: Stream): AccountTally[] {
  const hours = new Map<number, number>()
  for (const timeMs of events.slice(0, applied)) hours.set(hourOf(timeMs), (hours.get(hourOf(timeMs)) ?? 0) + 1)
  return [...hours].map(([hour, billable]) => ({ streamId, hour, gatewayId, billable, notBillable: 0, deadLettered: 0, voided: 0 }))
}

class Gateway {
  readonly #world: CompletenessWorld
  readonly #gatewayId: string
  readonly #rules: GatewayRules
  #stream: Stream | undefined
  #watermarkMs = 0
  #skewMs = 0
  #inFlight: number[] = []

  constructor (world: CompletenessWorld, gatewayId: string, rules: GatewayRules) {
    this.#world = world
    this.#gatewayId = gatewayId
    this.#rules = rules
    this.start()
  }

  start (): void {
    if (this.#stream !== undefined && !this.#stream.hasEnded) return
    this.#skewMs = this.#world.has('clock') && this.#world.random() < 0.4 ? (this.#world.pick(30) - 18) * tickMs : 0
    this.#stream = { streamId: this.#world.nextStream(), events: [], answered: new Map(), journaled: new Map(), applied: 0, hasEnded: false }
    this.#world.register(this.#gatewayId, this.#stream)
    if (!this.#rules.saysHello) return
    if (this.#rules.clampsClock) this.#watermarkMs = Math.max(this.#watermarkMs, this.#world.floorMs)
    this.#world.say(this.#gatewayId, this.#stream, this.#watermarkMs)
  }

  begin (): void {
    if (this.#isUp) this.#inFlight.push(this.#rules.clampsClock ? Math.max(this.#clockMs, this.#watermarkMs) : this.#clockMs)
  }

  finish (): void {
    if (!this.#isUp || this.#inFlight.length === 0) return
    const [timeMs = 0] = this.#inFlight.splice(this.#world.has('long') ? this.#world.pick(this.#inFlight.length) : 0, 1)
    const { events, answered, journaled } = this.#stream as Stream
    events.push(timeMs)
    for (const account of [answered, journaled]) account.set(hourOf(timeMs), (account.get(hourOf(timeMs)) ?? 0) + 1)
  }

  mark (): void {
    if (!this.#isUp) return
    if (!this.#world.has('long')) while (this.#inFlight.length > 0) this.finish()
    const clockMs = this.#rules.clampsClock ? Math.max(Math.min(this.#clockMs, this.#world.nowMs), this.#watermarkMs) : this.#clockMs
    this.#watermarkMs = this.#rules.hasInFlightMark ? Math.max(Math.min(clockMs, ...this.#inFlight), this.#rules.clampsClock ? this.#watermarkMs : 0) : clockMs
    this.#world.say(this.#gatewayId, this.#stream as Stream, this.#watermarkMs)
  }

  /** What was not answered is gone; the next start says that the stream has ended. */
  crash (): void {
    if (!this.#isUp) return
    this.#inFlight = []
    this.#end()
  }

  stop (): void {
    if (!this.#isUp) return
    while (this.#inFlight.length > 0) this.finish()
    this.#end()
  }

  skew (): void { this.#skewMs += (this.#world.pick(30) - 18) * tickMs }

  heal (): void {
    this.start()
    this.#skewMs = 0
    while (this.#inFlight.length > 0) this.finish()
  }

  get #isUp (): boolean { return this.#stream !== undefined && !this.#stream.hasEnded }
  get #clockMs (): number { return this.#world.nowMs + this.#skewMs }

  #end (): void {
    const stream = this.#stream as Stream
    stream.hasEnded = true
    this.#world.say(this.#gatewayId, stream, this.#watermarkMs)
  }
}
