// Positions are compared within one history: each opening of the database is a term, and each term says where it began. So
// a position of an earlier term is in our past when it isn't beyond that term's end; a file that was restored from a copy
// ended its term earlier, or doesn't know the term at all.
import type { HourlyPosition } from '../hourly-log/port.ts'
import type { SqlConnection } from '../platform/duckdb.ts'

export interface Meta { readonly historyId: string, readonly term: number, readonly revision: number }

export async function readMeta (reader: SqlConnection): Promise<Meta> {
  const [meta] = await reader.rows<{ historyId: string, term: bigint, revision: bigint }>('SELECT historyId, term, revision FROM meta')
  if (meta === undefined) throw new Error('the aggregator\'s database has lost its meta row')
  return { historyId: meta.historyId, term: Number(meta.term), revision: Number(meta.revision) }
}

export async function isInOurPast (reader: SqlConnection, meta: Meta, position: HourlyPosition): Promise<boolean> {
  if (position.historyId !== meta.historyId) return false
  if (position.term === meta.term) return position.revision <= meta.revision
  const [row] = await reader.rows<{ lastRevision: bigint }>(
    'SELECT (SELECT min(firstRevision) - 1 FROM terms WHERE term > $1) AS lastRevision FROM terms WHERE term = $1', [position.term])
  return row !== undefined && position.revision <= Number(row.lastRevision)
}
