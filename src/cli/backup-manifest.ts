// What a backup is: `manifest.ndjson` in its folder, written last, so that a folder without it is none. A header, a line a file,
// and a last line with their number and the hash of all lines before it.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { writeFileDurable } from '../platform/durable-file.ts'
import { stateVersion, storeVersions } from '../platform/state-version.ts'
import type { StateFacts } from './handlers/backup.ts'

export const backupVersion = 1
const manifestName = 'manifest.ndjson'

/** One state folder: on one machine the state itself (`.`), in a cluster that of a role. */
export interface BackupPart extends StateFacts {
  /** Relative to the state folder of the configuration. */
  readonly folder: string
  /** A program had it open: everything is as of one moment of its life. */
  readonly isRunning: boolean
}

export interface BackupHeader {
  readonly tollgate: 'backup'
  readonly version: number
  readonly madeAt: string
  readonly program: string
  readonly commit?: string
  readonly stateVersion: number
  readonly stores: Readonly<Record<string, number>>
  readonly parts: readonly BackupPart[]
}

export interface BackupFile {
  /** Relative to the state folder, with slashes. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

export interface BackupManifest extends BackupHeader {
  readonly files: readonly BackupFile[]
  /** What the backed-up state itself lacks, or has damaged. */
  readonly problems: readonly string[]
}

/** Where a backup has the files of the state. */
export function backupStateFolder (folder: string): string { return path.join(folder, 'state') }

export function writeManifest (folder: string, { files, problems, ...header }: BackupManifest): void {
  const lines = [header, ...files].map((line) => `${JSON.stringify(line)}\n`).join('')
  writeFileDurable(path.join(folder, manifestName), `${lines}${JSON.stringify({ kind: 'end', files: files.length, problems, sha256: sha256Of(lines) })}\n`)
}

/** @throws TollgateError BACKUP_DAMAGED, BACKUP_NEWER */
export function readManifest (folder: string): BackupManifest {
  const file = path.join(folder, manifestName)
  if (!existsSync(file)) throw new TollgateError('BACKUP_DAMAGED', `${file} is missing: ${folder} is no backup, or one that was not finished`)
  const text = readFileSync(file, 'utf8')
  const lines = text.trimEnd().split('\n')
  const [header, ...files] = lines.slice(0, -1).map((line) => parsed(file, line)) as unknown as [BackupHeader, ...BackupFile[]]
  const end = parsed(file, lines.at(-1) ?? '') as { readonly kind?: unknown, readonly files?: unknown, readonly problems?: readonly string[], readonly sha256?: unknown }
  if (header?.tollgate !== 'backup') throw new TollgateError('BACKUP_DAMAGED', `${file} is not the manifest of a backup`)
  if (header.version > backupVersion) throw new TollgateError('BACKUP_NEWER', `${file} has version ${header.version}, this program knows ${backupVersion}`)
  const whole = `${lines.slice(0, -1).join('\n')}\n`
  if (end.kind !== 'end' || end.files !== files.length || end.sha256 !== sha256Of(whole)) throw new TollgateError('BACKUP_DAMAGED', `${file} is damaged: it is not what was written`)
  checkVersions(file, header)
  for (const { path: name } of files) if (!isNameWithin(name)) throw new TollgateError('BACKUP_DAMAGED', `${file} names ${JSON.stringify(name)}`)
  return { ...header, files, problems: end.problems ?? [] }
}

/** Before anything is read: a program refuses a newer state, so it doesn't restore one either. */
function checkVersions (file: string, { program, stateVersion: found, stores }: BackupHeader): void {
  if (found > stateVersion) throw new TollgateError('BACKUP_NEWER', `${file}: Tollgate ${program} has made this backup of a state of version ${found}; this program knows up to ${stateVersion}`)
  for (const [store, known] of Object.entries(storeVersions)) {
    if ((stores[store] ?? 0) > known) throw new TollgateError('BACKUP_NEWER', `${file}: Tollgate ${program} has made this backup with ${store} version ${stores[store]}; this program knows up to ${known}`)
  }
}

/** What stands in a file becomes a path only if it can't lead elsewhere. */
function isNameWithin (name: unknown): boolean {
  return typeof name === 'string' && /^[A-Za-z0-9=._/-]{1,500}$/.test(name) && name.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function parsed (file: string, line: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  } catch { /* told below */ }
  throw new TollgateError('BACKUP_DAMAGED', `${file} is damaged: a line is no JSON`)
}

function sha256Of (text: string): string { return createHash('sha256').update(text).digest('hex') }
