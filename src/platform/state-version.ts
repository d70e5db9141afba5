// The version of the state: one number for everything in a state folder, in `version.json`, beside the format that each
// store says of itself. A newer program opens an older state: the store that needs it is migrated when it is opened, after a
// copy of it was kept beside it. An older program opens nothing of a newer state: it would pass over what it doesn't know.
import { constants, copyFileSync, existsSync, globSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import type { OperatorErrorCode } from '../domain/errors.ts'
import { partialSuffix, publishFile, writeFileDurable } from './durable-file.ts'
import { lockState } from './state-lock.ts'
import type { StateLock } from './state-lock.ts'
import { version as programVersion } from './version.ts'

/** The format of each store that says it by itself. */
export const storeVersions = { journal: 1, aggregator: 2, ledger: 2, registry: 2 } as const

/** Raised with any change of what is in the folder; docs/backup.md has a row for each, and a test holds the last one to `storeVersions`. */
export const stateVersion = 1

export const stateVersionName = 'version.json'

/** Is there while a restore puts a backup in place: what stands beside it is no state yet. */
export function restoringFolder (state: string): string { return path.join(state, 'restore.partial') }

/** Locks the folder and sees that its state is whole and not newer than this program. @throws TollgateError STATE_LOCKED, STATE_UNWRITABLE, STATE_NEWER, STATE_VERSION_UNKNOWN, RESTORE_UNFINISHED */
export function openState (folder: string): StateLock {
  const lock = lockState(folder)
  try {
    if (existsSync(restoringFolder(folder))) throw new TollgateError('RESTORE_UNFINISHED', `a restore into ${folder} was not finished`)
    checkStateVersion(folder)
    return lock
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Before any store is opened: whatever is migrated after it, an older program refuses all of it. */
function checkStateVersion (folder: string): void {
  const file = path.join(folder, stateVersionName)
  const found = readStateVersion(file)
  if (found?.version === stateVersion) return
  if (found !== undefined && found.version > stateVersion) {
    throw new TollgateError('STATE_NEWER', `${file}: Tollgate ${found.program} has made this state version ${found.version}; this program, ${programVersion}, knows up to ${stateVersion}${keptText(file)}`)
  }
  if (found !== undefined) keepCopy(file, found.version)
  try {
    writeFileDurable(file, stateVersionText())
  } catch (error) {
    throw new TollgateError('STATE_UNWRITABLE', `${file} can't be written: ${(error as Error).message}`, { cause: error })
  }
}

export function stateVersionText (): string { return `${JSON.stringify({ stateVersion, program: programVersion })}\n` }

interface FoundVersion { readonly version: number, readonly program: string }

/** Undefined: a new folder, or one from before there were versions; its stores say what they are. */
function readStateVersion (file: string): FoundVersion | undefined {
  if (!existsSync(file)) return undefined
  try {
    const { stateVersion: version, program } = JSON.parse(readFileSync(file, 'utf8')) as { readonly stateVersion?: unknown, readonly program?: unknown }
    if (Number.isSafeInteger(version) && Number(version) > 0 && typeof program === 'string') return { version: Number(version), program }
  } catch (error) {
    throw new TollgateError('STATE_VERSION_UNKNOWN', `${file} can't be read: ${(error as Error).message}`, { cause: error })
  }
  throw new TollgateError('STATE_VERSION_UNKNOWN', `${file} names no version`)
}

/**
 * Copies a store of `version` beside itself, before it is migrated; it is closed. Only the last such copy is kept.
 * @param suffixes of the files that it consists of, its own name first
 */
export function keepCopy (file: string, version: number, suffixes: readonly string[] = ['']): void {
  const copy = copyName(file, version)
  const others = keptCopies(file).filter((other) => !suffixes.some((suffix) => other === copy + suffix))
  try {
    // The store's own file comes last: where it is, the copy is whole.
    for (const suffix of suffixes.toReversed()) {
      rmSync(copy + suffix, { force: true })
      if (!existsSync(file + suffix)) continue
      copyFileSync(file + suffix, copy + suffix + partialSuffix, constants.COPYFILE_FICLONE)
      publishFile(copy + suffix + partialSuffix, copy + suffix)
    }
  } catch (error) {
    for (const suffix of suffixes) rmSync(copy + suffix + partialSuffix, { force: true, recursive: true })
    const code = (error as NodeJS.ErrnoException).code === 'ENOSPC' ? 'STATE_NO_ROOM' : 'STATE_UNWRITABLE'
    throw new TollgateError(code, `${copy} can't be made, the copy of ${file} from before its migration: ${(error as Error).message}`, { cause: error })
  }
  for (const other of others) rmSync(other, { force: true })
}

export function copyName (file: string, version: number): string { return `${file}.version-${version}` }

function keptCopies (file: string): string[] {
  return globSync(`${path.basename(file)}.version-*`, { cwd: path.dirname(file) }).sort().map((name) => path.join(path.dirname(file), name))
}

/** What is said of a store that a newer program has written. */
export function newerStore (code: OperatorErrorCode, { file, found, known }: { readonly file: string, readonly found: number, readonly known: number }): TollgateError {
  return new TollgateError(code, `${file} has version ${found}, this program, ${programVersion}, knows up to ${known}${keptText(file)}`)
}

function keptText (file: string): string {
  const kept = keptCopies(file).filter((name) => /\.version-\d+$/.test(name))
  return kept.length === 0 ? '' : `; kept from before: ${kept.join(', ')}`
}
