// The SQL of aggregator.duckdb. One transaction holds hourly counts, tallies, last seqs, marks, voids, dead letters,
// the archive's manifest and the revision: they are right together or not changed at all.
import { hourlyColumns } from '../hourly-log/port.ts'
import { hourMs } from '../domain/window.ts'
import { storeVersions } from '../platform/state-version.ts'
import type { KeyedTable } from './keyed-table.ts'

export const databaseVersion = storeVersions.aggregator

/** Tables that are written row by row, by key. The order of the columns is the table's own. */
export const tables = {
  terms: { keys: { term: 'BIGINT' }, values: { firstRevision: 'BIGINT' } },
  partitions: { keys: { sourcePartition: 'INTEGER' }, values: { segment: 'INTEGER' } },
  streams: { keys: { sourcePartition: 'INTEGER', streamId: 'VARCHAR' }, values: { gatewayId: 'VARCHAR', appliedSeq: 'BIGINT', archivedSeq: 'BIGINT', revision: 'BIGINT' } },
  tallies: {
    keys: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', hour: 'INTEGER' },
    values: { gatewayId: 'VARCHAR', billable: 'BIGINT', notBillable: 'BIGINT', deadLettered: 'BIGINT', voided: 'BIGINT', revision: 'BIGINT' }
  },
  stream_marks: { keys: { streamId: 'VARCHAR' }, values: { gatewayId: 'VARCHAR', seq: 'BIGINT', watermarkMs: 'BIGINT', state: 'VARCHAR', revision: 'BIGINT' } },
  hour_marks: {
    keys: { streamId: 'VARCHAR', hour: 'INTEGER' },
    values: {
      gatewayId: 'VARCHAR', seq: 'BIGINT', answered: 'BIGINT', journaled: 'BIGINT', countedOnly: 'BIGINT', recovered: 'BIGINT',
      billableAtMark: 'BIGINT', notBillableAtMark: 'BIGINT', deadLetteredAtMark: 'BIGINT', voidedAtMark: 'BIGINT', revision: 'BIGINT'
    }
  },
  voids: {
    keys: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', lastSeq: 'BIGINT' },
    values: { gatewayId: 'VARCHAR', prevSeq: 'BIGINT', reason: 'VARCHAR', hours: 'VARCHAR', isHoursUncertain: 'BOOLEAN', revision: 'BIGINT' }
  },
  archive_holes: { keys: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', toSeq: 'BIGINT' }, values: { afterSeq: 'BIGINT' } },
  dead_letters: {
    keys: { sourcePartition: 'INTEGER', streamId: 'VARCHAR', seq: 'BIGINT' },
    values: { prevSeq: 'BIGINT', gatewayId: 'VARCHAR', hour: 'INTEGER', reason: 'VARCHAR' }
  },
  closed_segments: {
    keys: { sourcePartition: 'INTEGER', segment: 'INTEGER' },
    values: { file: 'VARCHAR', sha256: 'VARCHAR', rows: 'BIGINT', bytes: 'BIGINT', revision: 'BIGINT', ownerName: 'VARCHAR' }
  },
  // Of a cluster: where reading stands in the topics of Kafka, and what each flush would let them delete.
  log_positions: {
    keys: { sourcePartition: 'INTEGER' },
    values: { usageTopicId: 'VARCHAR', hourlyTopicId: 'VARCHAR', appliedOffset: 'BIGINT', archivedOffset: 'BIGINT', revision: 'BIGINT' }
  },
  archived_offsets: {
    keys: { sourcePartition: 'INTEGER', archivedOffset: 'BIGINT' },
    values: { flush: 'VARCHAR', timestampMs: 'BIGINT', isSafe: 'BOOLEAN' }
  },
  flushes: { keys: { flush: 'VARCHAR' }, values: { previousFlush: 'VARCHAR' } },
  archive_files: { keys: { file: 'VARCHAR' }, values: { flush: 'VARCHAR', hour: 'INTEGER', rows: 'BIGINT', bytes: 'BIGINT', sha256: 'VARCHAR' } },
  archive_streams: {
    keys: { file: 'VARCHAR', sourcePartition: 'INTEGER', streamId: 'VARCHAR' },
    values: { rows: 'BIGINT', minSeq: 'BIGINT', maxSeq: 'BIGINT' }
  }
} as const satisfies Readonly<Record<string, KeyedTable>>
export type TableName = keyof typeof tables
/** Every column: one that was left out would be null, and a row without its revision is published by nobody. */
export type TableRow<Name extends TableName> = { readonly [Column in keyof (typeof tables)[Name]['keys'] | keyof (typeof tables)[Name]['values']]: unknown }

export const createTables = `CREATE TABLE meta (databaseVersion INTEGER, historyId VARCHAR, term BIGINT, revision BIGINT, flushedRevision BIGINT, lastFlush VARCHAR);` +
  Object.keys(tables).map((name) => createTable(name as TableName)).join('')

function createTable (name: TableName): string {
  const { keys, values }: KeyedTable = tables[name]
  return `
    CREATE TABLE ${name} (${[...Object.entries(keys), ...Object.entries(values)].map(([column, type]) => `"${column}" ${type}`).join(', ')}, PRIMARY KEY (${Object.keys(keys).join(', ')}));`
}

/** What makes a database of each version one of the next. Revision 0: published by nobody who would have to be told. */
export const migrations: Readonly<Record<number, string>> = {
  1: ['streams', 'tallies', 'voids'].map((name) => `ALTER TABLE ${name} ADD COLUMN revision BIGINT DEFAULT 0;`).join('') +
    'ALTER TABLE closed_segments ADD COLUMN ownerName VARCHAR;' + createTable('log_positions') + createTable('archived_offsets')
}

/** The table of a partition's open segment. */
export function hourlyTable (partition: number, segment: number): string { return `hourly_${partition}_${segment}` }

/** The partition and segment are the table's name; the other four key columns are its primary key. */
export function createHourlyTable (partition: number, segment: number): string {
  return `CREATE TABLE ${hourlyTable(partition, segment)} (
    apiEndpointId BIGINT, memberId BIGINT, apiKeyId BIGINT, hour INTEGER, count BIGINT, units BIGINT, requestBytes BIGINT,
    responseBytes BIGINT, errorCount BIGINT, revision BIGINT, PRIMARY KEY (memberId, apiKeyId, hour, apiEndpointId))`
}

/** All columns of the open segment's rows, named and ordered as everywhere. */
export function selectHourlyRows (partition: number, segment: number): string {
  const own = hourlyColumns.slice(2).join(', ')
  return `SELECT ${partition}::INTEGER AS sourcePartition, ${segment}::INTEGER AS segment, ${own} FROM ${hourlyTable(partition, segment)}`
}

/** The rule of domain/usage-event.ts `isBillable`, for the columns of an event. */
export const isBillableSql = '(memberId IS NOT NULL AND apiKeyId IS NOT NULL AND errorCode IS NULL AND responseStatus < 500 AND upstreamLatencyMs IS NOT NULL)'

/** The hour of an event: of its requestTime, however late it came. */
export const hourSql = `(epoch_ms(requestTime) // ${hourMs})::INTEGER`

/** Bytes that one event may add to an hour, 8 TiB: no event says more in earnest, and a sum of 64 bits then holds a million of them. */
const eventBytesCounted = 2 ** 43

/** What billable events add to hourly rows, one row a key. An error is an answer of 400 or more that is still billed. */
export function hourlySumsOf (source: string): string {
  return `SELECT apiEndpointId, memberId, apiKeyId, ${hourSql} AS hour, count(*) AS count, sum(units)::BIGINT AS units,
    sum(least(requestBytes, ${eventBytesCounted}))::BIGINT AS requestBytes, sum(least(responseBytes, ${eventBytesCounted}))::BIGINT AS responseBytes,
    count(*) FILTER (responseStatus >= 400) AS errorCount
    FROM ${source} WHERE ${isBillableSql} GROUP BY ALL`
}

/**
 * Adds the billable events of `source` to the open segment.
 * @param revision an expression; several revisions in one transaction keep what a ledger reads at a time small
 */
export function addToHourlyRows ({ table, source, revision }: { readonly table: string, readonly source: string, readonly revision: string }): string {
  return `INSERT INTO ${table} SELECT *, ${revision} FROM (${hourlySumsOf(source)})
    ON CONFLICT DO UPDATE SET count = count + excluded.count, units = units + excluded.units,
    requestBytes = requestBytes + excluded.requestBytes, responseBytes = responseBytes + excluded.responseBytes,
    errorCount = errorCount + excluded.errorCount, revision = excluded.revision`
}

/** Billable and not billable events of `source` per stream and hour, and how many of them meet `condition`. */
export function countsOf (source: string, condition = 'false'): string {
  return `SELECT streamId, gatewayId, ${hourSql} AS hour, count(*) FILTER (${isBillableSql}) AS billable,
    count(*) FILTER (NOT ${isBillableSql}) AS notBillable, count(*) FILTER (${condition}) AS wrong
    FROM ${source} GROUP BY ALL`
}
