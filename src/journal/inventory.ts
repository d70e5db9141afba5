// What lies in a journal's folder, and which of it is the log. Segments are linked: the first frame of each says where the log
// stood before it, so that a segment which was begun and given up is not taken for a part, and a missing one is noticed.
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { newerStore } from '../platform/state-version.ts'
import type { Disk } from './disk.ts'
import type { FrameHeader } from './frame.ts'
import type { LogPosition } from './memory.ts'
import { FrameScanner } from './scanner.ts'
import type { ScanWindow } from './scanner.ts'
import { parseName, readSegmentHeader, segmentName, segmentVersion } from './segment.ts'
import type { SegmentHeader } from './segment.ts'
import type { Linked } from './statement.ts'

/** The first frame of a segment, with its body parsed. */
export interface FirstFrame { readonly header: FrameHeader, readonly body: Linked }

export interface SegmentFile {
  readonly segment: number
  readonly sizeBytes: number
  /** As the file says, or as the other files say where it can't be read. */
  readonly header: SegmentHeader
  readonly isHeaderWhole: boolean
  readonly first: FirstFrame | undefined
  /** False: it was made ready and no more. A file that is too short was cut: it may have held frames. */
  readonly isUsed: boolean
}

/** One segment of the log, oldest first. `file` is undefined where it is missing. */
export interface Link {
  readonly segment: number
  readonly file: SegmentFile | undefined
  /** Where its frames end, when the next segment says so. */
  readonly end: number | undefined
}

export interface Inventory {
  readonly links: readonly Link[]
  /** Names of files that hold nothing of the log. */
  readonly spare: readonly string[]
  readonly journalId: string | undefined
  /** Above all that was ever seen. */
  readonly nextSegment: number
  readonly nextFree: number
}

const firstReadBytes = 4096
const smallestBlockBytes = 512
const blockSizes: readonly number[] = [smallestBlockBytes, 4096]

/** @param window scratch memory */
export function takeInventory (disk: Disk, folder: string, window: ScanWindow): Inventory {
  const names = disk.names(folder).map((name) => ({ name, parsed: parseName(name) }))
  const numbers = names.flatMap(({ parsed }) => parsed?.kind === 'segment' ? [parsed.segment] : []).sort((a, b) => a - b)
  const freeNames = names.flatMap(({ name, parsed }) => parsed?.kind === 'free' ? [name] : [])
  const freeIndexes = names.flatMap(({ parsed }) => parsed?.kind === 'free' ? [parsed.index] : [])
  const headers = new Map(numbers.map((segment) => [segment, headerOf(disk, path.join(folder, segmentName(segment)), window)]))
  const known = [...headers.values()].find((header) => header !== undefined)
  const files = numbers.map((segment) => lookAt(disk, path.join(folder, segmentName(segment)), segment, { own: headers.get(segment), known, window }))
  const links = linkSegments(files.filter((file) => file.isUsed))
  const linked = new Set(links.map((link) => link.segment))
  for (const file of files) if (file.isUsed && !linked.has(file.segment)) refuseEvents(disk, path.join(folder, segmentName(file.segment)), file, window)
  // A free file may have got the header of its next life already: that number is spent.
  const spentNumbers = freeNames.map((name) => headerOf(disk, path.join(folder, name), window)?.segment ?? 0)
  return {
    links,
    spare: [...freeNames, ...numbers.filter((segment) => !linked.has(segment)).map(segmentName)],
    journalId: known?.journalId,
    nextSegment: Math.max(0, ...numbers, ...spentNumbers) + 1,
    nextFree: Math.max(0, ...freeIndexes) + 1
  }
}

/** The header of a file, where it is whole. */
function headerOf (disk: Disk, name: string, { bytes }: ScanWindow): SegmentHeader | undefined {
  const file = disk.open(name, 'read')
  try {
    const got = file.read(bytes, firstReadBytes, 0)
    const header = readSegmentHeader(bytes.subarray(0, got))
    if (header !== undefined && header.version > segmentVersion) throw newerStore('JOURNAL_TOO_NEW', { file: name, found: header.version, known: segmentVersion })
    return header
  } finally { file.close() }
}

interface Look { readonly own: SegmentHeader | undefined, readonly known: SegmentHeader | undefined, readonly window: ScanWindow }

function lookAt (disk: Disk, name: string, segment: number, { own, known, window }: Look): SegmentFile {
  if (own !== undefined && own.segment !== segment) throw new TollgateError('JOURNAL_CORRUPT', `${name} says that it is segment ${own.segment}`)
  if (own !== undefined && known !== undefined && own.journalId !== known.journalId) throw new TollgateError('JOURNAL_CORRUPT', `${name} belongs to another journal (${own.journalId}, not ${known.journalId})`)
  const file = disk.open(name, 'read')
  try {
    const sizeBytes = file.sizeBytes()
    const scanner = new FrameScanner(file, segment, sizeBytes, window)
    const blockBytes = own?.blockBytes ?? known?.blockBytes ?? guessBlockBytes(scanner)
    const first = firstFrame(scanner, blockBytes)
    const hasFrames = first !== undefined || scanner.findHeader(blockBytes, blockBytes) !== undefined
    const header = own ?? { version: segmentVersion, segmentBytes: known?.segmentBytes ?? sizeBytes, journalId: known?.journalId ?? '', segment, blockBytes }
    return { segment, sizeBytes, header, isHeaderWhole: own !== undefined, first, isUsed: hasFrames || sizeBytes < header.segmentBytes }
  } finally { file.close() }
}

/** A segment that was begun and given up holds statements at most. One with events is a part of the log that nothing leads to. */
function refuseEvents (disk: Disk, name: string, { segment, sizeBytes, header: { blockBytes } }: SegmentFile, window: ScanWindow): void {
  const file = disk.open(name, 'read')
  try {
    const scanner = new FrameScanner(file, segment, sizeBytes, window)
    for (let at = scanner.findHeader(blockBytes, blockBytes); at !== undefined; at = scanner.findHeader(at + blockBytes, blockBytes)) {
      if (scanner.headerAt(at)?.type === 'events') throw new TollgateError('JOURNAL_CORRUPT', `${name} holds events, and the segments after it do not lead to it`)
    }
  } finally { file.close() }
}

/** No header in the whole journal can be read: the first frame tells. */
function guessBlockBytes (scanner: FrameScanner): number {
  return blockSizes.find((blockBytes) => scanner.headerAt(blockBytes) !== undefined) ?? smallestBlockBytes
}

/** The frame that opens a segment: undefined when it can't be read, or is none that could. */
export function firstFrame (scanner: FrameScanner, blockBytes: number): FirstFrame | undefined {
  const header = scanner.headerAt(blockBytes)
  if (header === undefined || header.type === 'events') return undefined
  const body = scanner.bodyOf(header)
  return body === undefined ? undefined : { header, body: JSON.parse(body.toString()) as Linked }
}

/** Walks back from the newest segment by what each says of the one before. */
function linkSegments (files: readonly SegmentFile[]): Link[] {
  const links: Link[] = []
  let end: number | undefined
  let file: SegmentFile | undefined = files.at(-1)
  while (file !== undefined) {
    const { segment, first }: SegmentFile = file
    links.unshift({ segment, file, end })
    const previous: LogPosition | undefined = first?.body.previous
    const older = files.filter((other) => other.segment < segment)
    end = previous?.offset
    file = previous === undefined ? older.at(-1) : older.find((other) => other.segment === previous.segment)
    if (file === undefined && previous !== undefined && older.some((other) => other.segment < previous.segment)) {
      links.unshift({ segment: previous.segment, file: undefined, end })
      file = older.filter((other) => other.segment < previous.segment).at(-1)
      end = undefined
    }
  }
  return links
}
