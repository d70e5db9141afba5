// What must be true of the stores once a journal's events have gone through: each event archived once, each one billed.
import { globSync, statSync } from 'node:fs'
import path from 'node:path'
import { openDuckDb, sqlText } from '../../src/platform/duckdb.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import { memberCount } from './workload.ts'

export interface Archived { readonly events: number, readonly files: number, readonly bytes: number }

/** Events in the archives below these state folders, distinct by their identity, counted by a DuckDB of the benchmark's own in `folder`. */
export async function countArchived ({ folder, states }: { readonly folder: string, readonly states: readonly string[] }): Promise<Archived> {
  const parquet = states.flatMap((state) => globSync('**/archive/**/*.parquet', { cwd: state }).map((file) => path.join(state, file)))
  const bytes = parquet.reduce((sum, file) => sum + statSync(file).size, 0)
  if (parquet.length === 0) return { events: 0, files: 0, bytes }
  const duckDb = await openDuckDb({ file: path.join(folder, 'check.duckdb'), memoryBytesMax: 1024 ** 3, threads: 2 })
  const connection = await duckDb.connect()
  const [row] = await connection.rows<{ events: bigint }>(`SELECT count(*) AS events FROM (SELECT DISTINCT streamId, seq FROM read_parquet([${parquet.map(sqlText).join(', ')}]))`)
  connection.close()
  duckDb.close()
  return { events: Number(row?.events), files: parquet.length, bytes }
}

interface Bills { readonly privatePort: number, readonly operatorToken: string }

/** Requests on each member's bill, the first member's first, over HTTP. */
export async function billedCounts ({ privatePort, operatorToken }: Bills): Promise<number[]> {
  const day = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10)
  const counts: number[] = []
  for (let memberId = 1; memberId <= memberCount; memberId++) {
    const url = `http://127.0.0.1:${privatePort}/private/aggregation/v1/member/${memberId}/charge/total?startDate=${day(-1)}&endDate=${day(0)}`
    const response = await fetch(url, { headers: { authorization: `Bearer ${operatorToken}` } })
    const content = await response.json() as { success: boolean, result: { totalCount: number } }
    if (!content.success) throw new Error(`${url} was answered with ${response.status}`)
    counts.push(content.result.totalCount)
  }
  return counts
}

/** The sum of all members' bills over HTTP. */
export async function sumBilled (bills: Bills): Promise<number> {
  return (await billedCounts(bills)).reduce((sum, count) => sum + count, 0)
}

/** Resolves when a program that was started for it has counted and archived `events`, neither more nor fewer. */
export async function awaitCountedAndArchived (operatorPort: number, events: number): Promise<void> {
  await eventually(`${events} events are counted and archived`, async () => {
    const metrics = await readMetrics(operatorPort)
    return metrics.get('tollgate_aggregator_events_total') === events && metrics.get('tollgate_archive_events_total') === events
  }, { withinMs: 600_000, everyMs: 50 })
}
