// The segment: a file of fixed size whose first block says what it is. The rest holds frames, one after the other, and
// then zeros or what is left of an earlier life.
import { crc32 } from 'node:zlib'
import { storeVersions } from '../platform/state-version.ts'
import { readUint53, uuidBytes, uuidText, writeUint53 } from './frame.ts'

export interface SegmentHeader {
  readonly version: number
  /** Frames start at multiples of it; the header takes one. */
  readonly blockBytes: number
  readonly segmentBytes: number
  /** The same in all segments of a journal, and in its copies. */
  readonly journalId: string
  /** Rises from segment to segment, never used twice in a journal. */
  readonly segment: number
}

export const segmentVersion = storeVersions.journal

const magic = Buffer.from([0xff, 0x54, 0x47, 0x53])
export const segmentHeaderBytes = 52
const crcOffset = 48

export function writeSegmentHeader (block: Buffer, header: SegmentHeader): void {
  block.fill(0)
  magic.copy(block, 0)
  block.writeUInt32LE(header.version, 4)
  block.writeUInt32LE(header.blockBytes, 8)
  writeUint53(block, header.segmentBytes, 16)
  writeUint53(block, header.segment, 24)
  uuidBytes(header.journalId).copy(block, 32)
  block.writeUInt32LE(crc32(block.subarray(0, crcOffset)), crcOffset)
}

/** Undefined when the block holds no whole header. */
export function readSegmentHeader (block: Buffer): SegmentHeader | undefined {
  if (block.length < segmentHeaderBytes || magic.compare(block, 0, magic.length) !== 0) return undefined
  if (block.readUInt32LE(crcOffset) !== crc32(block.subarray(0, crcOffset))) return undefined
  return {
    version: block.readUInt32LE(4), blockBytes: block.readUInt32LE(8), segmentBytes: readUint53(block, 16),
    segment: readUint53(block, 24), journalId: uuidText(block, 32)
  }
}

const suffix = '.segment'
const digits = 12

export function segmentName (segment: number): string { return String(segment).padStart(digits, '0') + suffix }

/** Holds nothing: made ahead, or recycled. */
export function freeName (index: number): string { return `free-${index}${suffix}` }

/** A segment that is being mended: of no worth until it replaces the one it was made from. */
export const mendName = 'mend.tmp'

/** What a file of the journal's folder is by its name. */
export function parseName (name: string): { readonly kind: 'segment', readonly segment: number } | { readonly kind: 'free', readonly index: number } | undefined {
  const used = /^(\d{12})\.segment$/.exec(name)
  if (used?.[1] !== undefined) return { kind: 'segment', segment: Number(used[1]) }
  const free = /^free-(\d+)\.segment$/.exec(name)
  if (free?.[1] !== undefined) return { kind: 'free', index: Number(free[1]) }
  return undefined
}
