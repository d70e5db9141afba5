// What must be true of the stores once a journal's events have gone through: each event archived once, each one billed.
import { globSync, statSync } from 'node:fs'
import path from 'node:path'
import { openDuckDb, sqlText } from '../../src/platform/duckdb.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import { memberCount } from './workload.ts'

export interface Archived {
  /** Distinct by their identity. */
  readonly events: number
  readonly rows: number
  readonly files: number
  readonly bytes: number
}

/** Events in the archives below these state folders, counted by a DuckDB of the benchmark's own in `folder`. */
export async function countArchived ({ folder, states }: { readonly folder: string, readonly states: readonly string[] }): Promise<Archived> {
  const parquet = states.flatMap((state) => globSync('**/archive/**/*.parquet', { cwd: state }).map((file) => path.join(state, file)))
  const bytes = parquet.reduce((sum, file) => sum + statSync(file).size, 0)
  if (parquet.length === 0) return { events: 0, rows: 0, files: 0, bytes }
  const [row] = await query<{ events: bigint, rows: bigint }>(folder, `SELECT count(*) AS events, sum(copies)::BIGINT AS rows
    FROM (SELECT streamId, seq, count(*) AS copies FROM read_parquet([${parquet.map(sqlText).join(', ')}]) GROUP BY ALL)`)
  return { events: Number(row?.events), rows: Number(row?.rows), files: parquet.length, bytes }
}

/** The sum of a whole number over all rows of `files`, a pattern. */
export async function sumOfParquet ({ folder, files, column }: { readonly folder: string, readonly files: string, readonly column: string }): Promise<number> {
  const [row] = await query<{ sum: bigint }>(folder, `SELECT sum("${column}")::BIGINT AS sum FROM read_parquet(${sqlText(files)})`)
  return Number(row?.sum)
}

async function query<Row extends Readonly<Record<string, unknown>>> (folder: string, sql: string): Promise<readonly Row[]> {
  const duckDb = await openDuckDb({ file: path.join(folder, 'check.duckdb'), memoryBytesMax: 1024 ** 3, threads: 2 })
  const connection = await duckDb.connect()
  try {
    return await connection.rows<Row>(sql)
  } finally {
    connection.close()
    duckDb.close()
  }
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
