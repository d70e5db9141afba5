// The SQL of what a cluster's fold keeps beside the rows: closed segments, streams, tallies, voids that are uncertain, and
// who owned the partition. Written in the transaction of the rows that it is true with.
import type { HourlyAccount } from '../hourly-log/port.ts'
import type { SqlConnection } from '../platform/duckdb.ts'

/** Made when they aren't there: a ledger of one machine has them too, and leaves them empty. */
export const createAccountTables = `
CREATE TABLE IF NOT EXISTS closed_segments (fold INTEGER, segment INTEGER, file VARCHAR, sha256 VARCHAR, PRIMARY KEY (fold, segment));
CREATE TABLE IF NOT EXISTS open_segments (fold INTEGER PRIMARY KEY, segment INTEGER);
CREATE TABLE IF NOT EXISTS streams (fold INTEGER, streamId VARCHAR, gatewayId VARCHAR, appliedSeq BIGINT, archivedSeq BIGINT, PRIMARY KEY (fold, streamId));
CREATE TABLE IF NOT EXISTS tallies (fold INTEGER, streamId VARCHAR, hour INTEGER, gatewayId VARCHAR, billable BIGINT, notBillable BIGINT, deadLettered BIGINT, voided BIGINT, PRIMARY KEY (fold, streamId, hour));
CREATE TABLE IF NOT EXISTS uncertain_voids (fold INTEGER, streamId VARCHAR, lastSeq BIGINT, gatewayId VARCHAR, hours INTEGER[], PRIMARY KEY (fold, streamId, lastSeq));
CREATE TABLE IF NOT EXISTS owners (fold INTEGER PRIMARY KEY, ownerName VARCHAR, historyId VARCHAR, term BIGINT, revision BIGINT);
`
const accountTables = ['closed_segments', 'open_segments', 'streams', 'tallies', 'uncertain_voids', 'owners']

const columns = {
  streams: { streamId: 'VARCHAR', gatewayId: 'VARCHAR', appliedSeq: 'BIGINT', archivedSeq: 'BIGINT' },
  tallies: { streamId: 'VARCHAR', hour: 'INTEGER', gatewayId: 'VARCHAR', billable: 'BIGINT', notBillable: 'BIGINT', deadLettered: 'BIGINT', voided: 'BIGINT' },
  uncertain_voids: { streamId: 'VARCHAR', lastSeq: 'BIGINT', gatewayId: 'VARCHAR', hours: ['INTEGER'] }
} as const

/** Absolute: what is said last takes the place of what was said before. */
export async function applyAccount (connection: SqlConnection, fold: number, { streams, tallies, uncertainVoids, progress }: HourlyAccount): Promise<void> {
  await replace(connection, 'streams', fold, streams)
  await replace(connection, 'tallies', fold, tallies)
  await replace(connection, 'uncertain_voids', fold, uncertainVoids)
  if (progress === undefined) return
  const { ownerName, historyId, term, revision } = progress
  await connection.runKept('INSERT OR REPLACE INTO owners VALUES ($1, $2, $3, $4, $5)', [fold, ownerName, historyId, term, revision])
}

async function replace (connection: SqlConnection, table: keyof typeof columns, fold: number, rows: readonly object[]): Promise<void> {
  if (rows.length === 0) return
  await connection.runKept(`INSERT OR REPLACE INTO ${table} SELECT $1::INTEGER, line.* FROM (SELECT unnest(from_json($2, '${JSON.stringify([columns[table]])}')) AS line)`, [fold, JSON.stringify(rows)])
}

/** True when the rows of a segment stand in its snapshot, whatever is said of them later. */
export async function isClosedSegment (connection: SqlConnection, fold: number, segment: number): Promise<boolean> {
  return (await connection.rowsKept('SELECT 1 FROM closed_segments WHERE fold = $1 AND segment = $2', [fold, segment])).length > 0
}

/** Of the rows in the hot table; undefined while nobody has said it. */
export async function openSegment (connection: SqlConnection, fold: number): Promise<number | undefined> {
  return (await connection.rowsKept<{ segment: number }>('SELECT segment FROM open_segments WHERE fold = $1', [fold]))[0]?.segment
}

export async function enterOpened (connection: SqlConnection, fold: number, segment: number): Promise<void> {
  await connection.run('INSERT INTO open_segments VALUES ($1, $2)', [fold, segment])
}

export async function enterClosed (connection: SqlConnection, fold: number, { segment, file, sha256 }: { readonly segment: number, readonly file: string, readonly sha256: string }): Promise<void> {
  await connection.run('DELETE FROM open_segments WHERE fold = $1 AND segment <= $2', [fold, segment])
  await connection.run('INSERT INTO closed_segments VALUES ($1, $2, $3, $4)', [fold, segment, file, sha256])
}

export async function dropAccount (connection: SqlConnection, fold: number): Promise<void> {
  for (const table of accountTables) await connection.run(`DELETE FROM ${table} WHERE fold = $1`, [fold])
}
