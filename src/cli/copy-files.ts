// Copies many files with their hashes, some at a time: each is synced, and syncs of several cost hardly more than one.
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { systemClock } from '../platform/clock.ts'
import { copyHashed, syncFolder } from '../platform/durable-file.ts'
import type { Copied } from '../platform/durable-file.ts'
import type { Io } from './io.ts'

export interface FileToCopy {
  /** Of the copy, below the target folder. */
  readonly path: string
  readonly source: string
  /** What it should have; at most so much is copied. Unknown: all that is there. */
  readonly bytes?: number
  readonly sha256?: string
}

export interface CopiedFile extends FileToCopy {
  /** Undefined: there is no such file. */
  readonly copied: Copied | undefined
}

const filesAtOnce = 8
const tellEveryMs = 5_000

/** Everything is durable when it resolves, in the order of `files`. */
export async function copyFiles (files: readonly FileToCopy[], target: string, { io, what }: { readonly io: Io, readonly what: string }): Promise<CopiedFile[]> {
  const folders = new Set<string>([target])
  mkdirSync(target, { recursive: true, mode: 0o700 })
  for (const { path: name } of files) {
    mkdirSync(path.join(target, path.dirname(name)), { recursive: true, mode: 0o700 })
    for (let folder = path.dirname(name); folder !== '.'; folder = path.dirname(folder)) folders.add(path.join(target, folder))
  }
  const done: CopiedFile[] = []
  const progress = { files: 0, bytes: 0, toldMs: systemClock.monotonicMs() }
  let next = 0
  const work = async (): Promise<void> => {
    for (let index = next++; index < files.length; index = next++) {
      const file = files[index] as FileToCopy
      const copied = await copyOne(file, path.join(target, file.path))
      done[index] = { ...file, copied }
      progress.files++
      progress.bytes += copied?.bytes ?? 0
      if (systemClock.monotonicMs() - progress.toldMs < tellEveryMs) continue
      progress.toldMs = systemClock.monotonicMs()
      io.error(`${progress.files} of ${files.length} files ${what}, ${mebibytes(progress.bytes)}\n`)
    }
  }
  await Promise.all(Array.from({ length: filesAtOnce }, work))
  for (const folder of folders) syncFolder(folder)
  return done
}

async function copyOne ({ source, bytes }: FileToCopy, target: string): Promise<Copied | undefined> {
  try {
    return await copyHashed(source, target, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export function mebibytes (bytes: number): string { return `${(bytes / 2 ** 20).toFixed(1)} MiB` }
