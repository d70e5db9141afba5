// Reads the journal ahead of everything else: of events only the frames' headers, of statements all. So what a gateway says
// of itself (its hello first) never waits behind a backlog of events, and there is an index of what lies where.
//
// It also works out what was lost where a void's own frame can't say in which partitions: it has seen each partition's chain
// before the void, and the first record behind it names the one before. Voids are written when a journal is opened, for
// streams that have ended: a survey that has reached the journal's end has seen all that is to be seen of them.
import type { FrameHeader, PartitionRun } from '../journal/frame.ts'
import { lastSeqOf } from '../journal/frame.ts'
import type { JournalReader } from '../journal/reader.ts'
import { hourMark } from '../journal/statement.ts'
import type { MarkBody, OpenBody, VoidBody } from '../journal/statement.ts'
import { voidHours } from '../journal/voids.ts'
import { dealOutHours } from '../usage-log/kafka-event-record.ts'
import type { HourCount } from '../usage-log/port.ts'
import type { SegmentIndex } from './segment-index.ts'
import { SeqTable } from './seq-table.ts'
import type { Statements } from './statements.ts'

/** What one partition lost: it takes the place of its records after `prevSeq` up to `seq`. */
export interface LostRun {
  readonly streamId: string
  readonly gatewayId: string
  readonly partition: number
  /** Undefined where nothing before the void is in the journal any more: then it follows what is counted. */
  readonly prevSeq: number | undefined
  readonly seq: number
  readonly reason: string
  readonly hours: readonly HourCount[]
  readonly isHoursUncertain: boolean
}

/** One that is not settled until a later record of its partition, or the end of its stream, is seen. */
interface OpenRun extends LostRun { seq: number }

export interface SurveyParts {
  readonly reader: JournalReader
  readonly index: SegmentIndex
  readonly statements: Statements
  /** For what was lost where nothing says whose it was: the journal is this gateway's. */
  readonly gatewayId: string
}

export class Survey {
  /** The last seq of each stream and partition. */
  readonly lastSeqs = new SeqTable()
  /** Statements so far. */
  statementCount = 0
  /** Events and bytes of frames so far. */
  eventCount = 0
  byteCount = 0
  readonly #parts: SurveyParts
  readonly #lost = new Map<string, readonly LostRun[]>()
  readonly #openRuns = new Map<string, OpenRun[]>()
  readonly #partitions = new Set<number>()
  readonly #newPartitions: number[] = []
  #watermarkMs = 0

  constructor (parts: SurveyParts) { this.#parts = parts }

  /** Reads up to `framesMax` frames. @returns whether the journal's end was reached. @throws TollgateError JOURNAL_CORRUPT */
  read (framesMax: number): boolean {
    for (let frames = 0; frames < framesMax; frames++) {
      const frame = this.#parts.reader.next((header) => header.type !== 'events')
      if (frame === undefined) return true
      this.#take(frame.header, frame.body)
    }
    return false
  }

  /** Partitions that have records and were not named before. */
  takeNewPartitions (): number[] { return this.#newPartitions.splice(0) }

  /** What a void frame stands for, by partition; none where only a statement was lost. */
  lostIn (header: Pick<FrameHeader, 'segment' | 'offset'>): readonly LostRun[] { return this.#lost.get(placeOf(header)) ?? [] }

  /** Forgets what stood in segments below, and streams that are no longer in the journal. */
  trimmed (below: number): void {
    for (const place of this.#lost.keys()) if (Number(place.split(':')[0]) < below) this.#lost.delete(place)
    const { index } = this.#parts
    this.lastSeqs.keepOnly((streamId) => index.hasStream(streamId))
    for (const streamId of this.#openRuns.keys()) if (!index.hasStream(streamId)) this.#openRuns.delete(streamId)
  }

  #take (header: FrameHeader, body: Buffer | undefined): void {
    const { index } = this.#parts
    index.begin(header.segment, this.#watermarkMs, this.statementCount)
    this.byteCount += header.spanBytes
    this.eventCount += header.count
    index.addFrame({ events: header.count, bytes: header.spanBytes })
    if (header.type === 'events') this.#takeEvents(header)
    else this.#takeStatement(header, JSON.parse((body as Buffer).toString()))
  }

  #takeEvents (header: FrameHeader): void {
    const { streamId } = header
    const openRuns = this.#openRuns.get(streamId)
    for (const run of header.runs) {
      this.#add(streamId, run)
      if (openRuns === undefined) continue
      for (const lost of openRuns) if (lost.partition === run.partition) lost.seq = Math.min(lost.seq, run.prevSeq)
      this.#openRuns.set(streamId, openRuns.filter(({ partition }) => partition !== run.partition))
    }
  }

  #takeStatement (header: FrameHeader, body: unknown): void {
    this.statementCount++
    switch (header.type) {
      case 'void': this.#takeVoid(header, body as VoidBody); break
      // A stream is known from its beginning: its gateway's hours are not complete before it has said so.
      case 'open': this.#takeMark(header, { ...(body as OpenBody), state: 'open', hours: [] }); break
      case 'mark': case 'closed': case 'continue': this.#takeMark(header, body as MarkBody); break
      case 'events': break
    }
  }

  #takeMark (header: FrameHeader, { gatewayId, watermarkMs, state, hours }: Pick<MarkBody, 'gatewayId' | 'watermarkMs' | 'state' | 'hours'>): void {
    const { streamId, firstSeq } = header
    const { index, statements } = this.#parts
    this.#watermarkMs = Math.max(this.#watermarkMs, watermarkMs)
    index.addStatement(streamId, this.statementCount)
    statements.take({ streamId, gatewayId, seq: firstSeq, watermarkMs, state, lastSeqs: this.lastSeqs.of(streamId) }, hours.map(hourMark))
    if (header.type === 'open' || header.type === 'continue') statements.began(streamId)
  }

  #takeVoid (header: FrameHeader, body: VoidBody): void {
    if (header.count === 0) return
    const { streamId } = header
    const lost = header.runs.length > 0 ? this.#knownRuns(header, body) : this.#unknownRuns(header, body)
    this.#lost.set(placeOf(header), lost)
    for (const { partition, prevSeq, seq } of lost) {
      const run = header.runs.find((known) => known.partition === partition) ?? { partition, prevSeq: prevSeq ?? header.firstSeq - 1, lastSeq: seq, count: 0 }
      this.#add(streamId, { ...run, lastSeq: seq })
    }
  }

  #add (streamId: string, run: PartitionRun): void {
    this.#parts.index.addRun(streamId, run)
    this.lastSeqs.set(streamId, run.partition, run.lastSeq)
    if (this.#partitions.has(run.partition)) return
    this.#partitions.add(run.partition)
    this.#newPartitions.push(run.partition)
  }

  #knownRuns ({ streamId, runs }: FrameHeader, body: VoidBody): LostRun[] {
    const { hours, isUncertain } = voidHours(body)
    // Hours that are only named have no counts to deal out: each partition names them.
    const dealt = isUncertain ? runs.map(() => hours) : dealOutHours(hours, runs.map(({ count }) => count))
    return runs.map(({ partition, prevSeq, lastSeq }, index) => ({
      streamId, gatewayId: this.#gatewayOf(body), partition, prevSeq, seq: lastSeq, reason: body.reason, hours: dealt[index] ?? [], isHoursUncertain: isUncertain
    }))
  }

  #unknownRuns (header: FrameHeader, body: VoidBody): LostRun[] {
    const { streamId } = header
    const { hours, isUncertain } = voidHours(body)
    const lost = Array.from({ length: body.partitions ?? 1 }, (_, partition): OpenRun => {
      const before = this.lastSeqs.get(streamId, partition)
      return {
        streamId, gatewayId: this.#gatewayOf(body), partition, prevSeq: before === 0 ? undefined : before, seq: lastSeqOf(header), reason: body.reason, hours, isHoursUncertain: isUncertain
      }
    })
    this.#openRuns.set(streamId, [...(this.#openRuns.get(streamId) ?? []), ...lost])
    return lost
  }

  #gatewayOf ({ gatewayId }: VoidBody): string { return gatewayId === '' ? this.#parts.gatewayId : gatewayId }
}

function placeOf ({ segment, offset }: Pick<FrameHeader, 'segment' | 'offset'>): string { return `${segment}:${offset}` }
