// Units times the price of their hour. The price is taken when the bill is read, so nothing that was counted is ever rated
// twice or stored rated; and since a price of the past can't change, the same counts give the same bill for ever.
import { roundParts } from './money.ts'
import type { PriceBook } from './price-book.ts'
import { daysDividedBy } from './window.ts'

/** Units of one endpoint in one hour, whoever used them. */
export interface UsageRow { readonly apiEndpointId: number, readonly hour: number, readonly units: number | bigint }

/** `costsMicros[i]` belongs to `rows[i]`; together they are `totalMicros`, exactly. */
export interface Rated { readonly costsMicros: readonly bigint[], readonly totalMicros: bigint }

/** @returns micros a unit; undefined for what has no price: endpoint 0, or one that the book doesn't have */
export function priceAt (book: PriceBook, apiEndpointId: number, hour: number): bigint | undefined {
  const prices = book.endpoint(apiEndpointId)?.group.prices
  return prices?.findLast((price) => price.fromHour <= hour)?.costMicros
}

/** Unpriced units cost nothing here; who shows a bill shows them beside it as `unpriced` (see `isPriced`). */
export function rate (rows: readonly UsageRow[], book: PriceBook): Rated {
  let totalMicros = 0n
  const costsMicros = rows.map(({ apiEndpointId, hour, units }) => {
    const costMicros = BigInt(units) * (priceAt(book, apiEndpointId, hour) ?? 0n)
    totalMicros += costMicros
    return costMicros
  })
  return { costsMicros, totalMicros }
}

interface Hours { readonly fromHour: number, readonly toHour: number }

/** Hours at which a price of the book changes, ascending: usage before and after one can't be rated as one sum. `fromHour` and `toHour` not included. */
export function priceChangeHours ({ groups }: Pick<PriceBook, 'groups'>, { fromHour, toHour }: Hours): number[] {
  const hours = groups.flatMap(({ prices }) => prices.map((price) => price.fromHour)).filter((hour) => hour > fromHour && hour < toHour)
  return [...new Set(hours)].sort((a, b) => a - b)
}

/** Days within which a price of the book changes, by their first hour: their usage can't be rated as one sum. */
export function priceChangeDays (book: Pick<PriceBook, 'groups'>, range: Hours): number[] {
  return daysDividedBy(priceChangeHours(book, range))
}

export function isPriced (book: PriceBook, apiEndpointId: number): boolean { return book.endpoint(apiEndpointId) !== undefined }

/** One line of the kept billing endpoints, in whole units of the currency. */
export interface WholeCosts { readonly costs: readonly bigint[], readonly total: bigint }

/**
 * Costs to show in whole units, in the order in which they are shown. Every subtotal of neighbouring lines and the total
 * are sums of what is shown, and the total is the exact total rounded once: `/charge` and `/charge/total` agree.
 */
export function wholeCosts (costsMicros: readonly bigint[]): WholeCosts {
  const costs = roundParts(costsMicros)
  return { costs, total: costs.reduce((sum, cost) => sum + cost, 0n) }
}
