// The segment files of a journal: appending to the current one, having the next one ready, recycling those that are no longer
// needed. A segment is filled with zeros once in its life, in slices between commits, so that a commit only ever overwrites
// blocks that the file system has already given.
//
// Names: `000000000012.segment` is number 12, `free-7.segment` holds nothing. A free file becomes number 12 by having its header
// rewritten, then being renamed, both durable before the first frame; back to free by a rename. A number is never used twice.
import path from 'node:path'
import { crashPoint } from '../platform/crash-points.ts'
import { alignedBuffer } from './disk.ts'
import type { Disk, DiskFile } from './disk.ts'
import type { LogPosition } from './memory.ts'
import { freeName, segmentName, segmentVersion, writeSegmentHeader } from './segment.ts'

export interface StoreOptions {
  readonly folder: string
  readonly journalId: string
  readonly segmentBytes: number
  /** All files together, free ones too. */
  readonly segmentsMax: number
  /** New files are made only while the disk has this much left beside them. */
  readonly diskFreeBytesMin: number
}

/** What recovery found. */
export interface FoundSegments {
  /** Oldest first, without those that hold nothing. */
  readonly kept: readonly KeptSegment[]
  readonly freeNames: readonly string[]
  /** Above every number and every index of a free file that was ever seen. */
  readonly nextSegment: number
  readonly nextFree: number
  /** Where the log goes on, when the last segment can take more. */
  readonly tail: LogPosition | undefined
}

export interface KeptSegment { readonly segment: number, refusedBytes: number }

const sliceBytes = 256 * 1024
/** A long fill is synced in parts: each bounds what one sync has to wait for. */
const unsyncedBytesMax = 4 * 1024 * 1024
/** Free files beyond these give their space back to the disk. */
const freeFilesMax = 2

export class SegmentStore {
  readonly #disk: Disk
  readonly #options: StoreOptions
  readonly #kept: KeptSegment[]
  readonly #free: string[]
  readonly #zeros = alignedBuffer(sliceBytes)
  readonly #block: Buffer
  #nextSegment: number
  #nextFree: number
  #file: DiskFile | undefined
  #position: LogPosition | undefined
  #ready: { readonly segment: number, readonly file: DiskFile } | undefined
  #filling: { readonly name: string, readonly file: DiskFile, filled: number, unsynced: number } | undefined
  #diskFreeBytes: number
  /** Files that could not be removed: they take room until the next start. */
  #lostFiles = 0
  #isFolderSynced = true

  constructor (disk: Disk, options: StoreOptions, found: FoundSegments) {
    this.#disk = disk
    this.#options = options
    this.#block = alignedBuffer(disk.blockBytes)
    this.#kept = found.kept.map((kept) => ({ ...kept }))
    this.#free = [...found.freeNames]
    this.#nextSegment = found.nextSegment
    this.#nextFree = found.nextFree
    this.#diskFreeBytes = disk.freeBytes(options.folder)
    if (found.tail !== undefined) {
      this.#file = disk.open(this.#path(segmentName(found.tail.segment)), 'commit')
      this.#position = found.tail
    }
  }

  /** Where the next frame goes; undefined before the first segment. */
  get position (): LogPosition | undefined { return this.#position }
  /** Bytes left in the current segment. */
  get rest (): number { return this.#position === undefined ? 0 : this.#options.segmentBytes - this.#position.offset }
  get oldestSegment (): number { return this.#kept[0]?.segment ?? 0 }
  get refusedBytes (): number { return this.#kept.reduce((sum, { refusedBytes }) => sum + refusedBytes, 0) }
  get #allocated (): number { return this.#kept.length + this.#free.length + (this.#ready === undefined ? 0 : 1) + (this.#filling === undefined ? 0 : 1) + this.#lostFiles }
  /** Segments that hold, or will soon hold, something that must be kept. */
  get usedBytes (): number { return this.#kept.length * this.#options.segmentBytes - this.rest }

  /** What can still be written, given the journal's bound and the disk's free space as last looked at. */
  get roomBytes (): number {
    const { segmentBytes, segmentsMax, diskFreeBytesMin } = this.#options
    const made = this.#free.length + (this.#ready === undefined ? 0 : 1)
    const filling = this.#filling === undefined ? 0 : 1
    const affordable = Math.floor(Math.max(this.#diskFreeBytes - diskFreeBytesMin, 0) / segmentBytes)
    const makeable = Math.min(segmentsMax - this.#allocated + filling, affordable + filling)
    return this.rest + (made + Math.max(makeable, 0)) * (segmentBytes - this.#disk.blockBytes)
  }

  lookAtDisk (): void { this.#diskFreeBytes = this.#disk.freeBytes(this.#options.folder) }

  /** Writes whole blocks at the position and moves it; durable when it returns. After a throw the segment must not be used any more. */
  append (frame: Buffer, bytes: number, refusedBytes: number): void {
    if (this.#file === undefined || this.#position === undefined || bytes > this.rest) throw new RangeError(`no room for a frame of ${bytes} bytes`)
    this.#file.write(frame, bytes, this.#position.offset)
    this.#position = { segment: this.#position.segment, offset: this.#position.offset + bytes }
    const current = this.#kept.at(-1)
    if (current !== undefined) current.refusedBytes += refusedBytes
  }

  /** Goes on in the next segment, which is made at once when it is not ready. Throws when there is none to be had. */
  roll (): void {
    while (this.#ready === undefined) {
      if (!this.prepare()) throw Object.assign(new Error('the journal is at its bound, or the disk has no room for another segment'), { code: 'ENOSPC' })
    }
    this.#closeCurrent()
    this.#file = this.#ready.file
    this.#position = { segment: this.#ready.segment, offset: this.#disk.blockBytes }
    this.#kept.push({ segment: this.#ready.segment, refusedBytes: 0 })
    this.#ready = undefined
  }

  /** The current segment failed before it held anything: it is no part of the log. */
  abandonCurrent (): void {
    this.#closeCurrent()
    this.#position = undefined
    const abandoned = this.#kept.pop()
    if (abandoned !== undefined) this.#discard(segmentName(abandoned.segment))
  }

  #closeCurrent (): void {
    // What was written is durable already; a file that has failed may say so once more.
    try { this.#file?.close() } catch { /* its failure was reported by the write */ }
    this.#file = undefined
  }

  /** Removes a file that has failed, as far as that goes. */
  #discard (name: string): void {
    try { this.#disk.remove(this.#path(name)) } catch { this.#lostFiles++ }
  }

  /** Whether filling has fallen behind: the next segment should be ready when the current one is half full. */
  get isPrepareDue (): boolean {
    if (this.#ready !== undefined || this.#position === undefined) return false
    return (this.#filling?.filled ?? 0) < 2 * this.#position.offset
  }

  /** One bounded step towards the next segment. @returns false when there is nothing to do, or no room */
  prepare (): boolean {
    if (this.#ready !== undefined) return false
    const name = this.#free.at(-1)
    if (name !== undefined) { this.#claim(name); return true }
    if (this.#filling === undefined && !this.#startFilling()) return false
    this.#fillSlice()
    return true
  }

  #startFilling (): boolean {
    const { segmentBytes, segmentsMax, diskFreeBytesMin, folder } = this.#options
    if (this.#allocated >= segmentsMax) return false
    this.lookAtDisk()
    if (this.#diskFreeBytes < segmentBytes + diskFreeBytesMin) return false
    const name = freeName(this.#nextFree++)
    this.#filling = { name, file: this.#disk.open(path.join(folder, name), 'fill'), filled: 0, unsynced: 0 }
    return true
  }

  #fillSlice (): void {
    const filling = this.#filling
    if (filling === undefined) return
    const { segmentBytes } = this.#options
    const bytes = Math.min(sliceBytes, segmentBytes - filling.filled)
    try {
      filling.file.write(this.#zeros, bytes, filling.filled)
      filling.filled += bytes
      filling.unsynced += bytes
      if (filling.unsynced < unsyncedBytesMax && filling.filled < segmentBytes) return
      filling.file.sync()
      filling.unsynced = 0
    } catch (error) {
      this.#filling = undefined
      filling.file.close()
      this.#discard(filling.name)
      throw error
    }
    if (filling.filled < segmentBytes) return
    filling.file.close()
    this.#filling = undefined
    this.#free.push(filling.name)
  }

  /** Turns a free file into the next segment. Its number is spent, and the file given up, when this fails. */
  #claim (name: string): void {
    const { folder, journalId, segmentBytes } = this.#options
    const { blockBytes } = this.#disk
    this.#syncFolder()
    const segment = this.#nextSegment++
    this.#free.splice(this.#free.indexOf(name), 1)
    let currentName = name
    let file: DiskFile | undefined
    try {
      file = this.#disk.open(path.join(folder, name), 'commit')
      writeSegmentHeader(this.#block, { version: segmentVersion, blockBytes, segmentBytes, journalId, segment })
      file.write(this.#block, blockBytes, 0)
      // All of it: a killed program may have left a file whose zeros, and whose size, were never synced.
      file.sync()
      this.#disk.rename(path.join(folder, name), this.#path(segmentName(segment)))
      currentName = segmentName(segment)
      this.#disk.syncFolder(folder)
    } catch (error) {
      file?.close()
      this.#discard(currentName)
      throw error
    }
    this.#ready = { segment, file }
  }

  /**
   * Recycles the oldest segment when it lies below `segment`; never the current one. One a call: each waits for the folder.
   * @param onOldest told the oldest kept segment before the file changes
   * @returns false when there was nothing to do
   */
  trim (segment: number, onOldest: (segment: number) => void): boolean {
    const [oldest, second] = this.#kept
    if (oldest === undefined || second === undefined || oldest.segment >= segment) return false
    onOldest(second.segment)
    crashPoint('journal.before-recycle')
    const name = this.#path(segmentName(oldest.segment))
    this.#isFolderSynced = false
    if (this.#free.length >= freeFilesMax) this.#disk.remove(name)
    else {
      const free = freeName(this.#nextFree++)
      this.#disk.rename(name, this.#path(free))
      this.#free.push(free)
    }
    this.#kept.shift()
    crashPoint('journal.after-recycle-rename')
    this.#syncFolder()
    return true
  }

  /** After a rename to free, before the file gets a new header: else its old name could come back with the new content. */
  #syncFolder (): void {
    if (this.#isFolderSynced) return
    this.#disk.syncFolder(this.#options.folder)
    this.#isFolderSynced = true
  }

  close (): void {
    this.#closeCurrent()
    this.#ready?.file.close()
    this.#filling?.file.close()
    this.#ready = undefined
    this.#filling = undefined
  }

  #path (name: string): string { return path.join(this.#options.folder, name) }
}
