// What one flush put into the archive, written beside it as the flush's last step: which files, which part of which
// stream, and everything of it that isn't an event. With these records a lost database is made again from the archive
// alone, and a missing file is missed by name.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { writeFileDurable } from '../platform/durable-file.ts'
import type { StoredHourMark } from './batch.ts'
import type { AggregatorFolders } from './folders.ts'
import type { StreamMark } from './state.ts'

export interface ArchiveFile {
  /** Relative to the archive's folder. */
  readonly file: string
  readonly hour: number
  readonly rows: number
  readonly bytes: number
  readonly sha256: string
}

/** The part of a file that one stream has. */
export interface ArchiveStream {
  readonly file: string
  readonly sourcePartition: number
  readonly streamId: string
  readonly rows: number
  readonly minSeq: number
  readonly maxSeq: number
}

export interface FlushedStream {
  readonly sourcePartition: number
  readonly streamId: string
  readonly gatewayId: string | undefined
  /** Everything above it up to `lastSeq` is in the files of this flush, or among its dead letters, voids and holes. */
  readonly afterSeq: number
  readonly lastSeq: number
}

export interface FlushedVoid {
  readonly sourcePartition: number
  readonly streamId: string
  readonly gatewayId: string
  readonly prevSeq: number
  readonly lastSeq: number
  readonly reason: string
  /** Hours and counts, as JSON. */
  readonly hours: string
  readonly isHoursUncertain: boolean
}

export interface FlushedDeadLetter {
  readonly sourcePartition: number
  readonly streamId: string
  readonly seq: number
  readonly prevSeq: number
  readonly gatewayId: string
  readonly hour: number
  readonly reason: string
}

export interface FlushRecord {
  readonly schemaVersion: 1
  readonly flush: string
  /** The flush before it: a missing record is known by its successor. */
  readonly previousFlush: string | null
  readonly files: readonly ArchiveFile[]
  readonly archiveStreams: readonly ArchiveStream[]
  readonly streams: readonly FlushedStream[]
  readonly voids: readonly FlushedVoid[]
  readonly holes: readonly { readonly sourcePartition: number, readonly streamId: string, readonly afterSeq: number, readonly toSeq: number }[]
  readonly deadLetters: readonly FlushedDeadLetter[]
  readonly streamMarks: readonly ({ readonly streamId: string } & StreamMark)[]
  readonly hourMarks: readonly StoredHourMark[]
}

const suffix = '.json'

/** Durable when it returns: JSON, and its SHA-256 on the second line. */
export function writeFlushRecord (folder: string, record: FlushRecord): void {
  const text = JSON.stringify(record)
  writeFileDurable(path.join(folder, record.flush + suffix), `${text}\n${sha256(text)}\n`)
}

/** Names of all flushes that have a record, oldest first. */
export function listFlushes (folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder).filter((name) => name.endsWith(suffix)).map(flushNamed).sort()
}

/** The flush whose record is called so. */
export function flushNamed (recordName: string): string { return recordName.slice(0, -suffix.length) }

/** Absolute paths of a flush's files, its record behind them. @throws TollgateError ARCHIVE_INCOMPLETE when the record is missing or damaged */
export function filesOfFlush ({ archive, flushes }: Pick<AggregatorFolders, 'archive' | 'flushes'>, flush: string): string[] {
  return [...readFlushRecord(flushes, flush).files.map(({ file }) => path.join(archive, file)), path.join(flushes, flush + suffix)]
}

/** @throws TollgateError ARCHIVE_INCOMPLETE when the record is missing or damaged */
export function readFlushRecord (folder: string, flush: string): FlushRecord {
  const file = path.join(folder, flush + suffix)
  if (!existsSync(file)) throw new TollgateError('ARCHIVE_INCOMPLETE', `${file} is missing`)
  const [text = '', sum] = readFileSync(file, 'utf8').split('\n')
  if (sha256(text) !== sum) throw new TollgateError('ARCHIVE_INCOMPLETE', `${file} is damaged`)
  return JSON.parse(text) as FlushRecord
}

function sha256 (text: string): string { return createHash('sha256').update(text).digest('hex') }
