// A file that exists is complete: written under another name, synced, renamed, and the folder synced, so that neither a
// crash nor a power cut leaves half of one, or one that vanishes.
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { closeSync, createReadStream, existsSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'

/** Names that end so are unfinished: a start may delete them. */
export const partialSuffix = '.partial'

/** Makes `folder` and those above it that are missing; their names are durable when it returns. */
export function makeFolderDurable (folder: string): void {
  if (existsSync(folder)) return
  const parent = path.dirname(folder)
  makeFolderDurable(parent)
  mkdirSync(folder, { recursive: true })
  syncFolder(parent)
}

/** Gives a finished file its name: content, name and folder are durable when it returns. Replaces a file of that name. */
export function publishFile (partialFile: string, file: string): void {
  syncFile(partialFile)
  renameSync(partialFile, file)
  syncFolder(path.dirname(file))
}

export function writeFileDurable (file: string, content: string | Uint8Array): void {
  makeFolderDurable(path.dirname(file))
  const partialFile = file + partialSuffix
  const descriptor = openSync(partialFile, 'w', 0o640)
  try { writeAll(descriptor, content) } finally { closeSync(descriptor) }
  publishFile(partialFile, file)
}

/** Adds whole lines to the end of a file, made when it isn't there; durable when it returns. A line torn by a crash is closed first, so that it spoils no other. */
export function appendLinesDurable (file: string, lines: readonly string[]): void {
  makeFolderDurable(path.dirname(file))
  const isNew = !existsSync(file)
  const descriptor = openSync(file, 'a+', 0o640)
  try {
    writeAll(descriptor, (endsTorn(descriptor) ? '\n' : '') + lines.map((line) => `${line}\n`).join(''))
    fsyncSync(descriptor)
  } finally { closeSync(descriptor) }
  if (isNew) syncFolder(path.dirname(file))
}

function endsTorn (descriptor: number): boolean {
  const { size } = fstatSync(descriptor)
  const last = Buffer.alloc(1)
  return size > 0 && readSync(descriptor, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a
}

/** @returns the SHA-256 of the whole file, in hexadecimal */
export async function sha256OfFile (file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer)
  return hash.digest('hex')
}

/** What a copy holds. */
export interface Copied { readonly bytes: number, readonly sha256: string }

const copyPieceBytes = 1 << 20

/** Copies a file, or its first `bytesMax` bytes, to a name that must be new; the content is durable when it resolves, its name isn't. */
export async function copyHashed (source: string, target: string, bytesMax = Infinity): Promise<Copied> {
  const from = await open(source, 'r')
  try {
    const to = await open(target, 'wx', 0o600)
    try {
      const hash = createHash('sha256')
      const piece = Buffer.allocUnsafe(copyPieceBytes)
      let bytes = 0
      while (bytes < bytesMax) {
        const { bytesRead } = await from.read(piece, 0, Math.min(copyPieceBytes, bytesMax - bytes), bytes)
        if (bytesRead === 0) break
        const part = piece.subarray(0, bytesRead)
        hash.update(part)
        for (let written = 0; written < bytesRead;) written += (await to.write(part, written, bytesRead - written, bytes + written)).bytesWritten
        bytes += bytesRead
      }
      await to.sync()
      return { bytes, sha256: hash.digest('hex') }
    } finally { await to.close() }
  } finally { await from.close() }
}

function syncFile (file: string): void {
  const descriptor = openSync(file, 'r')
  try { fsyncSync(descriptor) } finally { closeSync(descriptor) }
}

/** Makes renames and new names in `folder` durable. */
export function syncFolder (folder: string): void { syncFile(folder) }

// A full disk may take a part of a write and refuse the rest.
function writeAll (descriptor: number, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  let written = 0
  while (written < bytes.byteLength) written += writeSync(descriptor, bytes, written)
}
