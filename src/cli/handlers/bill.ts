// `tollgate bill`: the question is checked here, the bill comes from whoever has the ledger.
import type { BillQuestion } from '../../billing/bill.ts'
import { usageGroupings } from '../../billing/charge.ts'
import type { Usage } from '../../billing/charge.ts'
import type { ControlHandlers } from '../control-server.ts'
import { HandlerArgument, needed } from './argument.ts'

/** @param bill asks the billing thread, or a ledger that was opened for this one question */
export function billHandlers (bill: (question: BillQuestion) => Promise<Usage>): ControlHandlers {
  return {
    bill: async (argument) => {
      const given = new HandlerArgument(argument)
      const apiKeyId = given.integer('apiKeyId')
      return await bill({
        memberId: needed('memberId', given.integer('memberId')),
        from: needed('from', given.text('from')),
        to: needed('to', given.text('to')),
        by: given.choice('by', usageGroupings) ?? 'day',
        ...(apiKeyId === undefined ? {} : { apiKeyId })
      })
    }
  }
}
