// The journal's log of frames: the stream that is being written and the segments it goes into. Every method that writes
// either returns with the frame durable and published, or throws; after a throw only `reopen` and `close` may be called.
import { TollgateError } from '../domain/errors.ts'
import { crashPoint } from '../platform/crash-points.ts'
import type { HourMark } from '../usage-log/port.ts'
import type { Batch } from './batch.ts'
import type { Disk } from './disk.ts'
import type { JournalState, LogPosition } from './memory.ts'
import type { FrameType } from './frame.ts'
import { frameBytesFor } from './options.ts'
import type { JournalOptions } from './options.ts'
import type { RecoveredJournal } from './recovery.ts'
import { hourRow } from './statement.ts'
import type { MarkBody, OpenBody } from './statement.ts'
import { SegmentStore } from './store.ts'
import { Stream } from './stream.ts'
import { FrameWriter } from './writer.ts'

export interface LogParts {
  readonly disk: Disk
  readonly state: JournalState
  readonly newUuid: () => string
}

export class JournalLog {
  readonly store: SegmentStore
  readonly #options: JournalOptions
  readonly #state: JournalState
  readonly #newUuid: () => string
  readonly #journalId: string
  readonly #writer: FrameWriter
  readonly #frameBytesMin: number
  #stream: Stream

  /**
   * Ends the streams that a crash has left open, and begins a new one.
   * @throws TollgateError JOURNAL_NO_ROOM
   */
  constructor (options: JournalOptions, { disk, state, newUuid }: LogParts, recovered: RecoveredJournal) {
    this.#options = options
    this.#state = state
    this.#newUuid = newUuid
    this.#journalId = recovered.journalId
    this.#frameBytesMin = frameBytesFor(options, disk.blockBytes)
    this.store = new SegmentStore(disk, {
      folder: options.folder, journalId: recovered.journalId, segmentBytes: options.segmentBytes,
      segmentsMax: Math.floor(options.bytesMax / options.segmentBytes), diskFreeBytesMin: options.diskFreeBytesMin
    }, { ...recovered, tail: this.#usableTail(recovered, disk) })
    this.#writer = new FrameWriter(this.store, { blockBytes: disk.blockBytes, commitBytesMax: options.commitBytesMax })
    this.#stream = new Stream(newUuid(), options.partitions)
    try { this.#begin(recovered) } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      throw new TollgateError('JOURNAL_NO_ROOM', `${options.folder}: no room for a new stream`, { cause: error })
    }
  }

  get stream (): Stream { return this.#stream }

  /** Where the next batch may put its events; makes room for one at least. */
  batchBody (): Buffer {
    if (this.store.rest < this.#frameBytesMin) this.#roll()
    return this.#writer.bodyOf(this.#stream, this.#options.commitBytesMax)
  }

  /** @returns bytes written */
  writeEvents (batch: Batch): number {
    crashPoint('journal.before-write')
    const bytes = this.#writer.writeEvents(this.#stream, batch)
    crashPoint('journal.after-write')
    this.#stream.commit(batch)
    this.#publish()
    return bytes
  }

  /** States the hours that have changed. */
  writeMark ({ state, watermarkMs, refusals }: Pick<MarkBody, 'watermarkMs' | 'refusals'> & { readonly state: 'open' | 'closed' }): void {
    const body = this.#markBody({ state, watermarkMs, hours: this.#stream.hours('changed'), refusals })
    this.#makeRoomFor(body)
    this.#writer.writeStatement(state === 'closed' ? 'closed' : 'mark', this.#stream, body)
    this.#stream.markSaid()
    this.#publish()
  }

  /**
   * Begins a new segment and a new stream after a failure. The ended stream's last account goes into it.
   * @param carried answers by hour that the ended stream has not stated
   */
  reopen ({ hours, carried }: ReturnType<Stream['settleAccount']>): void {
    const ended = this.#stream
    const stream = new Stream(this.#newUuid(), this.#options.partitions)
    const watermarkMs = this.#state.durableMarkMs
    this.store.roll()
    const { streamId, lastSeq } = ended
    this.#writeFirst('open', stream, this.#openBody({ watermarkMs, previousStream: { streamId, lastSeq }, previous: this.#state.durableEnd }))
    this.#writeFirst('mark', ended, this.#markBody({ state: 'recovered', watermarkMs, hours }))
    for (const { hour, answered } of carried) stream.addAnswered(hour, answered)
    this.#stream = stream
    this.#publish()
  }

  close (): void { this.store.close() }

  #begin (recovered: RecoveredJournal): void {
    const { watermarkMs, lastStream, tail, unended } = recovered
    const isNewSegment = this.store.position === undefined
    if (isNewSegment) this.store.roll()
    this.#writer.writeStatement('open', this.#stream, this.#openBody({ watermarkMs, previousStream: lastStream, previous: isNewSegment ? tail : undefined }))
    for (const ended of unended) {
      const body: MarkBody = { ...this.#markBody({ state: 'recovered', watermarkMs, hours: ended.hours }), gatewayId: ended.gatewayId, partitions: ended.partitions }
      this.#makeRoomFor(body)
      this.#writer.writeStatement('mark', ended, body)
    }
    this.#state.oldestSegment = this.store.oldestSegment
    this.#publish()
  }

  /** The tail of the last segment, when it was made for the same disk and takes at least one more frame. */
  #usableTail ({ tail, tailSegment }: RecoveredJournal, disk: Disk): LogPosition | undefined {
    if (tail === undefined || tailSegment === undefined) return undefined
    const isSame = tailSegment.blockBytes === disk.blockBytes && tailSegment.segmentBytes === this.#options.segmentBytes
    return isSame && tail.offset + this.#frameBytesMin <= tailSegment.segmentBytes ? tail : undefined
  }

  #makeRoomFor (body: object): void {
    if (this.store.rest < this.#writer.statementBytes(body)) this.#roll()
  }

  /** Goes on in the next segment, which begins with where this one ended and with all hours in use: older marks may then go. */
  #roll (): void {
    const previous = this.store.position
    const watermarkMs = this.#state.durableMarkMs
    crashPoint('journal.before-roll')
    this.store.roll()
    this.#writeFirst('continue', this.#stream, this.#markBody({ state: 'open', watermarkMs, hours: this.#stream.hours('all'), previous }))
    this.#stream.allSaid(watermarkMs)
    this.#publish()
    crashPoint('journal.after-roll')
  }

  /** A segment whose first frames can't be written is no part of the log. */
  #writeFirst (type: FrameType, subject: Stream, body: object): void {
    try { this.#writer.writeStatement(type, subject, body) } catch (error) {
      this.store.abandonCurrent()
      throw error
    }
  }

  #openBody ({ watermarkMs, previousStream, previous }: { readonly watermarkMs: number, readonly previousStream: OpenBody['previousStream'], readonly previous: LogPosition | undefined }): OpenBody {
    const { gatewayId, build, partitions } = this.#options
    return {
      gatewayId, journalId: this.#journalId, build, partitions, watermarkMs,
      ...(previousStream === undefined ? {} : { previousStream }), ...(previous === undefined ? {} : { previous })
    }
  }

  #markBody ({ state, watermarkMs, hours, refusals, previous }: { readonly state: MarkBody['state'], readonly watermarkMs: number, readonly hours: readonly HourMark[], readonly refusals?: MarkBody['refusals'], readonly previous?: LogPosition | undefined }): MarkBody {
    const { gatewayId, partitions } = this.#options
    return {
      gatewayId, watermarkMs, state, partitions, hours: hours.map(hourRow),
      ...(refusals === undefined || refusals.length === 0 ? {} : { refusals }), ...(previous === undefined ? {} : { previous })
    }
  }

  #publish (): void {
    if (this.store.position !== undefined) this.#state.durableEnd = this.store.position
  }
}
