// One transaction of the aggregator: hourly counts, tallies, last seqs, marks, voids, dead letters and the revision. What
// it needs to know of the rows that it changes it reads first; everything else is in the state that is held in memory.
import { hourOf } from '../domain/window.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { addToHourlyRows, hourlyTable, tables } from './aggregator-sql.ts'
import type { TableName, TableRow } from './aggregator-sql.ts'
import { insertNewRows, selectRows, upsertRows } from './keyed-table.ts'
import { emptyTally, tallyKey } from './batch.ts'
import type { Applied, Batch, Tally } from './batch.ts'
import { countMarkedEvents, newestHourMarks, newestStreamMarks } from './marks.ts'
import { partitionOf } from './state.ts'
import type { AggregatorState, StreamState } from './state.ts'

/** Rows that get one revision at most, so that a ledger's step stays small after a large transaction. */
const rowsPerRevision = 20_000

/** Runs inside a transaction of `writer`. @returns what to change in the state after the commit */
export async function applyBatch (writer: SqlConnection, state: AggregatorState, batch: Batch, nowMs: number): Promise<Applied> {
  const { segment, streams } = partitionOf(state, batch.partition)
  const gatewayOf = gatewayFinder(batch, streams)
  let revision = state.revision + 1
  for (const table of batch.tables) {
    const changed = await writer.run(addToHourlyRows({
      table: hourlyTable(batch.partition, segment),
      source: table,
      revision: `${revision} + (row_number() OVER () - 1) // ${rowsPerRevision}`
    }))
    revision += Math.floor(Math.max(0, changed - 1) / rowsPerRevision)
  }
  const before = await loadTallies(writer, batch, nowMs)
  const tallies = addUp(before, batch, gatewayOf, nowMs)
  await writeRows(writer, 'tallies', [...tallies.values()].map((tally) => ({ ...tally, revision })))
  const moved = movedStreams(batch, streams, gatewayOf)
  await writeRows(writer, 'streams', [...moved].map(([streamId, stream]) => ({ sourcePartition: batch.partition, streamId, gatewayId: stream.gatewayId ?? null, appliedSeq: stream.appliedSeq, archivedSeq: stream.archivedSeq, revision })))
  await writeDetails(writer, { batch, gatewayOf, nowMs, revision })
  const streamMarks = newestStreamMarks(batch, state.streamMarks)
  await writeRows(writer, 'stream_marks', [...streamMarks].map(([streamId, mark]) => ({ streamId, ...mark, revision })))
  const hourMarks = await newestHourMarks(writer, batch)
  const counted = await countMarkedEvents(writer, { batch, hourMarks, before, tallies, gatewayOf, fallbackHour: hourOf(nowMs) })
  await writeRows(writer, 'hour_marks', counted.map((mark) => ({ ...mark, revision })))
  if (batch.positions !== undefined) await writeRows(writer, 'log_positions', [{ sourcePartition: batch.partition, ...batch.positions, revision }])
  await batch.also?.()
  await writer.run('UPDATE meta SET revision = $1', [revision])
  return { revision, streams: moved, streamMarks }
}

/** Puts rows in the place of those with their keys. */
export async function writeRows<Name extends TableName> (writer: SqlConnection, table: Name, rows: readonly TableRow<Name>[]): Promise<void> {
  await upsertRows(writer, table, tables[table], rows)
}

/** Adds rows that may be there already. */
export async function addRows<Name extends TableName> (writer: SqlConnection, table: Name, rows: readonly TableRow<Name>[]): Promise<void> {
  await insertNewRows(writer, table, tables[table], rows)
}

function gatewayFinder (batch: Batch, streams: ReadonlyMap<string, StreamState>): (streamId: string) => string | undefined {
  const found = new Map<string, string>()
  for (const { streamId, gatewayId } of batch.counts) found.set(streamId, gatewayId)
  for (const { item } of batch.voids) found.set(item.streamId, item.gatewayId)
  for (const { mark } of batch.marks) found.set(mark.streamId, mark.gatewayId)
  for (const { streamId, gatewayId } of batch.storedMarks?.streams ?? []) found.set(streamId, gatewayId)
  for (const { streamId, gatewayId } of batch.badLines) if (gatewayId !== undefined && !found.has(streamId)) found.set(streamId, gatewayId)
  return (streamId) => streams.get(streamId)?.gatewayId ?? found.get(streamId)
}

interface TallyRow { readonly [column: string]: unknown, readonly streamId: string, readonly gatewayId: string, readonly hour: number, readonly billable: bigint, readonly notBillable: bigint, readonly deadLettered: bigint, readonly voided: bigint }

async function loadTallies (writer: SqlConnection, batch: Batch, nowMs: number): Promise<Map<string, Tally>> {
  const wanted = new Map<string, { sourcePartition: number, streamId: string, hour: number }>()
  const want = (streamId: string, hour: number): void => { wanted.set(tallyKey(streamId, hour), { sourcePartition: batch.partition, streamId, hour }) }
  for (const { streamId, hour } of batch.counts) want(streamId, hour)
  for (const { streamId, hour } of batch.badLines) want(streamId, hour ?? hourOf(nowMs))
  for (const { item, hours } of batch.voids) for (const { hour } of hours) want(item.streamId, hour)
  for (const { mark } of batch.marks) for (const { hour } of mark.hours) want(mark.streamId, hour)
  const rows = await selectRows<TallyRow>(writer, 'tallies', tables.tallies, [...wanted.values()])
  return new Map(rows.map((row) => [tallyKey(row.streamId, row.hour), {
    sourcePartition: batch.partition,
    streamId: row.streamId,
    gatewayId: row.gatewayId,
    hour: row.hour,
    billable: Number(row.billable),
    notBillable: Number(row.notBillable),
    deadLettered: Number(row.deadLettered),
    voided: Number(row.voided)
  }]))
}

/** The tallies that this batch changes, as they are after it. */
function addUp (before: ReadonlyMap<string, Tally>, batch: Batch, gatewayOf: (streamId: string) => string | undefined, nowMs: number): Map<string, Tally> {
  const tallies = new Map<string, Tally>()
  const at = (streamId: string, hour: number): Tally => {
    const key = tallyKey(streamId, hour)
    const found = tallies.get(key) ?? { ...(before.get(key) ?? emptyTally(batch.partition, streamId, gatewayOf(streamId) ?? 'unknown', hour)) }
    tallies.set(key, found)
    return found
  }
  for (const count of batch.counts) {
    const tally = at(count.streamId, count.hour)
    tally.billable += count.billable
    tally.notBillable += count.notBillable
  }
  for (const { streamId, hour } of batch.badLines) at(streamId, hour ?? hourOf(nowMs)).deadLettered++
  for (const { item, isCounted, hours } of batch.voids) {
    if (isCounted) for (const { hour, count } of hours) at(item.streamId, hour).voided += count
  }
  return tallies
}

/** Streams that moved, and those whose gateway is known only now. */
function movedStreams (batch: Batch, streams: ReadonlyMap<string, StreamState>, gatewayOf: (streamId: string) => string | undefined): Map<string, StreamState> {
  const moved = new Map<string, StreamState>()
  for (const [streamId, seqs] of batch.seqs) {
    moved.set(streamId, { archivedSeq: streams.get(streamId)?.archivedSeq ?? 0, ...seqs, gatewayId: gatewayOf(streamId) })
  }
  for (const { mark } of batch.marks) {
    if (moved.has(mark.streamId) || streams.get(mark.streamId)?.gatewayId !== undefined) continue
    const known = streams.get(mark.streamId) ?? { appliedSeq: 0, stagedSeq: 0, archivedSeq: 0 }
    moved.set(mark.streamId, { ...known, gatewayId: mark.gatewayId })
  }
  return moved
}

async function writeDetails (writer: SqlConnection, { batch, gatewayOf, nowMs, revision }: { readonly batch: Batch, readonly gatewayOf: (streamId: string) => string | undefined, readonly nowMs: number, readonly revision: number }): Promise<void> {
  const sourcePartition = batch.partition
  await addRows(writer, 'voids', batch.voids.map(({ item, afterSeq, hours }) => ({
    sourcePartition, streamId: item.streamId, gatewayId: item.gatewayId, prevSeq: afterSeq, lastSeq: item.lastSeq, reason: item.reason, hours: JSON.stringify(hours), isHoursUncertain: item.isHoursUncertain, revision
  })))
  await addRows(writer, 'archive_holes', batch.holes.map((hole) => ({ sourcePartition, ...hole })))
  await addRows(writer, 'dead_letters', [...batch.badLines, ...batch.stagedBadLines ?? []].map(({ streamId, seq, prevSeq, hour, reason }) => ({
    sourcePartition, streamId, seq, prevSeq, gatewayId: gatewayOf(streamId) ?? 'unknown', hour: hour ?? hourOf(nowMs), reason
  })))
}
