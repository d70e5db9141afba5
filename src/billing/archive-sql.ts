// The SQL with which billing looks at the archive of a cluster: what the aggregators' manifests say, in a database of its
// own, and events of an hour's files up to where the ledger stands.
import { hourSql } from '../aggregator/aggregator-sql.ts'
import { archivedEvents } from '../aggregator/verify-sql.ts'

/** Tables of the aggregators' own names hold what `verify` needs of them; an empty `hour_marks`, because the ledger tells what stood counted at a mark. */
export const createArchiveTables = `
CREATE TABLE files (sourcePartition INTEGER, hour INTEGER, file VARCHAR, sha256 VARCHAR, bytes BIGINT, aggregator INTEGER, PRIMARY KEY (sourcePartition, file, sha256, aggregator));
CREATE TABLE streams (sourcePartition INTEGER, streamId VARCHAR, gatewayId VARCHAR, appliedSeq BIGINT, archivedSeq BIGINT, PRIMARY KEY (sourcePartition, streamId));
CREATE TABLE covered (sourcePartition INTEGER, streamId VARCHAR, lastSeq BIGINT, PRIMARY KEY (sourcePartition, streamId, lastSeq));
CREATE TABLE dead_letters (sourcePartition INTEGER, streamId VARCHAR, seq BIGINT, prevSeq BIGINT, hour INTEGER, PRIMARY KEY (sourcePartition, streamId, seq));
CREATE TABLE voids (sourcePartition INTEGER, streamId VARCHAR, lastSeq BIGINT, prevSeq BIGINT, PRIMARY KEY (sourcePartition, streamId, lastSeq));
CREATE TABLE archive_holes (sourcePartition INTEGER, streamId VARCHAR, toSeq BIGINT, afterSeq BIGINT, PRIMARY KEY (sourcePartition, streamId, toSeq));
CREATE TABLE hour_marks (streamId VARCHAR, hour INTEGER, seq BIGINT);
CREATE TABLE links (sourcePartition INTEGER, streamId VARCHAR, prevSeq BIGINT, seq BIGINT, hour INTEGER);
`

const rowColumns = {
  files: { sourcePartition: 'INTEGER', hour: 'INTEGER', file: 'VARCHAR', sha256: 'VARCHAR', bytes: 'BIGINT', aggregator: 'INTEGER' },
  streams: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', gatewayId: 'VARCHAR', appliedSeq: 'BIGINT', archivedSeq: 'BIGINT' },
  covered: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', lastSeq: 'BIGINT' },
  dead_letters: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', seq: 'BIGINT', prevSeq: 'BIGINT', hour: 'INTEGER' },
  voids: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', lastSeq: 'BIGINT', prevSeq: 'BIGINT' },
  archive_holes: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', toSeq: 'BIGINT', afterSeq: 'BIGINT' }
} as const
export type ArchiveTable = keyof typeof rowColumns

/** $1 a JSON array of rows. What is there already, from another aggregator's copy, stays. */
export function insertRows (table: ArchiveTable): string {
  return `INSERT OR IGNORE INTO ${table} SELECT row.* FROM (SELECT unnest(from_json($1, '${JSON.stringify([rowColumns[table]])}')) AS row)`
}

/**
 * How far each chain must reach: to where the ledger has counted it, as far as the manifests go, and at least to what the
 * ledger was told is archived. What lies beyond is left out, for nobody has been told of it yet.
 */
export const setChainEnds = `
UPDATE streams SET archivedSeq = least(appliedSeq, greatest(archivedSeq, coalesce((SELECT max(lastSeq) FROM covered c WHERE c.sourcePartition = streams.sourcePartition AND c.streamId = streams.streamId), 0)));
DELETE FROM dead_letters WHERE seq > coalesce((SELECT archivedSeq FROM streams s WHERE s.sourcePartition = dead_letters.sourcePartition AND s.streamId = dead_letters.streamId), 0);
DELETE FROM voids WHERE lastSeq > coalesce((SELECT archivedSeq FROM streams s WHERE s.sourcePartition = voids.sourcePartition AND s.streamId = voids.streamId), 0);
DELETE FROM archive_holes WHERE toSeq > coalesce((SELECT archivedSeq FROM streams s WHERE s.sourcePartition = archive_holes.sourcePartition AND s.streamId = archive_holes.streamId), 0);
`

export const pendingStreams = 'SELECT DISTINCT streamId FROM streams WHERE archivedSeq < appliedSeq'

/** Each distinct file, the aggregators that have it, of hour $1. */
export const filesOfHour = 'SELECT sourcePartition, file, sha256, max(bytes) AS bytes, list(aggregator ORDER BY aggregator) AS aggregators FROM files WHERE hour = $1 GROUP BY sourcePartition, file, sha256 ORDER BY sourcePartition, file'
export const hoursOfFiles = 'SELECT DISTINCT hour FROM files ORDER BY hour'
/** Hours with files of which there are fewer copies than $1. */
export const scarceHours = 'SELECT hour, count(*) AS files FROM (SELECT hour FROM files GROUP BY hour, sourcePartition, file, sha256 HAVING count(*) < $1) GROUP BY hour ORDER BY hour'

/** Events of files up to where their chains end, each identity once where `isDistinct`. */
export function eventsUpToEnds (files: readonly string[], isDistinct: boolean): string {
  return `(SELECT a.* FROM ${archivedEvents(files, isDistinct)} a JOIN streams s ON s.sourcePartition = a.sourcePartition AND s.streamId = a.streamId WHERE a.seq <= s.archivedSeq)`
}

/** Runs of events in files that name each other, of the streams in $1 (a JSON array of `partition streamId`). */
export function enterLinks (files: readonly string[]): string {
  const among = `SELECT sourcePartition, streamId, seq, prevSeq, ${hourSql} AS hour, lag(seq) OVER (PARTITION BY sourcePartition, streamId ORDER BY seq) AS before
    FROM ${eventsUpToEnds(files, true)} WHERE list_contains(from_json($1, '["VARCHAR"]'), concat(sourcePartition, ' ', streamId))`
  return `INSERT INTO links SELECT sourcePartition, streamId, min(prevSeq), max(seq), min(hour) FROM
    (SELECT *, count(*) FILTER (before IS NULL OR prevSeq <> before) OVER (PARTITION BY sourcePartition, streamId ORDER BY seq) AS run FROM (${among})) GROUP BY sourcePartition, streamId, run`
}

/** As the aggregator's own `chainBreaks`, over runs: stream $2 of partition $1. */
export const linkBreaks = `WITH links_of AS (SELECT seq, prevSeq, hour FROM links WHERE sourcePartition = $1 AND streamId = $2
    UNION ALL SELECT seq, prevSeq, hour FROM dead_letters WHERE sourcePartition = $1 AND streamId = $2
    UNION ALL SELECT lastSeq, prevSeq, NULL FROM voids WHERE sourcePartition = $1 AND streamId = $2
    UNION ALL SELECT toSeq, afterSeq, NULL FROM archive_holes WHERE sourcePartition = $1 AND streamId = $2
    UNION ALL SELECT NULL, archivedSeq, NULL FROM streams WHERE sourcePartition = $1 AND streamId = $2),
    ordered AS (SELECT *, lag(seq, 1, 0) OVER (ORDER BY seq NULLS LAST) AS before, lag(hour) OVER (ORDER BY seq NULLS LAST) AS hourBefore FROM links_of)
    SELECT before, prevSeq, hour, hourBefore FROM ordered WHERE prevSeq <> before ORDER BY before LIMIT 20`
