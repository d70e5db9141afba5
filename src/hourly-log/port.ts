// PORT: the log of hourly counts between aggregators and ledgers. Embedded: a message port between two threads.
// Cluster: the compacted Kafka topic hourly-api-usage. A ledger is the fold of it: rows are absolute within their key.

/** Where a ledger stands in one aggregator's history. Another historyId or term, or a revision ahead: read all again. */
export interface HourlyPosition {
  readonly historyId: string
  readonly term: number
  readonly revision: number
}

/** A closed segment of rows, never changing again. `rows` counts the lines of the snapshot. */
export interface ClosedSegment {
  readonly partition: number
  readonly segment: number
  /** A Parquet file with the columns of `hourlyColumns`. */
  readonly file: string
  readonly sha256: string
  readonly rows: number
  readonly revision: number
}

/** What a partition of the topic says beside its rows, true together with them. The last statement of each key. */
export interface HourlyAccount {
  /** Of all rows of the batch; undefined without any. Rows of a segment that is closed already change nothing. */
  readonly segment: number | undefined
  readonly streams: readonly { readonly streamId: string, readonly gatewayId: string | null, readonly appliedSeq: number, readonly archivedSeq: number }[]
  /** Events of a stream and hour by what became of them; hours since the epoch. */
  readonly tallies: readonly { readonly streamId: string, readonly hour: number, readonly gatewayId: string, readonly billable: number, readonly notBillable: number, readonly deadLettered: number, readonly voided: number }[]
  /** Voids that don't know how many events of the named hours they took. */
  readonly uncertainVoids: readonly { readonly streamId: string, readonly lastSeq: number, readonly gatewayId: string, readonly hours: readonly number[] }[]
  /** Who owned the partition last, and how far its own history had come. */
  readonly progress: (HourlyPosition & { readonly ownerName: string }) | undefined
}

/** One step of the fold. Applied in one transaction with its position. */
export interface HourlyBatch {
  /** True: drop everything known of `partition` first. */
  readonly isReset: boolean
  readonly partition: number
  readonly position: HourlyPosition
  readonly closed: readonly ClosedSegment[]
  /** Changed rows of the open segment, a JSON object a line, keys as in `hourlyColumns` (partition, segment and revision may be left out): no row becomes a JavaScript object on the way. */
  readonly rowsNdjson: string
  /** Per gateway: the watermark that all its streams have reached and that is applied, milliseconds since the epoch; null for a closed or retired gateway. */
  readonly watermarks: readonly { readonly gatewayId: string, readonly watermarkMs: number | null }[]
  /** Of a cluster. */
  readonly account?: HourlyAccount
  /** More is waiting: ask again at once. */
  readonly hasMore: boolean
}

/** Columns of an hourly row everywhere: topic, snapshot, ledger. Key: the first six. `hour` counts hours since the epoch. */
export const hourlyColumns = [
  'sourcePartition', 'segment', 'apiEndpointId', 'memberId', 'apiKeyId', 'hour',
  'count', 'units', 'requestBytes', 'responseBytes', 'errorCount', 'revision'
] as const

/**
 * A sum over hourly rows that tells rows apart by their key, so that equal sums mean equal rows: linear in the counts, so
 * rows of the same key in several segments need not be put together first. The same code in the same version of DuckDB.
 */
export const keyedCountSql = 'sum(count::HUGEINT * (hash(apiEndpointId::BIGINT, memberId::BIGINT, apiKeyId::BIGINT) % 4294967291)::HUGEINT)'

export interface HourlyLogReader {
  /** The next batch of `partition` after `position` (undefined: from the start); undefined when there is nothing newer. */
  next: (partition: number, position: HourlyPosition | undefined) => Promise<HourlyBatch | undefined>
  /** Calls back, coalesced, when something newer may be there. */
  onChange: (callback: () => void) => void
}
