// The SQL of what a partition's owner publishes: everything whose revision is above the published one, rows as the JSON of
// the contract. DuckDB makes keys and values as text; a row is one line, key and value apart by a tab.
import { hourlySchemaVersion } from '../hourly-log/kafka-record.ts'
import { hourlyTable } from './aggregator-sql.ts'

export interface OpenSegment { readonly partition: number, readonly segment: number }

/** Rows are taken by their place in the table, so many places at a time. */
export const rowsPerRead = 20_480

export function changedPlaces ({ partition, segment }: OpenSegment): string {
  return `SELECT count(*) AS rows, min(rowid) AS first, max(rowid) AS last FROM ${hourlyTable(partition, segment)} WHERE revision > $1`
}

/** $1: the published revision, $2 and $3: places. */
export function changedRows ({ partition, segment, term }: OpenSegment & { readonly term: number }): string {
  const startSql = 'make_timestamp(hour::BIGINT * 3600000000)'
  const endSql = 'make_timestamp((hour::BIGINT + 1) * 3600000000)'
  const time = (sql: string): string => `strftime(${sql}, '%Y-%m-%dT%H:00:00.000Z')`
  return `SELECT string_agg(concat_ws('|', ${partition}, ${segment}, apiEndpointId, memberId, apiKeyId, hour) || chr(9) || to_json({
      apiEndpointId: apiEndpointId, memberId: memberId, apiKeyId: apiKeyId, date: strftime(${startSql}, '%Y-%m-%d'), "window": {"start": ${time(startSql)}, "end": ${time(endSql)}},
      count: count, units: units, requestBytes: requestBytes, responseBytes: responseBytes, errorCount: errorCount, sourcePartition: ${partition}, segment: ${segment}, hour: hour,
      revision: revision, term: ${term}, schemaVersion: ${hourlySchemaVersion}})::VARCHAR, chr(10)) AS lines
    FROM ${hourlyTable(partition, segment)} WHERE revision > $1 AND rowid BETWEEN $2 AND $3`
}

const changed = 'WHERE sourcePartition = $1 AND coalesce(revision, 0) > $2'
export const changedClosed = `SELECT segment, file, sha256, rows, bytes, ownerName FROM closed_segments ${changed} ORDER BY segment`
export const changedStreams = `SELECT streamId, gatewayId, appliedSeq, archivedSeq FROM streams ${changed}`
export const changedTallies = `SELECT streamId, hour, gatewayId, billable, notBillable, deadLettered, voided FROM tallies ${changed}`
export const changedVoids = `SELECT streamId, lastSeq, gatewayId, prevSeq, reason, hours, isHoursUncertain FROM voids ${changed}`

/** Closed segments whose rows' table is still there. $1: the partition, $2: what its tables' names start with, $3: the published revision. */
export const closedTables = `SELECT segment, t.table_name AS "table", file, ownerName FROM closed_segments JOIN duckdb_tables() t ON t.table_name = $2 || segment::VARCHAR
  WHERE NOT t.temporary AND sourcePartition = $1 AND coalesce(revision, 0) <= $3 ORDER BY segment`

export function someKeys (table: string): string { return `SELECT apiEndpointId, memberId, apiKeyId, hour FROM ${table} LIMIT $1` }

export function forgetKeys (table: string): string {
  return `DELETE FROM ${table} t USING (SELECT unnest(from_json($1, '[{"apiEndpointId":"BIGINT","memberId":"BIGINT","apiKeyId":"BIGINT","hour":"INTEGER"}]'), max_depth := 2)) r
    WHERE t.apiEndpointId = r.apiEndpointId AND t.memberId = r.memberId AND t.apiKeyId = r.apiKeyId AND t.hour = r.hour`
}
