// When an hour is complete: no event of it will follow. It is, a grace past its end, when every gateway that is known by its
// hello and neither closed nor retired has said so by its watermark, everything that those marks cover is counted, and
// invariant 4 holds for the hour: answered + recovered = journaled + counted only, and journaled = billable + not billable
// + dead-lettered + void. It is a claim about an hour; no bill depends on it.
//
// After a start a stream's watermark is known again once its newest mark is counted; until then hours are called open.
import { hourEndMs, hourMs } from '../domain/window.ts'
import type { AccountTally, AccountQuestion, LedgerAccount } from '../ledger/account.ts'
import type { GatewayBook, GatewayStream } from './gateway-book.ts'

export interface Hold {
  readonly gatewayId: string
  readonly streamId: string
  readonly reason: string
}

export interface CompletenessReport {
  /** Hours below are complete. 0 while no gateway is known. */
  readonly completeBeforeHour: number
  /** Why the next hour isn't complete; empty while it is only too early. */
  readonly holds: readonly Hold[]
  /** Hours of streams for which invariant 4 doesn't hold though everything of theirs is counted. */
  readonly differences: number
}

export interface CompletenessParts {
  readonly book: GatewayBook
  readonly graceMs: number
  /** An operator has looked at a gateway's hour and accepts what `verify` showed. */
  readonly isAccepted: (gatewayId: string, hour: number) => boolean
}

const holdsMax = 20

export class Completeness {
  readonly #parts: CompletenessParts
  /** Hours below hold invariant 4, as far as anything has changed since. */
  #checkedBefore = 0
  #countedAgain = Infinity
  #report: CompletenessReport = { completeBeforeHour: 0, holds: [], differences: 0 }

  constructor (parts: CompletenessParts) { this.#parts = parts }

  get report (): CompletenessReport { return this.#report }

  /** Counts of these hours have changed. */
  noteCounted (hours: Iterable<number>): void {
    for (const hour of hours) this.#countedAgain = Math.min(this.#countedAgain, hour)
  }

  /** A fold has begun anew, or an acknowledgement has come. */
  checkAll (): void { this.#countedAgain = 0 }

  /** What `evaluate` needs to know of the ledger. */
  question (): AccountQuestion {
    const { book } = this.#parts
    this.#checkedBefore = Math.min(this.#checkedBefore, book.takeChangedHour(), this.#countedAgain)
    this.#countedAgain = Infinity
    return { streamIds: [...book.streams].filter(({ isPending }) => isPending).map(({ streamId }) => streamId), fromHour: this.#checkedBefore }
  }

  /** @param account the ledger's answer to `question`, asked after it */
  evaluate (account: LedgerAccount, nowMs: number): CompletenessReport {
    this.#parts.book.count(account.streams)
    const streams = [...this.#parts.book.streams].filter((stream) => stream.newest !== undefined)
    const live = streams.filter((stream) => this.#parts.book.retirementOf(stream) === undefined)
    const waiting = live.filter((stream) => !stream.hasEnded || stream.isPending)
    // While gateways speak, the broker's clock tells the time: a new one takes its first watermark from there too.
    const clockMs = live.some(({ hasEnded }) => !hasEnded) ? Math.min(nowMs, this.#parts.book.lastAppendMs) : nowMs
    const limit = streams.length === 0 ? 0 : Math.max(0, Math.floor(Math.min(clockMs - this.#parts.graceMs, ...waiting.map(({ countedMs }) => countedMs)) / hourMs))
    const broken = this.#unbalanced(streams, account, limit)
    const next = Math.min(limit, ...broken.keys())
    this.#checkedBefore = broken.size > 0 ? next : Math.max(this.#checkedBefore, limit)
    const isOver = hourEndMs(next) + this.#parts.graceMs <= nowMs
    const late = isOver ? waiting.filter(({ countedMs }) => countedMs < hourEndMs(next)).map((stream) => lateness(stream)) : []
    this.#report = {
      completeBeforeHour: next,
      holds: [...late, ...broken.get(next) ?? []].slice(0, holdsMax),
      differences: [...broken.values()].reduce((sum, holds) => sum + holds.length, 0)
    }
    return this.#report
  }

  /** Hours from the first unchecked one to before `limit` for which invariant 4 doesn't hold, and of whom. */
  #unbalanced (streams: readonly GatewayStream[], { tallies, uncertain }: LedgerAccount, limit: number): Map<number, Hold[]> {
    const broken = new Map<number, Hold[]>()
    const left = new Map(tallies.filter(({ hour }) => hour < limit).map((tally) => [`${tally.streamId} ${tally.hour}`, tally]))
    const unknown = new Set(uncertain.map(({ streamId, hour }) => `${streamId} ${hour}`))
    const hold = (hour: number, gatewayId: string, streamId: string, reason: string): void => {
      if (!this.#parts.isAccepted(gatewayId, hour)) broken.set(hour, [...broken.get(hour) ?? [], { gatewayId, streamId, reason }])
    }
    for (const stream of streams) {
      if (stream.hours.lastHour < this.#checkedBefore) continue
      const retirement = this.#parts.book.retirementOf(stream)
      for (const said of stream.hours.range(this.#checkedBefore, limit)) {
        const key = `${stream.streamId} ${said.hour}`
        const counted = countedOf(left.get(key))
        left.delete(key)
        if (retirement?.isLost === true) continue
        // What a gateway that fell silent had journaled beyond its last answered count is recovered, as after a crash.
        const recovered = retirement === undefined ? said.recovered : Math.max(said.journaled + said.countedOnly - said.answered, said.recovered)
        if (said.answered + recovered !== said.journaled + said.countedOnly) hold(said.hour, stream.gatewayId, stream.streamId, `answered and recovered ${said.answered + recovered}, journaled and counted only ${said.journaled + said.countedOnly}`)
        else if (said.journaled !== counted && !(unknown.has(key) && counted < said.journaled)) hold(said.hour, stream.gatewayId, stream.streamId, `journaled ${said.journaled}, counted ${counted}`)
      }
    }
    for (const tally of left.values()) {
      const stream = this.#parts.book.stream(tally.streamId)
      if (countedOf(tally) === 0 || (stream !== undefined && this.#parts.book.retirementOf(stream)?.isLost === true)) continue
      hold(tally.hour, tally.gatewayId, tally.streamId, `counted ${countedOf(tally)}, of which its gateway has said nothing`)
    }
    return broken
  }
}

function countedOf (tally: AccountTally | undefined): number {
  return tally === undefined ? 0 : tally.billable + tally.notBillable + tally.deadLettered + tally.voided
}

function lateness ({ gatewayId, streamId, isPending, newest, countedMs }: GatewayStream): Hold {
  const isSaid = newest !== undefined && newest.watermarkMs > countedMs
  return { gatewayId, streamId, reason: isPending && isSaid ? 'what its last mark covers is not counted yet' : 'its watermark has not passed the end of the hour' }
}
