// PORT: the log of usage events between gateways and aggregators. Embedded: the journal itself, one partition.
// Cluster: the Kafka topic api-usage-trace. The aggregator sees the same items from both, in log order per partition.

/** A chained run of events of one stream and partition. `ndjson` holds `count` lines, seqs rising from firstSeq to lastSeq. */
export interface EventRun {
  readonly kind: 'events'
  readonly streamId: string
  /** The seq before firstSeq in the same stream and partition; 0 for the first. */
  readonly prevSeq: number
  readonly firstSeq: number
  readonly lastSeq: number
  readonly count: number
  readonly ndjson: Buffer
  /** The lines were made by this program's own encoder, and a checksum says that they are unchanged since: their shape needs no second look. */
  readonly isEncoded?: boolean
  /** Set where the log itself knows more of a record than its line says. */
  readonly origin?: RunOrigin
}

/** What a log knows of the records of a run. */
export interface RunOrigin {
  /** When the log took the run's first record, by the log's own clock, milliseconds since the epoch. */
  readonly loggedAtMs: number
  readonly recordOf: (seq: number) => RecordOrigin | undefined
}

export interface RecordOrigin {
  readonly offset: number
  readonly loggedAtMs: number
  /** As the record's headers say; for a line that can't be read. */
  readonly requestTimeMs: number | undefined
  readonly gatewayId: string | undefined
  /** Why its value could not become a line; the line is a placeholder then. */
  readonly problem: string | undefined
  readonly key: string | undefined
  readonly value: Buffer | undefined
  readonly headers: ReadonlyMap<string, string>
}

/** Takes the place of records `afterSeq < seq <= toSeq` that can't be read any more. Counts in no bill; shown by verify. */
export interface VoidRun {
  readonly kind: 'void'
  readonly streamId: string
  readonly gatewayId: string
  readonly prevSeq: number
  readonly lastSeq: number
  readonly reason: string
  /** Lost events per hour where the block's header could still be read; hours are since the epoch. */
  readonly hours: readonly HourCount[]
  /** Only the hours between the neighbouring blocks are known, and `hours` names them with count 0. */
  readonly isHoursUncertain: boolean
}

export interface HourCount { readonly hour: number, readonly count: number }

/** What a gateway says of one hour of one stream. Absolute within the stream: the last one said wins. */
export interface HourMark {
  readonly hour: number
  /** Metered answers whose last byte was released or cut. */
  readonly answered: number
  /** Events of this hour made durable in the journal. */
  readonly journaled: number
  /** Refusals beyond `journal.refusedBytesMax`: answered, counted here, not journaled. */
  readonly countedOnly: number
  /** Found journaled after a crash beyond the last answered count. */
  readonly recovered: number
}

/** A statement of a gateway about its stream, covering everything up to `seq`. */
export interface Mark {
  readonly kind: 'mark'
  readonly streamId: string
  readonly gatewayId: string
  /** The last seq of the stream that this mark covers; all of it stands before the mark in the log. */
  readonly seq: number
  /** No event with a requestTime below this will follow, milliseconds since the epoch. Never falls for a gateway. */
  readonly watermarkMs: number
  /** `open`: the stream is in use. `closed`: ended cleanly. `recovered`: said by the next stream of the same journal after a crash. */
  readonly state: 'open' | 'closed' | 'recovered'
  /** Hours that changed since the stream's last mark. */
  readonly hours: readonly HourMark[]
}

export type UsageLogItem = EventRun | VoidRun | Mark

/** What an aggregator has durably done, per stream of one partition; the log may drop what is archived. */
export interface UsageProgress { readonly streamId: string, readonly appliedSeq: number, readonly archivedSeq: number }

/** How far a partition was read: the offset behind it, and when the log took the last record before it. */
export interface ReadTo { readonly offset: number, readonly timestampMs: number }

export interface UsageLog {
  /** This log holds exactly these partitions for this reader. */
  readonly partitions: readonly number[]
  /** The next items of `partition`, at most about `bytesMax`; empty when nothing new is durable. Never skips: at what can't be read it throws, or hands out nothing more until it can. */
  read: (partition: number, bytesMax: number) => readonly UsageLogItem[] | Promise<readonly UsageLogItem[]>
  /** Nobody looks at the lines of items that were handed out until now any more: their memory may be written over. */
  readonly release?: () => void
  /**
   * True where the gateways send again what is reported as a gap, as in a cluster: nothing is gained by reading again.
   * Otherwise what is missing may stand further back in the log, and a reader rewinds from time to time.
   */
  readonly isGapSentAgain?: boolean
  /** Of a log with offsets: how far `partition` was read by now. Stored with the counts, and where a reader begins again. */
  readonly readTo?: (partition: number) => ReadTo
  /** Starts `partition` again from its oldest kept item, or where everything before is archived: what was already taken is dropped by the chain. */
  rewind: (partition: number) => void | Promise<void>
  /**
   * Tells the log what is counted and archived. Only what both hold may be dropped from the log. Called after a commit: marks
   * have no number of their own, and count as taken when a read before the last one has handed them out.
   */
  reportProgress: (partition: number, progress: readonly UsageProgress[]) => void | Promise<void>
  /** Where the log is files of this machine: copies what is durable to a folder, while nothing is dropped. */
  readonly copyTo?: (folder: string) => Promise<UsageLogCopy>
  close: () => void | Promise<void>
}

/** What a copy of a log on this machine holds. */
export interface UsageLogCopy { readonly journalId: string | undefined, readonly segments: number, readonly bytes: number }
