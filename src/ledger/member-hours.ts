// A member's rows from DuckDB's columns into JavaScript, in the order of a bill. DuckDB could sort and add up as well, but
// takes longer for it than for everything else together; runs of rows come sorted, and JavaScript's sort merges runs.
import { TollgateError } from '../domain/errors.ts'
import type { SqlResult } from '../platform/duckdb.ts'
import type { MemberHour } from './ledger-types.ts'

/** Rows of one answer: some 100 MB of memory. A year of one key on 50 endpoints fits. */
export const memberHoursMax = 500_000

/** @throws TollgateError LIMIT_EXCEEDED */
export function checkRows (rows: number): void {
  if (rows > memberHoursMax) throw new TollgateError('LIMIT_EXCEEDED', `more than ${memberHoursMax} rows in one answer: ask for a shorter time, for one key or for fewer members`)
}

interface MutableMemberHour { apiKeyId: number, hour: number, apiEndpointId: number, count: number, units: bigint, errorCount: number, requestBytes: number, responseBytes: number }

/** @param result the columns of `selectMember` */
export function memberHoursOf (result: SqlResult): MemberHour[] {
  const byKey = new Map<number, MutableMemberHour[]>()
  for (let index = 0; index < result.chunkCount; index++) readChunk(result.getChunk(index), byKey)
  const all: MutableMemberHour[] = []
  for (const [, rows] of [...byKey].sort(([a], [b]) => a - b)) {
    // A key's rows come by segment, and segments follow time, so as a rule there is nothing to sort.
    if (!isSorted(rows)) rows.sort(compare)
    addUpEqual(rows, all)
  }
  return all
}

type Chunk = ReturnType<SqlResult['getChunk']>

function readChunk (chunk: Chunk, byKey: Map<number, MutableMemberHour[]>): void {
  const [keys, hours, endpoints, counts, units, errors, requests, responses] = Array.from({ length: 8 }, (_, column) => chunk.getColumnVector(column))
  let lastKey: number | undefined
  let rows: MutableMemberHour[] = []
  for (let row = 0; row < chunk.rowCount; row++) {
    const apiKeyId = keys?.getItem(row) as number
    if (apiKeyId !== lastKey) {
      rows = byKey.get(apiKeyId) ?? []
      byKey.set(apiKeyId, rows)
      lastKey = apiKeyId
    }
    rows.push({
      apiKeyId,
      hour: hours?.getItem(row) as number,
      apiEndpointId: endpoints?.getItem(row) as number,
      count: counts?.getItem(row) as number,
      units: units?.getItem(row) as bigint,
      errorCount: errors?.getItem(row) as number,
      requestBytes: requests?.getItem(row) as number,
      responseBytes: responses?.getItem(row) as number
    })
  }
}

function compare (a: MutableMemberHour, b: MutableMemberHour): number {
  return a.hour - b.hour || a.apiEndpointId - b.apiEndpointId
}

function isSorted (rows: readonly MutableMemberHour[]): boolean {
  for (let row = 1; row < rows.length; row++) if (compare(rows[row - 1] as MutableMemberHour, rows[row] as MutableMemberHour) > 0) return false
  return true
}

/** The same hour and endpoint in several segments or partitions is one. */
function addUpEqual (rows: readonly MutableMemberHour[], sums: MutableMemberHour[]): void {
  let last: MutableMemberHour | undefined
  for (const row of rows) {
    if (last === undefined || compare(last, row) !== 0) {
      sums.push(row)
      last = row
      continue
    }
    last.count += row.count
    last.units += row.units
    last.errorCount += row.errorCount
    last.requestBytes += row.requestBytes
    last.responseBytes += row.responseBytes
  }
}
