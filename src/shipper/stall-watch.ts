// When to send again what Kafka has acknowledged and nobody has counted. Kafka may have lost it (all brokers without power), and
// then nothing else would ever say so; or the aggregator may be away, or busy with others, and then sending everything again
// and again would bury it. So at first only a probe goes out, one parcel: if the aggregator takes exactly that and no more, the
// rest is gone and is sent again. A reported gap needs no probe. Each further attempt waits twice as long.

export type StallVerdict = 'none' | 'probe' | 'resend'

interface Stall { readonly wantedAfter: number, sinceMs: number, waitMs: number, probedTo: number | undefined, isGapHandled: boolean }

const waitsMax = 64

export class StallWatch {
  readonly #waitMs: number
  readonly #stalls = new Map<string, Stall>()

  /** @param waitMs how long something may stay uncounted without any progress */
  constructor (waitMs: number) { this.#waitMs = waitMs }

  /** @param state what is acknowledged or counted of one stream in one partition, and after what everything is wanted */
  look (streamId: string, { sentSeq, wantedAfter, isGap }: { readonly sentSeq: number, readonly wantedAfter: number, readonly isGap: boolean }, nowMs: number): StallVerdict {
    let stall = this.#stalls.get(streamId)
    if (stall?.wantedAfter !== wantedAfter) {
      stall = { wantedAfter, sinceMs: nowMs, waitMs: this.#waitMs, probedTo: stall?.probedTo, isGapHandled: false }
      this.#stalls.set(streamId, stall)
    }
    if (sentSeq <= wantedAfter) {
      // Nothing is due: the time runs from when something is.
      stall.sinceMs = nowMs
      return 'none'
    }
    const isDue = nowMs - stall.sinceMs >= stall.waitMs
    if (!isDue && !(isGap && !stall.isGapHandled)) return 'none'
    if (isDue) stall.waitMs = Math.min(2 * stall.waitMs, waitsMax * this.#waitMs)
    stall.sinceMs = nowMs
    stall.isGapHandled ||= isGap
    return isGap || stall.probedTo === wantedAfter ? 'resend' : 'probe'
  }

  /** A probe was acknowledged, up to this seq. */
  probed (streamId: string, seq: number): void {
    const stall = this.#stalls.get(streamId)
    if (stall !== undefined) stall.probedTo = seq
  }

  keepOnly (isKept: (streamId: string) => boolean): void {
    for (const streamId of this.#stalls.keys()) if (!isKept(streamId)) this.#stalls.delete(streamId)
  }
}
