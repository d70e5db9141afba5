// Archive files that no flush's record names: a crash came between the files' names and the record. Their own chain says
// how far they reach. What they hold is counted where it wasn't, and they get a record, so that nothing is an orphan twice.
import { statSync } from 'node:fs'
import path from 'node:path'
import { sha256OfFile } from '../platform/durable-file.ts'
import type { Aggregator } from './aggregator.ts'
import { writeRows } from './apply.ts'
import { collectDetails, coveredBy, enterFlush } from './archive.ts'
import { readArchive } from './archive-sql.ts'
import { loadArchivedEvents } from './archived-events.ts'
import type { ArchiveProblem, Take } from './archived-events.ts'
import { writeFlushRecord } from './flush-record.ts'
import type { ArchiveFile, ArchiveStream, FlushRecord, FlushedStream } from './flush-record.ts'
import { countEvents } from './ingest.ts'
import { partitionOf } from './state.ts'
import type { StreamState } from './state.ts'

/** @param orphans relative to the archive's folder; those of one flush have one name, in the folders of different hours */
export async function adoptOrphans (aggregator: Aggregator, orphans: readonly string[], problems: ArchiveProblem[]): Promise<{ files: number, events: number }> {
  const flushes = new Map<string, string[]>()
  for (const file of orphans) {
    const flush = path.basename(file, '.parquet')
    flushes.set(flush, [...(flushes.get(flush) ?? []), file])
  }
  const sum = { files: 0, events: 0 }
  for (const [flush, files] of [...flushes].sort(([a], [b]) => a < b ? -1 : 1)) {
    const parts = await readParts(aggregator, files, problems)
    if (parts === undefined) continue
    for (const partition of new Set(parts.map(({ sourcePartition }) => sourcePartition))) sum.events += await countOrphans(aggregator, partition, files)
    const ahead = parts.find(({ sourcePartition, streamId, maxSeq }) => maxSeq > (streamOf(aggregator, sourcePartition, streamId)?.appliedSeq ?? 0))
    if (ahead !== undefined) {
      problems.push({ file: ahead.file, problem: `holds events of stream ${ahead.streamId} up to seq ${ahead.maxSeq}; what comes before them is missing, so they can't be counted` })
      continue
    }
    await enterOrphans(aggregator, flush, { files, parts })
    sum.files += files.length
  }
  return sum
}

function streamOf (aggregator: Aggregator, partition: number, streamId: string): StreamState | undefined {
  return aggregator.state.partitions.get(partition)?.streams.get(streamId)
}

/** Undefined when one of the files can't be read. */
async function readParts (aggregator: Aggregator, files: readonly string[], problems: ArchiveProblem[]): Promise<ArchiveStream[] | undefined> {
  const parts: ArchiveStream[] = []
  for (const file of files) {
    try {
      const rows = await aggregator.parts.writer.rows<{ sourcePartition: number, streamId: string, rows: bigint, minSeq: bigint, maxSeq: bigint }>(
        `SELECT sourcePartition, streamId, count(*) AS rows, min(seq) AS minSeq, max(seq) AS maxSeq FROM ${readArchive([path.join(aggregator.parts.folders.archive, file)])} GROUP BY ALL`)
      parts.push(...rows.map((row) => ({ file, sourcePartition: row.sourcePartition, streamId: row.streamId, rows: Number(row.rows), minSeq: Number(row.minSeq), maxSeq: Number(row.maxSeq) })))
    } catch (error) {
      problems.push({ file, problem: `can't be read: ${(error as Error).message.split('\n')[0]}` })
      return undefined
    }
  }
  return parts
}

/** Counts what continues a counted stream. @returns the events counted */
async function countOrphans (aggregator: Aggregator, partition: number, files: readonly string[]): Promise<number> {
  const { writer, folders } = aggregator.parts
  const full = files.map((file) => path.join(folders.archive, file))
  const { streams } = partitionOf(aggregator.state, partition)
  const ends = await chainEnds(aggregator, partition, full, 'appliedSeq')
  if (ends.size === 0) return 0
  const takes: Take[] = [...ends].map(([streamId, lastSeq]) => ({ streamId, takeAfterSeq: streams.get(streamId)?.appliedSeq ?? 0, lastSeq }))
  const seqs = new Map(takes.map(({ streamId, lastSeq }) => [streamId, { appliedSeq: lastSeq, stagedSeq: streams.get(streamId)?.stagedSeq ?? 0 }]))
  const table = await loadArchivedEvents(writer, partition, { files: full, takes })
  const counts = table === undefined ? [] : await countEvents(writer, table)
  await aggregator.commit({ partition, tables: table === undefined ? [] : [table], counts, badLines: [], voids: [], holes: [], marks: [], seqs })
  if (table !== undefined) await writer.run(`DROP TABLE ${table}`)
  await aggregator.closeSegmentWhenFull(partition)
  return counts.reduce((sum, { billable, notBillable }) => sum + billable + notBillable, 0)
}

/** How far each stream goes on without a gap above where it stands now; streams that don't move are left out. */
async function chainEnds (aggregator: Aggregator, partition: number, files: readonly string[], position: 'appliedSeq' | 'archivedSeq'): Promise<Map<string, number>> {
  const rows = await aggregator.parts.writer.rows<{ streamId: string, lastSeq: bigint }>(`
    WITH links AS (
      SELECT streamId, seq, prevSeq FROM ${readArchive(files)} WHERE sourcePartition = ${partition}
      UNION SELECT streamId, seq, prevSeq FROM dead_letters WHERE sourcePartition = ${partition}),
    above AS (
      SELECT l.streamId, l.seq, l.prevSeq, coalesce(s.${position}, 0) AS position
      FROM links l LEFT JOIN streams s ON s.sourcePartition = ${partition} AND s.streamId = l.streamId
      WHERE l.seq > coalesce(s.${position}, 0)),
    linked AS (SELECT *, prevSeq = lag(seq, 1, position) OVER (PARTITION BY streamId ORDER BY seq) AS isLinked FROM above),
    broken AS (SELECT streamId, min(seq) AS seq FROM linked WHERE NOT isLinked GROUP BY streamId)
    SELECT l.streamId, max(l.seq) AS lastSeq FROM linked l LEFT JOIN broken b ON b.streamId = l.streamId
    WHERE b.seq IS NULL OR l.seq < b.seq GROUP BY ALL`)
  return new Map(rows.map(({ streamId, lastSeq }) => [streamId, Number(lastSeq)]))
}

/** Gives the files a record and moves the archive's position along what they continue, in the order of every flush. */
async function enterOrphans (aggregator: Aggregator, flush: string, { files, parts }: { readonly files: readonly string[], readonly parts: readonly ArchiveStream[] }): Promise<void> {
  const { writer, folders } = aggregator.parts
  const archiveFiles: ArchiveFile[] = []
  for (const file of files) {
    const full = path.join(folders.archive, file)
    const rows = parts.filter((part) => part.file === file).reduce((sum, part) => sum + part.rows, 0)
    archiveFiles.push({ file, hour: hourOfFile(file), rows, bytes: statSync(full).size, sha256: await sha256OfFile(full) })
  }
  const streams: FlushedStream[] = []
  for (const sourcePartition of new Set(parts.map((part) => part.sourcePartition))) {
    const ends = await chainEnds(aggregator, sourcePartition, files.map((file) => path.join(folders.archive, file)), 'archivedSeq')
    for (const [streamId, lastSeq] of ends) {
      const stream = streamOf(aggregator, sourcePartition, streamId)
      streams.push({ sourcePartition, streamId, gatewayId: stream?.gatewayId, afterSeq: stream?.archivedSeq ?? 0, lastSeq })
    }
  }
  const record: FlushRecord = {
    schemaVersion: 1, flush, previousFlush: aggregator.state.lastFlush ?? null, files: archiveFiles, archiveStreams: parts, streams, ...coveredBy(streams, await collectDetails(writer, aggregator.state))
  }
  writeFlushRecord(folders.flushes, record)
  // A revision of its own, as for every flush: a stream's row without one would never be published, and what was counted since the last publishing would stand in the topic without it.
  const revision = aggregator.state.revision + 1
  await writer.transaction(async () => {
    await enterFlush(writer, record)
    await writeRows(writer, 'streams', streams.map(({ sourcePartition, streamId, gatewayId, lastSeq }) => ({
      sourcePartition, streamId, gatewayId: gatewayId ?? null, appliedSeq: streamOf(aggregator, sourcePartition, streamId)?.appliedSeq ?? lastSeq, archivedSeq: lastSeq, revision
    })))
    await writer.run('UPDATE meta SET revision = $1, lastFlush = greatest(coalesce(lastFlush, $2), $2)', [revision, flush])
    await aggregator.awaitCopies([flush])
  })
  await aggregator.reset()
}

/** The hour that the folders of an archive file name. */
function hourOfFile (file: string): number {
  const match = /date=(\d{4}-\d\d-\d\d)\/hour=(\d\d)\//.exec(file)
  return match === null ? 0 : Math.floor(Date.parse(`${match[1]}T${match[2]}:00:00.000Z`) / 3_600_000)
}
