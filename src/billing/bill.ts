// A bill for the operator at the command line: the same computation as over HTTP, with room for longer ranges.
import { grainOf, rangeOf, usageOf } from './charge.ts'
import type { Usage, UsageGrouping } from './charge.ts'
import { membersUsageOf } from './members.ts'
import type { MembersUsage } from './members.ts'
import type { BillingSource } from './source.ts'

/** Days are yyyy-MM-dd, both included. */
export interface BillQuestion {
  readonly memberId: number
  readonly apiKeyId?: number
  readonly from: string
  readonly to: string
  readonly by: UsageGrouping
}

/** As for the endpoint of all members. */
export interface MembersBillQuestion {
  readonly from: string
  readonly to: string
  readonly after: number
  readonly limit: number
}

/** Ten years: what the ledger's own limit of rows allows is decided there. */
const billDaysMax = 3_660

/** @throws TollgateError M0002, M0007, M0009 */
export async function billOf (source: BillingSource, { memberId, apiKeyId, from, to, by }: BillQuestion): Promise<Usage> {
  const range = rangeOf({ from, to, daysMax: billDaysMax })
  const counted = await source.counted({ memberId, apiKeyId, grain: grainOf(by), ...range })
  return usageOf(counted, range, by, counted.book)
}

/** @throws TollgateError M0002, M0007, M0009 */
export async function membersBillOf (source: BillingSource, { from, to, after, limit }: MembersBillQuestion): Promise<MembersUsage> {
  const range = rangeOf({ from, to, daysMax: billDaysMax })
  const counted = await source.countedMembers({ after, limit, ...range })
  return membersUsageOf(counted, range, counted.book)
}
