// What the billing server of a cluster is told: plain data that crosses threads as it is.
import type { KafkaOptions } from '../kafka/port.ts'
import type { LedgerOptions } from '../ledger/ledger-types.ts'
import type { AggregatorAddress } from './aggregator-files.ts'
import type { BillingRules } from './options.ts'

export interface ClusterBillingOptions {
  readonly rules: BillingRules
  /** Its folder holds closed segments and acknowledgements too. */
  readonly ledger: Omit<LedgerOptions, 'log' | 'partitions'>
  readonly kafka: KafkaOptions
  readonly topicPrefix: string
  /** Of the hourly topic, at least; when it has more, they are read too. */
  readonly partitions: number
  readonly aggregators: readonly AggregatorAddress[]
  /** Machines that should have each file of the archive. */
  readonly archiveCopies: number
}
