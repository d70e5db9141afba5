// What the aggregators have said of the streams in this journal: counted up to, archived up to, missing after.
import type { StreamProgress } from '../usage-log/usage-progress.ts'
import { SeqTable } from './seq-table.ts'

export class Progress {
  readonly #applied = new SeqTable()
  readonly #archived = new SeqTable()
  /** Stored as gapAfter + 1: a gap may be after 0. */
  readonly #gaps = new SeqTable()

  applied (streamId: string, partition: number): number { return this.#applied.get(streamId, partition) }

  /**
   * Where to send from: behind what is counted, or behind the gap that is reported. That may lie before: what is counted and
   * not archived yet can be lost with an aggregator's disk, and Kafka may not have it any more.
   */
  wantedAfter (streamId: string, partition: number): number {
    const applied = this.#applied.get(streamId, partition)
    const gap = this.#gaps.get(streamId, partition)
    return gap === 0 ? applied : Math.min(gap - 1, applied)
  }

  hasGap (streamId: string, partition: number): boolean { return this.#gaps.get(streamId, partition) > 0 }

  /** Streams of which anything was said. */
  get streamIds (): Iterable<string> { return this.#applied.streamIds }

  /** Nobody needs what is counted and archived. */
  done (streamId: string, partition: number): number { return Math.min(this.#applied.get(streamId, partition), this.#archived.get(streamId, partition)) }

  /** The last word holds: an aggregator that was put back has less than it had. */
  take ({ streamId, partition, appliedSeq, archivedSeq, gapAfter }: StreamProgress): void {
    this.#applied.set(streamId, partition, appliedSeq)
    this.#archived.set(streamId, partition, archivedSeq)
    this.#gaps.set(streamId, partition, gapAfter === undefined ? 0 : gapAfter + 1)
  }

  keepOnly (isKept: (streamId: string) => boolean): void {
    for (const table of [this.#applied, this.#archived, this.#gaps]) table.keepOnly(isKept)
  }
}
