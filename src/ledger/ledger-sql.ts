// The SQL of ledger.duckdb. Each partition has a fold: a small hot table with a primary key for the open segment's rows,
// and a large cold one without, to which closed segments are appended in member order, so that a member's rows stand
// together and DuckDB skips the rest. An index on the cold table would cost ten times its size and twice the query's time.
import { keyedCountSql } from '../hourly-log/port.ts'
import { sqlText } from '../platform/duckdb.ts'

export const ledgerVersion = 1

/** Of the hourly columns those that a bill needs; partition and segment are known by the table. */
const columns = {
  memberId: 'BIGINT', apiKeyId: 'BIGINT', hour: 'INTEGER', apiEndpointId: 'BIGINT',
  count: 'BIGINT', units: 'BIGINT', errorCount: 'BIGINT', requestBytes: 'BIGINT', responseBytes: 'BIGINT'
} as const
const names = Object.keys(columns)
const definitions = Object.entries(columns).map(([name, type]) => `${name} ${type}`).join(', ')
const key = 'memberId, apiKeyId, hour, apiEndpointId'

export const createLedger = `
CREATE TABLE meta (version INTEGER, folds INTEGER);
CREATE TABLE folds (fold INTEGER PRIMARY KEY, sourcePartition INTEGER, isCurrent BOOLEAN, historyId VARCHAR, term BIGINT, revision BIGINT);
CREATE TABLE watermarks (fold INTEGER, gatewayId VARCHAR, watermarkMs BIGINT, PRIMARY KEY (fold, gatewayId));
INSERT INTO meta VALUES (${ledgerVersion}, 0);
`

export function hotTable (fold: number): string { return `hot_${fold}` }
export function coldTable (fold: number): string { return `cold_${fold}` }

export function createHot (fold: number): string { return `CREATE TABLE ${hotTable(fold)} (${definitions}, PRIMARY KEY (${key}))` }
export function createCold (fold: number): string { return `CREATE TABLE ${coldTable(fold)} (${definitions})` }

/** A snapshot is in member order already. */
export function appendSnapshot (fold: number, file: string): string {
  return `INSERT INTO ${coldTable(fold)} SELECT ${names.join(', ')} FROM read_parquet(${sqlText(file)})`
}

/** Rows of the open segment, $1 a JSON object a line: absolute counts take the place of earlier ones. Line by line is three times as fast as one JSON array. */
export function replaceRows (fold: number): string {
  const counts = names.slice(4)
  return `INSERT INTO ${hotTable(fold)} SELECT ${names.join(', ')} FROM (SELECT unnest(from_json(line, '${JSON.stringify(columns)}')) FROM (SELECT unnest(string_split($1, chr(10))) AS line))
    ON CONFLICT DO UPDATE SET ${counts.map((name) => `${name} = excluded.${name}`).join(', ')}`
}

/** Rows of a member, $1, from hour $2 to before $3; of one key, $4, where that is asked. */
export function selectMember (folds: readonly number[], { isOneKey, hoursPerRow, rowsMax }: { readonly isOneKey: boolean, readonly hoursPerRow: number, readonly rowsMax: number }): string {
  const where = `memberId = $1 AND hour >= $2 AND hour < $3${isOneKey ? ' AND apiKeyId = $4' : ''}`
  // As DOUBLE they reach JavaScript as numbers, in one typed array a column; all but units are known to be safe integers.
  const single = 'apiKeyId::DOUBLE, hour, apiEndpointId::DOUBLE, count::DOUBLE, units, errorCount::DOUBLE, requestBytes::DOUBLE, responseBytes::DOUBLE'
  const summed = `apiKeyId::DOUBLE, ($2 + (hour - $2) // ${hoursPerRow} * ${hoursPerRow})::INTEGER AS hour, apiEndpointId::DOUBLE, sum(count)::DOUBLE, sum(units)::BIGINT,
    sum(errorCount)::DOUBLE, sum(requestBytes)::DOUBLE, sum(responseBytes)::DOUBLE`
  const parts = folds.flatMap((fold) => [coldTable(fold), hotTable(fold)])
    .map((table) => `SELECT ${hoursPerRow === 1 ? single : summed} FROM ${table} WHERE ${where}${hoursPerRow === 1 ? '' : ' GROUP BY ALL'}`)
  return `SELECT * FROM (${parts.join(' UNION ALL ')}) LIMIT ${rowsMax}`
}

/** Sums of every hour. */
export function selectHourTotals (folds: readonly number[]): string {
  const all = folds.flatMap((fold) => [coldTable(fold), hotTable(fold)]).map((table) => `SELECT ${names.join(', ')} FROM ${table}`).join(' UNION ALL ')
  return `SELECT hour, count(*) AS rows, sum(count) AS count, ${keyedCountSql} AS keyedCount, sum(units) AS units, sum(errorCount) AS errorCount,
    sum(requestBytes) AS requestBytes, sum(responseBytes) AS responseBytes FROM (${all}) GROUP BY hour ORDER BY hour`
}
