// Where bills come from: the ledger's counts and the price book, behind the gate, with the ledger's errors in the words of
// the billing server's clients.
import { TollgateError } from '../domain/errors.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { priceChangeDays } from '../domain/rating.ts'
import type { Ledger } from '../ledger/ledger-types.ts'
import type { Clock } from '../platform/clock.ts'
import { openQueryGate } from './query-gate.ts'
import type { Counted, HourRange } from './charge.ts'

export interface BillingSource {
  /** With the prices that were in force when it was asked: the rows are good for those alone. @throws TollgateError M0007 for more rows than one answer may have, M0009 when it can't be answered now */
  readonly counted: (question: Question) => Promise<Counted & { readonly book: PriceBook }>
  /** Questions that wait for their turn. */
  readonly waiting: () => number
}

export interface Question extends HourRange {
  readonly memberId: number
  readonly apiKeyId?: number | undefined
  /** `day`: rows may hold whole days, as long as that leaves every cost what it is. */
  readonly grain: 'hour' | 'day'
}

const queriesRunningMax = 2
const queriesWaitingMax = 64

export function openBillingSource (ledger: Pick<Ledger, 'memberHours' | 'completeBeforeHour'>, bookInForce: () => PriceBook, clock: Clock): BillingSource {
  const gate = openQueryGate({ runningMax: queriesRunningMax, waitingMax: queriesWaitingMax })
  return {
    waiting: () => gate.waiting(),
    counted: ({ memberId, apiKeyId, fromHour, toHour, grain }) => gate.pass(async () => {
      const book = bookInForce()
      try {
        // Asked before the rows: an hour that is complete now has all its events in rows that are read later.
        const completeBeforeHour = await ledger.completeBeforeHour(clock.nowMs())
        return { memberId, book, rows: await ledger.memberHours({ memberId, apiKeyId, fromHour, toHour, byDayBut: grain === 'day' ? priceChangeDays(book, { fromHour, toHour }) : undefined }), completeBeforeHour }
      } catch (error) {
        throw clientError(error)
      }
    })
  }
}

function clientError (error: unknown): unknown {
  switch ((error as { readonly code?: unknown }).code) {
    case 'LIMIT_EXCEEDED': return new TollgateError('M0007', 'the range holds more hours than one answer may have: ask for fewer days or for one key', { cause: error })
    case 'LEDGER_BEHIND': return new TollgateError('M0009', 'the counts are still being read after a start, try again', { cause: error })
    default: return error
  }
}
