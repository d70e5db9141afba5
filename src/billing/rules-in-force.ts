// What a billing server prices and admits by: made whole from one configuration, put in force by one assignment. A question
// that is being answered keeps the prices it began with.
import { openPriceBook } from '../domain/price-book.ts'
import type { PriceBook } from '../domain/price-book.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { Handlers } from '../platform/thread-rpc.ts'
import { memberGuard, operatorGuard } from './authentication.ts'
import type { Guard } from './authentication.ts'
import type { BillingRules } from './options.ts'

export interface BillingInForce {
  readonly book: PriceBook
  readonly rangeDaysMax: number
  readonly memberGuard: Guard
  readonly operatorGuard: Guard
}

export interface BillingRulesInForce {
  readonly now: () => BillingInForce
  /** `prepare` makes everything and puts nothing in force, `commit` can't fail, `abort` forgets. */
  readonly handlers: Handlers
}

export function openBillingRules (rules: BillingRules, { clock, log }: { readonly clock: Clock, readonly log: Logger }): BillingRulesInForce {
  const make = ({ priceBook, rangeDaysMax, memberSecret, operatorTokens }: BillingRules): BillingInForce => ({
    book: openPriceBook(priceBook),
    rangeDaysMax,
    memberGuard: memberGuard(memberSecret, clock),
    operatorGuard: operatorGuard(operatorTokens, (name) => { log.info({ name }, 'an operator token is used for the first time since it was loaded') })
  })
  let now = make(rules)
  let prepared: BillingInForce | undefined
  return {
    now: () => now,
    handlers: {
      prepare: (next: BillingRules) => { prepared = make(next) },
      commit: () => {
        if (prepared === undefined) throw new Error('no rules are prepared')
        now = prepared
        prepared = undefined
      },
      abort: () => { prepared = undefined }
    }
  }
}
