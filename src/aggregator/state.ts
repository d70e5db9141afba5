// What the aggregator keeps in memory of its database: small, and derived again from the file whenever a transaction
// fails, so that memory and file can't drift apart.
import type { SqlConnection } from '../platform/duckdb.ts'
import type { Mark, ReadTo } from '../usage-log/port.ts'
import { createHourlyTable, hourlyTable } from './aggregator-sql.ts'
import { voidKey } from './batch-plan.ts'
import type { CountedVoid, StreamSeqs } from './batch-plan.ts'
import { loadPositions } from './log-positions.ts'
import type { LogPositions } from './log-positions.ts'

/** A stream of one partition. `stagedSeq` runs from the archived to the applied one and is in memory only. */
export interface StreamState extends StreamSeqs {
  readonly gatewayId: string | undefined
  readonly archivedSeq: number
}

export interface StreamMark {
  readonly gatewayId: string
  readonly seq: number
  readonly watermarkMs: number
  readonly state: Mark['state']
}

export interface PartitionState {
  /** The open segment and the rows in its table. */
  segment: number
  segmentRows: number
  readonly streams: Map<string, StreamState>
  /** Voids that are not archived yet, by `voidKey`. */
  readonly voids: Map<string, CountedVoid>
  /** Of a cluster: what is written in the database. */
  positions?: LogPositions | undefined
  /** Of a cluster: everything before it was taken, counted and staged, or needn't be. Behind the applied offset after a start. */
  readTo?: ReadTo | undefined
}

export interface AggregatorState {
  readonly historyId: string
  term: number
  revision: number
  /** Marks above it are not in the archive yet. */
  flushedRevision: number
  lastFlush: string | undefined
  readonly partitions: Map<number, PartitionState>
  /** The last mark of every stream. */
  readonly streamMarks: Map<string, StreamMark>
}

interface MetaRow { readonly [column: string]: unknown, readonly historyId: string, readonly term: bigint, readonly revision: bigint, readonly flushedRevision: bigint, readonly lastFlush: string | null }
interface StreamRow { readonly [column: string]: unknown, readonly sourcePartition: number, readonly streamId: string, readonly gatewayId: string | null, readonly appliedSeq: bigint, readonly archivedSeq: bigint }
interface MarkRow { readonly [column: string]: unknown, readonly streamId: string, readonly gatewayId: string, readonly seq: bigint, readonly watermarkMs: bigint, readonly state: Mark['state'] }

/** Reads the state of the database, and gives each of `partitions` its first segment if it has none. */
export async function loadState (writer: SqlConnection, partitions: readonly number[]): Promise<AggregatorState> {
  for (const partition of partitions) await openFirstSegment(writer, partition)
  const [meta] = await writer.rows<MetaRow>('SELECT historyId, term, revision, flushedRevision, lastFlush FROM meta')
  if (meta === undefined) throw new Error('the aggregator\'s database has lost its meta row')
  const state: AggregatorState = {
    historyId: meta.historyId,
    term: Number(meta.term),
    revision: Number(meta.revision),
    flushedRevision: Number(meta.flushedRevision),
    lastFlush: meta.lastFlush ?? undefined,
    partitions: new Map(),
    streamMarks: new Map()
  }
  const positions = await loadPositions(writer)
  for (const row of await writer.rows<{ sourcePartition: number, segment: number }>('SELECT sourcePartition, segment FROM partitions')) {
    const own = positions.get(row.sourcePartition)
    state.partitions.set(row.sourcePartition, { segment: row.segment, segmentRows: await countRows(writer, row.sourcePartition, row.segment), streams: new Map(), voids: new Map(), positions: own, readTo: own === undefined ? undefined : { offset: own.archivedOffset, timestampMs: 0 } })
  }
  for (const row of await writer.rows<StreamRow>('SELECT * FROM streams')) {
    const archivedSeq = Number(row.archivedSeq)
    partitionOf(state, row.sourcePartition).streams.set(row.streamId, { gatewayId: row.gatewayId ?? undefined, appliedSeq: Number(row.appliedSeq), archivedSeq, stagedSeq: archivedSeq })
  }
  for (const row of await writer.rows<{ sourcePartition: number, streamId: string, lastSeq: bigint, prevSeq: bigint }>('SELECT v.* FROM voids v JOIN streams s USING (sourcePartition, streamId) WHERE v.lastSeq > s.archivedSeq')) {
    const counted: CountedVoid = { streamId: row.streamId, lastSeq: Number(row.lastSeq), afterSeq: Number(row.prevSeq) }
    partitionOf(state, row.sourcePartition).voids.set(voidKey(counted), counted)
  }
  for (const row of await writer.rows<MarkRow>('SELECT streamId, gatewayId, seq, watermarkMs, state FROM stream_marks')) {
    state.streamMarks.set(row.streamId, { gatewayId: row.gatewayId, seq: Number(row.seq), watermarkMs: Number(row.watermarkMs), state: row.state })
  }
  return state
}

export function partitionOf (state: AggregatorState, partition: number): PartitionState {
  const found = state.partitions.get(partition)
  if (found === undefined) throw new Error(`partition ${partition} is not this aggregator's`)
  return found
}

async function openFirstSegment (writer: SqlConnection, partition: number): Promise<void> {
  const rows = await writer.rows('SELECT 1 FROM partitions WHERE sourcePartition = $1', [partition])
  if (rows.length > 0) return
  await writer.transaction(async () => {
    await writer.run('INSERT INTO partitions VALUES ($1, 0)', [partition])
    await writer.run(createHourlyTable(partition, 0))
  })
}

export async function countRows (writer: SqlConnection, partition: number, segment: number): Promise<number> {
  const [row] = await writer.rows<{ rows: bigint }>(`SELECT count(*) AS rows FROM ${hourlyTable(partition, segment)}`)
  return Number(row?.rows)
}

/**
 * Per gateway the time below which no event will be counted any more, milliseconds; null when all its streams have ended.
 * A stream that is held back by a gap keeps its last mark, and with it its gateway.
 */
export function gatewayWatermarks (state: AggregatorState): { readonly gatewayId: string, readonly watermarkMs: number | null }[] {
  const gateways = new Map<string, { highestMs: number, openMs: number | null }>()
  const seen = (gatewayId: string): { highestMs: number, openMs: number | null } => {
    const found = gateways.get(gatewayId) ?? { highestMs: 0, openMs: null }
    gateways.set(gatewayId, found)
    return found
  }
  for (const mark of state.streamMarks.values()) {
    const gateway = seen(mark.gatewayId)
    gateway.highestMs = Math.max(gateway.highestMs, mark.watermarkMs)
    if (mark.state === 'open') gateway.openMs = Math.min(gateway.openMs ?? mark.watermarkMs, mark.watermarkMs)
  }
  for (const { streams } of state.partitions.values()) {
    for (const [streamId, { gatewayId }] of streams) {
      if (gatewayId === undefined || state.streamMarks.has(streamId)) continue
      // Its first mark is still to come: it can't be below what the gateway has said before.
      const gateway = seen(gatewayId)
      gateway.openMs = Math.min(gateway.openMs ?? gateway.highestMs, gateway.highestMs)
    }
  }
  return [...gateways].map(([gatewayId, { openMs }]) => ({ gatewayId, watermarkMs: openMs })).sort((a, b) => a.gatewayId < b.gatewayId ? -1 : 1)
}
