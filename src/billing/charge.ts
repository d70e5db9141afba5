// From counted hours to a bill. Nothing here reads or keeps anything: the same rows, price book and question give the same
// bill, over HTTP and on the command line.
import { TollgateError } from '../domain/errors.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { isPriced, rate, wholeCosts } from '../domain/rating.ts'
import { dayEndHour, daysBetween, formatDate, formatTimeMs, hourOfDay, hourStartMs, parseDate } from '../domain/window.ts'
import type { MemberHour } from '../ledger/ledger-types.ts'

/** Rows as the ledger gives them: by apiKeyId, hour, apiEndpointId. */
export interface Counted {
  readonly memberId: number
  readonly rows: readonly MemberHour[]
  /** Hours below are complete. */
  readonly completeBeforeHour: number
}

/** `fromHour` included, `toHour` not. */
export interface HourRange { readonly fromHour: number, readonly toHour: number }

/** Two days as texts, both included. @throws TollgateError M0002 for a malformed date or a start after the end, M0007 for more than `daysMax` days */
export function rangeOf ({ from, to, daysMax }: { readonly from: string | undefined, readonly to: string | undefined, readonly daysMax: number }): HourRange {
  const [fromHour, lastHour] = [parseDate(from ?? ''), parseDate(to ?? '')]
  if (fromHour === undefined || lastHour === undefined) throw new TollgateError('M0002', 'dates are given as yyyy-MM-dd, the first and the last day')
  if (fromHour > lastHour) throw new TollgateError('M0002', 'the first day lies after the last one')
  if (daysBetween(fromHour, lastHour) + 1 > daysMax) throw new TollgateError('M0007', `a range has at most ${daysMax} days`)
  return { fromHour, toHour: dayEndHour(lastHour) }
}

/** The kept endpoints' form: whole units of the currency; every total is the sum of what is shown below it. */
export interface Charge {
  readonly memberId: number
  readonly apiKeys: readonly KeyCharge[]
  readonly totalCost: bigint
  readonly totalCount: number
  /** Requests that no endpoint of the price book matched: counted, at cost 0. */
  readonly unpriced: number
}
export interface KeyCharge { readonly apiKey: number, readonly dayCharges: readonly DayCharge[], readonly totalCost: bigint, readonly totalCount: number }
export interface DayCharge { readonly date: string, readonly hours: readonly HourCharge[], readonly totalCount: number, readonly totalCost: bigint }
export interface HourCharge { readonly hour: number, readonly cost: bigint, readonly count: number, readonly complete: boolean }

export function chargeOf ({ memberId, rows, completeBeforeHour }: Counted, book: PriceBook): Charge {
  const hours = keyHours(rows, book)
  const { costs } = wholeCosts(hours.map((hour) => hour.costMicros))
  const shown = hours.map(({ apiKeyId, hour, count }, index) => ({
    apiKeyId,
    date: formatDate(hour),
    charge: { hour: hourOfDay(hour), cost: costs[index] as bigint, count, complete: hour < completeBeforeHour }
  }))
  const apiKeys = runs(shown, ({ apiKeyId }) => apiKeyId).map((ofKey) => {
    const dayCharges = runs(ofKey, ({ date }) => date).map((ofDay) => ({
      date: ofDay[0]?.date as string,
      hours: ofDay.map(({ charge }) => charge),
      ...totalsOf(ofDay.map(({ charge }) => ({ totalCount: charge.count, totalCost: charge.cost })))
    }))
    return { apiKey: ofKey[0]?.apiKeyId as number, dayCharges, ...totalsOf(dayCharges) }
  })
  return { memberId, apiKeys, ...totalsOf(apiKeys), unpriced: unpricedCount(rows, book) }
}

function totalsOf (parts: readonly { readonly totalCount: number, readonly totalCost: bigint }[]): { readonly totalCount: number, readonly totalCost: bigint } {
  return {
    totalCount: parts.reduce((sum, part) => sum + part.totalCount, 0),
    totalCost: parts.reduce((sum, part) => sum + part.totalCost, 0n)
  }
}

interface KeyHour { readonly apiKeyId: number, readonly hour: number, count: number, costMicros: bigint }

/** One element for each key and hour, its endpoints added up exactly. */
function keyHours (rows: readonly MemberHour[], book: PriceBook): KeyHour[] {
  const { costsMicros } = rate(rows, book)
  const hours: KeyHour[] = []
  for (const [index, { apiKeyId, hour, count }] of rows.entries()) {
    const costMicros = costsMicros[index] as bigint
    const last = hours.at(-1)
    if (last?.apiKeyId === apiKeyId && last.hour === hour) {
      last.count += count
      last.costMicros += costMicros
    } else hours.push({ apiKeyId, hour, count, costMicros })
  }
  return hours
}

export function unpricedCount (rows: readonly MemberHour[], book: PriceBook): number {
  return rows.reduce((sum, row) => isPriced(book, row.apiEndpointId) ? sum : sum + row.count, 0)
}

/** Neighbours with the same key, together. */
function runs<Item> (items: readonly Item[], keyOf: (item: Item) => unknown): Item[][] {
  const found: Item[][] = []
  for (const item of items) {
    const last = found.at(-1)
    if (last?.[0] !== undefined && keyOf(last[0]) === keyOf(item)) last.push(item)
    else found.push([item])
  }
  return found
}

export const usageGroupings = ['day', 'hour', 'key', 'endpoint'] as const
export type UsageGrouping = typeof usageGroupings[number]

/** The rows that a grouping needs. */
export function grainOf (by: UsageGrouping): 'hour' | 'day' { return by === 'hour' ? 'hour' : 'day' }

/** Exact: units and micros of the currency are decimal strings. */
export interface UsageSums {
  readonly count: number
  readonly units: string
  readonly errorCount: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly costMicros: string
}
/** Of the first fields those that the grouping names. `endpoint`: method and path in the price book, null for unpriced. */
export interface UsageLine extends UsageSums {
  readonly date?: string
  readonly hour?: number
  readonly isComplete?: boolean
  readonly apiKeyId?: number
  readonly apiEndpointId?: number
  readonly endpoint?: string | null
}
export interface Usage {
  readonly memberId: number
  /** First and last day. */
  readonly from: string
  readonly to: string
  readonly by: UsageGrouping
  readonly currency: string
  readonly lines: readonly UsageLine[]
  readonly total: UsageSums
  /** What no endpoint of the price book matched: contained in the lines and the total, at cost 0. */
  readonly unpriced: { readonly count: number, readonly units: string }
  /** No request of an hour before this instant will follow; null while that isn't known of any. */
  readonly completeBefore: string | null
}

export function usageOf ({ memberId, rows, completeBeforeHour }: Counted, { fromHour, toHour }: HourRange, by: UsageGrouping, book: PriceBook): Usage {
  const { costsMicros } = rate(rows, book)
  const groups = new Map<number, MutableSums & { readonly first: MemberHour }>()
  const total = emptySums()
  const unpriced = emptySums()
  for (const [index, row] of rows.entries()) {
    const key = groupOf(row, by)
    let group = groups.get(key)
    if (group === undefined) groups.set(key, group = { ...emptySums(), first: row })
    const costMicros = costsMicros[index] as bigint
    addTo(group, row, costMicros)
    addTo(total, row, costMicros)
    if (!isPriced(book, row.apiEndpointId)) addTo(unpriced, row, costMicros)
  }
  const lines = [...groups].sort(([a], [b]) => a - b).map(([, group]) => ({ ...labelsOf(group.first, by, book, completeBeforeHour), ...sumsOf(group) }))
  return {
    memberId,
    from: formatDate(fromHour),
    to: formatDate(toHour - 1),
    by,
    currency: book.currency,
    lines,
    total: sumsOf(total),
    unpriced: { count: unpriced.count, units: String(unpriced.units) },
    completeBefore: completeBeforeOf(completeBeforeHour)
  }
}

/** @returns null while no hour is known to be complete */
export function completeBeforeOf (completeBeforeHour: number): string | null { return completeBeforeHour === 0 ? null : formatTimeMs(hourStartMs(completeBeforeHour)) }

/** Whole days by their first hour. */
function groupOf (row: MemberHour, by: UsageGrouping): number {
  switch (by) {
    case 'day': return row.hour - hourOfDay(row.hour)
    case 'hour': return row.hour
    case 'key': return row.apiKeyId
    case 'endpoint': return row.apiEndpointId
  }
}

function labelsOf (row: MemberHour, by: UsageGrouping, book: PriceBook, completeBeforeHour: number): Partial<UsageLine> {
  switch (by) {
    case 'day': return { date: formatDate(row.hour), isComplete: dayEndHour(row.hour) <= completeBeforeHour }
    case 'hour': return { date: formatDate(row.hour), hour: hourOfDay(row.hour), isComplete: row.hour < completeBeforeHour }
    case 'key': return { apiKeyId: row.apiKeyId }
    case 'endpoint': return { apiEndpointId: row.apiEndpointId, endpoint: endpointName(book, row.apiEndpointId) }
  }
}

function endpointName (book: PriceBook, apiEndpointId: number): string | null {
  const endpoint = book.endpoint(apiEndpointId)
  return endpoint === undefined ? null : `${endpoint.method ?? 'any'} ${endpoint.pattern.text}`
}

type Counts = 'count' | 'units' | 'errorCount' | 'requestBytes' | 'responseBytes'
interface MutableSums { count: number, units: bigint, errorCount: number, requestBytes: number, responseBytes: number, costMicros: bigint }

export function emptySums (): MutableSums { return { count: 0, units: 0n, errorCount: 0, requestBytes: 0, responseBytes: 0, costMicros: 0n } }

export function addTo (sums: MutableSums, row: Pick<MemberHour, Counts>, costMicros: bigint): void {
  sums.count += row.count
  sums.units += row.units
  sums.errorCount += row.errorCount
  sums.requestBytes += row.requestBytes
  sums.responseBytes += row.responseBytes
  sums.costMicros += costMicros
}

export function sumsOf ({ count, units, errorCount, requestBytes, responseBytes, costMicros }: MutableSums): UsageSums {
  return { count, units: String(units), errorCount, requestBytes, responseBytes, costMicros: String(costMicros) }
}
