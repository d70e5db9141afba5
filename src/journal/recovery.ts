// What a journal's opening does before anything is written to it: finds the end of the log, and makes what can't be read
// into something that says so.
//
// Two cases look alike and must not be confused. At the very end, after a crash, a frame may be torn: its write had not
// returned, nothing was answered, it is dropped. Before the end a frame that can't be read was durable and is lost: it is
// kept in quarantine and a void takes its place in the chain. What tells them apart is a whole frame after it, a
// following segment that says how far this one went, or a file that is shorter than it was made.
import path from 'node:path'
import type { Logger } from '../platform/logger.ts'
import { TollgateError } from '../domain/errors.ts'
import type { Disk } from './disk.ts'
import { lastSeqOf } from './frame.ts'
import type { FrameHeader } from './frame.ts'
import { takeInventory } from './inventory.ts'
import type { FirstFrame, Inventory, Link } from './inventory.ts'
import type { LogPosition } from './memory.ts'
import { Repair } from './repair.ts'
import type { Mend, Region } from './repair.ts'
import { FrameScanner, ScanWindow } from './scanner.ts'
import { freeName, mendName, segmentName } from './segment.ts'
import type { SegmentHeader } from './segment.ts'
import type { FoundSegments, KeptSegment } from './store.ts'
import { JournalSummary } from './summary.ts'
import type { UnendedStream } from './summary.ts'
import type { VoidBody } from './statement.ts'
import { cutReason, voidsFor } from './voids.ts'

export interface RecoveredJournal extends FoundSegments {
  readonly journalId: string
  /** Of the segment that `tail` is in. */
  readonly tailSegment: SegmentHeader | undefined
  readonly unended: readonly UnendedStream[]
  readonly lastStream: { readonly streamId: string, readonly lastSeq: number } | undefined
  readonly watermarkMs: number
}

export interface RecoveryOptions {
  readonly disk: Disk
  readonly folder: string
  /** Spare files of another size are removed. */
  readonly segmentBytes: number
  readonly newUuid: () => string
  readonly log: Logger
}

export function recoverJournal (options: RecoveryOptions): RecoveredJournal {
  const { disk, folder, newUuid } = options
  disk.makeFolder(folder)
  // A segment that was given up and removed must not come back with the next power cut, after the log has gone on elsewhere.
  disk.syncFolder(folder)
  // What an interrupted recovery has left.
  if (disk.names(folder).includes(mendName)) disk.remove(path.join(folder, mendName))
  const window = new ScanWindow()
  const inventory = takeInventory(disk, folder, window)
  const walk = new Walk(options, window, inventory.journalId ?? newUuid())
  inventory.links.forEach((link, index) => { walk.segment(link, inventory.links[index + 1]) })
  const empty = walk.dropEmptyTail()
  if (walk.tail !== undefined) walk.repair.makeDurable(walk.tail.segment)
  const spare = clearSpare(options, { ...inventory, spare: [...inventory.spare, ...empty] })
  return {
    kept: walk.kept, ...spare, nextSegment: inventory.nextSegment, journalId: walk.journalId, tail: walk.tail, tailSegment: walk.tailSegment,
    unended: walk.summary.unended, lastStream: walk.summary.lastStream, watermarkMs: walk.summary.watermarkMs
  }
}

/** Files that hold nothing of the log become free ones; those that were not finished go. */
function clearSpare ({ disk, folder, segmentBytes }: RecoveryOptions, { spare, nextFree }: Inventory): Pick<FoundSegments, 'freeNames' | 'nextFree'> {
  const freeNames: string[] = []
  let index = nextFree
  for (const name of spare) {
    const from = path.join(folder, name)
    const file = disk.open(from, 'read')
    const sizeBytes = file.sizeBytes()
    file.close()
    if (sizeBytes !== segmentBytes) { disk.remove(from); continue }
    const free = freeName(index++)
    disk.rename(from, path.join(folder, free))
    freeNames.push(free)
  }
  if (spare.length > 0) disk.syncFolder(folder)
  return { freeNames, nextFree: index }
}

class Walk {
  readonly summary = new JournalSummary()
  readonly repair: Repair
  readonly kept: KeptSegment[] = []
  readonly journalId: string
  readonly #ends: { readonly tail: LogPosition, readonly header: SegmentHeader }[] = []
  readonly #options: RecoveryOptions
  readonly #window: ScanWindow
  /** The last frame says that its file was cut short there. */
  #isCutDeclared = false

  constructor (options: RecoveryOptions, window: ScanWindow, journalId: string) {
    this.#options = options
    this.#window = window
    this.journalId = journalId
    this.repair = new Repair(options.disk, options.folder)
  }

  /** Where the log ends, as far as it was walked, and the header of that segment. */
  get tail (): LogPosition | undefined { return this.#ends.at(-1)?.tail }
  get tailSegment (): SegmentHeader | undefined { return this.#ends.at(-1)?.header }

  /** A segment whose very first frame is torn was begun and no more: the log ends in the one before. @returns its file's name */
  dropEmptyTail (): string[] {
    const last = this.#ends.at(-1)
    if (last === undefined || this.#ends.length === 1 || last.tail.offset > last.header.blockBytes) return []
    this.#ends.pop()
    this.kept.pop()
    return [segmentName(last.tail.segment)]
  }

  /** Takes one segment into the summary, oldest first, and mends it on the way. */
  segment (link: Link, next: Link | undefined): void {
    const header = { ...(link.file?.header ?? this.#headerOfMissing(next)), segment: link.segment, journalId: this.journalId }
    const kept: KeptSegment = { segment: link.segment, refusedBytes: 0 }
    this.kept.push(kept)
    const cutAt = link.file === undefined || link.file.sizeBytes >= header.segmentBytes ? undefined : link.file.sizeBytes
    const isWhole = link.file !== undefined && cutAt === undefined && link.file.isHeaderWhole
    let mend = isWhole ? undefined : this.#beginMend(link, header, cutAt)
    const file = mend?.file ?? this.#options.disk.open(this.#path(header), 'read')
    const end = link.end ?? header.segmentBytes
    let scanner = new FrameScanner(file, link.segment, end, this.#window)
    let offset = header.blockBytes
    while (offset < end) {
      const frame = scanner.headerAt(offset)
      const body = frame === undefined ? undefined : scanner.bodyOf(frame)
      if (frame !== undefined && body !== undefined) {
        this.#take(frame, body, kept)
        offset += frame.spanBytes
        continue
      }
      const to = this.#regionEnd({ scanner, offset, frame, header, end: link.end, cutAt })
      if (to === undefined) break
      if (mend === undefined) {
        file.close()
        mend = this.repair.begin(header, false)
        scanner = new FrameScanner(mend.file, link.segment, end, this.#window)
      }
      this.#replace({ scanner, mend, region: { from: offset, to }, frame, header, nextFirst: next?.file?.first })
      scanner = new FrameScanner(mend.file, link.segment, end, this.#window)
      if (scanner.headerAt(offset) === undefined) throw new TollgateError('JOURNAL_CORRUPT', `${this.#path(header)} can't be mended at byte ${offset}: what was written there is not what is read`)
    }
    this.#ends.push({ tail: { segment: link.segment, offset }, header })
    if (mend === undefined) file.close()
    else mend.finish()
  }

  #headerOfMissing (next: Link | undefined): SegmentHeader {
    const header = next?.file?.header ?? this.tailSegment
    if (header === undefined) throw new TollgateError('JOURNAL_CORRUPT', `${this.#options.folder}: too much is missing to go on`)
    return header
  }

  /** The file itself is not as it should be, whatever its frames are. */
  #beginMend ({ file }: Link, header: SegmentHeader, cutAt: number | undefined): Mend {
    const name = this.#path(header)
    if (file === undefined) this.#options.log.error({ file: name }, 'a journal segment is missing: a void takes its place')
    else if (cutAt !== undefined) this.#options.log.error({ file: name, sizeBytes: cutAt, segmentBytes: header.segmentBytes }, 'a journal segment was cut short')
    else this.#options.log.warn({ file: name }, 'the header of a journal segment could not be read and is written again; no event stood in it')
    return this.repair.begin(header, file === undefined)
  }

  #take (frame: FrameHeader, body: Buffer, kept: KeptSegment): void {
    const expected = this.summary.nextSeqOf(frame.streamId)
    if (frame.type === 'events' && expected !== undefined && frame.firstSeq !== expected) {
      throw new TollgateError('JOURNAL_CORRUPT', `segment ${frame.segment}, byte ${frame.offset}: event ${frame.firstSeq} of stream ${frame.streamId} stands where ${expected} belongs`)
    }
    kept.refusedBytes += frame.refusedBytes
    const statement: unknown = frame.type === 'events' ? undefined : JSON.parse(body.toString())
    this.summary.add(frame, statement)
    this.#isCutDeclared = frame.type === 'void' && (statement as VoidBody).reason === cutReason
  }

  /** Where the unreadable bytes that begin at `offset` end; undefined when they are no loss: the log ends here. */
  #regionEnd ({ scanner, offset, frame, header, end, cutAt }: { readonly scanner: FrameScanner, readonly offset: number, readonly frame: FrameHeader | undefined, readonly header: SegmentHeader, readonly end: number | undefined, readonly cutAt: number | undefined }): number | undefined {
    const { blockBytes, segmentBytes } = header
    const following = scanner.findHeader(offset + blockBytes, blockBytes)
    const known = following ?? end
    if (frame !== undefined && (known !== undefined || cutAt !== undefined)) return Math.min(offset + frame.spanBytes, known ?? segmentBytes)
    if (known !== undefined) return known
    // The log reaches to where the file was cut: what followed is unknown, that something did must be assumed.
    if (cutAt !== undefined && offset + blockBytes > cutAt && offset + blockBytes <= segmentBytes && !this.#isCutDeclared) return offset + blockBytes
    if (frame !== undefined) this.#options.log.warn({ segment: frame.segment, offset, events: frame.count }, 'a torn frame at the end of the journal is dropped: its commit had not completed, nothing was answered for it')
    return undefined
  }

  #replace ({ scanner, mend, region, frame, header, nextFirst }: Damage): void {
    const followingHeader = scanner.headerAt(region.to)
    const followingBody = followingHeader === undefined || followingHeader.type === 'events' ? undefined : scanner.bodyOf(followingHeader)
    const following = followingHeader === undefined
      ? nextFirst
      : { header: followingHeader, body: followingBody === undefined ? {} : JSON.parse(followingBody.toString()) as object }
    const voids = voidsFor({ frame, following, summary: this.summary, newUuid: this.#options.newUuid })
    const copy = this.repair.quarantine(header, region, mend.file)
    mend.replace(region, voids, region.from === header.blockBytes ? this.tail : undefined)
    const events = voids.reduce((sum, lost) => sum + lost.count, 0)
    this.#options.log.error({
      file: this.#path(header), offset: region.from, bytes: region.to - region.from, events, quarantine: copy,
      lost: voids.filter((lost) => lost.count > 0).map((lost) => ({ streamId: lost.streamId, fromSeq: lost.firstSeq, toSeq: lastSeqOf(lost) }))
    }, 'a part of the journal cannot be read: it is kept in quarantine and declared void')
  }

  #path ({ segment }: SegmentHeader): string { return path.join(this.#options.folder, segmentName(segment)) }
}

interface Damage {
  readonly scanner: FrameScanner
  readonly mend: Mend
  readonly region: Region
  readonly frame: FrameHeader | undefined
  readonly header: SegmentHeader
  readonly nextFirst: FirstFrame | undefined
}
