// Reads what `verify` compares: tallies and marks of the database, every event of the archive, hourly rows of all segments,
// and the ledger's sums, which whoever asks brings along. Reads from one snapshot, on a connection of its own.
import path from 'node:path'
import type { LedgerHours } from './ledger-hours.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { checkArchiveFiles, checkSegments } from './check-files.ts'
import type { CheckedArchive } from './check-files.ts'
import type { AggregatorFolders } from './folders.ts'
import { isInOurPast, readMeta } from './lineage.ts'
import { readArchivedHours } from './verify-archive.ts'
import type { ArchivedHours } from './verify-archive.ts'
import { wrongDayProblems } from './verify.ts'
import type { Counted, HourStores, HourSums, SaidHour, StreamHour, VerifyInput, VerifyProblem } from './verify.ts'
import { allHourlyRows, rowHourSums } from './verify-sql.ts'
import type { StreamMark } from './state.ts'

export interface GatherParts {
  /** Within a transaction: everything is read as of one moment. */
  readonly reader: SqlConnection
  /** Not within one. */
  readonly probe: SqlConnection
  readonly folders: AggregatorFolders
  /** Undefined: no ledger can be asked. */
  readonly ledger: LedgerHours | undefined
  /** Streams that are held back. */
  readonly gaps: readonly { readonly streamId: string, readonly reason: string }[]
}

export interface Gathered extends VerifyInput { readonly repeats: number, readonly archive: CheckedArchive }

export async function gatherStores ({ reader, probe, folders, ledger, gaps }: GatherParts): Promise<Gathered> {
  const archive = await checkArchiveFiles(reader, probe, folders)
  const segments = await checkSegments(reader, folders)
  const archived = await readArchivedHours(reader, archive.readable.map(({ file, hour }) => ({ file: path.join(folders.archive, file), hour })))
  const unchecked: string[] = []
  const pending = new Set((await reader.rows<{ streamId: string }>('SELECT streamId FROM streams WHERE archivedSeq < appliedSeq')).map(({ streamId }) => streamId))
  if (pending.size > 0) unchecked.push('some counted events are not in the archive yet')
  const ledgerSums = await placeLedger(reader, ledger, unchecked)
  return {
    streamHours: await readStreamHours(reader, archived, pending),
    streamMarks: await readStreamMarks(reader),
    hours: await readHours(reader, { segmentFiles: segments.readable.map((file) => path.join(folders.segments, file)), archived, ledger: ledgerSums, isArchivePending: pending.size > 0 }),
    uncertain: await readUncertain(reader),
    problems: [...archive.problems, ...segments.problems, ...archived.problems, ...(ledgerSums === undefined ? [] : wrongDayProblems(ledgerSums)), ...gaps.map(({ streamId, reason }): VerifyProblem => ({ problem: `stream ${streamId} is held back: ${reason}` }))],
    unchecked,
    hasLedger: ledgerSums !== undefined,
    repeats: archived.repeats,
    archive
  }
}

/** The ledger's sums, if they were taken somewhere in this database's past. */
async function placeLedger (reader: SqlConnection, ledger: LedgerHours | undefined, unchecked: string[]): Promise<LedgerHours | undefined> {
  if (ledger === undefined) {
    unchecked.push('no ledger was asked')
    return undefined
  }
  const meta = await readMeta(reader)
  for (const position of ledger.positions) {
    if (!await isInOurPast(reader, meta, position)) {
      unchecked.push('the ledger is still reading the hourly counts')
      return undefined
    }
  }
  return ledger
}

interface StreamHourRow {
  readonly [column: string]: unknown
  readonly streamId: string, readonly gatewayId: string, readonly hour: number
  readonly billable: bigint, readonly notBillable: bigint, readonly deadLettered: bigint, readonly voided: bigint
  readonly seq: bigint | null, readonly answered: bigint, readonly journaled: bigint, readonly countedOnly: bigint, readonly recovered: bigint
  readonly billableAtMark: bigint | null, readonly notBillableAtMark: bigint, readonly deadLetteredAtMark: bigint, readonly voidedAtMark: bigint
}

async function readStreamHours (reader: SqlConnection, archived: ArchivedHours, pending: ReadonlySet<string>): Promise<StreamHour[]> {
  const rows = await reader.rows<StreamHourRow>(`
    SELECT coalesce(t.streamId, m.streamId) AS streamId, coalesce(t.gatewayId, m.gatewayId) AS gatewayId, coalesce(t.hour, m.hour) AS hour,
      coalesce(t.billable, 0) AS billable, coalesce(t.notBillable, 0) AS notBillable, coalesce(t.deadLettered, 0) AS deadLettered, coalesce(t.voided, 0) AS voided,
      m.seq, m.answered, m.journaled, m.countedOnly, m.recovered, m.billableAtMark, m.notBillableAtMark, m.deadLetteredAtMark, m.voidedAtMark
    FROM (SELECT streamId, any_value(gatewayId) AS gatewayId, hour, sum(billable)::BIGINT AS billable, sum(notBillable)::BIGINT AS notBillable,
      sum(deadLettered)::BIGINT AS deadLettered, sum(voided)::BIGINT AS voided FROM tallies GROUP BY streamId, hour) t
    FULL JOIN hour_marks m ON m.streamId = t.streamId AND m.hour = t.hour`)
  const left = new Map(archived.streams)
  const found = rows.map((row): StreamHour => {
    const key = `${row.streamId} ${row.hour}`
    const inArchive = left.get(key)
    left.delete(key)
    return {
      streamId: row.streamId,
      gatewayId: row.gatewayId,
      hour: row.hour,
      said: saidOf(row),
      counted: { billable: Number(row.billable), notBillable: Number(row.notBillable), deadLettered: Number(row.deadLettered), voided: Number(row.voided) },
      archived: inArchive?.events ?? 0,
      archivedAtMark: inArchive?.eventsAtMark ?? 0,
      isArchivePending: pending.has(row.streamId)
    }
  })
  // In the archive, and nowhere else.
  const none: Counted = { billable: 0, notBillable: 0, deadLettered: 0, voided: 0 }
  for (const { streamId, gatewayId, hour, events, eventsAtMark } of left.values()) found.push({ streamId, gatewayId, hour, said: undefined, counted: none, archived: events, archivedAtMark: eventsAtMark, isArchivePending: pending.has(streamId) })
  return found
}

function saidOf (row: StreamHourRow): SaidHour | undefined {
  if (row.seq === null) return undefined
  const counted = row.billableAtMark === null
    ? undefined
    : { billable: Number(row.billableAtMark), notBillable: Number(row.notBillableAtMark), deadLettered: Number(row.deadLetteredAtMark), voided: Number(row.voidedAtMark) }
  return { seq: Number(row.seq), answered: Number(row.answered), journaled: Number(row.journaled), countedOnly: Number(row.countedOnly), recovered: Number(row.recovered), counted }
}

async function readStreamMarks (reader: SqlConnection): Promise<Map<string, StreamMark>> {
  const rows = await reader.rows<{ streamId: string, gatewayId: string, seq: bigint, watermarkMs: bigint, state: StreamMark['state'] }>('SELECT * FROM stream_marks')
  return new Map(rows.map(({ streamId, gatewayId, seq, watermarkMs, state }) => [streamId, { gatewayId, seq: Number(seq), watermarkMs: Number(watermarkMs), state }]))
}

interface HourSumRow extends HourSums { readonly [column: string]: unknown, readonly hour: number, readonly revision: bigint }

async function readHours (reader: SqlConnection, { segmentFiles, archived, ledger, isArchivePending }: { readonly segmentFiles: readonly string[], readonly archived: ArchivedHours, readonly ledger: LedgerHours | undefined, readonly isArchivePending: boolean }): Promise<HourStores[]> {
  const open = await reader.rows<{ sourcePartition: number, segment: number }>('SELECT sourcePartition, segment FROM partitions')
  const rows = await reader.rows<HourSumRow>(rowHourSums(allHourlyRows(open, segmentFiles)))
  const own = new Map(rows.map((row) => [row.hour, row]))
  const ledgerHours = new Map((ledger?.hours ?? []).map((hour) => [hour.hour, hour]))
  const ledgerRevision = Math.min(...(ledger?.positions ?? []).map(({ revision }) => revision))
  return [...new Set([...own.keys(), ...archived.hours.keys(), ...ledgerHours.keys()])].sort((a, b) => a - b).map((hour) => {
    const sums = ledgerHours.get(hour)
    return {
      hour,
      rows: own.get(hour),
      archive: archived.hours.get(hour),
      ledger: sums === undefined ? undefined : { ...sums, count: BigInt(sums.count), errorCount: BigInt(sums.errorCount) },
      isLedgerBehind: Number(own.get(hour)?.revision ?? 0) > ledgerRevision,
      isArchivePending
    }
  })
}

async function readUncertain (reader: SqlConnection): Promise<{ gatewayId: string, hour: number }[]> {
  const rows = await reader.rows<{ gatewayId: string, hours: string }>('SELECT gatewayId, hours FROM voids WHERE isHoursUncertain')
  return rows.flatMap(({ gatewayId, hours }) => (JSON.parse(hours) as { hour: number }[]).map(({ hour }) => ({ gatewayId, hour })))
}
