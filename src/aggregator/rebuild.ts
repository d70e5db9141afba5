// Hourly rows made again from the archive alone, and compared with the stores: same endpoint, member, key, hour, count,
// units, bytes and errors. Hours whose archive is not complete are refused by name, never made again from a part.
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { formatTimeMs, hourStartMs } from '../domain/window.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { hourlySumsOf } from './aggregator-sql.ts'
import { checkArchiveFiles, checkSegments } from './check-files.ts'
import type { AggregatorFolders } from './folders.ts'
import { readArchivedHours } from './verify-archive.ts'
import { allHourlyRows, archivedEvents } from './verify-sql.ts'

export interface RebuildSums { readonly count: bigint, readonly units: bigint, readonly requestBytes: bigint, readonly responseBytes: bigint, readonly errorCount: bigint }

export interface RebuildDifference {
  readonly hour: number
  readonly memberId: number
  readonly apiKeyId: number
  readonly apiEndpointId: number
  /** Undefined: no such row. */
  readonly stored: RebuildSums | undefined
  readonly rebuilt: RebuildSums | undefined
}

export interface RebuildReport {
  /** Hours whose archive is not complete; the others were compared. */
  readonly refusedHours: readonly number[]
  readonly rows: number
  readonly differenceCount: number
  /** At most 100 of them. */
  readonly differences: readonly RebuildDifference[]
}

/** The temporary table of the rows made again, with sourcePartition. */
export const rebuiltTable = 'rebuilt'
const differencesShownMax = 100

/** Leaves the rows made again in the connection's temporary table `rebuilt`; `dropRebuilt` takes them away. */
export async function rebuildRows (connection: SqlConnection, folders: AggregatorFolders): Promise<RebuildReport> {
  const archive = await checkArchiveFiles(connection, connection, folders)
  const files = archive.readable.map(({ file, hour }) => ({ file: path.join(folders.archive, file), hour }))
  const archived = await readArchivedHours(connection, files)
  const refused = new Set([...archive.brokenHours, ...archived.brokenHours])
  await makeRows(connection, files, archived.repeatedHours)
  const segments = await checkSegments(connection, folders)
  const open = await connection.rows<{ sourcePartition: number, segment: number }>('SELECT sourcePartition, segment FROM partitions')
  const stored = allHourlyRows(open, segments.readable.map((file) => path.join(folders.segments, file)))
  return await compareRows(connection, stored, [...refused].sort((a, b) => a - b))
}

export async function dropRebuilt (connection: SqlConnection): Promise<void> { await connection.run(`DROP TABLE IF EXISTS ${rebuiltTable}`) }

/** @throws TollgateError REBUILD_REFUSED */
export function refuseIncomplete ({ refusedHours }: RebuildReport): void {
  if (refusedHours.length === 0) return
  const named = refusedHours.slice(0, 10).map((hour) => formatTimeMs(hourStartMs(hour)).slice(0, 13)).join(', ')
  throw new TollgateError('REBUILD_REFUSED', `the archive of ${refusedHours.length} hours is incomplete: ${named}${refusedHours.length > 10 ? ', …' : ''}`)
}

export const createRebuilt = `CREATE TEMP TABLE ${rebuiltTable} (sourcePartition INTEGER, apiEndpointId BIGINT, memberId BIGINT, apiKeyId BIGINT, hour INTEGER,
    count BIGINT, units BIGINT, requestBytes BIGINT, responseBytes BIGINT, errorCount BIGINT)`

/** Rows of the events of `source`, all of one partition or of partitions that needn't be told apart. */
export function addRebuilt (sourcePartition: number, source: string): string { return `INSERT INTO ${rebuiltTable} SELECT ${sourcePartition}, * FROM (${hourlySumsOf(source)})` }

/** Hour by hour, so that one hour's events at most are looked at together. */
async function makeRows (connection: SqlConnection, files: readonly { readonly file: string, readonly hour: number }[], repeatedHours: ReadonlySet<number>): Promise<void> {
  await dropRebuilt(connection)
  await connection.run(createRebuilt)
  const partitions = await connection.rows<{ sourcePartition: number }>('SELECT sourcePartition FROM partitions')
  for (const hour of new Set(files.map((file) => file.hour))) {
    const source = archivedEvents(files.filter((file) => file.hour === hour).map(({ file }) => file), repeatedHours.has(hour))
    for (const { sourcePartition } of partitions) {
      await connection.run(addRebuilt(sourcePartition, `(SELECT * FROM ${source} WHERE sourcePartition = ${sourcePartition})`))
    }
  }
}

const sums = ['count', 'units', 'requestBytes', 'responseBytes', 'errorCount'] as const
const keys = ['hour', 'memberId', 'apiKeyId', 'apiEndpointId'] as const

interface DifferenceRow { readonly [column: string]: unknown, readonly hour: number, readonly memberId: bigint, readonly apiKeyId: bigint, readonly apiEndpointId: bigint, readonly all: bigint }

/** @param stored hourly rows, of several partitions: a source of SQL */
export async function compareRows (connection: SqlConnection, stored: string, refusedHours: readonly number[]): Promise<RebuildReport> {
  const summed = (source: string): string => `(SELECT ${keys.join(', ')}, ${sums.map((sum) => `sum("${sum}")::HUGEINT AS "${sum}"`).join(', ')} FROM ${source} GROUP BY ${keys.join(', ')})`
  const isRefused = refusedHours.length === 0 ? 'false' : `hour IN (${refusedHours.join(', ')})`
  const [size] = await connection.rows<{ rows: bigint }>(`SELECT count(*) AS rows FROM ${summed(rebuiltTable)}`)
  const rows = await connection.rows<DifferenceRow>(`
    SELECT ${keys.join(', ')}, ${sums.map((sum) => `s."${sum}" AS "s_${sum}", r."${sum}" AS "r_${sum}"`).join(', ')}, count(*) OVER () AS "all"
    FROM ${summed(stored)} s FULL JOIN ${summed(rebuiltTable)} r USING (${keys.join(', ')})
    WHERE NOT (${isRefused}) AND (${sums.map((sum) => `s."${sum}" IS DISTINCT FROM r."${sum}"`).join(' OR ')})
    ORDER BY ${keys.join(', ')} LIMIT ${differencesShownMax}`)
  return {
    refusedHours,
    rows: Number(size?.rows),
    differenceCount: Number(rows[0]?.all ?? 0),
    differences: rows.map((row) => ({
      hour: row.hour, memberId: Number(row.memberId), apiKeyId: Number(row.apiKeyId), apiEndpointId: Number(row.apiEndpointId), stored: sumsOf(row, 's'), rebuilt: sumsOf(row, 'r')
    }))
  }
}

function sumsOf (row: DifferenceRow, side: 's' | 'r'): RebuildSums | undefined {
  if (row[`${side}_count`] === null) return undefined
  return Object.fromEntries(sums.map((sum) => [sum, row[`${side}_${sum}`]])) as unknown as RebuildSums
}
