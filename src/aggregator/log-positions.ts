// Where the aggregator of a cluster stands in the topics of Kafka. The positions are written in the transaction of the
// counts that belong to them; they are for speed, the chain decides what counts.
import type { SqlConnection } from '../platform/duckdb.ts'
import type { ReadTo } from '../usage-log/port.ts'
import { tables } from './aggregator-sql.ts'
import { upsertRows } from './keyed-table.ts'

export interface LogPositions {
  /** The topics' own ids: another one means that a topic was made anew, and its offsets say nothing any more. */
  readonly usageTopicId: string
  readonly hourlyTopicId: string
  /** What stands before it was counted, or was counted before. */
  readonly appliedOffset: number
  /** What stands before it is in the archive: reading begins here after a start. */
  readonly archivedOffset: number
}

interface PositionRow { readonly [column: string]: unknown, readonly sourcePartition: number, readonly usageTopicId: string, readonly hourlyTopicId: string, readonly appliedOffset: bigint, readonly archivedOffset: bigint }

export async function loadPositions (connection: SqlConnection): Promise<Map<number, LogPositions>> {
  const rows = await connection.rows<PositionRow>('SELECT * FROM log_positions')
  return new Map(rows.map(({ sourcePartition, usageTopicId, hourlyTopicId, appliedOffset, archivedOffset }) =>
    [sourcePartition, { usageTopicId, hourlyTopicId, appliedOffset: Number(appliedOffset), archivedOffset: Number(archivedOffset) }]))
}

interface Readable { readonly positions?: LogPositions | undefined, readonly readTo?: ReadTo | undefined }

/** What to write when a partition was read up to `readTo`; undefined when that says nothing new. What is read again doesn't move it. */
export function positionsAfter ({ positions }: Readable, readTo: ReadTo | undefined): LogPositions | undefined {
  if (positions === undefined || readTo === undefined || readTo.offset <= positions.appliedOffset) return undefined
  return { ...positions, appliedOffset: readTo.offset }
}

export interface ArchivedOffset { readonly partition: number, readonly positions: LogPositions, readonly timestampMs: number }

/** Partitions of which all that was read by now is in the archive once what is staged is. */
export function archivedOffsets ({ partitions }: { readonly partitions: ReadonlyMap<number, Readable> }): ArchivedOffset[] {
  return [...partitions].flatMap(([partition, { positions, readTo }]) => positions === undefined || readTo === undefined || readTo.offset <= positions.archivedOffset
    ? []
    : [{ partition, positions: { ...positions, archivedOffset: readTo.offset }, timestampMs: readTo.timestampMs }])
}

/** Part of a transaction. @param flush what put it into the archive; null when nothing had to be */
export async function writeArchivedOffsets (writer: SqlConnection, archived: readonly ArchivedOffset[], { flush, revision }: { readonly flush: string | null, readonly revision: number }): Promise<void> {
  await upsertRows(writer, 'log_positions', tables.log_positions, archived.map(({ partition, positions }) => ({ sourcePartition: partition, ...positions, revision })))
  await upsertRows(writer, 'archived_offsets', tables.archived_offsets, archived.map(({ partition, positions, timestampMs }) => ({ sourcePartition: partition, archivedOffset: positions.archivedOffset, flush, timestampMs, isSafe: flush === null })))
}

/**
 * Flushes that no offset of the log belongs to: adopted after a crash, made before this database, or of a topic that is gone. They stand
 * below every offset, so that their copies are asked for first, and nothing is deleted before they are there. Part of a transaction.
 * @param flushes in their order
 */
export async function awaitCopies (writer: SqlConnection, partition: number, flushes: readonly string[]): Promise<void> {
  const [row] = await writer.rows<{ lowest: bigint }>('SELECT coalesce(min(archivedOffset), 0)::BIGINT AS lowest FROM archived_offsets WHERE sourcePartition = $1', [partition])
  const below = Math.min(0, Number(row?.lowest ?? 0n)) - flushes.length
  await upsertRows(writer, 'archived_offsets', tables.archived_offsets, flushes.map((flush, index) => ({ sourcePartition: partition, archivedOffset: below + index, flush, timestampMs: 0, isSafe: false })))
}

/** The offsets of a topic that isn't there any more must let nothing of the new one be deleted; copies are awaited all the same. Part of a transaction. */
export async function forgetOffsets (writer: SqlConnection, partition: number): Promise<void> {
  const awaited = await writer.rows<{ flush: string }>('SELECT flush FROM archived_offsets WHERE sourcePartition = $1 AND NOT isSafe AND archivedOffset >= 0 ORDER BY archivedOffset', [partition])
  await writer.run('DELETE FROM archived_offsets WHERE sourcePartition = $1 AND (isSafe OR archivedOffset >= 0)', [partition])
  await awaitCopies(writer, partition, awaited.map(({ flush }) => flush))
}
