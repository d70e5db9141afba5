// PORT: the disk under the journal. Two implementations: files, and in the tests a disk that forgets what was not synced.
// All calls are synchronous, on the journal's or its reader's own thread: libuv's pool would queue them behind anyone's work.
import fs from 'node:fs'
import path from 'node:path'

/**
 * `read`: what is there. `fill`: made if missing; durable after `sync`. `commit`: must be there; a write that returns is
 * durable, and starts and ends at multiples of the disk's block.
 */
export type OpenMode = 'read' | 'fill' | 'commit'

export interface DiskFile {
  /** Reads up to `bytes` into the start of `buffer`; fewer only at the end of the file. All three at multiples of a block. @returns bytes read */
  read: (buffer: Buffer, bytes: number, position: number) => number
  /** Writes the first `bytes` of `buffer`, all of them or throws; then any part may have been written. */
  write: (buffer: Buffer, bytes: number, position: number) => void
  sync: () => void
  sizeBytes: () => number
  close: () => void
}

export interface Disk {
  /** The unit of writes to segments: 512 bytes where the disk allows it, else 4,096. */
  readonly blockBytes: number
  names: (folder: string) => readonly string[]
  makeFolder: (folder: string) => void
  open: (file: string, mode: OpenMode) => DiskFile
  rename: (from: string, to: string) => void
  remove: (file: string) => void
  /** Makes names in the folder durable: files made, renamed and removed. */
  syncFolder: (folder: string) => void
  freeBytes: (folder: string) => number
}

const wasmPageBytes = 65_536
declare const WebAssembly: { readonly Memory: new (size: { readonly initial: number, readonly maximum: number }) => { readonly buffer: ArrayBuffer } }

/** Memory that starts at a page's boundary, as direct I/O wants it. */
export function alignedBuffer (bytes: number): Buffer {
  const pages = Math.ceil(bytes / wasmPageBytes)
  return Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer, 0, bytes)
}

const smallBlockBytes = 512
const largeBlockBytes = 4096

function isRefused (error: unknown): boolean { return (error as NodeJS.ErrnoException).code === 'EINVAL' }

/** Tries direct writes of `blockBytes` in `folder`. The kernel says EINVAL where file system or device can't. */
function canWriteDirect (folder: string, blockBytes: number): boolean {
  const probe = path.join(folder, `probe-${process.pid}.tmp`)
  let fd: number | undefined
  try {
    fd = fs.openSync(probe, fs.constants.O_CREAT | fs.constants.O_RDWR | fs.constants.O_DIRECT, 0o600)
    fs.writeSync(fd, alignedBuffer(2 * blockBytes), 0, blockBytes, blockBytes)
    return true
  } catch (error) {
    if (isRefused(error)) return false
    throw error
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
    fs.rmSync(probe, { force: true })
  }
}

class RealFile implements DiskFile {
  readonly #fd: number
  constructor (fd: number) { this.#fd = fd }

  read (buffer: Buffer, bytes: number, position: number): number {
    let done = 0
    while (done < bytes) {
      const got = fs.readSync(this.#fd, buffer, done, bytes - done, position + done)
      done += got
      // A direct read ends within a block only where the file does, and can't go on from there.
      if (got === 0 || done % smallBlockBytes !== 0) break
    }
    return done
  }

  write (buffer: Buffer, bytes: number, position: number): void {
    let done = 0
    while (done < bytes) {
      const wrote = fs.writeSync(this.#fd, buffer, done, bytes - done, position + done)
      if (wrote === 0) throw Object.assign(new Error('the disk took no bytes'), { code: 'EIO' })
      done += wrote
    }
  }

  sync (): void { fs.fsyncSync(this.#fd) }
  sizeBytes (): number { return fs.fstatSync(this.#fd).size }
  close (): void { fs.closeSync(this.#fd) }
}

class RealDisk implements Disk {
  readonly blockBytes: number
  readonly #direct: number

  constructor (blockBytes: number, isDirect: boolean) {
    this.blockBytes = blockBytes
    this.#direct = isDirect ? fs.constants.O_DIRECT : 0
  }

  names (folder: string): readonly string[] { return fs.readdirSync(folder) }
  makeFolder (folder: string): void { fs.mkdirSync(folder, { recursive: true, mode: 0o700 }) }

  open (file: string, mode: OpenMode): DiskFile { return new RealFile(fs.openSync(file, this.#flags(mode), 0o600)) }

  #flags (mode: OpenMode): number {
    const { O_RDONLY, O_RDWR, O_CREAT, O_DSYNC } = fs.constants
    switch (mode) {
      // Reads as the writes: the page cache is not promised to follow direct writes.
      case 'read': return O_RDONLY | this.#direct
      case 'fill': return O_RDWR | O_CREAT | this.#direct
      case 'commit': return O_RDWR | O_DSYNC | this.#direct
    }
  }

  rename (from: string, to: string): void { fs.renameSync(from, to) }
  remove (file: string): void { fs.rmSync(file) }

  syncFolder (folder: string): void {
    const fd = fs.openSync(folder, fs.constants.O_RDONLY)
    try { fs.fsyncSync(fd) } finally { fs.closeSync(fd) }
  }

  freeBytes (folder: string): number {
    const { bavail, bsize } = fs.statfsSync(folder)
    return bavail * bsize
  }
}

/** How segments are written on this disk; goes to the reader's thread too. */
export interface DiskKind { readonly blockBytes: number, readonly isDirect: boolean }

/** Makes `folder` if missing and tries what its file system allows. */
export function probeDisk (folder: string): DiskKind {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
  const direct = [smallBlockBytes, largeBlockBytes].find((blockBytes) => canWriteDirect(folder, blockBytes))
  return { blockBytes: direct ?? smallBlockBytes, isDirect: direct !== undefined }
}

export function openDisk ({ blockBytes, isDirect }: DiskKind): Disk { return new RealDisk(blockBytes, isDirect) }
