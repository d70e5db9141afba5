// Reads frames of one segment through a window, for recovery and for the reader: both trust the same checks.
import { crc32 } from 'node:zlib'
import { alignedBuffer } from './disk.ts'
import type { DiskFile } from './disk.ts'
import { headerBytesFor, peekHeaderBytes, readFrameHeader } from './frame.ts'
import type { FrameHeader } from './frame.ts'

/** Reads start and end at multiples of it, whatever the disk's block. */
const readUnitBytes = 4096
const windowBytesMin = 1 << 20

/** The scanner's memory, handed from segment to segment. */
export class ScanWindow {
  bytes = alignedBuffer(windowBytesMin)
  /** Makes room for `bytes`, forgetting what was there. */
  grow (bytes: number): void { if (bytes > this.bytes.length) this.bytes = alignedBuffer(bytes) }
}

export class FrameScanner {
  readonly #file: DiskFile
  readonly #segment: number
  readonly #window: ScanWindow
  #start = 0
  #end = 0
  #limit: number

  /** @param limit bytes of the file that may be looked at */
  constructor (file: DiskFile, segment: number, limit: number, window: ScanWindow) {
    this.#file = file
    this.#segment = segment
    this.#limit = limit
    this.#window = window
  }

  get limit (): number { return this.#limit }

  /** More of the file may be looked at than before. What was read beyond the old limit is not trusted: it was not written yet. */
  extend (limit: number): void { this.#limit = limit }

  /** The header of the frame at `offset`, when there is a whole one whose CRC holds and that belongs there. */
  headerAt (offset: number): FrameHeader | undefined {
    const head = this.#bytesAt(offset, Math.min(headerBytesFor(1), this.#limit - offset))
    const headerBytes = head === undefined ? undefined : peekHeaderBytes(head)
    if (headerBytes === undefined) return undefined
    const bytes = this.#bytesAt(offset, headerBytes)
    if (bytes === undefined) return undefined
    const header = readFrameHeader(bytes, { segment: this.#segment, offset })
    return header !== undefined && headerBytes + header.bodyBytes <= header.spanBytes ? header : undefined
  }

  /** The body of a frame, when its CRC holds. Valid until the next call. */
  bodyOf (header: FrameHeader): Buffer | undefined {
    const body = this.#bytesAt(header.offset, header.headerBytes + header.bodyBytes)?.subarray(header.headerBytes)
    if (body === undefined) return undefined
    return crc32(body) === header.bodyCrc ? body : undefined
  }

  /** The next offset from `offset` on, at multiples of `blockBytes`, where a frame's header stands. */
  findHeader (offset: number, blockBytes: number): number | undefined {
    for (let at = offset; at < this.#limit; at += blockBytes) {
      if (this.headerAt(at) !== undefined) return at
    }
    return undefined
  }

  /** Undefined where the limit or the file ends before. */
  #bytesAt (offset: number, bytes: number): Buffer | undefined {
    if (bytes <= 0 || offset + bytes > this.#limit) return undefined
    if (offset < this.#start || offset + bytes > this.#end) this.#load(offset, bytes)
    if (offset + bytes > this.#end) return undefined
    return this.#window.bytes.subarray(offset - this.#start, offset - this.#start + bytes)
  }

  #load (offset: number, bytes: number): void {
    const start = Math.floor(offset / readUnitBytes) * readUnitBytes
    this.#window.grow(Math.ceil((offset + bytes - start) / readUnitBytes) * readUnitBytes)
    const wanted = Math.min(this.#window.bytes.length, Math.ceil((this.#limit - start) / readUnitBytes) * readUnitBytes)
    const got = this.#file.read(this.#window.bytes, wanted, start)
    this.#start = start
    this.#end = Math.min(start + got, this.#limit)
  }
}
