// Puts something readable in the place of bytes that can't be read any more. The bytes are kept first, durably, in the
// folder quarantine/; then voids take their place, so that the chain goes on and the loss is counted and shown.
//
// A segment is mended in a copy that replaces it when it is whole: until then an interrupted recovery finds all that told
// of the damage again, such as a file that is too short.
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { TollgateError } from '../domain/errors.ts'
import { alignedBuffer } from './disk.ts'
import type { Disk, DiskFile } from './disk.ts'
import { headerBytesFor, writeFrameHeader } from './frame.ts'
import type { PartitionRun } from './frame.ts'
import type { LogPosition } from './memory.ts'
import { mendName, segmentName, writeSegmentHeader } from './segment.ts'
import type { SegmentHeader } from './segment.ts'
import type { VoidBody } from './statement.ts'

/** Bytes `from <= offset < to` of one segment, whole blocks. */
export interface Region { readonly from: number, readonly to: number }

export interface Void {
  readonly streamId: string
  readonly firstSeq: number
  readonly count: number
  readonly runs: readonly PartitionRun[]
  readonly body: VoidBody
}

const copyBytes = 1 << 20

export class Repair {
  readonly #disk: Disk
  readonly #folder: string
  /** Made when something has to be mended. */
  #memory: Buffer | undefined

  constructor (disk: Disk, folder: string) {
    this.#disk = disk
    this.#folder = folder
  }

  /**
   * Begins to mend a segment: a copy of it in full size.
   * @param isMissing there is nothing to copy
   */
  begin (header: SegmentHeader, isMissing: boolean): Mend {
    const name = path.join(this.#folder, mendName)
    const target = this.#disk.open(name, 'fill')
    const source = isMissing ? undefined : this.#disk.open(this.#path(header), 'read')
    for (let at = 0; at < header.segmentBytes; at += copyBytes) {
      const bytes = Math.min(copyBytes, header.segmentBytes - at)
      this.#buffer.fill(0)
      source?.read(this.#buffer, bytes, at)
      if (at === 0) writeSegmentHeader(this.#buffer.subarray(0, header.blockBytes), header)
      target.write(this.#buffer, bytes, at)
    }
    source?.close()
    return new Mend({ header, file: target, buffer: this.#buffer, finish: () => { this.#finish(target, header) } })
  }

  /** Copies what can still be read of the region. @returns the copy's path */
  quarantine (header: SegmentHeader, { from, to }: Region, source: DiskFile): string {
    const folder = path.join(this.#folder, 'quarantine')
    this.#disk.makeFolder(folder)
    const copy = path.join(folder, `${segmentName(header.segment)}-${from}-${to}.bytes`)
    const target = this.#disk.open(copy, 'fill')
    for (let at = from; at < to; at += copyBytes) {
      const bytes = Math.min(copyBytes, to - at)
      this.#buffer.fill(0)
      source.read(this.#buffer, bytes, at)
      target.write(this.#buffer, bytes, at - from)
    }
    target.sync()
    target.close()
    this.#disk.syncFolder(folder)
    return copy
  }

  /** What a killed program wrote may not have reached the disk yet, though it can be read: nothing may be built upon it before. */
  makeDurable (segment: number): void {
    const file = this.#disk.open(path.join(this.#folder, segmentName(segment)), 'fill')
    file.sync()
    file.close()
  }

  #finish (file: DiskFile, header: SegmentHeader): void {
    file.sync()
    file.close()
    this.#disk.rename(path.join(this.#folder, mendName), this.#path(header))
    this.#disk.syncFolder(this.#folder)
  }

  get #buffer (): Buffer { return this.#memory ??= alignedBuffer(copyBytes) }

  #path ({ segment }: SegmentHeader): string { return path.join(this.#folder, segmentName(segment)) }
}

interface MendParts { readonly header: SegmentHeader, readonly file: DiskFile, readonly buffer: Buffer, readonly finish: () => void }

/** A segment that is being mended. */
export class Mend {
  readonly file: DiskFile
  /** Puts it in the segment's place. */
  readonly finish: () => void
  readonly #header: SegmentHeader
  readonly #buffer: Buffer

  constructor ({ header, file, buffer, finish }: MendParts) {
    this.#header = header
    this.file = file
    this.#buffer = buffer
    this.finish = finish
  }

  /**
   * Writes `voids` into the region, the last one spanning what is left of it.
   * @param previous for a region that begins a segment: where the log stood before
   */
  replace (region: Region, voids: readonly Void[], previous: LogPosition | undefined): void {
    const { segment, blockBytes } = this.#header
    const regionBytes = region.to - region.from
    let end = 0
    voids.forEach((lost, index) => {
      const isLast = index === voids.length - 1
      const body = Buffer.from(JSON.stringify(index === 0 && previous !== undefined ? { ...lost.body, previous } : lost.body))
      const headerBytes = headerBytesFor(Math.max(lost.runs.length, 1))
      const ownBytes = Math.ceil((headerBytes + body.length) / blockBytes) * blockBytes
      if (end + ownBytes > Math.min(regionBytes, this.#buffer.length)) {
        throw new TollgateError('JOURNAL_CORRUPT', `${segmentName(segment)}, bytes ${region.from} to ${region.to}: what was lost there does not fit into its place`)
      }
      const frame = this.#buffer.subarray(end, end + ownBytes)
      frame.fill(0)
      body.copy(frame, headerBytes)
      writeFrameHeader(frame, {
        type: 'void', headerBytes, segment, offset: region.from + end, spanBytes: isLast ? regionBytes - end : ownBytes, streamId: lost.streamId,
        firstSeq: lost.firstSeq, count: lost.count, bodyBytes: body.length, bodyCrc: crc32(body), refusedBytes: 0, hours: [], runs: lost.runs
      })
      end += ownBytes
    })
    this.file.write(this.#buffer, end, region.from)
  }
}
