// What all members used and what it costs: a line each, a page at a time, so that a payment system asks once and not once a
// member. Exact, like a member's own usage.
import type { PriceBook } from '../domain/price-book.ts'
import { isPriced, rate } from '../domain/rating.ts'
import { formatDate } from '../domain/window.ts'
import type { MemberTotals } from '../ledger/ledger-types.ts'
import { addTo, completeBeforeOf, emptySums, sumsOf } from './charge.ts'
import type { HourRange, UsageSums } from './charge.ts'

/** Members of one page. */
export const pageMembers = { max: 1_000, default: 100 } as const

export interface CountedMembers {
  readonly totals: MemberTotals
  /** Hours below are complete. */
  readonly completeBeforeHour: number
}

export interface MemberLine extends UsageSums {
  readonly memberId: number
  /** What no endpoint of the price book matched: contained in the sums, at cost 0. */
  readonly unpriced: { readonly count: number, readonly units: string }
}

export interface MembersUsage {
  /** First and last day. */
  readonly from: string
  readonly to: string
  readonly currency: string
  /** By memberId; members without requests in these days are left out. */
  readonly members: readonly MemberLine[]
  /** The last member here, to ask for those behind it; null when there are none. */
  readonly next: number | null
  /** As in a member's usage. */
  readonly completeBefore: string | null
}

export function membersUsageOf ({ totals: { rows, hasMore }, completeBeforeHour }: CountedMembers, { fromHour, toHour }: HourRange, book: PriceBook): MembersUsage {
  const { costsMicros } = rate(rows, book)
  const members = new Map<number, { readonly all: ReturnType<typeof emptySums>, readonly unpriced: ReturnType<typeof emptySums> }>()
  for (const [index, row] of rows.entries()) {
    let sums = members.get(row.memberId)
    if (sums === undefined) members.set(row.memberId, sums = { all: emptySums(), unpriced: emptySums() })
    const costMicros = costsMicros[index] as bigint
    addTo(sums.all, row, costMicros)
    if (!isPriced(book, row.apiEndpointId)) addTo(sums.unpriced, row, costMicros)
  }
  return {
    from: formatDate(fromHour),
    to: formatDate(toHour - 1),
    currency: book.currency,
    members: [...members].map(([memberId, { all, unpriced }]) => ({ memberId, ...sumsOf(all), unpriced: { count: unpriced.count, units: String(unpriced.units) } })),
    next: hasMore ? rows.at(-1)?.memberId ?? null : null,
    completeBefore: completeBeforeOf(completeBeforeHour)
  }
}
