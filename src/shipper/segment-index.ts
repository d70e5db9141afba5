// What each segment of the journal holds, by stream and partition: which segments may be recycled, where to go on reading,
// and how much waits. A segment goes when each partition's own owner has said that all of it is counted and archived, and
// when all that the segment's marks said has been said to everybody.
import type { PartitionRun } from '../journal/frame.ts'

type SeqOf = (streamId: string, partition: number) => number

/** `prevSeq` is the seq before the first of `count` records. */
interface Held { prevSeq: number, lastSeq: number, count: number }

interface Segment {
  readonly segment: number
  readonly streams: Map<string, Map<number, Held>>
  /** The number of its last statement. */
  lastStatement: number
  events: number
  bytes: number
  /** No event in it has an earlier requestTime: the watermark when it began, milliseconds. */
  readonly startMs: number
}

export interface Backlog { readonly events: number, readonly bytes: number, /** Of the oldest segment that holds any; no later than its oldest event. */ readonly oldestMs: number | undefined }

export class SegmentIndex {
  #segments: Segment[] = []
  readonly #streamSegments = new Map<string, number>()

  get newest (): number | undefined { return this.#segments.at(-1)?.segment }

  /** Anything of the stream is in the journal. */
  hasStream (streamId: string): boolean { return this.#streamSegments.has(streamId) }

  begin (segment: number, startMs: number, statement: number): void {
    if (this.newest === segment) return
    this.#segments.push({ segment, streams: new Map(), lastStatement: statement, events: 0, bytes: 0, startMs })
  }

  /** A frame of events, or a part of what was lost. */
  addRun (streamId: string, { partition, prevSeq, lastSeq, count }: PartitionRun): void {
    const held = this.#held(streamId, partition, prevSeq)
    held.lastSeq = Math.max(held.lastSeq, lastSeq)
    held.count += count
  }

  addFrame ({ events, bytes }: { readonly events: number, readonly bytes: number }): void {
    const segment = this.#current
    segment.events += events
    segment.bytes += bytes
  }

  addStatement (streamId: string, statement: number): void {
    this.#current.lastStatement = statement
    this.#streamOf(streamId)
  }

  /**
   * Drops the oldest segments that nobody needs any more; never the newest one, which is being written.
   * @param statedUpTo the number of the last statement up to which all have been said
   * @returns the segment below which all may be recycled; undefined when nothing new may
   */
  trim (doneSeq: SeqOf, statedUpTo: number): number | undefined {
    let below: number | undefined
    for (;;) {
      const [oldest, second] = this.#segments
      if (oldest === undefined || second === undefined) return below
      if (oldest.lastStatement > statedUpTo || hasBeyond(oldest, doneSeq)) return below
      this.#segments.shift()
      for (const streamId of oldest.streams.keys()) this.#release(streamId)
      below = second.segment
    }
  }

  /** The first segment that holds something beyond `seqOf`; the newest one when none does. */
  firstBeyond (seqOf: SeqOf): number | undefined {
    return (this.#segments.find((segment) => hasBeyond(segment, seqOf)) ?? this.#segments.at(-1))?.segment
  }

  /** How much lies beyond `seqOf`; within a segment by its share of the seqs. */
  backlog (seqOf: SeqOf): Backlog {
    const sum = { events: 0, bytes: 0, oldestMs: undefined as number | undefined }
    for (const { streams, events, bytes, startMs } of this.#segments) {
      let beyond = 0
      for (const [streamId, partitions] of streams) {
        for (const [partition, { prevSeq, lastSeq, count }] of partitions) {
          const after = Math.max(seqOf(streamId, partition), prevSeq)
          if (after < lastSeq) beyond += Math.ceil(count * (lastSeq - after) / (lastSeq - prevSeq))
        }
      }
      if (beyond === 0) continue
      sum.oldestMs ??= startMs
      sum.events += beyond
      sum.bytes += events === 0 ? 0 : Math.round(bytes * beyond / events)
    }
    return sum
  }

  get #current (): Segment {
    const segment = this.#segments.at(-1)
    if (segment === undefined) throw new Error('no segment has begun')
    return segment
  }

  #streamOf (streamId: string): Map<number, Held> {
    const { streams } = this.#current
    let partitions = streams.get(streamId)
    if (partitions === undefined) {
      partitions = new Map()
      streams.set(streamId, partitions)
      this.#streamSegments.set(streamId, (this.#streamSegments.get(streamId) ?? 0) + 1)
    }
    return partitions
  }

  #held (streamId: string, partition: number, prevSeq: number): Held {
    const partitions = this.#streamOf(streamId)
    let held = partitions.get(partition)
    if (held === undefined) {
      held = { prevSeq, lastSeq: prevSeq, count: 0 }
      partitions.set(partition, held)
    }
    return held
  }

  #release (streamId: string): void {
    const segments = (this.#streamSegments.get(streamId) ?? 0) - 1
    if (segments > 0) this.#streamSegments.set(streamId, segments)
    else this.#streamSegments.delete(streamId)
  }
}

function hasBeyond ({ streams }: Segment, seqOf: SeqOf): boolean {
  for (const [streamId, partitions] of streams) {
    for (const [partition, { lastSeq }] of partitions) if (lastSeq > seqOf(streamId, partition)) return true
  }
  return false
}
