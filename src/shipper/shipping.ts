// The shipper without time, threads and network: what to read, what to send, what to send again, what to say, what may be
// recycled. Whoever drives it does the sends and tells how they went.
//
//   take the journal's events into lanes     `read`
//   send them, one send a lane at a time     `lanes`, Lane.next, `sent`, `failed`
//   hear what is counted and archived        `take`, `tick`
//   say marks and hours                      `nextStatements`, `said`, `notSaid`
//
// Nothing is trimmed because Kafka has acknowledged it: only what the aggregators have counted and archived, by their own
// record, and only when the marks beside it have been said.
import type { Disk } from '../journal/disk.ts'
import type { JournalState } from '../journal/memory.ts'
import { JournalReader } from '../journal/reader.ts'
import type { Logger } from '../platform/logger.ts'
import type { StreamProgress } from '../usage-log/usage-progress.ts'
import { Cursor } from './cursor.ts'
import type { CursorParts, CursorState } from './cursor.ts'
import { EventLines } from './event-lines.ts'
import { Lane, parcelsMax } from './lane.ts'
import type { LaneOptions, Parcel } from './lane.ts'
import type { ShippingOptions } from './options.ts'
import { Progress } from './progress.ts'
import { SegmentIndex } from './segment-index.ts'
import type { Backlog } from './segment-index.ts'
import { StallWatch } from './stall-watch.ts'
import { Statements } from './statements.ts'
import type { StatementBatch } from './statements.ts'
import { Survey } from './survey.ts'

export interface ShippingParts {
  readonly disk: Disk
  readonly folder: string
  readonly state: JournalState
  readonly log: Logger
}

const parcelBytesMin = 16 * 1024
/** Frames that one look ahead passes at most. */
const surveyFramesMax = 4096

export class Shipping {
  readonly index = new SegmentIndex()
  readonly progress = new Progress()
  readonly statements: Statements
  readonly survey: Survey
  /** By partition: those that streams of this journal have records for. */
  readonly lanes = new Map<number, Lane>()
  /** Times that acknowledged records were sent again: as a probe, or all of them. */
  probes = 0
  resends = 0
  readonly #parts: ShippingParts
  readonly #options: ShippingOptions
  readonly #readers: JournalReader[] = []
  readonly #cursorParts: Omit<CursorParts, 'reader'>
  readonly #front: Cursor
  readonly #watches = new Map<number, StallWatch>()
  #late: { readonly cursor: Cursor, readonly served: Map<Lane, number> } | undefined
  #lateReader: JournalReader | undefined
  #nowMs = 0
  #isSurveyed = false
  #isFrontAtEnd = false

  constructor (parts: ShippingParts, options: ShippingOptions) {
    this.#parts = parts
    this.#options = options
    this.statements = new Statements(parts.log)
    this.survey = new Survey({ reader: this.#openReader(), index: this.index, statements: this.statements, gatewayId: options.gatewayId })
    this.#cursorParts = { survey: this.survey, lines: new EventLines(), lanes: this.lanes, openLane: (partition) => this.#openLane(partition) }
    this.#front = new Cursor({ ...this.#cursorParts, reader: this.#openReader() }, { isServed: (lane) => !lane.isBehind, leave: (lane) => { lane.isBehind = true } })
  }

  /** The journal was read to its end once: what there is to say is known, and which partitions there are. */
  get isSurveyed (): boolean { return this.#isSurveyed }

  /** All that is durable has been acknowledged. */
  get isDrained (): boolean {
    if (!this.#isSurveyed || !this.#isFrontAtEnd) return false
    for (const lane of this.lanes.values()) if (lane.isBehind || !lane.isEmpty) return false
    return true
  }

  /** Reads a bounded part of what is new. @returns false when there is nothing more to do for now. @throws TollgateError JOURNAL_CORRUPT */
  read (nowMs: number): boolean {
    const isAtEnd = this.survey.read(surveyFramesMax)
    if (!this.#isSurveyed && !isAtEnd) return true
    this.#isSurveyed = true
    this.#nowMs = nowMs
    for (const partition of this.survey.takeNewPartitions()) if (!this.lanes.has(partition)) this.#openLane(partition)
    const front = this.#readFront(nowMs)
    this.#isFrontAtEnd = front === 'end'
    const late = this.#readLate(nowMs)
    return !isAtEnd || front === 'more' || late === 'more'
  }

  /** @returns false when the parcel was sent before its lane began anew */
  sent (lane: Lane, parcel: Parcel, nowMs: number): boolean {
    const { isProbing } = lane
    const isCurrent = lane.sent(parcel, nowMs)
    if (isCurrent && isProbing) for (const [streamId, seq] of parcel.lastSeqs) this.#watchOf(lane).probed(streamId, seq)
    return isCurrent
  }

  failed (lane: Lane, nowMs: number): void { lane.failed(nowMs) }

  /** What aggregators say; of streams that are not in this journal nothing is kept. */
  take (progress: readonly StreamProgress[]): void {
    for (const said of progress) {
      if (!this.index.hasStream(said.streamId)) continue
      const lane = this.lanes.get(said.partition)
      const before = this.progress.wantedAfter(said.streamId, said.partition)
      this.progress.take(said)
      // What was not wanted so far may never have been sent from here.
      if (lane !== undefined && this.progress.wantedAfter(said.streamId, said.partition) < before) lane.isBehind = true
    }
    this.trim()
  }

  /** About once a second: looks for what stays uncounted. */
  tick (nowMs: number): void {
    for (const lane of this.lanes.values()) {
      const verdicts = [...new Set([...lane.streamIds, ...this.progress.streamIds])].map((streamId) => this.#watchOf(lane).look(streamId, {
        sentSeq: lane.acknowledged(streamId), wantedAfter: this.progress.wantedAfter(streamId, lane.partition), isGap: this.progress.hasGap(streamId, lane.partition)
      }, nowMs))
      if (verdicts.includes('resend')) this.#resend(lane)
      else if (verdicts.includes('probe') && !lane.isProbing) this.#probe(lane)
    }
  }

  /** @param mayEnd false: our own stream's end is not said yet */
  nextStatements (mayEnd: boolean): StatementBatch | undefined {
    if (!this.#isSurveyed) return undefined
    const batch = this.statements.next(this.survey.statementCount, mayEnd)
    if (batch === undefined) this.trim()
    return batch
  }

  said (batch: StatementBatch): void {
    this.statements.acknowledged(batch)
    this.trim()
  }

  notSaid (batch: StatementBatch): void { this.statements.failed(batch) }

  /** Lets the journal recycle what is counted and archived, and said. */
  trim (): void {
    const below = this.index.trim((streamId, partition) => this.progress.done(streamId, partition), this.statements.saidUpTo)
    if (below === undefined) return
    this.#parts.state.trimBelow = below
    const isKept = (streamId: string): boolean => this.index.hasStream(streamId)
    this.survey.trimmed(below)
    this.statements.keepOnly(isKept)
    this.progress.keepOnly(isKept)
    for (const lane of this.lanes.values()) lane.forget(isKept)
    for (const watch of this.#watches.values()) watch.keepOnly(isKept)
  }

  /** What waits: not acknowledged, not counted, not archived; each includes the one before. */
  backlogs (): { readonly unsent: Backlog, readonly uncounted: Backlog, readonly unarchived: Backlog } {
    return {
      unsent: this.index.backlog((streamId, partition) => this.lanes.get(partition)?.acknowledged(streamId) ?? 0),
      uncounted: this.index.backlog((streamId, partition) => this.progress.applied(streamId, partition)),
      unarchived: this.index.backlog((streamId, partition) => this.progress.done(streamId, partition))
    }
  }

  close (): void { for (const reader of this.#readers) reader.close() }

  #readFront (nowMs: number): CursorState {
    if (this.lanes.size > 0 && [...this.lanes.values()].every((lane) => !lane.isUp)) return 'waiting'
    return this.#front.read(this.#options.readBytesMax, nowMs)
  }

  /** Another pass for the lanes that were left, from where the first of them goes on. */
  #readLate (nowMs: number): CursorState {
    this.#late ??= this.#beginLate()
    const late = this.#late
    if (late === undefined) return 'end'
    const state = late.cursor.read(this.#options.readBytesMax, nowMs)
    if (state !== 'end' && late.served.size > 0) return state
    for (const [lane, turn] of late.served) if (turn === lane.turn) lane.caughtUp()
    this.#late = undefined
    return 'more'
  }

  #beginLate (): { readonly cursor: Cursor, readonly served: Map<Lane, number> } | undefined {
    const served = new Map<Lane, number>()
    for (const lane of this.lanes.values()) if (lane.isBehind && lane.isUp && lane.hasRoom()) served.set(lane, lane.turn)
    if (served.size === 0) return undefined
    const segment = this.index.firstBeyond((streamId, partition) => {
      const lane = this.lanes.get(partition)
      return lane !== undefined && served.has(lane) ? lane.known(streamId) : Infinity
    })
    const reader = this.#lateReader ??= this.#openReader()
    reader.rewind(segment)
    const cursor = new Cursor({ ...this.#cursorParts, reader }, { isServed: (lane) => served.get(lane) === lane.turn, leave: (lane) => { served.delete(lane) } })
    return { cursor, served }
  }

  #openLane (partition: number): Lane {
    const lane = new Lane(partition, this.#laneOptions, this.progress, this.#nowMs)
    this.lanes.set(partition, lane)
    return lane
  }

  get #laneOptions (): LaneOptions {
    const { bufferBytesMax, partitions, parcelBytesMax, parcelRecordsMax, patienceMs } = this.#options
    const shareBytes = Math.floor(bufferBytesMax / (parcelsMax * partitions))
    return { parcelRecordsMax, parcelBytesMax: Math.min(parcelBytesMax, Math.max(shareBytes, parcelBytesMin)), patienceMs }
  }

  #resend (lane: Lane): void {
    this.resends++
    lane.restart()
    this.#parts.log.warn({ partition: lane.partition }, 'events that Kafka has acknowledged are missing: they are sent again')
  }

  #probe (lane: Lane): void {
    this.probes++
    lane.probe()
    this.#parts.log.warn({ partition: lane.partition }, 'events that Kafka has acknowledged stay uncounted: some are sent again, to see whether they are lost or nobody counts')
  }

  #watchOf ({ partition }: Lane): StallWatch {
    let watch = this.#watches.get(partition)
    if (watch === undefined) {
      watch = new StallWatch(this.#options.resendAfterMs)
      this.#watches.set(partition, watch)
    }
    return watch
  }

  #openReader (): JournalReader {
    const reader = new JournalReader(this.#parts)
    this.#readers.push(reader)
    return reader
  }
}
