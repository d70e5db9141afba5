// One opening of the journal: the identity of its events is (streamId, seq). Holds what is durable; what is about to be
// written lives in a batch until its write has returned.
import { hourOf } from '../domain/window.ts'
import type { HourCount, HourMark } from '../usage-log/port.ts'
import type { PartitionRun } from './frame.ts'

/** Hours that don't add up are restated in each segment, but not for ever. */
const unbalancedHoursMax = 1000

interface Tally {
  readonly hour: number
  answered: number
  journaled: number
  countedOnly: number
  isChanged: boolean
  /** It was restated as final at the start of a segment: need not be said again. */
  isSaid: boolean
}

/** What a frame of events has added. */
export interface CommittedBatch {
  readonly count: number
  readonly runs: readonly PartitionRun[]
  readonly hours: readonly HourCount[]
}

export class Stream {
  readonly streamId: string
  readonly partitions: number
  /** The last durable seq; 0 before the first. */
  lastSeq = 0
  /** The last durable seq by partition: what the next record there names as its predecessor. */
  readonly lastSeqs: Float64Array
  readonly #tallies = new Map<number, Tally>()

  constructor (streamId: string, partitions: number) {
    this.streamId = streamId
    this.partitions = partitions
    this.lastSeqs = new Float64Array(partitions)
  }

  /** The batch is durable. */
  commit (batch: CommittedBatch): void {
    this.lastSeq += batch.count
    for (const run of batch.runs) this.lastSeqs[run.partition] = run.lastSeq
    for (const { hour, count } of batch.hours) {
      const tally = this.#tally(hour)
      tally.journaled += count
      tally.isChanged = true
    }
  }

  /** @param count may be negative where an earlier stream of this run has already stated answers that were still to come */
  addAnswered (hour: number, count: number): void {
    const tally = this.#tally(hour)
    tally.answered += count
    tally.isChanged = true
  }

  addCountedOnly (hour: number, count: number): void {
    const tally = this.#tally(hour)
    tally.countedOnly += count
    tally.isChanged = true
  }

  get hasChanged (): boolean {
    for (const tally of this.#tallies.values()) if (tally.isChanged) return true
    return false
  }

  /** For a mark: the hours that changed since the last one, or all that are in use. */
  hours (which: 'changed' | 'all'): HourMark[] {
    const hours: HourMark[] = []
    for (const { hour, answered, journaled, countedOnly, isChanged } of this.#tallies.values()) {
      if (which === 'all' || isChanged) hours.push({ hour, answered: Math.max(answered, 0), journaled, countedOnly, recovered: 0 })
    }
    return hours
  }

  /** A mark with the changed hours is durable. */
  markSaid (): void {
    for (const tally of this.#tallies.values()) tally.isChanged = false
  }

  /** All hours were restated in a new segment. What can't change any more is restated twice and then forgotten. */
  allSaid (watermarkMs: number): void {
    const openHour = hourOf(watermarkMs)
    for (const tally of this.#tallies.values()) {
      tally.isChanged = false
      const isBalanced = tally.answered === tally.journaled + tally.countedOnly
      if (tally.hour >= openHour || !(isBalanced || tally.hour < openHour - unbalancedHoursMax)) continue
      if (tally.isSaid) this.#tallies.delete(tally.hour)
      else tally.isSaid = true
    }
  }

  /**
   * Ends the stream while the program goes on (its disk failed): its last account, and by hour what its successor takes over.
   * @param isDurable answers were held for the commit, so all answers to this stream's events have been counted by now:
   *   what is missing was never answered. Else they may still come, and are stated here as if they had.
   */
  settleAccount (isDurable: boolean): { readonly hours: HourMark[], readonly carried: readonly { readonly hour: number, readonly answered: number }[] } {
    const hours: HourMark[] = []
    const carried: { hour: number, answered: number }[] = []
    for (const { hour, answered, journaled, countedOnly } of this.#tallies.values()) {
      const due = journaled + countedOnly
      const stated = isDurable ? Math.min(answered, due) : due
      hours.push({ hour, answered: stated, journaled, countedOnly, recovered: due - stated })
      if (answered !== stated) carried.push({ hour, answered: isDurable ? Math.max(answered - due, 0) : answered - due })
    }
    return { hours, carried: carried.filter((rest) => rest.answered !== 0) }
  }

  #tally (hour: number): Tally {
    let tally = this.#tallies.get(hour)
    if (tally === undefined) {
      tally = { hour, answered: 0, journaled: 0, countedOnly: 0, isChanged: false, isSaid: false }
      this.#tallies.set(hour, tally)
    }
    return tally
  }
}
