// What `verify` is told of a ledger. The aggregator can't ask it: billing reads from the aggregator, not the reverse.
import type { HourlyPosition } from '../hourly-log/port.ts'

export interface LedgerHour {
  readonly hour: number
  readonly count: number
  readonly keyedCount: bigint
  readonly units: bigint
  readonly errorCount: number
  readonly requestBytes: bigint
  readonly responseBytes: bigint
}

/** The ledger's own `totals()`: taken before the comparison starts, so it is never ahead of it. */
export interface LedgerHours {
  readonly positions: readonly HourlyPosition[]
  readonly hours: readonly LedgerHour[]
  /** By their first hour: the ledger's sums of these days are not those of its hours. */
  readonly wrongDays: readonly number[]
}
