// Starts the billing thread and asks it questions.
import type { MessagePort } from 'node:worker_threads'
import type { LedgerTotals } from '../ledger/ledger-types.ts'
import { startThread } from '../platform/thread.ts'
import type { ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import type { BillQuestion, MembersBillQuestion } from './bill.ts'
import type { Usage } from './charge.ts'
import type { MembersUsage } from './members.ts'
import type { BillingThreadOptions } from './options.ts'

export interface BillingHandle extends ThreadHandle {
  /** @throws RemoteError M0002, M0007, M0009 */
  readonly bill: (question: BillQuestion) => Promise<Usage>
  /** A page of all members. @throws as above */
  readonly membersBill: (question: MembersBillQuestion) => Promise<MembersUsage>
  /** What the ledger holds, for the comparison with the aggregator's counts. @throws RemoteError LEDGER_BEHIND */
  readonly totals: () => Promise<LedgerTotals>
}

export interface BillingStart {
  readonly environment: ThreadEnvironment
  readonly options: Omit<BillingThreadOptions, 'hourlyLogPort'>
  /** The ledger's end of the embedded hourly log; it is transferred. */
  readonly hourlyLogPort: MessagePort
  readonly onDeath: (name: string, error: Error) => void
}

/** Resolves when both listeners listen; the ledger may still be reading. @throws RemoteError PORT_IN_USE and what opening the ledger throws */
export async function startBilling ({ environment, options, hourlyLogPort, onDeath }: BillingStart): Promise<BillingHandle> {
  const all = { ...options, hourlyLogPort } satisfies BillingThreadOptions
  const handle = await startThread({ name: 'billing', entry: new URL('./thread.ts', import.meta.url), environment, options: all, transfer: [hourlyLogPort], onDeath })
  return {
    ...handle,
    bill: (question) => handle.rpc.ask('bill', question),
    membersBill: (question) => handle.rpc.ask('membersBill', question),
    totals: () => handle.rpc.ask('totals')
  }
}
