// The comparison behind `tollgate verify`. Pure: everything that the stores say comes in, what agrees and what doesn't goes
// out, for each gateway and hour. A gateway's own account (its marks) was counted in its workers by code that shares
// nothing with the events' path, so the two can only agree when nothing was lost or doubled between them.
import { dayEndHour, formatDate, hourEndMs } from '../domain/window.ts'
import type { LedgerHours } from './ledger-hours.ts'
import type { StreamMark } from './state.ts'

/** Counted events of one stream and hour. */
export interface Counted { readonly billable: number, readonly notBillable: number, readonly deadLettered: number, readonly voided: number }

/** What a gateway said last of one hour of a stream, and what stood counted at that mark (undefined: can't be told). */
export interface SaidHour {
  readonly seq: number
  readonly answered: number
  readonly journaled: number
  readonly countedOnly: number
  readonly recovered: number
  readonly counted: Counted | undefined
}

/** Everything that is known of one stream and hour. */
export interface StreamHour {
  readonly streamId: string
  readonly gatewayId: string
  readonly hour: number
  readonly said: SaidHour | undefined
  readonly counted: Counted
  /** Distinct events in the archive; and those up to the mark. */
  readonly archived: number
  readonly archivedAtMark: number
  /** Some of the stream is counted and not archived yet: the archive can't be compared. */
  readonly isArchivePending: boolean
}

/** Sums over all billed requests of an hour. */
export interface HourSums { readonly count: bigint, readonly keyedCount: bigint, readonly units: bigint, readonly requestBytes: bigint, readonly responseBytes: bigint, readonly errorCount: bigint }

export interface HourStores {
  readonly hour: number
  /** The aggregator's rows, of the open segment and the closed ones. */
  readonly rows: HourSums | undefined
  /** Made again from the archive. */
  readonly archive: HourSums | undefined
  /** Undefined: the ledger has no row of the hour. */
  readonly ledger: HourSums | undefined
  /** The ledger stands behind a change of this hour: it can't be compared yet. */
  readonly isLedgerBehind: boolean
  /** Some of its events may be counted and not archived yet. */
  readonly isArchivePending: boolean
}

/** Something that is wrong, and where. Without an hour or a gateway it concerns all. */
export interface VerifyProblem { readonly gatewayId?: string | undefined, readonly hour?: number | undefined, readonly problem: string }

export interface VerifyInput {
  readonly streamHours: readonly StreamHour[]
  readonly streamMarks: ReadonlyMap<string, StreamMark>
  readonly hours: readonly HourStores[]
  /** Hours of which a void says that it doesn't know how many events it took. */
  readonly uncertain: readonly { readonly gatewayId: string, readonly hour: number }[]
  readonly problems: readonly VerifyProblem[]
  /** What kept a store from being looked at. */
  readonly unchecked: readonly string[]
  /** False: no ledger was asked. */
  readonly hasLedger: boolean
}

export type VerifyStatus = 'ok' | 'open' | 'difference' | 'void' | 'dead-letter' | 'acknowledged'

export interface VerifyRow {
  readonly gatewayId: string
  readonly hour: number
  readonly answered: number
  readonly recovered: number
  readonly journaled: number
  readonly countedOnly: number
  readonly archived: number
  readonly deadLettered: number
  readonly voided: number
  readonly billable: number
  readonly notBillable: number
  /** Of all gateways together: the ledger doesn't know who answered. Null where no ledger was asked. */
  readonly ledgerCount: number | null
  readonly status: VerifyStatus
  /** Why it isn't `ok`. */
  readonly problems: readonly string[]
}

export interface VerifyReport {
  /** By hour, then gateway. */
  readonly rows: readonly VerifyRow[]
  /** What concerns no single gateway and hour. */
  readonly problems: readonly string[]
  readonly unchecked: readonly string[]
  /** 0: equal, or acknowledged. 1: a difference, dead letter or void that isn't. 2: something could not be checked. */
  readonly exitCode: 0 | 1 | 2
}

/** @param isAcknowledged whether an operator has acknowledged exactly this row */
export function compareStores (input: VerifyInput, isAcknowledged: (row: VerifyRow) => boolean): VerifyReport {
  const rows = openRows(input)
  for (const { gatewayId, hour } of input.uncertain) rowAt(rows, gatewayId, hour).isVoid = true
  for (const streamHour of input.streamHours) addStreamHour(rowAt(rows, streamHour.gatewayId, streamHour.hour), streamHour, input.streamMarks.get(streamHour.streamId))
  const gateways = [...new Set(input.streamHours.map(({ gatewayId }) => gatewayId))]
  for (const hour of input.hours) compareHour(rows, gateways, hour, input.hasLedger)
  const global: string[] = []
  for (const { gatewayId, hour, problem } of input.problems) {
    if (hour === undefined) global.push(gatewayId === undefined ? problem : `${gatewayId}: ${problem}`)
    else for (const row of rowsOf(rows, gateways, hour, gatewayId)) row.problems.push(problem)
  }
  const finished = [...rows.values()].sort((a, b) => a.hour - b.hour || (a.gatewayId < b.gatewayId ? -1 : 1)).map((row) => finish(row, isAcknowledged))
  return { rows: finished, problems: global, unchecked: input.unchecked, exitCode: exitCodeOf(finished, global, input.unchecked) }
}

interface OpenRow {
  readonly gatewayId: string
  readonly hour: number
  answered: number
  recovered: number
  journaled: number
  countedOnly: number
  archived: number
  deadLettered: number
  voided: number
  billable: number
  notBillable: number
  ledgerCount: number | null
  isOpen: boolean
  /** A void took an unknown number of events of this hour. */
  isVoid: boolean
  /** By the gateway's account. */
  missing: number
  readonly problems: string[]
}

function openRows (input: VerifyInput): Map<string, OpenRow> {
  const rows = new Map<string, OpenRow>()
  for (const { gatewayId, hour } of input.streamHours) rowAt(rows, gatewayId, hour)
  return rows
}

function rowAt (rows: Map<string, OpenRow>, gatewayId: string, hour: number): OpenRow {
  const key = `${hour} ${gatewayId}`
  const found = rows.get(key) ?? {
    gatewayId, hour, answered: 0, recovered: 0, journaled: 0, countedOnly: 0, archived: 0, deadLettered: 0, voided: 0, billable: 0, notBillable: 0, ledgerCount: null, isOpen: false, isVoid: false, missing: 0, problems: []
  }
  rows.set(key, found)
  return found
}

/** The rows that a problem of an hour concerns. An hour that no gateway knows is put to whoever it can be. */
function rowsOf (rows: Map<string, OpenRow>, gateways: readonly string[], hour: number, gatewayId: string | undefined): OpenRow[] {
  if (gatewayId !== undefined) return [rowAt(rows, gatewayId, hour)]
  const found = [...rows.values()].filter((row) => row.hour === hour)
  if (found.length > 0) return found
  const [only] = gateways
  return [rowAt(rows, gateways.length === 1 && only !== undefined ? only : '(unknown)', hour)]
}

/** True when the stream will add nothing to the hour any more, so that its account is final. */
function isSettled (hour: number, mark: StreamMark | undefined): boolean {
  return mark !== undefined && (mark.state !== 'open' || mark.watermarkMs >= hourEndMs(hour))
}

function addStreamHour (row: OpenRow, { streamId, hour, said, counted, archived, archivedAtMark, isArchivePending }: StreamHour, mark: StreamMark | undefined): void {
  const isFinal = isSettled(hour, mark)
  const shown = isFinal || said === undefined ? counted : said.counted ?? counted
  const shownArchived = isFinal || said?.counted === undefined ? archived : archivedAtMark
  row.isOpen ||= !isFinal || isArchivePending
  row.answered += said?.answered ?? 0
  row.recovered += said?.recovered ?? 0
  row.journaled += said?.journaled ?? 0
  row.countedOnly += said?.countedOnly ?? 0
  row.archived += shownArchived
  row.deadLettered += shown.deadLettered
  row.voided += shown.voided
  row.billable += shown.billable
  row.notBillable += shown.notBillable
  const differ = (what: string, left: number, right: number): void => {
    if (left !== right) row.problems.push(`stream ${streamId}: ${what}: ${left} and ${right}`)
  }
  const answered = (said?.answered ?? 0) + (said?.recovered ?? 0)
  const recorded = (said?.journaled ?? 0) + (said?.countedOnly ?? 0)
  if (isFinal) differ('answered and recovered, journaled and counted only', answered, recorded)
  // At a mark of an hour that moves, requests may be journaled whose last byte is not released yet; never the reverse.
  else if (answered > recorded) differ('answered and recovered, but only journaled or counted', answered, recorded)
  if (isArchivePending) return
  if (!isFinal && said?.counted !== undefined) differ('archived, billable and not billable, at the last mark', archivedAtMark, shown.billable + shown.notBillable)
  const accounted = shownArchived + shown.deadLettered + shown.voided
  // A void that doesn't know what it took is the reason for what is missing, but for nothing else.
  if (row.isVoid && (said?.journaled ?? 0) > accounted) row.missing += (said?.journaled ?? 0) - accounted
  else if (isFinal || said?.counted !== undefined) differ('journaled, archived and dead-lettered and void', said?.journaled ?? 0, accounted)
  differ('archived, billable and not billable', archived, counted.billable + counted.notBillable)
}

/** Of a ledger whose file somebody else has changed: a day's sums that aren't those of its hours, told at its first hour. */
export function wrongDayProblems ({ hours, wrongDays }: Pick<LedgerHours, 'hours' | 'wrongDays'>): VerifyProblem[] {
  return wrongDays.map((day) => ({ hour: hours.find(({ hour }) => hour >= day && hour < dayEndHour(day))?.hour ?? day, problem: `the ledger's sums of ${formatDate(day)} are not those of its hours` }))
}

function compareHour (rows: Map<string, OpenRow>, gateways: readonly string[], { hour, rows: own, archive, ledger, isLedgerBehind, isArchivePending }: HourStores, hasLedger: boolean): void {
  const problems: string[] = []
  const billable = [...rows.values()].filter((row) => row.hour === hour)
  const differ = (what: string, left: HourSums | undefined, right: HourSums | undefined): void => {
    for (const field of ['count', 'units', 'requestBytes', 'responseBytes', 'errorCount'] as const) {
      if ((left?.[field] ?? 0n) !== (right?.[field] ?? 0n)) problems.push(`${what}: ${field} ${left?.[field] ?? 0n} and ${right?.[field] ?? 0n}`)
    }
    if (problems.length === 0 && (left?.keyedCount ?? 0n) !== (right?.keyedCount ?? 0n)) problems.push(`${what}: counts stand under different members, keys or endpoints`)
  }
  if (!isArchivePending) differ('hourly rows and the archive', own, archive)
  if (hasLedger && !isLedgerBehind) differ('hourly rows and the ledger', own, ledger)
  if (problems.length > 0) for (const row of rowsOf(rows, gateways, hour, undefined)) row.problems.push(...problems)
  for (const row of billable.length > 0 ? billable : [...rows.values()].filter((row) => row.hour === hour)) {
    if (hasLedger) row.ledgerCount = Number(ledger?.count ?? 0n)
    row.isOpen ||= hasLedger && isLedgerBehind
  }
}

function finish ({ isOpen, isVoid, missing, ...row }: OpenRow, isAcknowledged: (row: VerifyRow) => boolean): VerifyRow {
  const problems = [...row.problems]
  if (row.deadLettered > 0) problems.push(`${row.deadLettered} dead-lettered`)
  if (row.voided > 0) problems.push(`${row.voided} void`)
  if (isVoid) problems.push(`a void took an unknown number of events: ${missing} by the gateway's account`)
  const isDifferent = row.problems.length > 0
  const status = isDifferent ? 'difference' : row.deadLettered > 0 ? 'dead-letter' : row.voided > 0 || isVoid ? 'void' : isOpen ? 'open' : 'ok'
  const finished = { ...row, status, problems } satisfies VerifyRow
  return status !== 'ok' && status !== 'open' && isAcknowledged(finished) ? { ...finished, status: 'acknowledged' } : finished
}

function exitCodeOf (rows: readonly VerifyRow[], problems: readonly string[], unchecked: readonly string[]): 0 | 1 | 2 {
  if (problems.length > 0 || rows.some(({ status }) => status !== 'ok' && status !== 'open' && status !== 'acknowledged')) return 1
  return unchecked.length > 0 ? 2 : 0
}
