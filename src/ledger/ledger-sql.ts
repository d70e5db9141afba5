// The SQL of ledger.duckdb. Each partition has a fold: a small hot table with a primary key for the open segment's rows,
// and a large cold one without, to which closed segments are appended in member order, so that a member's rows stand
// together and DuckDB skips the rest. An index on the cold table would cost ten times its size and twice the query's time.
// Beside the cold rows stand their sums by day: most questions are about days, and a month of days is a twentieth to read.
import { keyedCountSql } from '../hourly-log/port.ts'
import { sqlText } from '../platform/duckdb.ts'
import { storeVersions } from '../platform/state-version.ts'

export const ledgerVersion = storeVersions.ledger

/** Of the hourly columns those that a bill needs; partition and segment are known by the table. */
const columns = {
  memberId: 'BIGINT', apiKeyId: 'BIGINT', hour: 'INTEGER', apiEndpointId: 'BIGINT',
  count: 'BIGINT', units: 'BIGINT', errorCount: 'BIGINT', requestBytes: 'BIGINT', responseBytes: 'BIGINT'
} as const
const names = Object.keys(columns)
const definitions = Object.entries(columns).map(([name, type]) => `${name} ${type}`).join(', ')
const key = 'memberId, apiKeyId, hour, apiEndpointId'
const counts = names.slice(4)

export const createLedger = `
CREATE TABLE meta (version INTEGER, folds INTEGER);
CREATE TABLE folds (fold INTEGER PRIMARY KEY, sourcePartition INTEGER, isCurrent BOOLEAN, historyId VARCHAR, term BIGINT, revision BIGINT);
CREATE TABLE watermarks (fold INTEGER, gatewayId VARCHAR, watermarkMs BIGINT, PRIMARY KEY (fold, gatewayId));
INSERT INTO meta VALUES (${ledgerVersion}, 0);
`

export function hotTable (fold: number): string { return `hot_${fold}` }
export function coldTable (fold: number): string { return `cold_${fold}` }
/** Sums of the cold rows by day, counted from the epoch. */
export function daysTable (fold: number): string { return `cold_days_${fold}` }

export function createHot (fold: number): string { return `CREATE TABLE ${hotTable(fold)} (${definitions}, PRIMARY KEY (${key}))` }
export function createCold (fold: number): string { return `CREATE TABLE ${coldTable(fold)} (${definitions}); CREATE TABLE ${daysTable(fold)} (${definitions.replace('hour INTEGER', 'day INTEGER')})` }
export function dropCold (fold: number): string { return `DROP TABLE ${coldTable(fold)}; DROP TABLE ${daysTable(fold)}` }

/** A snapshot is in member order already. */
export function appendSnapshot (fold: number, file: string): string {
  return `INSERT INTO ${coldTable(fold)} SELECT ${names.join(', ')} FROM read_parquet(${sqlText(file)})`
}

export function appendDays (fold: number, file: string): string {
  return `INSERT INTO ${daysTable(fold)} SELECT memberId, apiKeyId, hour // 24 AS day, apiEndpointId, ${counts.map((name) => `sum(${name})::BIGINT AS ${name}`).join(', ')}
    FROM read_parquet(${sqlText(file)}) GROUP BY memberId, apiKeyId, day, apiEndpointId ORDER BY memberId, apiKeyId, day, apiEndpointId`
}

/** Rows of the open segment, $1 a JSON object a line: absolute counts take the place of earlier ones. Line by line is three times as fast as one JSON array. */
export function replaceRows (fold: number): string {
  return `INSERT INTO ${hotTable(fold)} SELECT ${names.join(', ')} FROM (SELECT unnest(from_json(line, '${JSON.stringify(columns)}')) FROM (SELECT unnest(string_split($1, chr(10))) AS line))
    ON CONFLICT DO UPDATE SET ${counts.map((name) => `${name} = excluded.${name}`).join(', ')}`
}

export interface MemberSelection {
  readonly isOneKey: boolean
  /** `day`: whole days in one row each, by their first hour. `day-and-hour`: those that the last parameter lists, a JSON array of days, come by the hour. */
  readonly by: 'hour' | 'day' | 'day-and-hour'
  readonly rowsMax: number
}

// As DOUBLE they reach JavaScript as numbers, in one typed array a column; all but units are known to be safe integers.
const single = 'apiKeyId::DOUBLE, hour, apiEndpointId::DOUBLE, count::DOUBLE, units, errorCount::DOUBLE, requestBytes::DOUBLE, responseBytes::DOUBLE'
const ofDay = single.replace('hour', 'day * 24')
const summed = `apiKeyId::DOUBLE, hour // 24 * 24 AS hour, apiEndpointId::DOUBLE, sum(count)::DOUBLE, sum(units)::BIGINT, sum(errorCount)::DOUBLE, sum(requestBytes)::DOUBLE, sum(responseBytes)::DOUBLE`

/** Rows of a member, $1, from hour $2 to before $3; of one key, $4, where that is asked. By days these hours are midnights. */
export function selectMember (folds: readonly number[], { isOneKey, by, rowsMax }: MemberSelection): string {
  const whose = `memberId = $1${isOneKey ? ' AND apiKeyId = $4' : ''}`
  const hours = `${whose} AND hour >= $2 AND hour < $3`
  const days = `${whose} AND day >= $2 // 24 AND day < $3 // 24`
  const listed = (day: string): string => by === 'day-and-hour' ? `list_contains(from_json($${isOneKey ? 5 : 4}, '["INTEGER"]'), ${day})` : 'false'
  const parts = folds.flatMap((fold) => {
    const [cold, hot] = [coldTable(fold), hotTable(fold)]
    if (by === 'hour') return [cold, hot].map((table) => `SELECT ${single} FROM ${table} WHERE ${hours}`)
    const whole = [`SELECT ${ofDay} FROM ${daysTable(fold)} WHERE ${days} AND NOT ${listed('day')}`, `SELECT ${summed} FROM ${hot} WHERE ${hours} AND NOT ${listed('hour // 24')} GROUP BY ALL`]
    return by === 'day' ? whole : [...whole, ...[cold, hot].map((table) => `SELECT ${single} FROM ${table} WHERE ${hours} AND ${listed('hour // 24')}`)]
  })
  return `SELECT * FROM (${parts.join(' UNION ALL ')}) LIMIT ${rowsMax}`
}

/** Members behind $1 with requests from hour $2 to before $3, which are midnights: the first $4, in order. */
export function selectMembers (folds: readonly number[]): string {
  const parts = folds.flatMap((fold) => [
    `SELECT memberId FROM ${daysTable(fold)} WHERE memberId > $1 AND day >= $2 // 24 AND day < $3 // 24`,
    `SELECT memberId FROM ${hotTable(fold)} WHERE memberId > $1 AND hour >= $2 AND hour < $3`
  ])
  return `SELECT DISTINCT memberId FROM (${parts.join(' UNION ALL ')}) ORDER BY memberId LIMIT $4`
}

export interface TotalsSelection {
  /** Never added up over one of these. */
  readonly splitHours: readonly number[]
  /** Days in the middle of which one lies, from the epoch: read by the hour. */
  readonly splitDays: readonly number[]
  readonly rowsMax: number
}

/** Sums of the members behind $1 to $4 from hour $2 to before $3, which are midnights. */
export function selectMemberTotals (folds: readonly number[], { splitHours, splitDays, rowsMax }: TotalsSelection): string {
  const whose = 'memberId > $1 AND memberId <= $4'
  const listed = (day: string): string => splitDays.length === 0 ? 'false' : `${day} IN (${splitDays.join(', ')})`
  const columns = (hour: string): string => `memberId, apiEndpointId, ${hour} AS firstHour, ${counts.join(', ')}`
  const parts = folds.flatMap((fold) => [
    `SELECT ${columns('day * 24')} FROM ${daysTable(fold)} WHERE ${whose} AND day >= $2 // 24 AND day < $3 // 24 AND NOT ${listed('day')}`,
    ...splitDays.length === 0 ? [] : [`SELECT ${columns('hour')} FROM ${coldTable(fold)} WHERE ${whose} AND hour >= $2 AND hour < $3 AND ${listed('hour // 24')}`],
    `SELECT ${columns('hour')} FROM ${hotTable(fold)} WHERE ${whose} AND hour >= $2 AND hour < $3`
  ])
  const pieces = splitHours.map((hour) => `firstHour >= ${hour}`)
  return `SELECT memberId::DOUBLE AS memberId, apiEndpointId::DOUBLE AS apiEndpointId, min(firstHour) AS hour, sum(count)::DOUBLE AS count, sum(units)::BIGINT AS units, sum(errorCount)::DOUBLE AS errorCount,
    sum(requestBytes)::DOUBLE AS requestBytes, sum(responseBytes)::DOUBLE AS responseBytes FROM (${parts.join(' UNION ALL ')}) GROUP BY ${['memberId', 'apiEndpointId', ...pieces].join(', ')} ORDER BY memberId, apiEndpointId, hour LIMIT ${rowsMax}`
}

/** Days whose sums are not those of their hours: the file was changed by somebody else. */
export function selectWrongDays (folds: readonly number[]): string {
  const sums = [...counts.map((name) => `sum(${name}) AS ${name}`), `${keyedCountSql} AS keyedCount`].join(', ')
  const parts = folds.map((fold) => `(SELECT coalesce(h.day, d.day) AS day FROM (SELECT hour // 24 AS day, ${sums} FROM ${coldTable(fold)} GROUP BY ALL) h
    FULL JOIN (SELECT day, ${sums} FROM ${daysTable(fold)} GROUP BY ALL) d USING (day) WHERE ${[...counts, 'keyedCount'].map((name) => `h.${name} IS DISTINCT FROM d.${name}`).join(' OR ')})`)
  return `SELECT DISTINCT day FROM (${parts.join(' UNION ALL ')}) ORDER BY day`
}

function allRows (folds: readonly number[]): string {
  return folds.flatMap((fold) => [coldTable(fold), hotTable(fold)]).map((table) => `SELECT ${names.join(', ')} FROM ${table}`).join(' UNION ALL ')
}

/** Every hourly row, into a Parquet file. */
export function copyRows (folds: readonly number[], file: string): string { return `COPY (${allRows(folds)}) TO ${sqlText(file)} (FORMAT parquet)` }

/** Sums of every hour. */
export function selectHourTotals (folds: readonly number[]): string {
  return `SELECT hour, count(*) AS rows, sum(count) AS count, ${keyedCountSql} AS keyedCount, sum(units) AS units, sum(errorCount) AS errorCount,
    sum(requestBytes) AS requestBytes, sum(responseBytes) AS responseBytes FROM (${allRows(folds)}) GROUP BY hour ORDER BY hour`
}
