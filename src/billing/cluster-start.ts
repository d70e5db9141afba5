// Starts the billing thread of a cluster and asks it questions.
import type { Acknowledgement } from '../aggregator/acknowledgements.ts'
import type { RebuildReport } from '../aggregator/rebuild.ts'
import { startThread } from '../platform/thread.ts'
import type { ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import type { BillQuestion, MembersBillQuestion } from './bill.ts'
import type { Usage } from './charge.ts'
import type { ClusterBillingOptions } from './cluster-options.ts'
import type { ClusterVerifyReport } from './cluster-verify.ts'
import type { CompletenessReport } from './completeness.ts'
import type { Gateways } from './gateways.ts'
import type { MembersUsage } from './members.ts'
import type { LedgerTotals } from '../ledger/ledger-types.ts'

export interface ClusterBillingHandle extends ThreadHandle {
  /** @throws RemoteError M0002, M0007, M0009 */
  readonly bill: (question: BillQuestion) => Promise<Usage>
  /** A page of all members. @throws as above */
  readonly membersBill: (question: MembersBillQuestion) => Promise<MembersUsage>
  /** @throws RemoteError LEDGER_BEHIND */
  readonly totals: () => Promise<LedgerTotals>
  readonly verify: (question: { readonly waitS: number }) => Promise<ClusterVerifyReport>
  /** @throws RemoteError NOTHING_TO_ACKNOWLEDGE */
  readonly acknowledge: (question: { readonly gatewayId: string, readonly hour: number, readonly reason: string }) => Promise<Acknowledgement>
  /** @throws RemoteError LEDGER_BEHIND, REBUILD_REFUSED, ARCHIVE_PENDING */
  readonly rebuild: () => Promise<RebuildReport>
  /** @throws RemoteError LEDGER_BEHIND */
  readonly gateways: Gateways['list']
  /** @throws RemoteError GATEWAY_UNKNOWN, GATEWAY_ALIVE, GATEWAY_UNAPPLIED, LEDGER_BEHIND, KAFKA_UNREACHABLE */
  readonly retire: Gateways['retire']
  readonly completeness: () => Promise<CompletenessReport>
}

export interface ClusterBillingStart {
  readonly environment: ThreadEnvironment
  readonly options: ClusterBillingOptions
  readonly onDeath: (name: string, error: Error) => void
}

/** Resolves when both listeners listen, also while Kafka is away; the ledger may still be reading. @throws RemoteError PORT_IN_USE and what opening the ledger throws */
export async function startClusterBilling ({ environment, options, onDeath }: ClusterBillingStart): Promise<ClusterBillingHandle> {
  const handle = await startThread({ name: 'billing', entry: new URL('./cluster-thread.ts', import.meta.url), environment, options, onDeath })
  const { ask } = handle.rpc
  return {
    ...handle,
    bill: (question) => ask('bill', question),
    membersBill: (question) => ask('membersBill', question),
    totals: () => ask('totals'),
    verify: (question) => ask('verify', question),
    acknowledge: (question) => ask('acknowledge', question),
    rebuild: () => ask('rebuild'),
    gateways: () => ask('gateways'),
    retire: (question) => ask('retire', question),
    completeness: () => ask('completeness')
  }
}
