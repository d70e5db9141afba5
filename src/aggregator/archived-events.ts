// Events back out of the archive, to be counted.
import type { SqlConnection } from '../platform/duckdb.ts'
import { readArchive } from './archive-sql.ts'
import { countedColumnNames } from './event-columns.ts'
import { jsonRows } from './keyed-table.ts'

/** Something of the archive that isn't as it should be. */
export interface ArchiveProblem {
  /** Relative to the archive's folder. */
  readonly file: string
  readonly problem: string
  /** Where it is known: the hour that is affected. */
  readonly hour?: number
}

/** The events of a stream that are to be counted: `takeAfterSeq < seq <= lastSeq`. */
export interface Take { readonly streamId: string, readonly takeAfterSeq: number, readonly lastSeq: number }

/** Those events, each once, as a temporary table; undefined when there is nothing to read. */
export async function loadArchivedEvents (writer: SqlConnection, partition: number, { files, takes }: { readonly files: readonly string[], readonly takes: readonly Take[] }): Promise<string | undefined> {
  if (files.length === 0 || takes.length === 0) return undefined
  const table = 'events_adopted'
  await writer.run(`CREATE TEMP TABLE ${table} AS SELECT DISTINCT ON (streamId, seq) ${countedColumnNames.map((name) => `a.${name}`).join(', ')}
    FROM ${readArchive(files)} a JOIN ${jsonRows({ streamId: 'VARCHAR', takeAfterSeq: 'BIGINT', lastSeq: 'BIGINT' })} t
    ON a.streamId = t.streamId AND a.seq > t.takeAfterSeq AND a.seq <= t.lastSeq WHERE a.sourcePartition = ${partition}`, [JSON.stringify(takes)])
  return table
}
