// The SQL behind `verify` and `rebuild`: what the archive holds, and what the hourly rows say.
import { keyedCountSql } from '../hourly-log/port.ts'
import { sqlText } from '../platform/duckdb.ts'
import { hourSql, hourlySumsOf, selectHourlyRows } from './aggregator-sql.ts'
import { readArchive } from './archive-sql.ts'

/**
 * Events of some files, each identity once where `isDistinct`. Files that overlap by a repeated flush hold copies; telling
 * them apart costs memory, so it is done only where a stream's chain says that there are some.
 */
export function archivedEvents (files: readonly string[], isDistinct: boolean): string {
  return isDistinct ? `(SELECT DISTINCT ON (sourcePartition, streamId, seq) * FROM ${readArchive(files)})` : readArchive(files)
}

/**
 * Per stream and hour: events, those up to the hour's mark, and sums of hashes of each event's seq and of the one before
 * it. All links of a chain from 0 to its end, added up, leave exactly the two ends: no seq is missing and none is double.
 */
export function archivedPerStream (source: string): string {
  return `SELECT a.sourcePartition, a.streamId, a.gatewayId, a.hour, count(*) AS events, count(*) FILTER (a.seq <= m.seq) AS eventsAtMark,
    sum(hash(a.seq)) AS toHash, sum(hash(a.prevSeq)) AS fromHash
    FROM (SELECT *, ${hourSql} AS hour FROM ${source}) a LEFT JOIN hour_marks m ON m.streamId = a.streamId AND m.hour = a.hour
    GROUP BY ALL`
}

/** Rows that have the same identity and not the same content. */
export function differingRepeats (files: readonly string[]): string {
  return `SELECT streamId, gatewayId, ${hourSql} AS hour FROM
    (SELECT *, hash(a) AS content, min(hash(a)) OVER (PARTITION BY sourcePartition, streamId, seq) AS first FROM ${readArchive(files)} a) WHERE content <> first GROUP BY ALL`
}

const hourSums = `count(*) AS rows, sum(count)::HUGEINT AS count, ${keyedCountSql} AS keyedCount, sum(units)::HUGEINT AS units,
  sum(requestBytes)::HUGEINT AS requestBytes, sum(responseBytes)::HUGEINT AS responseBytes, sum(errorCount)::HUGEINT AS errorCount`

/** Sums per hour over billable events. */
export function archivedHourSums (source: string): string {
  return `SELECT hour, ${hourSums} FROM (${hourlySumsOf(source)}) GROUP BY hour`
}

/** Hourly rows of all segments of some partitions. */
export function allHourlyRows (open: readonly { readonly sourcePartition: number, readonly segment: number }[], closedFiles: readonly string[]): string {
  const parts = open.map(({ sourcePartition, segment }) => selectHourlyRows(sourcePartition, segment))
  if (closedFiles.length > 0) parts.push(`SELECT * FROM read_parquet([${closedFiles.map(sqlText).join(', ')}])`)
  return `(${parts.join(' UNION ALL ')})`
}

/** Sums per hour over hourly rows, and the last revision that changed the hour. */
export function rowHourSums (rows: string): string {
  return `SELECT hour, ${hourSums}, max(revision) AS revision FROM ${rows} GROUP BY hour`
}

/** Links of the chains that aren't events: dead letters, voids and holes; and the chains' ends. */
export const otherLinks = `SELECT sourcePartition, streamId, sum(toHash) AS toHash, sum(fromHash) AS fromHash FROM (
  SELECT sourcePartition, streamId, hash(seq) AS toHash, hash(prevSeq) AS fromHash FROM dead_letters
  UNION ALL SELECT sourcePartition, streamId, hash(lastSeq), hash(prevSeq) FROM voids
  UNION ALL SELECT sourcePartition, streamId, hash(toSeq), hash(afterSeq) FROM archive_holes) GROUP BY ALL`
export const chainEnds = 'SELECT sourcePartition, streamId, gatewayId, appliedSeq, archivedSeq, hash(archivedSeq) AS endHash, hash(0::BIGINT) AS startHash FROM streams'

/** Where the chain of stream $1 of a partition is broken, at most 20 places: the seq behind the break and what stands before it. */
export function chainBreaks (files: readonly string[], partition: number): string {
  const events = files.length === 0 ? '' : `SELECT seq, min(prevSeq) AS prevSeq, min(${hourSql}) AS hour FROM ${readArchive(files)} WHERE sourcePartition = ${partition} AND streamId = $1 GROUP BY seq UNION ALL`
  return `WITH links AS (${events}
    SELECT seq, prevSeq, hour FROM dead_letters WHERE sourcePartition = ${partition} AND streamId = $1
    UNION ALL SELECT lastSeq, prevSeq, NULL FROM voids WHERE sourcePartition = ${partition} AND streamId = $1
    UNION ALL SELECT toSeq, afterSeq, NULL FROM archive_holes WHERE sourcePartition = ${partition} AND streamId = $1
    UNION ALL SELECT NULL, archivedSeq, NULL FROM streams WHERE sourcePartition = ${partition} AND streamId = $1),
    ordered AS (SELECT *, lag(seq, 1, 0) OVER (ORDER BY seq NULLS LAST) AS before, lag(hour) OVER (ORDER BY seq NULLS LAST) AS hourBefore FROM links)
    SELECT before, prevSeq, hour, hourBefore FROM ordered WHERE prevSeq <> before ORDER BY before LIMIT 20`
}
