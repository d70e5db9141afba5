// What the ledger answers and takes. The ledger is a fold of the hourly log: it can be thrown away at any time, and it
// never answers from a fold that is only half done.
import type { HourlyBatch, HourlyPosition } from '../hourly-log/port.ts'
import type { Logger } from '../platform/logger.ts'
import type { AccountQuestion, LedgerAccount } from './account.ts'

export interface LedgerOptions {
  /** Holds `ledger.duckdb`, its write-ahead log and its temporary files; made when it isn't there. */
  readonly folder: string
  readonly memoryBytesMax: number
  readonly threads: number
  /** An hour is complete when every gateway's watermark is this far past its end. */
  readonly graceMs: number
  /** Of a cluster: nothing is answered before each of them has been read to its end once. */
  readonly partitions?: readonly number[]
  readonly log: Logger
}

/** Which billed requests to add up. Hours count from the epoch (UTC), `fromHour` included, `toHour` not. */
export interface MemberHoursQuery {
  readonly memberId: number
  /** Undefined: all keys of the member. */
  readonly apiKeyId?: number | undefined
  readonly fromHour: number
  readonly toHour: number
  /** Whole days in one row each, by their first hour, but for these: their rows come by the hour, because a price changes within them. The range goes from midnight to midnight. Undefined: everything by the hour. */
  readonly byDayBut?: readonly number[] | undefined
}

/** One hour of one key on one priced endpoint (0: no endpoint of the price book matched). Counts are safe integers. */
export interface MemberHour {
  readonly apiKeyId: number
  /** The day's first one, where a row holds a day. */
  readonly hour: number
  readonly apiEndpointId: number
  readonly count: number
  readonly units: bigint
  readonly errorCount: number
  readonly requestBytes: number
  readonly responseBytes: number
}

/** Which members' billed requests to add up: a page of them, in the order of their numbers. Hours as above, from midnight to midnight. */
export interface MemberTotalsQuery {
  /** Members with larger numbers than this. */
  readonly afterMemberId: number
  readonly membersMax: number
  readonly fromHour: number
  readonly toHour: number
  /** What lies before and what lies after one of these hours is never added up: a price changes there. Ascending. */
  readonly splitHours: readonly number[]
}

/** A member's requests on one priced endpoint between two price changes. Counts are safe integers. */
export interface MemberTotal {
  readonly memberId: number
  readonly apiEndpointId: number
  /** The first of those that were added up, or the first of its day. */
  readonly hour: number
  readonly count: number
  readonly units: bigint
  readonly errorCount: number
  readonly requestBytes: number
  readonly responseBytes: number
}

/** Ordered by memberId; members without requests are left out. */
export interface MemberTotals { readonly rows: readonly MemberTotal[], readonly hasMore: boolean }

/** Sums over all members of one hour, for the comparison with the aggregator's own. */
export interface HourTotals {
  readonly hour: number
  readonly count: number
  /** Each count times a number made of its endpoint, member and key: differs when a count stands under another key. */
  readonly keyedCount: bigint
  readonly units: bigint
  readonly errorCount: number
  readonly requestBytes: bigint
  readonly responseBytes: bigint
}

export interface LedgerTotals {
  /** Where the fold of each partition stood when the sums were taken. */
  readonly positions: readonly (HourlyPosition & { readonly partition: number })[]
  /** Hourly rows held. */
  readonly rows: number
  readonly count: number
  readonly units: bigint
  readonly requestBytes: bigint
  readonly responseBytes: bigint
  readonly errorCount: number
  /** Ascending by hour. */
  readonly hours: readonly HourTotals[]
  /** Days, by their first hour, whose sums are not those of their hours: somebody else has changed the file. */
  readonly wrongDays: readonly number[]
}

export interface Ledger {
  /**
   * Ordered by apiKeyId, hour, apiEndpointId; one element for each such triple that has a billed request.
   * @throws TollgateError LEDGER_BEHIND while the first fold isn't done, LIMIT_EXCEEDED when there are more than `memberHoursMax`
   */
  readonly memberHours: (query: MemberHoursQuery) => Promise<MemberHour[]>
  /** @throws TollgateError LEDGER_BEHIND, LIMIT_EXCEEDED as above */
  readonly memberTotals: (query: MemberTotalsQuery) => Promise<MemberTotals>
  /** All hours below are complete: no event of them will follow. 0 while no gateway is known. */
  readonly completeBeforeHour: (nowMs: number) => Promise<number>
  readonly totals: () => Promise<LedgerTotals>
  /** Of a cluster; undefined while a partition has not been read to the end that could be seen: what stands there is not true together yet. */
  readonly account: (question: AccountQuestion) => Promise<LedgerAccount | undefined>
  /** Everything as of one moment; undefined as for `account`. */
  readonly proof: (question?: { /** All hourly rows go to this Parquet file too. */ readonly rowsFile?: string }) => Promise<{ readonly account: LedgerAccount, readonly totals: LedgerTotals } | undefined>
  /** One step of the fold with its position, in one transaction. */
  readonly apply: (batch: HourlyBatch) => Promise<void>
  /** Where the next step of `partition` starts; undefined: at the beginning. */
  readonly position: (partition: number) => Promise<HourlyPosition | undefined>
  /** False until the fold has once caught up with the hourly log: nothing can be answered before. */
  readonly isReady: () => boolean
  /** Partitions that were not read to their end when they were last read, or not at all since the start. Of a cluster. */
  readonly behind: () => readonly number[]
  readonly close: () => Promise<void>
}
