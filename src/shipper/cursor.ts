// Reads events for lanes. One cursor walks at the front for all lanes that keep up; another comes from further back for those
// that don't, and ends when it reaches the end of the journal. Frames of which no lane wants anything are passed by their
// headers alone.
import type { FrameHeader } from '../journal/frame.ts'
import type { JournalReader } from '../journal/reader.ts'
import type { EventLine, EventLines } from './event-lines.ts'
import type { Lane } from './lane.ts'
import { SeqTable } from './seq-table.ts'
import type { LostRun, Survey } from './survey.ts'

export interface CursorParts {
  readonly reader: JournalReader
  readonly survey: Pick<Survey, 'lostIn'>
  readonly lines: EventLines
  readonly lanes: ReadonlyMap<number, Lane>
  /** Opens the lane of a partition that had no records before. */
  readonly openLane: (partition: number) => Lane
}

/** `waiting`: a lane that it serves is full. */
export type CursorState = 'more' | 'waiting' | 'end'

export class Cursor {
  readonly #parts: CursorParts
  /** Which lanes it reads for. */
  readonly #isServed: (lane: Lane) => boolean
  /** Leaves a lane that takes nothing: another cursor will come for it. */
  readonly #leave: (lane: Lane) => void
  /** What this cursor has passed, by stream and partition. */
  readonly #passed = new SeqTable()

  /** It begins where its reader stands: nothing that a lane it serves still wants may lie before. */
  constructor (parts: CursorParts, { isServed, leave }: { readonly isServed: (lane: Lane) => boolean, readonly leave: (lane: Lane) => void }) {
    this.#parts = parts
    this.#isServed = isServed
    this.#leave = leave
  }

  /** Reads about `bytesMax` of events. @throws TollgateError JOURNAL_CORRUPT */
  read (bytesMax: number, nowMs: number): CursorState {
    for (let bytes = 0; bytes < bytesMax;) {
      if (this.#mustWait(nowMs)) return 'waiting'
      const frame = this.#parts.reader.next((header) => this.#wants(header))
      if (frame === undefined) return 'end'
      const { header, body } = frame
      if (header.type === 'void') for (const lost of this.#parts.survey.lostIn(header)) this.#takeLost(lost)
      if (header.type !== 'events') continue
      if (body !== undefined) this.#takeEvents(header, body)
      bytes += body?.length ?? 0
      for (const { partition, lastSeq } of header.runs) this.#passed.set(header.streamId, partition, lastSeq)
    }
    return 'more'
  }

  /** A lane is full, or not open yet: the others wait with it, for a while. */
  #mustWait (nowMs: number): boolean {
    let mustWait = false
    for (const lane of this.#parts.lanes.values()) {
      if (!this.#isServed(lane)) continue
      const standing = lane.standing(nowMs)
      if (standing === 'left') this.#leave(lane)
      else if (standing === 'awaited') mustWait = true
    }
    return mustWait
  }

  #wants (header: FrameHeader): boolean {
    if (header.type !== 'events') return false
    let isWanted = false
    for (const run of header.runs) if (this.#laneFor(header.streamId, run) !== undefined) isWanted = true
    return isWanted
  }

  /** The lane that takes the run, if any does: one that lacks what comes before it is left. */
  #laneFor (streamId: string, { partition, prevSeq, lastSeq }: { readonly partition: number, readonly prevSeq: number, readonly lastSeq: number }): Lane | undefined {
    const lane = this.#parts.lanes.get(partition) ?? this.#parts.openLane(partition)
    if (!this.#isServed(lane)) return undefined
    const known = lane.known(streamId)
    if (lastSeq <= known) return undefined
    // The first of its partition that is in the journal at all: what came before is gone, and if it was not counted the aggregator reports the gap.
    if (prevSeq <= known || this.#passed.get(streamId, partition) === 0) return lane
    this.#leave(lane)
    return undefined
  }

  #takeEvents (header: FrameHeader, body: Buffer): void {
    const { streamId } = header
    const takers = new Map<number, { readonly lane: Lane, readonly known: number }>()
    for (const run of header.runs) {
      const lane = this.#laneFor(streamId, run)
      if (lane !== undefined) takers.set(run.partition, { lane, known: lane.known(streamId) })
    }
    this.#parts.lines.read(header, body, (line: EventLine) => {
      const taker = takers.get(line.partition)
      if (taker !== undefined && line.seq > taker.known) taker.lane.add(line, streamId, body)
    })
  }

  #takeLost (lost: LostRun): void {
    const { streamId, partition, seq } = lost
    const known = this.#parts.lanes.get(partition)?.known(streamId) ?? 0
    const prevSeq = lost.prevSeq ?? known
    if (seq > prevSeq) this.#laneFor(streamId, { partition, prevSeq, lastSeq: seq })?.addLost(lost, prevSeq)
    this.#passed.set(streamId, partition, seq)
  }
}
