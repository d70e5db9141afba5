// Rows of a table by its key. Few rows, the common case, go by prepared statements, which cost a fifth of one that DuckDB
// has to plan; many rows go as one JSON text, so that no row is a statement of its own.
import type { SqlConnection, SqlRow, SqlValue } from '../platform/duckdb.ts'

/** Columns and their types; a key is the table's primary key. */
export interface KeyedTable {
  readonly keys: Readonly<Record<string, string>>
  readonly values: Readonly<Record<string, string>>
}

type Cells = Readonly<Record<string, SqlValue>>

/** Rows written, or read, one by one up to this many. */
const fewRowsMax = 4

/** Puts each row in the place of the one with its key. Within a transaction, where there are several rows. */
export async function upsertRows (connection: SqlConnection, name: string, { keys, values }: KeyedTable, rows: readonly object[]): Promise<void> {
  if (rows.length === 0) return
  const keyColumns = Object.keys(keys)
  const valueColumns = Object.keys(values)
  let missing = rows
  if (rows.length <= fewRowsMax) {
    const update = `UPDATE ${name} SET ${valueColumns.map((column, index) => `"${column}" = $${keyColumns.length + index + 1}`).join(', ')} WHERE ${keyColumns.map((column, index) => `${column} = $${index + 1}`).join(' AND ')}`
    const left: object[] = []
    for (const row of rows) {
      if (await connection.runKept(update, cellsOf(row, [...keyColumns, ...valueColumns])) === 0) left.push(row)
    }
    missing = left
  }
  if (missing.length === 0) return
  const columns = { ...keys, ...values }
  await connection.run(`INSERT INTO ${name} SELECT ${quoted(Object.keys(columns))} FROM ${jsonRows(columns)}
    ON CONFLICT DO UPDATE SET ${valueColumns.map((column) => `"${column}" = excluded."${column}"`).join(', ')}`, [JSON.stringify(missing)])
}

/** Adds rows; one whose key is there already changes nothing. */
export async function insertNewRows (connection: SqlConnection, name: string, { keys, values }: KeyedTable, rows: readonly object[]): Promise<void> {
  if (rows.length === 0) return
  const columns = { ...keys, ...values }
  await connection.run(`INSERT OR IGNORE INTO ${name} SELECT ${quoted(Object.keys(columns))} FROM ${jsonRows(columns)}`, [JSON.stringify(rows)])
}

/** The rows that have one of the keys. */
export async function selectRows<Row extends SqlRow> (connection: SqlConnection, name: string, { keys }: KeyedTable, wanted: readonly object[]): Promise<readonly Row[]> {
  const keyColumns = Object.keys(keys)
  if (wanted.length === 0) return []
  if (wanted.length > fewRowsMax) {
    return await connection.rows<Row>(`SELECT t.* FROM ${name} t JOIN ${jsonRows(keys)} w ON ${keyColumns.map((column) => `t.${column} = w.${column}`).join(' AND ')}`, [JSON.stringify(wanted)])
  }
  const found: Row[] = []
  const select = `SELECT * FROM ${name} WHERE ${keyColumns.map((column, index) => `${column} = $${index + 1}`).join(' AND ')}`
  for (const key of wanted) found.push(...await connection.rowsKept<Row>(select, cellsOf(key, keyColumns)))
  return found
}

/** The rows of a JSON array text, $1, as a table. */
export function jsonRows (columns: Readonly<Record<string, string>>): string {
  return `(SELECT unnest(from_json($1, '[${JSON.stringify(columns)}]'), max_depth := 2))`
}

function cellsOf (row: object, columns: readonly string[]): SqlValue[] {
  return columns.map((column) => (row as Cells)[column] ?? null)
}

function quoted (columns: readonly string[]): string { return columns.map((column) => `"${column}"`).join(', ') }
