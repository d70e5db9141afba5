// Reads the journal while it is being written, in another thread, with file handles of its own. It never looks beyond what the
// journal has published as durable, and it starts at the oldest segment that is kept: no position outlives it.
//
// A frame below that end that can't be read is damage. Reading then stops with an error, each time again: the next start of
// the program mends it, with the journal at rest.
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { FrameHeader } from './frame.ts'
import { firstFrame } from './inventory.ts'
import type { JournalState, LogPosition } from './memory.ts'
import { FrameScanner, ScanWindow } from './scanner.ts'
import { readSegmentHeader, segmentName } from './segment.ts'
import type { SegmentHeader } from './segment.ts'

const headerReadBytes = 4096

export interface JournalReaderParts {
  readonly disk: Disk
  readonly folder: string
  readonly state: JournalState
}

/** One frame. `body` is undefined where it was skipped, and valid until the next call else. */
export interface Frame { readonly header: FrameHeader, readonly body: Buffer | undefined }

interface OpenSegment {
  readonly segment: number
  readonly file: DiskFile
  readonly scanner: FrameScanner
  offset: number
  /** Where its frames end for good; undefined while the journal writes to it. */
  end: number | undefined
}

export class JournalReader {
  readonly #parts: JournalReaderParts
  readonly #window = new ScanWindow()
  readonly #peekWindow = new ScanWindow()
  #current: OpenSegment | undefined
  /** The segments after the current one, next one first, each with where the one before it ended. */
  #following: { readonly segment: number, readonly previous: LogPosition }[] = []
  #start = 0

  constructor (parts: JournalReaderParts) { this.#parts = parts }

  /** The segment that is being read; undefined before the first frame. */
  get segment (): number | undefined { return this.#current?.segment }

  /** Durable bytes of the current segment that have not been read. */
  get waitingBytes (): number {
    const current = this.#current
    return current === undefined ? 0 : Math.max(this.#limitOf(current) - current.offset, 0)
  }

  /**
   * The next frame, or undefined when nothing more is durable.
   * @param isWanted false: the frame's body is neither read nor checked
   * @throws TollgateError JOURNAL_CORRUPT
   */
  next (isWanted: (header: FrameHeader) => boolean): Frame | undefined {
    for (;;) {
      const current = this.#current ?? this.#open(Math.max(this.#parts.state.oldestSegment, this.#start))
      if (current === undefined) return undefined
      const limit = this.#limitOf(current)
      if (current.offset < limit) {
        const frame = this.#frameAt(current, limit, isWanted)
        if (frame !== undefined) {
          current.offset += frame.header.spanBytes
          return frame
        }
      } else {
        if (current.end === undefined) return undefined
        if (this.#goOn()) continue
      }
      // Recycled while it was read: what it held is counted and archived, and the oldest segment that is kept comes next.
      if (current.segment >= this.#parts.state.oldestSegment) throw this.#damage(current)
      this.rewind()
    }
  }

  /**
   * Starts again from the oldest segment that is kept.
   * @param segment from this one instead, which a frame was read of; from the oldest one all the same where it has been recycled
   */
  rewind (segment = 0): void {
    this.#current?.file.close()
    this.#current = undefined
    this.#following = []
    this.#start = segment
  }

  close (): void { this.rewind() }

  #frameAt (current: OpenSegment, limit: number, isWanted: (header: FrameHeader) => boolean): Frame | undefined {
    current.scanner.extend(limit)
    const header = current.scanner.headerAt(current.offset)
    if (header === undefined || current.offset + header.spanBytes > limit) return undefined
    if (!isWanted(header)) return { header, body: undefined }
    const body = current.scanner.bodyOf(header)
    return body === undefined ? undefined : { header, body }
  }

  #limitOf (current: OpenSegment): number {
    if (current.end === undefined) {
      const end = this.#parts.state.durableEnd
      if (end.segment === current.segment) return end.offset
      this.#findFollowing(current.segment, end.segment)
      current.end = this.#following[0]?.previous.offset ?? current.offset
    }
    return current.end
  }

  /** From the segment that is being written back to `segment`, by what each says of the one before. */
  #findFollowing (segment: number, newest: number): void {
    this.#following = []
    for (let at = newest; at > segment;) {
      const previous = this.#previousOf(at)
      if (previous === undefined) break
      this.#following.unshift({ segment: at, previous })
      at = previous.segment
    }
    if (this.#following[0]?.previous.segment !== segment) this.#following = []
  }

  #previousOf (segment: number): LogPosition | undefined {
    const file = this.#openFile(segment)
    if (file === undefined) return undefined
    try {
      const header = this.#headerOf(file, segment)
      const scanner = new FrameScanner(file, segment, file.sizeBytes(), this.#peekWindow)
      return header === undefined ? undefined : firstFrame(scanner, header.blockBytes)?.body.previous
    } finally { file.close() }
  }

  /** @returns false when nothing says which segment follows, or it can't be opened */
  #goOn (): boolean {
    const next = this.#following.shift()
    if (next === undefined) return false
    const following = this.#following
    this.rewind()
    const opened = this.#open(next.segment)
    if (opened === undefined) return false
    this.#following = following
    opened.end = following[0]?.previous.offset
    return true
  }

  #open (segment: number): OpenSegment | undefined {
    const file = segment === 0 ? undefined : this.#openFile(segment)
    if (file === undefined) return undefined
    const header = this.#headerOf(file, segment)
    if (header === undefined) {
      file.close()
      if (segment < this.#parts.state.oldestSegment) return undefined
      throw this.#damage({ segment, offset: 0 })
    }
    this.#current = { segment, file, scanner: new FrameScanner(file, segment, header.blockBytes, this.#window), offset: header.blockBytes, end: undefined }
    return this.#current
  }

  /** Undefined when the file is no longer this segment, or its header can't be read. */
  #headerOf (file: DiskFile, segment: number): SegmentHeader | undefined {
    const { bytes } = this.#peekWindow
    const header = readSegmentHeader(bytes.subarray(0, file.read(bytes, headerReadBytes, 0)))
    return header?.segment === segment ? header : undefined
  }

  /** Undefined when it was recycled: the journal says so before it touches the file. */
  #openFile (segment: number): DiskFile | undefined {
    try {
      return this.#parts.disk.open(path.join(this.#parts.folder, segmentName(segment)), 'read')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && segment < this.#parts.state.oldestSegment) return undefined
      throw error
    }
  }

  #damage ({ segment, offset }: LogPosition): TollgateError {
    return new TollgateError('JOURNAL_CORRUPT', `${path.join(this.#parts.folder, segmentName(segment))} can't be read at byte ${offset}: start the program again, it keeps these bytes in quarantine and declares their events void`)
  }
}
