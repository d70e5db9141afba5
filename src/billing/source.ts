// Where bills come from: the ledger's counts and the price book, behind the gate, with the ledger's errors in the words of
// the billing server's clients.
import { TollgateError } from '../domain/errors.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { priceChangeDays, priceChangeHours } from '../domain/rating.ts'
import type { Ledger } from '../ledger/ledger-types.ts'
import type { Clock } from '../platform/clock.ts'
import { openQueryGate } from './query-gate.ts'
import type { Counted, HourRange } from './charge.ts'
import type { CountedMembers } from './members.ts'

export interface BillingSource {
  /** With the prices that were in force when it was asked: the rows are good for those alone. @throws TollgateError M0007 for more rows than one answer may have, M0009 when it can't be answered now */
  readonly counted: (question: Question) => Promise<Counted & { readonly book: PriceBook }>
  /** A page of all members, with the prices that were in force. @throws as above */
  readonly countedMembers: (question: MembersQuestion) => Promise<CountedMembers & { readonly book: PriceBook }>
  /** Questions that wait for their turn. */
  readonly waiting: () => number
}

export interface Question extends HourRange {
  readonly memberId: number
  readonly apiKeyId?: number | undefined
  /** `day`: rows may hold whole days, as long as that leaves every cost what it is. */
  readonly grain: 'hour' | 'day'
}

/** Members with larger numbers than `after`, at most `limit`. */
export interface MembersQuestion extends HourRange { readonly after: number, readonly limit: number }

const queriesRunningMax = 2
const queriesWaitingMax = 64

export function openBillingSource (ledger: Pick<Ledger, 'memberHours' | 'memberTotals' | 'completeBeforeHour'>, bookInForce: () => PriceBook, clock: Clock): BillingSource {
  const gate = openQueryGate({ runningMax: queriesRunningMax, waitingMax: queriesWaitingMax })
  const answered = async <Answer>(ask: (book: PriceBook) => Promise<Answer>): Promise<Answer & { readonly book: PriceBook, readonly completeBeforeHour: number }> => await gate.pass(async () => {
    const book = bookInForce()
    try {
      // Asked before the rows: an hour that is complete now has all its events in rows that are read later.
      const completeBeforeHour = await ledger.completeBeforeHour(clock.nowMs())
      return { ...await ask(book), book, completeBeforeHour }
    } catch (error) {
      throw clientError(error)
    }
  })
  return {
    waiting: () => gate.waiting(),
    counted: ({ memberId, apiKeyId, fromHour, toHour, grain }) => answered(async (book) => ({
      memberId, rows: await ledger.memberHours({ memberId, apiKeyId, fromHour, toHour, byDayBut: grain === 'day' ? priceChangeDays(book, { fromHour, toHour }) : undefined })
    })),
    countedMembers: ({ after, limit, fromHour, toHour }) => answered(async (book) => ({
      totals: await ledger.memberTotals({ afterMemberId: after, membersMax: limit, fromHour, toHour, splitHours: priceChangeHours(book, { fromHour, toHour }) })
    }))
  }
}

function clientError (error: unknown): unknown {
  switch ((error as { readonly code?: unknown }).code) {
    case 'LIMIT_EXCEEDED': return new TollgateError('M0007', 'the range holds more hours than one answer may have: ask for fewer days, for one key or for fewer members', { cause: error })
    case 'LEDGER_BEHIND': return new TollgateError('M0009', 'the counts are still being read after a start, try again', { cause: error })
    default: return error
  }
}
