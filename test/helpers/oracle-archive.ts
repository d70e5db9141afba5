// What the stores say of single requests, read by code of the tests' own: the archive's Parquet files by trace id.
import { existsSync, globSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import type { DuckDBValue } from '@duckdb/node-api'
import type { Memory } from './remembering-client.ts'

export interface Archived { readonly times: number, readonly billable: number }

/** How often each traceId stands in the archives of these folders, copies of an event counted once, and how often billable by the contract's words. */
export async function archivedByTrace (folders: readonly string[]): Promise<Map<string, Archived>> {
  const files = folders.filter((folder) => existsSync(folder)).flatMap((folder) => globSync('**/archive/**/*.parquet', { cwd: folder }).map((file) => path.join(folder, file)))
  const found = new Map<string, Archived>()
  if (files.length === 0) return found
  const rows = await query(`
    select traceId, count(*)::integer as times,
      (count(*) filter (where memberId is not null and apiKeyId is not null and errorCode is null and responseStatus < 500 and upstreamLatencyMs is not null))::integer as billable
    from (select distinct on (streamId, seq) * from read_parquet([${files.map(sqlText).join(', ')}], union_by_name = true)) group by traceId`)
  for (const row of rows) found.set(String(row['traceId']), { times: Number(row['times']), billable: Number(row['billable']) })
  return found
}

/** Requests with a paying key of which the archive has what it must not: a complete answer is billed once, a cut one at most once, one that was never sent never. */
export function wronglyBilled (memories: readonly Memory[], archived: ReadonlyMap<string, Archived>): Memory[] {
  return memories.filter(({ traceId, outcome }) => {
    const times = archived.get(traceId)?.billable ?? 0
    return outcome === 'complete' ? times !== 1 : outcome === 'cut' ? times > 1 : times !== 0
  })
}

export function sqlText (text: string): string { return `'${text.replaceAll('\'', '\'\'')}'` }

/** Rows of one statement in a database of its own. */
export async function query (sql: string): Promise<Record<string, DuckDBValue>[]> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    return (await connection.runAndReadAll(sql)).getRowObjects()
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
