// The frame: what one group commit leaves in a segment. A header of fixed size for its stream, then a body. Numbers are
// little-endian. The page docs/journal-format.md is the reference, and a test reads its example with this code.
//
// A frame says where it stands (segment number and offset), so that bytes left over from a segment's earlier life, or
// written to a wrong place, are never taken for a part of the log. The magic's first byte occurs in no UTF-8 text, so no
// body can contain a header.
import { crc32 } from 'node:zlib'
import type { HourCount } from '../usage-log/port.ts'

/**
 * `events`: lines of JSON. `mark`: a statement about a stream. `closed`: its last mark after a clean stop. `continue`: a mark
 * that opens a segment and restates all hours in use. `open`: a stream begins. `void`: takes the place of what can't be read.
 */
export type FrameType = 'events' | 'mark' | 'closed' | 'continue' | 'open' | 'void'
const frameTypes: readonly FrameType[] = ['events', 'mark', 'closed', 'continue', 'open', 'void']

/** The frame's records of one partition: `prevSeq` is the seq before the first of them. */
export interface PartitionRun { readonly partition: number, readonly count: number, readonly prevSeq: number, readonly lastSeq: number }

export interface FrameHeader {
  readonly type: FrameType
  /** Where the body begins. */
  readonly headerBytes: number
  readonly segment: number
  /** Of the frame's first byte in its segment. */
  readonly offset: number
  /** From this frame's first byte to the next frame's. */
  readonly spanBytes: number
  readonly bodyBytes: number
  readonly bodyCrc: number
  readonly streamId: string
  /** events, void: the first seq. Others: the stream's last seq when it was written. */
  readonly firstSeq: number
  /** Records, seqs without gap from firstSeq; 0 in marks and open. */
  readonly count: number
  /** Bytes of the body that are refusals. */
  readonly refusedBytes: number
  readonly hours: readonly HourCount[]
  readonly runs: readonly PartitionRun[]
}

const magic = Buffer.from([0xff, 0x54, 0x47, 0x46])
const fixedBytes = 72
const hourBytes = 8
const runBytes = 24
const crcBytes = 4
const headerAlignment = 16

/** A batch that touches more hours than this goes into two frames. */
export const frameHoursMax = 3
/** Bounds a header at 24 KiB. */
export const partitionsMax = 1000

/** Where a frame's body begins, the same in every frame of a stream with so many partitions. */
export function headerBytesFor (partitions: number): number {
  const bytes = fixedBytes + frameHoursMax * hourBytes + partitions * runBytes + crcBytes
  return Math.ceil(bytes / headerAlignment) * headerAlignment
}

/** How many partitions the stream of an events frame has: its headers are all of one size, and no two numbers share one. */
export function partitionsOf ({ headerBytes }: Pick<FrameHeader, 'headerBytes'>): number {
  return Math.floor((headerBytes - fixedBytes - frameHoursMax * hourBytes - crcBytes) / runBytes)
}

/** The last seq that a frame of records holds. */
export function lastSeqOf (header: Pick<FrameHeader, 'firstSeq' | 'count'>): number { return header.firstSeq + header.count - 1 }

export function uuidBytes (uuid: string): Buffer { return Buffer.from(uuid.replaceAll('-', ''), 'hex') }

export function uuidText (bytes: Buffer, offset: number): string {
  const hex = bytes.toString('hex', offset, offset + 16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** 53-bit integers in eight bytes, without a BigInt. */
export function writeUint53 (buffer: Buffer, value: number, offset: number): void {
  buffer.writeUInt32LE(value % 2 ** 32, offset)
  buffer.writeUInt32LE(Math.floor(value / 2 ** 32), offset + 4)
}

export function readUint53 (buffer: Buffer, offset: number): number {
  return buffer.readUInt32LE(offset) + buffer.readUInt32LE(offset + 4) * 2 ** 32
}

/** Writes `header` into the first `headerBytes` of `buffer`. */
export function writeFrameHeader (buffer: Buffer, header: FrameHeader): void {
  const { headerBytes } = header
  if (header.hours.length > frameHoursMax || fixedBytes + frameHoursMax * hourBytes + header.runs.length * runBytes + crcBytes > headerBytes) throw new RangeError('frame header: more hours or partitions than it holds')
  buffer.fill(0, 0, headerBytes)
  magic.copy(buffer, 0)
  buffer.writeUInt8(frameTypes.indexOf(header.type), 4)
  buffer.writeUInt8(header.hours.length, 5)
  buffer.writeUInt16LE(header.runs.length, 6)
  buffer.writeUInt32LE(headerBytes, 8)
  buffer.writeUInt32LE(header.spanBytes, 12)
  writeUint53(buffer, header.segment, 16)
  buffer.writeUInt32LE(header.offset, 24)
  buffer.writeUInt32LE(header.bodyBytes, 28)
  uuidBytes(header.streamId).copy(buffer, 32)
  writeUint53(buffer, header.firstSeq, 48)
  writeUint53(buffer, header.count, 56)
  buffer.writeUInt32LE(header.refusedBytes, 64)
  buffer.writeUInt32LE(header.bodyCrc, 68)
  header.hours.forEach(({ hour, count }, index) => {
    buffer.writeUInt32LE(hour, fixedBytes + index * hourBytes)
    writeCount(buffer, count, fixedBytes + index * hourBytes + 4)
  })
  header.runs.forEach((run, index) => {
    const at = fixedBytes + frameHoursMax * hourBytes + index * runBytes
    buffer.writeUInt32LE(run.partition, at)
    writeCount(buffer, run.count, at + 4)
    writeUint53(buffer, run.prevSeq, at + 8)
    writeUint53(buffer, run.lastSeq, at + 16)
  })
  buffer.writeUInt32LE(crc32(buffer.subarray(0, headerBytes - crcBytes)), headerBytes - crcBytes)
}

/** A void may stand for more records than four bytes count; there the count is a floor, and `firstSeq` and `count` are exact. */
function writeCount (buffer: Buffer, count: number, offset: number): void {
  buffer.writeUInt32LE(Math.min(count, 0xffffffff), offset)
}

/** Bytes of the header that starts `bytes`, or undefined when none can: a first look, before its CRC is known to hold. */
export function peekHeaderBytes (bytes: Buffer): number | undefined {
  if (bytes.length < fixedBytes || magic.compare(bytes, 0, magic.length) !== 0) return undefined
  const headerBytes = bytes.readUInt32LE(8)
  return headerBytes >= headerBytesFor(1) && headerBytes <= headerBytesFor(partitionsMax) ? headerBytes : undefined
}

/** The header that starts `bytes`, when it is whole and stands where it says. */
export function readFrameHeader (bytes: Buffer, place: { readonly segment: number, readonly offset: number }): FrameHeader | undefined {
  const headerBytes = peekHeaderBytes(bytes)
  if (headerBytes === undefined || bytes.length < headerBytes) return undefined
  if (bytes.readUInt32LE(headerBytes - crcBytes) !== crc32(bytes.subarray(0, headerBytes - crcBytes))) return undefined
  const segment = readUint53(bytes, 16)
  const offset = bytes.readUInt32LE(24)
  const type = frameTypes[bytes.readUInt8(4)]
  if (segment !== place.segment || offset !== place.offset || type === undefined) return undefined
  const hours = Array.from({ length: bytes.readUInt8(5) }, (_, index) => ({
    hour: bytes.readUInt32LE(fixedBytes + index * hourBytes), count: bytes.readUInt32LE(fixedBytes + index * hourBytes + 4)
  }))
  const runs = Array.from({ length: bytes.readUInt16LE(6) }, (_, index) => {
    const at = fixedBytes + frameHoursMax * hourBytes + index * runBytes
    return { partition: bytes.readUInt32LE(at), count: bytes.readUInt32LE(at + 4), prevSeq: readUint53(bytes, at + 8), lastSeq: readUint53(bytes, at + 16) }
  })
  return {
    type, headerBytes, segment, offset, hours, runs,
    spanBytes: bytes.readUInt32LE(12), bodyBytes: bytes.readUInt32LE(28), bodyCrc: bytes.readUInt32LE(68),
    streamId: uuidText(bytes, 32), firstSeq: readUint53(bytes, 48), count: readUint53(bytes, 56), refusedBytes: bytes.readUInt32LE(64)
  }
}
