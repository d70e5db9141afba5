// One record batch (format 2) as a broker sends it: its head, and its records.
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { compressionsAlgorithms, crc32c } from '@platformatic/kafka'
import { batchHeadBytes } from './encode-batch.ts'
import { RequestFailure } from './failure.ts'
import type { RecordIn } from './port.ts'
import { VarintCursor } from './varint.ts'

/** A batch that becomes larger than this when it is unpacked isn't one of records. */
const plainBytesMax = 128 * 2 ** 20

export interface Batch {
  /** With the head. */
  readonly bytes: number
  readonly baseOffset: number
  /** Kept by compaction also where the record itself is gone. */
  readonly lastOffset: number
  readonly producerId: bigint
  readonly isTransactional: boolean
  /** The end of a transaction, not a record. */
  readonly isControl: boolean
}

/** @returns undefined at the end, and where the broker has cut a batch off because the answer was full */
export function batchAt (buffer: Buffer, position: number): Batch | undefined {
  if (buffer.length - position < batchHeadBytes) return undefined
  const bytes = 12 + buffer.readInt32BE(position + 8)
  if (buffer.length - position < bytes) return undefined
  const magic = buffer.readInt8(position + 16)
  if (magic !== 2) throw new RequestFailure('refused', `a batch of format ${magic}: only format 2 is read (Kafka 0.11 and newer)`)
  const attributes = buffer.readInt16BE(position + 21)
  const baseOffset = Number(buffer.readBigInt64BE(position))
  return {
    bytes,
    baseOffset,
    lastOffset: baseOffset + buffer.readInt32BE(position + 23),
    producerId: buffer.readBigInt64BE(position + 43),
    isTransactional: (attributes & 0x10) !== 0,
    isControl: (attributes & 0x20) !== 0
  }
}

export interface Unpacked { readonly records: RecordIn[], readonly memory: ArrayBufferLike[] }

/** Adds the batch's records from `fromOffset` on. @returns the bytes that they take in memory */
export function readBatch (buffer: Buffer, position: number, { batch, fromOffset, into }: { readonly batch: Batch, readonly fromOffset: number, readonly into: Unpacked }): number {
  const whole = buffer.subarray(position, position + batch.bytes)
  if (crc32c(whole.subarray(21)) !== whole.readUInt32BE(17)) throw new RequestFailure('again', `the checksum of the batch at offset ${batch.baseOffset} is wrong`, { brokerCode: 'CORRUPT_MESSAGE' })
  const attributes = whole.readInt16BE(21)
  const isAppendTime = (attributes & 0x08) !== 0
  const maxTimestampMs = Number(whole.readBigInt64BE(35))
  const baseTimestampMs = Number(whole.readBigInt64BE(27))
  const count = whole.readInt32BE(57)
  const plain = unpacked(whole.subarray(batchHeadBytes), attributes & 0x07, batch)
  // Small pieces share their memory with others, and what isn't compressed stands in the answer itself.
  if (plain.buffer !== buffer.buffer && plain.buffer.byteLength > Buffer.poolSize) into.memory.push(plain.buffer)
  const cursor = new VarintCursor(plain, 0)
  const memory = new TextMemory(plain)
  try {
    for (let i = 0; i < count; i++) {
      const bytes = cursor.next()
      const end = cursor.position + bytes
      cursor.position++
      const timestampDelta = cursor.next()
      const offset = batch.baseOffset + cursor.next()
      if (offset >= fromOffset) into.records.push(new Record(cursor, memory, offset, isAppendTime ? maxTimestampMs : baseTimestampMs + timestampDelta))
      cursor.position = end
    }
  } catch (error) {
    throw new RequestFailure('refused', `the batch at offset ${batch.baseOffset} can't be read: ${(error as Error).message}`, { cause: error })
  }
  return plain.length
}

/** Key and headers become text when they are asked for: most readers of most records want one of them at most. */
class Record implements RecordIn {
  readonly offset: number
  readonly timestampMs: number
  readonly value: Buffer | undefined
  readonly #buffer: Buffer
  readonly #memory: TextMemory
  readonly #keyStart: number
  readonly #keyBytes: number
  readonly #headersStart: number

  constructor (cursor: VarintCursor, memory: TextMemory, offset: number, timestampMs: number) {
    this.#memory = memory
    this.offset = offset
    this.timestampMs = timestampMs
    this.#buffer = cursor.buffer
    this.#keyBytes = cursor.next()
    this.#keyStart = cursor.position
    if (this.#keyBytes > 0) cursor.position += this.#keyBytes
    const valueBytes = cursor.next()
    this.value = valueBytes < 0 ? undefined : cursor.buffer.subarray(cursor.position, cursor.position + valueBytes)
    if (this.value !== undefined && this.value.length < valueBytes) throw new RangeError('a record ends in the middle')
    this.#headersStart = cursor.position + Math.max(0, valueBytes)
  }

  get key (): string | undefined { return this.#keyBytes < 0 ? undefined : this.#buffer.toString('utf8', this.#keyStart, this.#keyStart + this.#keyBytes) }

  get headers (): ReadonlyMap<string, string> {
    const headers = new Map<string, string>()
    const cursor = new VarintCursor(this.#buffer, this.#headersStart)
    const count = cursor.next()
    for (let place = 0; place < 2 * count; place += 2) {
      const name = this.#memory.text(place, cursor)
      headers.set(name, this.#memory.text(place + 1, cursor))
    }
    return headers
  }
}

/** Names and most values of a batch's headers are those of the record before: equal bytes give the same text, and no second one is made. */
class TextMemory {
  readonly #buffer: Buffer
  readonly #last: { start: number, text: string }[] = []

  constructor (buffer: Buffer) { this.#buffer = buffer }

  /** The text at the cursor, its length before it; the cursor goes behind it. @param place which of a record's texts it is */
  text (place: number, cursor: VarintCursor): string {
    const bytes = Math.max(0, cursor.next())
    const start = cursor.position
    cursor.position += bytes
    const last = this.#last[place]
    if (last !== undefined && this.#isEqual(last, start, bytes)) return last.text
    const text = this.#buffer.toString('utf8', start, start + bytes)
    if (last !== undefined) {
      last.start = start
      last.text = text
    } else if (place === this.#last.length && place < placesMax) this.#last.push({ start, text })
    return text
  }

  /** Texts of more than ASCII have more bytes than characters, and are made anew. */
  #isEqual (last: { readonly start: number, readonly text: string }, start: number, bytes: number): boolean {
    if (last.text.length !== bytes) return false
    for (let i = bytes - 1; i >= 0; i--) if (this.#buffer[last.start + i] !== this.#buffer[start + i]) return false
    return true
  }
}

const placesMax = 32

/** zlib unpacks piece by piece and puts the pieces together: one piece, as long as it will probably be, costs half as much. */
const pieceBytesMin = 16 * 1024
const pieceBytesMax = 1024 * 1024
const plainRatio = 10

function unpacked (body: Buffer, algorithm: number, { baseOffset }: Batch): Buffer {
  const bound = { maxOutputLength: plainBytesMax, chunkSize: Math.min(pieceBytesMax, Math.max(pieceBytesMin, body.length * plainRatio)) }
  try {
    switch (algorithm) {
      case 0: return body
      case 1: return gunzipSync(body, bound)
      case 2: return compressionsAlgorithms.snappy.decompressSync(body)
      case 3: return compressionsAlgorithms.lz4.decompressSync(body)
      case 4: return zstdDecompressSync(body, bound)
      default: throw new Error(`compression ${algorithm} isn't known`)
    }
  } catch (error) {
    throw new RequestFailure('refused', `the batch at offset ${baseOffset} can't be unpacked: ${(error as Error).message}`, { cause: error })
  }
}
