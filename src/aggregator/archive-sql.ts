// The SQL of the archive: staged events into Parquet, Parquet back into counts.
import { sqlText } from '../platform/duckdb.ts'
import { hourSql } from './aggregator-sql.ts'
import { addedColumns, archiveColumnNames, eventColumnNames } from './event-columns.ts'

export interface StagedTable { readonly partition: number, readonly table: string, rows: number, bytes: number }

/** All staged events, with the partition that they came from. */
export function selectStaged (tables: readonly StagedTable[]): string {
  return tables.map(({ table, partition }) => `SELECT ${eventColumnNames.join(', ')}, ${partition}::INTEGER AS sourcePartition FROM ${table}`).join(' UNION ALL ')
}

/** Rows and seqs per hour, partition and stream. */
export function stagedParts (tables: readonly StagedTable[]): string {
  return `SELECT ${hourSql} AS hour, sourcePartition, streamId, count(*) AS rows, min(seq) AS minSeq, max(seq) AS maxSeq
    FROM (${selectStaged(tables)}) GROUP BY ALL ORDER BY hour, sourcePartition, streamId`
}

/**
 * One hour's staged events into one file, in the order in which they came. Level 1 and the encodings of version 2 are a third faster than
 * the defaults, and a tenth smaller for such data; row groups of half the default's rows, and no dictionaries of identifiers, a third again.
 */
export function copyHour (tables: readonly StagedTable[], { hour, file }: { readonly hour: number, readonly file: string }): string {
  return `COPY (SELECT * FROM (${selectStaged(tables)}) WHERE ${hourSql} = ${hour}) TO ${sqlText(file)} (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, ROW_GROUP_SIZE 61440, DICTIONARY_SIZE_LIMIT 1000)`
}

/**
 * Archive files as one source. Columns are named, so a file of another version is refused and never misread; those that were
 * added since are empty where a file lacks them.
 */
export function readArchive (files: readonly string[]): string {
  const added = Object.entries(addedColumns).map(([name, type]) => `NULL::${type} AS ${name}`).join(', ')
  return `(SELECT ${archiveColumnNames.join(', ')} FROM (SELECT * FROM (SELECT ${added}) WHERE false
    UNION ALL BY NAME SELECT * FROM read_parquet([${files.map(sqlText).join(', ')}], hive_partitioning = false, union_by_name = true)))`
}
