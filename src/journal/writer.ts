// Puts frames together in one piece of aligned memory and appends them to the current segment.
import { crc32 } from 'node:zlib'
import { alignedBuffer } from './disk.ts'
import type { Batch } from './batch.ts'
import { headerBytesFor, writeFrameHeader } from './frame.ts'
import type { FrameType } from './frame.ts'
import type { SegmentStore } from './store.ts'
import type { Stream } from './stream.ts'

/** A mark restates at most so many bytes of hours and refusals; a segment must hold several of them. */
export const statementBytesMax = 64 * 1024

export class FrameWriter {
  readonly #store: SegmentStore
  readonly #blockBytes: number
  readonly #buffer: Buffer

  constructor (store: SegmentStore, options: { readonly blockBytes: number, readonly commitBytesMax: number }) {
    this.#store = store
    this.#blockBytes = options.blockBytes
    this.#buffer = alignedBuffer(Math.max(options.commitBytesMax, statementBytesMax) + headerBytesFor(1000) + options.blockBytes)
  }

  /** Where a batch of `stream` may put its events: at most `bytesMax`, and no more than the segment still holds. */
  bodyOf (stream: Stream, bytesMax: number): Buffer {
    const headerBytes = headerBytesFor(stream.partitions)
    return this.#buffer.subarray(headerBytes, headerBytes + Math.min(bytesMax, this.#store.rest - headerBytes))
  }

  /** Appends the batch that was filled into `bodyOf`. @returns bytes written */
  writeEvents (stream: Stream, batch: Batch): number {
    return this.#write({
      type: 'events', streamId: stream.streamId, partitions: stream.partitions, firstSeq: stream.lastSeq + 1, count: batch.count,
      bodyBytes: batch.bodyBytes, refusedBytes: batch.refusedBytes, hours: batch.hours, runs: batch.runs
    })
  }

  /** Bytes that a statement takes. */
  statementBytes (body: object): number { return this.#spanBytes(headerBytesFor(1), Buffer.byteLength(JSON.stringify(body))) }

  /** Appends a frame that holds no events. @returns bytes written */
  writeStatement (type: FrameType, subject: { readonly streamId: string, readonly lastSeq: number }, body: object): number {
    const headerBytes = headerBytesFor(1)
    const json = JSON.stringify(body)
    const bodyBytes = Buffer.byteLength(json)
    if (bodyBytes > this.#buffer.length - headerBytes - this.#blockBytes) throw new RangeError(`a ${type} of ${bodyBytes} bytes`)
    this.#buffer.write(json, headerBytes)
    return this.#write({
      type, streamId: subject.streamId, partitions: 1, firstSeq: subject.lastSeq, count: 0, bodyBytes, refusedBytes: 0, hours: [], runs: []
    })
  }

  #write ({ partitions, ...frame }: Omit<Parameters<typeof writeFrameHeader>[1], 'segment' | 'offset' | 'spanBytes' | 'bodyCrc' | 'headerBytes'> & { readonly partitions: number }): number {
    const position = this.#store.position
    if (position === undefined) throw new Error('no segment to write to')
    const headerBytes = headerBytesFor(partitions)
    const end = headerBytes + frame.bodyBytes
    const spanBytes = this.#spanBytes(headerBytes, frame.bodyBytes)
    const bodyCrc = crc32(this.#buffer.subarray(headerBytes, end))
    writeFrameHeader(this.#buffer, { ...frame, ...position, headerBytes, spanBytes, bodyCrc })
    this.#buffer.fill(0, end, spanBytes)
    this.#store.append(this.#buffer, spanBytes, frame.refusedBytes)
    return spanBytes
  }

  #spanBytes (headerBytes: number, bodyBytes: number): number {
    return Math.ceil((headerBytes + bodyBytes) / this.#blockBytes) * this.#blockBytes
  }
}
