// Records into Kafka's record batch (format 2), zstd. Written here, and not by the library, because a batch must be made
// once and sent again byte by byte, and because its size must be known before it is sent.
import { zstdCompressSync } from 'node:zlib'
import { crc32c } from '@platformatic/kafka'
import { TollgateError } from '../domain/errors.ts'
import type { RecordOut } from './port.ts'
import { varintBytes, writeVarint } from './varint.ts'

/** Kafka's own default bound is 1,048,588 with the head; ours counts before compression, so it holds in any case. */
export const batchBytesMax = 900_000
export const recordBytesMax = 1_000_000
const batchRecordsMax = 20_000

export const batchHeadBytes = 61
const attributeZstd = 4
const attributeTransactional = 0x10
/** Sequence numbers go from 0 to 2^31 - 1 and begin again, as Java's client has them. */
const sequences = 2 ** 31

export interface BatchIdentity { readonly producerId: bigint, readonly producerEpoch: number, readonly sequence: number, readonly isTransactional: boolean, readonly nowMs: number }

export function sequenceAfter (sequence: number, records: number): number { return (sequence + records) % sequences }

/** Splits into what goes into one request each. @throws TollgateError KAFKA_REFUSED for a record that no topic takes */
export function batchesOf (records: readonly RecordOut[]): (readonly RecordOut[])[] {
  const batches: (readonly RecordOut[])[] = []
  let from = 0
  let bytes = 0
  for (let i = 0; i < records.length; i++) {
    const own = recordBytes(records[i] as RecordOut, i - from)
    if (own > recordBytesMax) throw new TollgateError('KAFKA_REFUSED', `a record of ${own} bytes with the key ${JSON.stringify((records[i] as RecordOut).key.slice(0, 100))}: ${recordBytesMax} are the most`)
    if (i > from && (bytes + own > batchBytesMax || i - from >= batchRecordsMax)) {
      batches.push(records.slice(from, i))
      from = i
      bytes = 0
    }
    bytes += own
  }
  if (records.length > from) batches.push(records.slice(from))
  return batches
}

export function encodeBatch (records: readonly RecordOut[], identity: BatchIdentity): Buffer {
  const plain = encodeRecords(records)
  const compressed = zstdCompressSync(plain)
  const isSmaller = compressed.length < plain.length
  const body = isSmaller ? compressed : plain
  const batch = Buffer.allocUnsafe(batchHeadBytes + body.length)
  batch.writeBigInt64BE(0n, 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch.writeInt8(2, 16)
  batch.writeInt16BE((isSmaller ? attributeZstd : 0) | (identity.isTransactional ? attributeTransactional : 0), 21)
  batch.writeInt32BE(records.length - 1, 23)
  batch.writeBigInt64BE(BigInt(identity.nowMs), 27)
  batch.writeBigInt64BE(BigInt(identity.nowMs), 35)
  batch.writeBigInt64BE(identity.producerId, 43)
  batch.writeInt16BE(identity.producerEpoch, 51)
  batch.writeInt32BE(identity.sequence, 53)
  batch.writeInt32BE(records.length, 57)
  body.copy(batch, batchHeadBytes)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

function encodeRecords (records: readonly RecordOut[]): Buffer {
  let bytes = 0
  for (let i = 0; i < records.length; i++) bytes += recordBytes(records[i] as RecordOut, i)
  const buffer = Buffer.allocUnsafe(bytes)
  let position = 0
  for (let i = 0; i < records.length; i++) position = writeRecord(buffer, position, records[i] as RecordOut, i)
  return buffer.subarray(0, position)
}

function recordBytes (record: RecordOut, offsetDelta: number): number {
  const body = bodyBytes(record, offsetDelta)
  return varintBytes(body) + body
}

function bodyBytes ({ key, value, headers }: RecordOut, offsetDelta: number): number {
  // One byte of attributes and one for the difference in time, which is none within a batch.
  let bytes = 2 + varintBytes(offsetDelta) + textBytes(key) + (value === null ? 1 : textBytes(value))
  let count = 0
  for (const name in headers) {
    count++
    bytes += textBytes(name) + textBytes(headers[name] as string)
  }
  return bytes + varintBytes(count)
}

function textBytes (text: string | Buffer): number {
  const bytes = typeof text === 'string' ? Buffer.byteLength(text) : text.length
  return varintBytes(bytes) + bytes
}

function writeRecord (buffer: Buffer, start: number, record: RecordOut, offsetDelta: number): number {
  const { key, value, headers } = record
  let position = writeVarint(buffer, start, bodyBytes(record, offsetDelta))
  buffer[position++] = 0
  buffer[position++] = 0
  position = writeVarint(buffer, position, offsetDelta)
  position = writeText(buffer, position, key)
  position = value === null ? writeVarint(buffer, position, -1) : writeText(buffer, position, value)
  let count = 0
  for (const _ in headers) count++
  position = writeVarint(buffer, position, count)
  for (const name in headers) {
    position = writeText(buffer, position, name)
    position = writeText(buffer, position, headers[name] as string)
  }
  return position
}

function writeText (buffer: Buffer, start: number, text: string | Buffer): number {
  if (typeof text !== 'string') {
    const position = writeVarint(buffer, start, text.length)
    return position + text.copy(buffer, position)
  }
  const position = writeVarint(buffer, start, Buffer.byteLength(text))
  return position + buffer.write(text, position)
}
