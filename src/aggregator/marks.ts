// A gateway's own account of its hours, stored beside what was counted when the stream stood exactly at the mark: so an
// hour that is still moving can be compared to the last digit. Read again after a restart, a mark changes nothing.
import type { SqlConnection } from '../platform/duckdb.ts'
import type { HourMark, Mark } from '../usage-log/port.ts'
import { hourSql, isBillableSql, tables } from './aggregator-sql.ts'
import { emptyTally, tallyKey } from './batch.ts'
import type { Batch, CountedAtMark, StoredHourMark, Tally } from './batch.ts'
import { jsonRows, selectRows } from './keyed-table.ts'
import type { StreamMark } from './state.ts'

/** An hour's newest mark of this batch, or one that comes complete from the archive. */
interface NewHourMark {
  readonly streamId: string
  readonly gatewayId: string
  readonly seq: number
  readonly hour: HourMark
  readonly appliedBefore: number
  /** What is stored now, if it was said at the same seq. */
  readonly stored?: CountedAtMark
}

export interface NewHourMarks { readonly said: readonly NewHourMark[], readonly archived: readonly StoredHourMark[] }

const rank = { open: 0, closed: 1, recovered: 1 } as const satisfies Record<Mark['state'], number>

/** An earlier mark that is read again must not undo a later one. */
function isNewer (mark: Omit<StreamMark, 'gatewayId'>, than: StreamMark | undefined): boolean {
  if (than === undefined) return true
  if (mark.seq !== than.seq) return mark.seq > than.seq
  if (rank[mark.state] !== rank[than.state]) return rank[mark.state] > rank[than.state]
  return mark.watermarkMs >= than.watermarkMs
}

export function newestStreamMarks (batch: Batch, known: ReadonlyMap<string, StreamMark>): Map<string, StreamMark> {
  const newest = new Map<string, StreamMark>()
  const consider = (streamId: string, { gatewayId, seq, watermarkMs, state }: StreamMark): void => {
    const before = newest.get(streamId) ?? known.get(streamId)
    if (isNewer({ seq, watermarkMs, state }, before)) newest.set(streamId, { gatewayId, seq, watermarkMs: Math.max(watermarkMs, before?.watermarkMs ?? 0), state })
  }
  for (const { streamId, ...mark } of batch.storedMarks?.streams ?? []) consider(streamId, mark)
  for (const { mark } of batch.marks) consider(mark.streamId, mark)
  return newest
}

interface HourMarkRow extends Readonly<Record<keyof CountedAtMark, bigint | null>> { readonly [column: string]: unknown, readonly streamId: string, readonly hour: number, readonly seq: bigint }

/** The last mark of each stream and hour in the batch, unless what is stored was said at a later seq. */
export async function newestHourMarks (writer: SqlConnection, batch: Batch): Promise<NewHourMarks> {
  const said = new Map<string, NewHourMark>()
  for (const { mark, appliedBefore } of batch.marks) {
    for (const hour of mark.hours) said.set(tallyKey(mark.streamId, hour.hour), { streamId: mark.streamId, gatewayId: mark.gatewayId, seq: mark.seq, hour, appliedBefore })
  }
  const archived = new Map((batch.storedMarks?.hours ?? []).map((mark) => [tallyKey(mark.streamId, mark.hour), mark]))
  const wanted = [...[...said.values()].map(({ streamId, hour }) => ({ streamId, hour: hour.hour })), ...[...archived.values()].map(({ streamId, hour }) => ({ streamId, hour }))]
  const rows = await selectRows<HourMarkRow>(writer, 'hour_marks', tables.hour_marks, wanted)
  for (const row of rows) {
    const key = tallyKey(row.streamId, row.hour)
    const seq = Number(row.seq)
    if (seq > (archived.get(key)?.seq ?? Infinity)) archived.delete(key)
    const mark = said.get(key)
    if (mark === undefined) continue
    if (mark.seq < seq) said.delete(key)
    else if (mark.seq === seq) said.set(key, { ...mark, stored: numbersOf(row) })
  }
  return { said: [...said.values()], archived: [...archived.values()] }
}

function numbersOf (row: Readonly<Record<keyof CountedAtMark, bigint | null>>): CountedAtMark {
  const number = (value: bigint | null): number | null => value === null ? null : Number(value)
  return {
    billableAtMark: number(row.billableAtMark), notBillableAtMark: number(row.notBillableAtMark), deadLetteredAtMark: number(row.deadLetteredAtMark), voidedAtMark: number(row.voidedAtMark)
  }
}

export interface MarkedCounting {
  readonly batch: Batch
  readonly hourMarks: NewHourMarks
  /** Tallies before and after the batch; an hour that it didn't change is only in the first. */
  readonly before: ReadonlyMap<string, Tally>
  readonly tallies: ReadonlyMap<string, Tally>
  readonly gatewayOf: (streamId: string) => string | undefined
  /** The hour of a bad line that doesn't tell its own. */
  readonly fallbackHour: number
}

/** Adds to each mark what was counted of its hour up to its seq. */
export async function countMarkedEvents (writer: SqlConnection, counting: MarkedCounting): Promise<StoredHourMark[]> {
  const { batch, hourMarks, before, tallies } = counting
  const inside = hourMarks.said.filter((mark) => mark.seq >= mark.appliedBefore && mark.seq < (batch.seqs.get(mark.streamId)?.appliedSeq ?? 0))
  const events = await countUpTo(writer, batch, inside)
  const said = hourMarks.said.map((mark): StoredHourMark => {
    const key = tallyKey(mark.streamId, mark.hour.hour)
    const after = tallies.get(key) ?? before.get(key)
    let counted: CountedAtMark
    if (mark.seq < mark.appliedBefore) counted = mark.stored ?? { billableAtMark: null, notBillableAtMark: null, deadLetteredAtMark: null, voidedAtMark: null }
    else if (inside.includes(mark)) counted = atMark(counting, mark, events.get(key))
    else counted = { billableAtMark: after?.billable ?? 0, notBillableAtMark: after?.notBillable ?? 0, deadLetteredAtMark: after?.deadLettered ?? 0, voidedAtMark: after?.voided ?? 0 }
    const { hour, answered, journaled, countedOnly, recovered } = mark.hour
    return { streamId: mark.streamId, hour, gatewayId: mark.gatewayId, seq: mark.seq, answered, journaled, countedOnly, recovered, ...counted }
  })
  return [...hourMarks.archived, ...said]
}

type BillableCounts = { readonly billable: number, readonly notBillable: number }

function atMark ({ batch, before, fallbackHour }: MarkedCounting, mark: NewHourMark, events: BillableCounts | undefined): CountedAtMark {
  const { hour } = mark.hour
  const base = before.get(tallyKey(mark.streamId, hour)) ?? emptyTally(batch.partition, mark.streamId, mark.gatewayId, hour)
  const bad = batch.badLines.filter((line) => line.streamId === mark.streamId && line.seq <= mark.seq && (line.hour ?? fallbackHour) === hour).length
  const voided = batch.voids
    .filter(({ item, isCounted }) => isCounted && item.streamId === mark.streamId && item.lastSeq <= mark.seq)
    .reduce((sum, { hours }) => sum + hours.filter((count) => count.hour === hour).reduce((part, { count }) => part + count, 0), 0)
  return {
    billableAtMark: base.billable + (events?.billable ?? 0),
    notBillableAtMark: base.notBillable + (events?.notBillable ?? 0),
    deadLetteredAtMark: base.deadLettered + bad,
    voidedAtMark: base.voided + voided
  }
}

/** Events of the batch up to each mark's seq; only for marks behind which more of the stream came in the same batch. */
async function countUpTo (writer: SqlConnection, batch: Batch, marks: readonly NewHourMark[]): Promise<Map<string, BillableCounts>> {
  const counts = new Map<string, { billable: number, notBillable: number }>()
  if (marks.length === 0) return counts
  const wanted = JSON.stringify(marks.map(({ streamId, seq, hour }) => ({ streamId, hour: hour.hour, seq })))
  for (const table of batch.tables) {
    const rows = await writer.rows<{ streamId: string, hour: number, billable: bigint, notBillable: bigint }>(`
      SELECT w.streamId, w.hour, count(*) FILTER (e.isBillable) AS billable, count(*) FILTER (NOT e.isBillable) AS notBillable
      FROM (SELECT streamId, seq, ${hourSql} AS hour, ${isBillableSql} AS isBillable FROM ${table}) e
      JOIN ${jsonRows({ streamId: 'VARCHAR', hour: 'INTEGER', seq: 'BIGINT' })} w ON e.streamId = w.streamId AND e.hour = w.hour AND e.seq <= w.seq
      GROUP BY ALL`, [wanted])
    for (const row of rows) {
      const key = tallyKey(row.streamId, row.hour)
      const sum = counts.get(key) ?? { billable: 0, notBillable: 0 }
      counts.set(key, { billable: sum.billable + Number(row.billable), notBillable: sum.notBillable + Number(row.notBillable) })
    }
  }
  return counts
}
