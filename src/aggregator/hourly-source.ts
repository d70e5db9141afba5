// Hourly rows for ledgers: what has changed since a position in this aggregator's history, in steps of bounded size.
import path from 'node:path'
import { hourlyColumns } from '../hourly-log/port.ts'
import type { ClosedSegment, HourlyBatch, HourlyPosition } from '../hourly-log/port.ts'
import type { HourlySource } from '../hourly-log/embedded.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import type { Aggregator } from './aggregator.ts'
import { selectHourlyRows } from './aggregator-sql.ts'
import { isInOurPast, readMeta } from './lineage.ts'
import { gatewayWatermarks } from './state.ts'

/** What the batch itself says isn't repeated in each row. */
const sentColumns = hourlyColumns.filter((column) => column !== 'sourcePartition' && column !== 'segment' && column !== 'revision')

/** Rows in one step, at least; a step ends with a revision. */
const rowsPerStep = 20_000

export interface OpenedHourlySource extends HourlySource { readonly close: () => void }

export async function openHourlySource (aggregator: Aggregator): Promise<OpenedHourlySource> {
  const reader = await aggregator.parts.duckDb.connect()
  let last: Promise<unknown> = Promise.resolve()
  return {
    // The connection has one transaction at a time.
    next: async (partition, position) => {
      const step = last.then(async () => await nextBatch(aggregator, reader, { partition, position }))
      last = step.catch(() => undefined)
      return await step
    },
    close: () => { reader.close() }
  }
}

async function nextBatch (aggregator: Aggregator, reader: SqlConnection, { partition, position }: { readonly partition: number, readonly position: HourlyPosition | undefined }): Promise<HourlyBatch | undefined> {
  // Taken before the rows: they never claim more than the rows hold. Nothing is claimed while records are missing.
  const watermarks = aggregator.gaps.length > 0 ? [] : gatewayWatermarks(aggregator.state)
  return await reader.transaction(async () => {
    const meta = await readMeta(reader)
    const isReset = position === undefined || !await isInOurPast(reader, meta, position)
    const from = isReset ? -1 : position.revision
    if (from >= meta.revision) return undefined
    const here = (revision: number): HourlyPosition => ({ historyId: meta.historyId, term: meta.term, revision })
    const closed = await firstClosed(aggregator, reader, partition, from)
    if (closed !== undefined) {
      const hasMore = closed.revision < meta.revision
      return { isReset, partition, position: here(closed.revision), closed: [closed], rowsNdjson: '', watermarks: hasMore ? [] : watermarks, hasMore }
    }
    const { rowsNdjson, lastRevision, hasMore } = await changedRows(reader, partition, from)
    return { isReset, partition, position: here(hasMore ? lastRevision : meta.revision), closed: [], rowsNdjson, watermarks: hasMore ? [] : watermarks, hasMore }
  })
}

interface ClosedRow { readonly [column: string]: unknown, readonly segment: number, readonly file: string, readonly sha256: string, readonly rows: bigint, readonly revision: bigint }

/** One a step: it is as large as a segment. */
async function firstClosed (aggregator: Aggregator, reader: SqlConnection, partition: number, from: number): Promise<ClosedSegment | undefined> {
  const [row] = await reader.rows<ClosedRow>('SELECT * FROM closed_segments WHERE sourcePartition = $1 AND revision > $2 ORDER BY revision, segment LIMIT 1', [partition, from])
  if (row === undefined) return undefined
  const { segment, file, sha256, rows, revision } = row
  return { partition, segment, file: path.join(aggregator.parts.folders.segments, file), sha256, rows: Number(rows), revision: Number(revision) }
}

async function changedRows (reader: SqlConnection, partition: number, from: number): Promise<{ readonly rowsNdjson: string, readonly lastRevision: number, readonly hasMore: boolean }> {
  const [open] = await reader.rows<{ segment: number }>('SELECT segment FROM partitions WHERE sourcePartition = $1', [partition])
  if (open === undefined) throw new Error(`partition ${partition} is not this aggregator's`)
  const select = selectHourlyRows(partition, open.segment)
  const [end] = await reader.rows<{ lastRevision: bigint | null, maxRevision: bigint | null }>(`
    SELECT max(revision) FILTER (before < ${rowsPerStep}) AS lastRevision, max(revision) AS maxRevision FROM
    (SELECT revision, sum(rows) OVER (ORDER BY revision) - rows AS before FROM (SELECT revision, count(*) AS rows FROM (${select}) WHERE revision > $1 GROUP BY revision))`, [from])
  const lastRevision = Number(end?.lastRevision ?? from)
  const [text] = await reader.rows<{ lines: string | null }>(
    `SELECT string_agg(to_json({${sentColumns.map((column) => `${column}: ${column}`).join(', ')}})::VARCHAR, chr(10)) AS lines FROM (${select}) WHERE revision > $1 AND revision <= $2`, [from, lastRevision])
  return { rowsNdjson: text?.lines ?? '', lastRevision, hasMore: lastRevision < Number(end?.maxRevision ?? from) }
}
