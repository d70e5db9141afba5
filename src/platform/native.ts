// Native parts of the packaged file (DuckDB, the HTTP server): the system's loader wants them as files, so they are
// unpacked once into a private folder and from then on checked by hash before they are loaded. What stands there is
// either whole and ours, or it is put aside and unpacked again: no write needs to reach the disk for that.
import { accessSync, chmodSync, closeSync, constants, lstatSync, mkdirSync, mkdtempSync, openSync, readSync, readdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import path from 'node:path'
import process from 'node:process'
import { getAsset, getRawAsset, isSea } from 'node:sea'
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads'
import { zstdDecompressSync } from 'node:zlib'
import { TollgateError } from '../domain/errors.ts'
import { systemClock } from './clock.ts'

interface NativeFile { readonly name: string, readonly bytes: number, readonly sha256: string }

/** The asset native.json; each file is an asset of its own name, compressed with zstd. */
export interface NativeManifest {
  /** Differs when any file differs. */
  readonly id: string
  readonly files: readonly NativeFile[]
}

/** Where the files come from; a test has its own. */
export interface NativeSource {
  readonly manifest: NativeManifest
  readonly content: (name: string) => Uint8Array
}

const prefix = 'native-'
const unpackingPrefix = '.unpacking-'
const attemptsMax = 3
const hashedBytesAtOnce = 1_048_576
/** What was not started for so long is not starting either: a running program has mapped its files and needs them no more. */
const unusedMsMin = 600_000
const environmentKey = 'tollgate.nativeFolder'

let candidates: readonly string[] = []

/** Where native parts may be unpacked, best first. Before anything is loaded. */
export function useNativeFolders (folders: readonly string[]): void { candidates = folders }

/** Unpacks and checks them, once a process: threads that are started afterwards know the folder. @throws TollgateError NATIVE_FOLDER_UNUSABLE */
export function prepareNative (): void {
  if (isSea()) nativeFolder()
}

/** Loads an add-on. @throws TollgateError NATIVE_FOLDER_UNUSABLE, and what the system's loader says */
export function loadNative (name: string): object {
  const loaded = { exports: {} }
  process.dlopen(loaded, path.join(nativeFolder(), name))
  return loaded.exports
}

/** The script of a thread, as text, in the packaged file. */
export function packedScript (name: string): string { return unpackAsset(name).toString('latin1') }

/** Stands for an add-on that is loaded when something of it is asked for. */
export function nativeWhenUsed (name: string): object {
  let loaded: object | undefined
  return new Proxy({}, {
    // What loaders of modules ask of everything is no use of it.
    get: (_, key) => key === '__esModule' ? undefined : Reflect.get(loaded ??= loadNative(name), key) as unknown
  })
}

function unpackAsset (name: string): Buffer { return zstdDecompressSync(new Uint8Array(getRawAsset(name))) }

function nativeFolder (): string {
  const known = getEnvironmentData(environmentKey)
  if (typeof known === 'string') return known
  if (!isMainThread) throw new Error('threads are started after the native parts were unpacked')
  const folder = unpackNative({ manifest: JSON.parse(getAsset('native.json', 'utf8')) as NativeManifest, content: unpackAsset }, candidates)
  setEnvironmentData(environmentKey, folder)
  return folder
}

/** @param folders tried in this order. @returns where the files are. @throws TollgateError NATIVE_FOLDER_UNUSABLE */
export function unpackNative (source: NativeSource, folders: readonly string[]): string {
  const problems: string[] = []
  for (const folder of folders) {
    try {
      const unpacked = unpackInto(folder, source)
      removeUnused(folder, path.basename(unpacked))
      return unpacked
    } catch (error) {
      problems.push(`${folder}: ${(error as Error).message}`)
    }
  }
  throw new TollgateError('NATIVE_FOLDER_UNUSABLE', `there is no place for the native parts of this program${problems.length === 0 ? '' : ` (${problems.join('; ')})`}`)
}

function unpackInto (folder: string, source: NativeSource): string {
  makeFolder(folder)
  // A folder of each user's own: nobody loads what another one may change.
  const final = path.join(folder, `${prefix}${source.manifest.id}-${userId()}`)
  for (let attempt = 1; ; attempt++) {
    const damage = damageOf(final, source.manifest)
    if (damage === undefined) {
      for (const { name } of source.manifest.files) checkExecutable(path.join(final, name))
      utimesSync(final, systemClock.nowMs() / 1000, systemClock.nowMs() / 1000)
      return final
    }
    if (attempt > attemptsMax) throw new Error(`${damage}, also after it was unpacked again`)
    replace(folder, final, source)
  }
}

/** Not `recursive`: that never ends in Node 24 where the system answers ENOENT below a folder that exists. */
function makeFolder (folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    const parent = path.dirname(folder)
    if (code !== 'ENOENT' || parent === folder || lstatSync(parent, { throwIfNoEntry: false }) !== undefined) throw error
    makeFolder(parent)
    makeFolder(folder)
  }
}

/** Of several processes that do this at once one wins, and the others find its files. */
function replace (folder: string, final: string, { manifest, content }: NativeSource): void {
  const fresh = mkdtempSync(path.join(folder, unpackingPrefix))
  try {
    for (const { name } of manifest.files) {
      const file = path.join(fresh, name)
      writeFileSync(file, content(name), { flag: 'wx', mode: 0o500 })
      chmodSync(file, 0o500)
    }
    const isThere = lstatSync(final, { throwIfNoEntry: false }) !== undefined
    if (isThere && damageOf(final, manifest) !== undefined) putAside(final, `${fresh}.damaged`)
    putInPlace(fresh, final)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
    rmSync(`${fresh}.damaged`, { recursive: true, force: true })
  }
}

function putAside (from: string, to: string): void {
  try { renameSync(from, to) } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function putInPlace (from: string, to: string): void {
  try { renameSync(from, to) } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Why the files can't be trusted; undefined when they can. */
function damageOf (folder: string, manifest: NativeManifest): string | undefined {
  const foreignBits = 0o077
  const at = lstatSync(folder, { throwIfNoEntry: false })
  if (at === undefined) return `${folder} is not there`
  if (!at.isDirectory() || at.uid !== userId() || (at.mode & foreignBits) !== 0) return `${folder} is open to other users`
  for (const { name, bytes, sha256 } of manifest.files) {
    const file = path.join(folder, name)
    const found = lstatSync(file, { throwIfNoEntry: false })
    if (found === undefined || !found.isFile() || found.uid !== at.uid || (found.mode & foreignBits) !== 0) return `${file} is missing or open to other users`
    if (found.size !== bytes || hashOf(file) !== sha256) return `${file} was changed`
  }
  return undefined
}

function hashOf (file: string): string {
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafe(hashedBytesAtOnce)
  const descriptor = openSync(file, 'r')
  try {
    for (let bytes = readSync(descriptor, chunk); bytes > 0; bytes = readSync(descriptor, chunk)) hash.update(chunk.subarray(0, bytes))
  } finally {
    closeSync(descriptor)
  }
  return hash.digest('hex')
}

/** The kernel answers for the mount too. */
function checkExecutable (file: string): void {
  try { accessSync(file, constants.X_OK) } catch (error) {
    throw new Error(`programs can't be run from there: is it mounted noexec? (${(error as NodeJS.ErrnoException).code ?? ''})`, { cause: error })
  }
}

/** Other versions', and what a process left that was killed while it unpacked. */
function removeUnused (folder: string, own: string): void {
  for (const name of readdirSync(folder)) {
    if (name === own || !(name.startsWith(prefix) || name.startsWith(unpackingPrefix))) continue
    const other = path.join(folder, name)
    const found = lstatSync(other, { throwIfNoEntry: false })
    if (found === undefined || found.uid !== userId() || systemClock.nowMs() - found.mtimeMs < unusedMsMin) continue
    rmSync(other, { recursive: true, force: true })
  }
}

function userId (): number { return process.geteuid?.() ?? 0 }
