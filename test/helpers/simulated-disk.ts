// A disk in memory that forgets. What was not synced is lost in a power cut, or half of it, or none of it; a write that the
// cut interrupts is torn; names that were made, renamed or removed without a sync of their folder may come back or be gone.
import path from 'node:path'
import type { Disk, DiskFile, OpenMode } from '../../src/journal/disk.ts'

/** What the machine throws at everybody once its power is gone. */
export class PowerCut extends Error {
  constructor () { super('the power is gone') }
}

interface Inode {
  data: Buffer
  size: number
  /** What a power cut leaves. */
  durableData: Buffer
  durableSize: number
  /** Sectors that differ. */
  readonly dirty: Set<number>
}

type NameChange = (names: Map<string, Inode>) => void

export interface DiskFaults {
  /** Asked before each change; a returned error is thrown, after a random part of a write was done. */
  fault?: ((change: 'write' | 'sync' | 'name', file: string) => NodeJS.ErrnoException | undefined) | undefined
  /** False: writes of mode `commit` wait for a sync like all others, as if O_DSYNC were missing. */
  isCommitDurable: boolean
  isFolderSyncReal: boolean
  isFileSyncReal: boolean
}

const sectorBytes = 512

export function diskError (code: 'EIO' | 'ENOSPC' | 'ENOENT', file: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${file}`), { code })
}

export class SimulatedDisk implements Disk {
  readonly blockBytes = sectorBytes
  readonly faults: DiskFaults = { isCommitDurable: true, isFolderSyncReal: true, isFileSyncReal: true }
  capacityBytes = Infinity
  /** Changes so far: writes, syncs, names. */
  changes = 0
  /** The power goes in the middle of the change that brings this to zero. */
  cutIn = Infinity
  /** Only changes of this kind count for `cutIn`: syncs and names are rarer than writes, and what is interrupted there is different. */
  cutAt: 'write' | 'sync' | 'name' | 'any' = 'any'
  isOff = false
  readonly #random: () => number
  #names = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  readonly #pending = new Map<string, NameChange[]>()

  constructor (random: () => number) { this.#random = random }

  names (folder: string): readonly string[] {
    this.#checkPower()
    return [...this.#names.keys()].filter((name) => path.dirname(name) === folder).map((name) => path.basename(name))
  }

  makeFolder (_folder: string): void { this.#checkPower() }

  open (file: string, mode: OpenMode): DiskFile {
    this.#checkPower()
    let inode = this.#names.get(file)
    if (inode === undefined) {
      if (mode !== 'fill') throw diskError('ENOENT', file)
      const made: Inode = { data: Buffer.alloc(0), size: 0, durableData: Buffer.alloc(0), durableSize: 0, dirty: new Set() }
      this.#change('name', file)
      this.#rename(file, (names) => { names.set(file, made) })
      inode = made
    }
    return this.#handle(file, inode, mode)
  }

  rename (from: string, to: string): void {
    if (!this.#names.has(from)) throw diskError('ENOENT', from)
    this.#change('name', from)
    this.#rename(from, (names) => {
      const inode = names.get(from)
      names.delete(from)
      if (inode !== undefined) names.set(to, inode)
    })
  }

  remove (file: string): void {
    if (!this.#names.has(file)) throw diskError('ENOENT', file)
    this.#change('name', file)
    this.#rename(file, (names) => { names.delete(file) })
  }

  syncFolder (folder: string): void {
    this.#change('sync', folder)
    if (!this.faults.isFolderSyncReal) return
    for (const change of this.#pending.get(folder) ?? []) change(this.#durableNames)
    this.#pending.delete(folder)
  }

  freeBytes (_folder: string): number {
    this.#checkPower()
    return this.capacityBytes - this.#usedBytes()
  }

  /** The power comes back: the disk shows what survived. */
  powerCut (): void {
    for (const changes of this.#pending.values()) {
      const survived = Math.floor(this.#random() * (changes.length + 1))
      for (const change of changes.slice(0, survived)) change(this.#durableNames)
    }
    this.#pending.clear()
    this.#names = new Map(this.#durableNames)
    for (const inode of new Set(this.#names.values())) this.#forget(inode)
    this.isOff = false
    this.cutIn = Infinity
  }

  /** The program died, the machine goes on: everything written is still there, in memory at least. */
  kill (): void {
    this.isOff = false
    this.cutIn = Infinity
  }

  /** The content of a file, for tests that damage it: changes are durable at once. */
  damage (file: string, change: (data: Buffer) => Buffer): void {
    const inode = this.#names.get(file)
    if (inode === undefined) throw diskError('ENOENT', file)
    inode.data = Buffer.from(change(Buffer.from(inode.data.subarray(0, inode.size))))
    inode.size = inode.data.length
    inode.durableData = Buffer.from(inode.data)
    inode.durableSize = inode.size
    inode.dirty.clear()
  }

  /** Takes a file away, durably. */
  lose (file: string): void {
    this.#names.delete(file)
    this.#durableNames.delete(file)
  }

  /** A copy of all files as they are, durable and not: a backup, or a clone of the machine. */
  copy (random: () => number): SimulatedDisk {
    const copy = new SimulatedDisk(random)
    for (const [name, inode] of this.#names) {
      const data = Buffer.from(inode.data)
      const twin: Inode = { data, size: inode.size, durableData: Buffer.from(data), durableSize: inode.size, dirty: new Set() }
      copy.#names.set(name, twin)
      copy.#durableNames.set(name, twin)
    }
    return copy
  }

  content (file: string): Buffer {
    const inode = this.#names.get(file)
    if (inode === undefined) throw diskError('ENOENT', file)
    return Buffer.from(inode.data.subarray(0, inode.size))
  }

  #handle (file: string, inode: Inode, mode: OpenMode): DiskFile {
    let isClosed = false
    const checkOpen = (): void => { if (isClosed) throw new Error(`EBADF: ${file} was closed`) }
    return {
      read: (buffer, bytes, position) => {
        this.#checkPower()
        checkOpen()
        return position >= inode.size ? 0 : inode.data.copy(buffer, 0, position, Math.min(position + bytes, inode.size))
      },
      write: (buffer, bytes, position) => {
        checkOpen()
        const error = this.#willFail('write', file)
        const isDurable = mode === 'commit' && this.faults.isCommitDurable
        const grows = Math.max(position + bytes - inode.size, 0)
        if (error === undefined && grows > 0 && this.#usedBytes() + grows > this.capacityBytes) throw diskError('ENOSPC', file)
        if (error !== undefined) {
          this.#writePart(inode, buffer.subarray(0, bytes), position)
          throw error
        }
        this.#write(inode, buffer.subarray(0, bytes), position, isDurable)
      },
      sync: () => {
        checkOpen()
        this.#change('sync', file)
        if (this.faults.isFileSyncReal) this.#makeDurable(inode)
      },
      sizeBytes: () => inode.size,
      close: () => {
        checkOpen()
        isClosed = true
      }
    }
  }

  #write (inode: Inode, bytes: Buffer, position: number, isDurable: boolean): void {
    this.#grow(inode, position + bytes.length)
    bytes.copy(inode.data, position)
    const first = Math.floor(position / sectorBytes)
    const last = Math.floor((position + bytes.length - 1) / sectorBytes)
    for (let sector = first; sector <= last; sector++) inode.dirty.add(sector)
    // A durable write makes its own bytes durable and the file's size, not what others have left behind.
    if (isDurable) for (let sector = first; sector <= last; sector++) this.#settle(inode, sector)
    if (isDurable) inode.durableSize = Math.max(inode.durableSize, position + bytes.length)
  }

  /** A write that did not return: none, all, or any sectors of it are in memory, one of them perhaps cut within; none is durable. */
  #writePart (inode: Inode, bytes: Buffer, position: number): void {
    const share = [0, 1, this.#random(), this.#random()][Math.floor(this.#random() * 4)] as number
    for (let offset = 0; offset < bytes.length; offset += sectorBytes) {
      const length = Math.min(sectorBytes, bytes.length - offset)
      if (this.#random() < share) this.#write(inode, bytes.subarray(offset, offset + length), position + offset, false)
      else if (this.#random() < share * 0.1) this.#write(inode, bytes.subarray(offset, offset + Math.ceil(this.#random() * length)), position + offset, false)
    }
  }

  #grow (inode: Inode, size: number): void {
    if (size > inode.data.length) {
      const capacity = Math.max(size, 2 * inode.data.length, 4096)
      inode.data = Buffer.concat([inode.data, Buffer.alloc(capacity - inode.data.length)])
      inode.durableData = Buffer.concat([inode.durableData, Buffer.alloc(capacity - inode.durableData.length)])
    }
    inode.size = Math.max(inode.size, size)
  }

  #settle (inode: Inode, sector: number): void {
    inode.data.copy(inode.durableData, sector * sectorBytes, sector * sectorBytes, (sector + 1) * sectorBytes)
    inode.dirty.delete(sector)
  }

  #makeDurable (inode: Inode): void {
    for (const sector of [...inode.dirty]) this.#settle(inode, sector)
    inode.durableSize = inode.size
  }

  #forget (inode: Inode): void {
    for (const sector of inode.dirty) if (this.#random() < 0.5) this.#settle(inode, sector)
    if (this.#random() < 0.5) inode.durableSize = inode.size
    inode.data = Buffer.from(inode.durableData)
    inode.size = inode.durableSize
    inode.data.fill(0, inode.size)
    inode.dirty.clear()
  }

  #rename (file: string, change: NameChange): void {
    change(this.#names)
    const folder = path.dirname(file)
    const pending = this.#pending.get(folder)
    if (pending === undefined) this.#pending.set(folder, [change])
    else pending.push(change)
  }

  #change (kind: 'write' | 'sync' | 'name', file: string): void {
    const error = this.#willFail(kind, file)
    if (error !== undefined) throw error
  }

  #willFail (kind: 'write' | 'sync' | 'name', file: string): NodeJS.ErrnoException | undefined {
    this.#checkPower()
    this.changes++
    if ((this.cutAt === 'any' || this.cutAt === kind) && --this.cutIn <= 0) {
      this.isOff = true
      return new PowerCut()
    }
    return this.faults.fault?.(kind, file)
  }

  #checkPower (): void { if (this.isOff) throw new PowerCut() }

  #usedBytes (): number {
    let used = 0
    for (const inode of new Set(this.#names.values())) used += inode.size
    return used
  }
}
