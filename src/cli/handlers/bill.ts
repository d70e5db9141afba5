// `tollgate bill`: the question is checked here, the bill comes from whoever has the ledger.
import type { BillQuestion, MembersBillQuestion } from '../../billing/bill.ts'
import { usageGroupings } from '../../billing/charge.ts'
import type { Usage } from '../../billing/charge.ts'
import { pageMembers } from '../../billing/members.ts'
import type { MembersUsage } from '../../billing/members.ts'
import type { ControlHandlers } from '../control-server.ts'
import { HandlerArgument, needed } from './argument.ts'

/** The billing thread, or a ledger that was opened for this one question. */
export interface BillParts {
  readonly bill: (question: BillQuestion) => Promise<Usage>
  readonly membersBill: (question: MembersBillQuestion) => Promise<MembersUsage>
}

export function billHandlers ({ bill, membersBill }: BillParts): ControlHandlers {
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
    },
    'bill.members': async (argument) => {
      const given = new HandlerArgument(argument)
      return await membersBill({ from: needed('from', given.text('from')), to: needed('to', given.text('to')), after: given.integer('after') ?? 0, limit: pageMembers.max })
    }
  }
}
