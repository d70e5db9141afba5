// The start-up check: archive and database are brought together. Files that the database doesn't know - a crash between
// rename and commit, a database restored from an older copy or made anew - are adopted: their events that are not counted
// yet are counted in chain order, then the files are entered. Files that the database knows and the disk has lost are
// reported: what is counted stands, and billing goes on, but nothing can be made again from an archive with holes.
import { existsSync, globSync, statSync } from 'node:fs'
import path from 'node:path'
import { followChain } from '../domain/chain.ts'
import { TollgateError } from '../domain/errors.ts'
import { sha256OfFile } from '../platform/durable-file.ts'
import type { Aggregator } from './aggregator.ts'
import { adoptOrphans } from './adopt-orphans.ts'
import { enterFlush, removePartialFiles } from './archive.ts'
import { loadArchivedEvents } from './archived-events.ts'
import type { ArchiveProblem, Take } from './archived-events.ts'
import type { Batch } from './batch.ts'
import type { StreamSeqs } from './batch-plan.ts'
import { listFlushes, readFlushRecord } from './flush-record.ts'
import type { FlushRecord } from './flush-record.ts'
import { countEvents } from './ingest.ts'
import type { BadLine } from './ingest.ts'
import { partitionOf } from './state.ts'

export interface Adoption { readonly files: number, readonly events: number, readonly problems: readonly ArchiveProblem[] }

/** Records that are adopted together: one transaction of at most about so many events. */
const eventsMax = 200_000
const recordsMax = 50

/** A new database beside an archive that it has no part in: the next flush names the last one, and nothing is adopted. */
export async function beginBehindArchive (aggregator: Aggregator): Promise<Adoption> {
  const { folders, writer } = aggregator.parts
  removePartialFiles(folders.archive)
  removePartialFiles(folders.segments)
  const flushes = listFlushes(folders.flushes)
  const last = flushes.at(-1)
  if (last !== undefined) {
    await writer.transaction(async () => {
      await writer.run('UPDATE meta SET lastFlush = $1', [last])
      await aggregator.awaitCopies(flushes)
    })
  }
  await aggregator.reset()
  return { files: 0, events: 0, problems: [] }
}

/** @param isOnlyNewer older flushes than the database's last one belong to a time of which it knows only the outcome */
export async function adoptArchive (aggregator: Aggregator, { isOnlyNewer = false } = {}): Promise<Adoption> {
  const { folders, writer, log } = aggregator.parts
  removePartialFiles(folders.archive)
  removePartialFiles(folders.segments)
  const known = new Set((await writer.rows<{ flush: string }>('SELECT flush FROM flushes')).map(({ flush }) => flush))
  const problems = await checkManifest(aggregator, known)
  const after = isOnlyNewer ? aggregator.state.lastFlush ?? '' : ''
  const { records, problems: unreadable } = readRecords(folders.flushes, known, after)
  problems.push(...unreadable)
  const adopted = await adoptRecords(aggregator, records, problems)
  await aggregator.reset()
  // A record that can't be read is a record all the same: to make one up in its place would lose what only it says.
  const recorded = new Set([...known, ...listFlushes(folders.flushes)])
  const orphans = globSync('date=*/hour=*/*.parquet', { cwd: folders.archive }).filter((file) => !recorded.has(path.basename(file, '.parquet'))).sort()
  const orphaned = await adoptOrphans(aggregator, orphans, problems)
  const adoption = { files: adopted.files + orphaned.files, events: adopted.events + orphaned.events, problems }
  if (adoption.files > 0) log.info({ files: adoption.files, events: adoption.events }, 'archive files that the database didn\'t know were adopted; their events that were not counted yet are counted now')
  for (const problem of problems) log.error({ code: 'ARCHIVE_INCOMPLETE', ...problem }, 'the archive is not as it should be; what is counted and billed stands')
  return adoption
}

/** What the database knows must be on disk, in its size; `verify` reads it to the last byte. */
async function checkManifest (aggregator: Aggregator, known: ReadonlySet<string>): Promise<ArchiveProblem[]> {
  const { folders, writer } = aggregator.parts
  const problems: ArchiveProblem[] = []
  for (const { file, hour, bytes } of await writer.rows<{ file: string, hour: number, bytes: bigint }>('SELECT file, hour, bytes FROM archive_files')) {
    const size = statSync(path.join(folders.archive, file), { throwIfNoEntry: false })?.size
    if (size === undefined) problems.push({ file, hour, problem: 'missing' })
    else if (size !== Number(bytes)) problems.push({ file, hour, problem: `${size} bytes instead of ${bytes}` })
  }
  const onDisk = new Set(listFlushes(folders.flushes))
  for (const flush of known) if (!onDisk.has(flush)) problems.push({ file: `flush/${flush}.json`, problem: 'missing' })
  return problems
}

function readRecords (folder: string, known: ReadonlySet<string>, after: string): { readonly records: FlushRecord[], readonly problems: ArchiveProblem[] } {
  const names = listFlushes(folder)
  const all = new Set([...names, ...known])
  const records: FlushRecord[] = []
  const problems: ArchiveProblem[] = []
  for (const flush of names) {
    if (known.has(flush) || flush <= after) continue
    try {
      const record = readFlushRecord(folder, flush)
      records.push(record)
      if (record.previousFlush !== null && !all.has(record.previousFlush)) problems.push({ file: `flush/${record.previousFlush}.json`, problem: `missing; flush ${flush} names it` })
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error
      problems.push({ file: `flush/${flush}.json`, problem: 'damaged' })
    }
  }
  return { records, problems }
}

/** Again and again, because one flush may wait for another; what can't be counted in the end lacks a predecessor. */
async function adoptRecords (aggregator: Aggregator, all: readonly FlushRecord[], problems: ArchiveProblem[]): Promise<{ files: number, events: number }> {
  const sum = { files: 0, events: 0 }
  let waiting: FlushRecord[] = []
  for (const record of all) {
    const broken = await brokenFiles(aggregator.parts.folders.archive, record)
    if (broken.length === 0) waiting.push(record)
    problems.push(...broken)
  }
  for (let isMoving = true; isMoving && waiting.length > 0;) {
    isMoving = false
    const still: FlushRecord[] = []
    for (const group of groupsOf(waiting)) {
      for (const partition of aggregator.state.partitions.keys()) {
        const events = await adoptGroup(aggregator, partition, group)
        sum.events += events
        isMoving ||= events > 0
      }
      const counted = group.filter((record) => isCounted(aggregator, record))
      await enterRecords(aggregator, counted)
      still.push(...group.filter((record) => !counted.includes(record)))
      sum.files += counted.reduce((count, { files }) => count + files.length, 0)
    }
    isMoving ||= still.length < waiting.length
    waiting = still
  }
  for (const record of waiting) {
    for (const { streamId, afterSeq } of record.streams) problems.push({ file: `flush/${record.flush}.json`, problem: `events of stream ${streamId} up to seq ${afterSeq} are missing, so what follows can't be counted` })
  }
  return sum
}

async function brokenFiles (archive: string, record: FlushRecord): Promise<ArchiveProblem[]> {
  const problems: ArchiveProblem[] = []
  for (const { file, hour, sha256 } of record.files) {
    const full = path.join(archive, file)
    if (!existsSync(full)) problems.push({ file, hour, problem: 'missing' })
    else if (await sha256OfFile(full) !== sha256) problems.push({ file, hour, problem: 'its content has changed' })
  }
  return problems
}

function groupsOf (records: readonly FlushRecord[]): FlushRecord[][] {
  const groups: FlushRecord[][] = []
  let events = 0
  for (const record of records) {
    const last = groups.at(-1)
    const rows = record.files.reduce((sum, file) => sum + file.rows, 0)
    if (last === undefined || last.length >= recordsMax || events + rows > eventsMax) {
      groups.push([record])
      events = rows
    } else {
      last.push(record)
      events += rows
    }
  }
  return groups
}

/** Everything of the record has been counted; only then is it entered. */
function isCounted (aggregator: Aggregator, record: FlushRecord): boolean {
  return record.streams.every(({ sourcePartition, streamId, lastSeq }) => (aggregator.state.partitions.get(sourcePartition)?.streams.get(streamId)?.appliedSeq ?? 0) >= lastSeq)
}

async function enterRecords (aggregator: Aggregator, records: readonly FlushRecord[]): Promise<void> {
  if (records.length === 0) return
  const { writer } = aggregator.parts
  await writer.transaction(async () => {
    for (const record of records) await enterFlush(writer, record)
    const flushes = records.map(({ flush }) => flush).sort()
    await writer.run('UPDATE meta SET lastFlush = greatest(coalesce(lastFlush, $1), $1)', [flushes.at(-1) ?? ''])
    await aggregator.awaitCopies(flushes)
  })
}

/** Counts one partition's part of some records in one transaction. @returns the events counted */
async function adoptGroup (aggregator: Aggregator, partition: number, group: readonly FlushRecord[]): Promise<number> {
  const { writer, folders } = aggregator.parts
  const { streams } = partitionOf(aggregator.state, partition)
  const seqs = new Map<string, StreamSeqs & { readonly archivedSeq: number }>()
  const takes = new Map<string, Take>()
  const standing = (streamId: string): StreamSeqs & { readonly archivedSeq: number } => seqs.get(streamId) ?? streams.get(streamId) ?? { appliedSeq: 0, stagedSeq: 0, archivedSeq: 0 }
  for (const { sourcePartition, streamId, afterSeq, lastSeq } of group.flatMap((record) => record.streams)) {
    if (sourcePartition !== partition) continue
    const before = standing(streamId)
    const counted = followChain(before.appliedSeq, { prevSeq: afterSeq, lastSeq })
    if (counted.kind === 'gap') continue
    const archived = followChain(before.archivedSeq, { prevSeq: afterSeq, lastSeq })
    if (counted.kind === 'count') takes.set(streamId, { streamId, takeAfterSeq: takes.get(streamId)?.takeAfterSeq ?? counted.takeAfterSeq, lastSeq })
    const archivedSeq = archived.kind === 'count' ? lastSeq : before.archivedSeq
    seqs.set(streamId, { appliedSeq: Math.max(before.appliedSeq, lastSeq), archivedSeq, stagedSeq: Math.max(before.stagedSeq, archivedSeq) })
  }
  if (seqs.size === 0) return 0
  const table = await loadArchivedEvents(writer, partition, { files: group.flatMap((record) => record.files.map(({ file }) => path.join(folders.archive, file))), takes: [...takes.values()] })
  const counts = table === undefined ? [] : await countEvents(writer, table)
  const batch: Batch = {
    partition,
    tables: table === undefined ? [] : [table],
    counts,
    ...detailsOf(group, partition, takes),
    marks: [],
    storedMarks: {
      streams: group.flatMap((record) => record.streamMarks).filter(({ streamId, seq }) => seq <= standing(streamId).appliedSeq),
      hours: newestHours(group).filter(({ streamId, seq }) => seq <= standing(streamId).appliedSeq)
    },
    seqs
  }
  await aggregator.commit(batch)
  if (table !== undefined) await writer.run(`DROP TABLE ${table}`)
  await aggregator.closeSegmentWhenFull(partition)
  return counts.reduce((sum, { billable, notBillable }) => sum + billable + notBillable, 0)
}

function newestHours (group: readonly FlushRecord[]): FlushRecord['hourMarks'] {
  return [...new Map(group.flatMap((record) => record.hourMarks).map((mark) => [`${mark.streamId} ${mark.hour}`, mark])).values()]
}

/** Voids, holes and dead letters of the group that the database hasn't counted. */
function detailsOf (group: readonly FlushRecord[], partition: number, takes: ReadonlyMap<string, Take>): Pick<Batch, 'voids' | 'holes' | 'badLines'> {
  const isTaken = ({ sourcePartition, streamId }: { readonly sourcePartition: number, readonly streamId: string }, seq: number): boolean => {
    const take = takes.get(streamId)
    return sourcePartition === partition && take !== undefined && seq > take.takeAfterSeq && seq <= take.lastSeq
  }
  return {
    voids: group.flatMap((record) => record.voids).filter((part) => isTaken(part, part.lastSeq)).map((part) => ({
      item: { kind: 'void', ...part, hours: [] }, isCounted: true, afterSeq: part.prevSeq, hours: JSON.parse(part.hours) as { hour: number, count: number }[]
    })),
    holes: group.flatMap((record) => record.holes).filter(({ sourcePartition }) => sourcePartition === partition),
    badLines: group.flatMap((record) => record.deadLetters).filter((part) => isTaken(part, part.seq)).map((part): BadLine => ({ ...part, text: '' }))
  }
}
