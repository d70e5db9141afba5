// Which segments of the journal may be recycled. For events and voids the aggregator's record decides: all of a segment's
// are counted and archived. Marks have no number of their own. They count as taken when they were handed out by a read
// before the last one and progress was reported since: an aggregator reports after it has committed what it took, and may
// have asked for one batch ahead.
import { lastSeqOf } from '../journal/frame.ts'
import type { FrameHeader } from '../journal/frame.ts'
import type { UsageProgress } from './port.ts'

export class TrimLedger {
  /** In reading order, the one that is being read last. */
  #segments: { readonly segment: number, readonly lastSeqs: Map<string, number> }[] = []
  #archived = new Map<string, number>()
  /** Segments below this one were handed out whole when the last read began. */
  #wholeBefore = 0

  archivedSeq (streamId: string): number { return this.#archived.get(streamId) ?? 0 }

  beginRead (): void { this.#wholeBefore = this.#segments.at(-1)?.segment ?? 0 }

  took (segment: number, header: FrameHeader): void {
    let open = this.#segments.at(-1)
    if (open?.segment !== segment) {
      open = { segment, lastSeqs: new Map() }
      this.#segments.push(open)
    }
    if (header.count > 0) open.lastSeqs.set(header.streamId, Math.max(lastSeqOf(header), open.lastSeqs.get(header.streamId) ?? 0))
  }

  rewind (): void {
    this.#segments = []
    this.#wholeBefore = 0
  }

  /** @returns the segment below which all may be recycled; undefined when nothing new may */
  report (progress: readonly UsageProgress[]): number | undefined {
    this.#archived = new Map(progress.map(({ streamId, appliedSeq, archivedSeq }) => [streamId, Math.min(appliedSeq, archivedSeq)]))
    let below: number | undefined
    for (;;) {
      const [oldest, second] = this.#segments
      if (oldest === undefined || second === undefined || oldest.segment >= this.#wholeBefore) return below
      for (const [streamId, lastSeq] of oldest.lastSeqs) if (lastSeq > this.archivedSeq(streamId)) return below
      this.#segments.shift()
      below = second.segment
    }
  }
}
