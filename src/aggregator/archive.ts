// The archive's files. What is counted is staged in memory and goes to Parquet from time to time: files first, each
// complete before it has its name, then the flush's record, then the transaction that says they are there. Only after it
// may the usage log drop the events.
import { globSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { formatDate, formatTimeMs, hourOfDay } from '../domain/window.ts'
import { crashPoint } from '../platform/crash-points.ts'
import { makeFolderDurable, partialSuffix, publishFile, sha256OfFile } from '../platform/durable-file.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { copyHour, stagedParts } from './archive-sql.ts'
import type { StagedTable } from './archive-sql.ts'
import { writeRows } from './apply.ts'
import type { ArchiveFile, ArchiveStream, FlushRecord, FlushedDeadLetter, FlushedStream, FlushedVoid } from './flush-record.ts'
import type { StoredHourMark } from './batch.ts'
import type { AggregatorState, StreamMark } from './state.ts'

/** `yyyyMMddTHHmmssSSSZ-` and random characters: sorted by time, and never the name of another flush. */
export function flushName (nowMs: number, random: string): string {
  return `${formatTimeMs(nowMs).replaceAll(/[-:.]/g, '')}-${random.slice(0, 8)}`
}

/** Where the events of `hour` in `flush` are, relative to the archive's folder. */
export function archiveFileName (hour: number, flush: string): string {
  return path.join(`date=${formatDate(hour)}`, `hour=${String(hourOfDay(hour)).padStart(2, '0')}`, `${flush}.parquet`)
}

interface PartRow { readonly [column: string]: unknown, readonly hour: number, readonly sourcePartition: number, readonly streamId: string, readonly rows: bigint, readonly minSeq: bigint, readonly maxSeq: bigint }

/** Writes the staged events, one file an hour. All are durable under their names when it returns. */
export async function writeArchiveFiles (writer: SqlConnection, { archive, tables, flush }: { readonly archive: string, readonly tables: readonly StagedTable[], readonly flush: string }): Promise<Pick<FlushRecord, 'files' | 'archiveStreams'>> {
  if (tables.length === 0) return { files: [], archiveStreams: [] }
  const parts = await writer.rows<PartRow>(stagedParts(tables))
  const files: ArchiveFile[] = []
  for (const hour of new Set(parts.map((part) => part.hour))) {
    const file = archiveFileName(hour, flush)
    const full = path.join(archive, file)
    makeFolderDurable(path.dirname(full))
    await writer.run(copyHour(tables, { hour, file: full + partialSuffix }))
    crashPoint('archive.after-write')
    const sha256 = await sha256OfFile(full + partialSuffix)
    publishFile(full + partialSuffix, full)
    crashPoint('archive.after-rename')
    const rows = parts.filter((part) => part.hour === hour).reduce((sum, part) => sum + Number(part.rows), 0)
    files.push({ file, hour, rows, bytes: statSync(full).size, sha256 })
  }
  const archiveStreams = parts.map(({ hour, sourcePartition, streamId, rows, minSeq, maxSeq }): ArchiveStream => ({
    file: archiveFileName(hour, flush), sourcePartition, streamId, rows: Number(rows), minSeq: Number(minSeq), maxSeq: Number(maxSeq)
  }))
  return { files, archiveStreams }
}

/** What a flush takes with it beside events: everything of the streams' parts that it covers. */
export async function collectDetails (writer: SqlConnection, state: AggregatorState): Promise<Pick<FlushRecord, 'voids' | 'holes' | 'deadLetters' | 'streamMarks' | 'hourMarks'>> {
  const beyond = (seq: string): string => `JOIN streams s USING (sourcePartition, streamId) WHERE d.${seq} > s.archivedSeq`
  const plain = (rows: readonly object[]): unknown[] => rows.map((row) => Object.fromEntries(Object.entries(row).map(([column, value]) => [column, typeof value === 'bigint' ? Number(value) : value as unknown])))
  return {
    voids: plain(await writer.rows(`SELECT d.* FROM voids d ${beyond('lastSeq')} ORDER BY d.lastSeq`)) as FlushedVoid[],
    holes: plain(await writer.rows(`SELECT d.* FROM archive_holes d ${beyond('toSeq')} ORDER BY d.toSeq`)) as FlushRecord['holes'],
    deadLetters: plain(await writer.rows(`SELECT d.* FROM dead_letters d ${beyond('seq')} ORDER BY d.seq`)) as FlushedDeadLetter[],
    streamMarks: plain(await writer.rows('SELECT * EXCLUDE (revision) FROM stream_marks WHERE revision > $1', [state.flushedRevision])) as ({ streamId: string } & StreamMark)[],
    hourMarks: plain(await writer.rows('SELECT * EXCLUDE (revision) FROM hour_marks WHERE revision > $1', [state.flushedRevision])) as StoredHourMark[]
  }
}

type Details = Awaited<ReturnType<typeof collectDetails>>

/** Details of the parts of streams that a flush covers: what was counted later comes with a later flush. */
export function coveredBy (streams: readonly FlushedStream[], details: Details): Details {
  const ends = new Map(streams.map(({ sourcePartition, streamId, lastSeq }) => [`${sourcePartition} ${streamId}`, lastSeq]))
  const isCovered = (part: { readonly sourcePartition: number, readonly streamId: string }, seq: number): boolean => seq <= (ends.get(`${part.sourcePartition} ${part.streamId}`) ?? 0)
  return {
    ...details,
    voids: details.voids.filter((part) => isCovered(part, part.lastSeq)),
    holes: details.holes.filter((part) => isCovered(part, part.toSeq)),
    deadLetters: details.deadLetters.filter((part) => isCovered(part, part.seq))
  }
}

/** Enters a flush into the manifest; part of a transaction. */
export async function enterFlush (writer: SqlConnection, record: Pick<FlushRecord, 'flush' | 'previousFlush' | 'files' | 'archiveStreams'>): Promise<void> {
  await writeRows(writer, 'flushes', [{ flush: record.flush, previousFlush: record.previousFlush }])
  await writeRows(writer, 'archive_files', record.files.map((file) => ({ ...file, flush: record.flush })))
  await writeRows(writer, 'archive_streams', record.archiveStreams)
}

export function makeArchiveFolders (folders: { readonly archive: string, readonly flushes: string }): void {
  makeFolderDurable(folders.archive)
  makeFolderDurable(folders.flushes)
}

/** Removes what a failed flush has left. Only for a flush that has no record. */
export function removeFlushFiles (archive: string, flush: string): void {
  for (const file of globSync(`date=*/hour=*/${flush}.parquet*`, { cwd: archive })) rmSync(path.join(archive, file), { force: true })
}

/** Removes what was never finished: it has no name yet that anybody could know. */
export function removePartialFiles (folder: string): void {
  for (const file of globSync(`**/*${partialSuffix}`, { cwd: folder })) rmSync(path.join(folder, file), { force: true })
}
