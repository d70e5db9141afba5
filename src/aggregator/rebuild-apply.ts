// Puts rows made again from the archive into the place of those that are stored, in one transaction and under a new term
// that knows no earlier one: every ledger reads all of them again.
import type { SqlConnection } from '../platform/duckdb.ts'
import { createHourlyTable, hourlyTable, hourSql, isBillableSql, tables } from './aggregator-sql.ts'
import type { AggregatorFolders } from './folders.ts'
import { rebuiltTable } from './rebuild.ts'
import { enterSegment, writeSnapshot } from './segments.ts'
import type { Snapshot } from './segments.ts'
import { archivedEvents } from './verify-sql.ts'

export interface RebuildApplication {
  readonly folders: AggregatorFolders
  readonly segmentRowsMax: number
  readonly nowMs: number
  readonly randomId: () => string
  /** Every file of the archive, full paths. */
  readonly archiveFiles: readonly string[]
}

/** Rows that get one revision: what a ledger reads in one step. */
const rowsPerRevision = 20_000

/** What is in the archive is all that is counted: the caller has flushed. The rows are in the connection's table `rebuilt`. */
export async function applyRebuilt (writer: SqlConnection, application: RebuildApplication): Promise<void> {
  const partitions = await writer.rows<{ sourcePartition: number, segment: number }>('SELECT sourcePartition, segment FROM partitions')
  const plans: PartitionPlan[] = []
  for (const { sourcePartition, segment } of partitions) plans.push(await writeClosed(writer, application, { sourcePartition, segment }))
  await writer.transaction(async () => {
    let [{ revision } = { revision: 0n }] = await writer.rows<{ revision: bigint }>('SELECT revision FROM meta')
    await writer.run('UPDATE meta SET term = greatest(term + 1, $1)', [application.nowMs])
    await writer.run('DELETE FROM terms')
    await writer.run('INSERT INTO terms SELECT term, revision + 1 FROM meta')
    for (const plan of plans) revision = BigInt(await replacePartition(writer, plan, Number(revision)))
    await recountTallies(writer, application.archiveFiles)
    await writer.run('UPDATE meta SET revision = $1', [Number(revision)])
  })
}

interface PartitionPlan {
  readonly sourcePartition: number
  readonly openSegment: number
  readonly closed: readonly { readonly segment: number, readonly snapshot: Snapshot }[]
  readonly nextSegment: number
  /** Rows in order, from this one on, stay in the open segment. */
  readonly openFromRow: number
}

const rowsOf = (partition: number): string => `SELECT *, row_number() OVER (ORDER BY hour, memberId, apiKeyId, apiEndpointId) - 1 AS place FROM
  (SELECT apiEndpointId, memberId, apiKeyId, hour, sum(count)::BIGINT AS count, sum(units)::BIGINT AS units, sum(requestBytes)::BIGINT AS requestBytes,
    sum(responseBytes)::BIGINT AS responseBytes, sum(errorCount)::BIGINT AS errorCount FROM ${rebuiltTable} WHERE sourcePartition = ${partition} GROUP BY ALL)`

/** Whole segments, by hour, as files; before the transaction that names them. */
async function writeClosed (writer: SqlConnection, { folders, segmentRowsMax, randomId }: RebuildApplication, { sourcePartition, segment }: { readonly sourcePartition: number, readonly segment: number }): Promise<PartitionPlan> {
  const [size] = await writer.rows<{ rows: bigint }>(`SELECT count(*) AS rows FROM (${rowsOf(sourcePartition)})`)
  const whole = Math.floor(Number(size?.rows) / segmentRowsMax)
  const closed: { segment: number, snapshot: Snapshot }[] = []
  for (let index = 0; index < whole; index++) {
    const next = segment + 1 + index
    const select = `SELECT ${sourcePartition}::INTEGER AS sourcePartition, ${next}::INTEGER AS segment, * EXCLUDE (place), 0::BIGINT AS revision FROM (${rowsOf(sourcePartition)})
      WHERE place >= ${index * segmentRowsMax} AND place < ${(index + 1) * segmentRowsMax}`
    closed.push({ segment: next, snapshot: await writeSnapshot(writer, { folder: folders.segments, name: `partition=${sourcePartition}-segment=${next}-${randomId().slice(0, 8)}`, select }) })
  }
  return { sourcePartition, openSegment: segment, closed, nextSegment: segment + 1 + whole, openFromRow: whole * segmentRowsMax }
}

/** @returns the last revision used */
async function replacePartition (writer: SqlConnection, { sourcePartition, openSegment, closed, nextSegment, openFromRow }: PartitionPlan, before: number): Promise<number> {
  let revision = before
  await writer.run('DELETE FROM closed_segments WHERE sourcePartition = $1', [sourcePartition])
  // Each has a revision of its own: a ledger takes them one at a time.
  for (const { segment, snapshot } of closed) await enterSegment(writer, { partition: sourcePartition, segment, snapshot, revision: ++revision })
  await writer.run(`DROP TABLE ${hourlyTable(sourcePartition, openSegment)}`)
  await writer.run(createHourlyTable(sourcePartition, nextSegment))
  await writer.run('UPDATE partitions SET segment = $2 WHERE sourcePartition = $1', [sourcePartition, nextSegment])
  const rows = await writer.run(`INSERT INTO ${hourlyTable(sourcePartition, nextSegment)}
    SELECT * EXCLUDE (place), ${revision + 1} + (place - ${openFromRow}) // ${rowsPerRevision} FROM (${rowsOf(sourcePartition)}) WHERE place >= ${openFromRow}`)
  return revision + 1 + Math.floor(Math.max(0, rows - 1) / rowsPerRevision)
}

/** Dead letters and voids stay as they are: they aren't in the archive. */
async function recountTallies (writer: SqlConnection, archiveFiles: readonly string[]): Promise<void> {
  await writer.run('UPDATE tallies SET billable = 0, notBillable = 0')
  if (archiveFiles.length > 0) {
    const columns = [...Object.keys(tables.tallies.keys), ...Object.keys(tables.tallies.values)].join(', ')
    await writer.run(`INSERT INTO tallies (${columns}) SELECT sourcePartition, streamId, ${hourSql} AS hour, gatewayId,
      count(*) FILTER (${isBillableSql}), count(*) FILTER (NOT ${isBillableSql}), 0, 0, 0 FROM ${archivedEvents(archiveFiles, true)} GROUP BY sourcePartition, streamId, ${hourSql}, gatewayId
      ON CONFLICT DO UPDATE SET billable = excluded.billable, notBillable = excluded.notBillable`)
  }
  await writer.run('DELETE FROM tallies WHERE billable + notBillable + deadLettered + voided = 0')
}
