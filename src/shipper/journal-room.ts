// How long the journal lasts at the rate at which it fills now, if nothing of it can be recycled.
import type { JournalState } from '../journal/memory.ts'

const msPerS = 1000
/** The rate is that of about the last minute. */
const smoothingS = 60

export class JournalRoom {
  readonly #state: JournalState
  readonly #bytesMax: number
  readonly #segmentBytes: number
  #last: { readonly bytes: number, readonly ms: number } | undefined
  #bytesPerS: number | undefined

  constructor (state: JournalState, { journalBytesMax, segmentBytes }: { readonly journalBytesMax: number, readonly segmentBytes: number }) {
    this.#state = state
    this.#bytesMax = journalBytesMax
    this.#segmentBytes = segmentBytes
  }

  /** Seconds; undefined while nothing comes in. */
  get fullInS (): number | undefined {
    const rate = this.#bytesPerS ?? 0
    if (rate < 1) return undefined
    const { durableEnd: { segment, offset }, oldestSegment } = this.#state
    const usedBytes = (segment - oldestSegment) * this.#segmentBytes + offset
    return Math.max(this.#bytesMax - usedBytes, 0) / rate
  }

  /** @param bytes of the journal read so far */
  look (bytes: number, ms: number): void {
    const last = this.#last
    this.#last = { bytes, ms }
    // The first look counts what was there before.
    if (last === undefined || ms <= last.ms) return
    const seconds = (ms - last.ms) / msPerS
    const rate = (bytes - last.bytes) / seconds
    const share = 1 - Math.exp(-seconds / smoothingS)
    this.#bytesPerS = this.#bytesPerS === undefined ? rate : this.#bytesPerS + share * (rate - this.#bytesPerS)
  }
}
