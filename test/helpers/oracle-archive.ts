// What the stores say of single requests, read by code of the tests' own: the archive's Parquet files by trace id.
import { globSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'

/** How often each traceId is in the archive, distinct by (streamId, seq), and whether the event is billable by the contract's words. */
export async function archivedByTrace (state: string): Promise<Map<string, { readonly times: number, readonly billable: number }>> {
  const files = globSync('archive/**/*.parquet', { cwd: state }).map((file) => path.join(state, file))
  const found = new Map<string, { times: number, billable: number }>()
  if (files.length === 0) return found
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const list = files.map((file) => `'${file.replaceAll('\'', '\'\'')}'`).join(', ')
    const reader = await connection.runAndReadAll(`
      select traceId, count(*)::integer as times,
        (count(*) filter (where memberId is not null and apiKeyId is not null and errorCode is null and responseStatus < 500 and upstreamLatencyMs is not null))::integer as billable
      from (select distinct on (streamId, seq) * from read_parquet([${list}], union_by_name = true)) group by traceId`)
    for (const row of reader.getRowObjects()) found.set(String(row['traceId']), { times: Number(row['times']), billable: Number(row['billable']) })
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
  return found
}
