// What one transaction of the aggregator takes in, and what it changes.
import type { HourMark } from '../usage-log/port.ts'
import type { ArchiveHole, PlannedMark, PlannedVoid, StreamSeqs } from './batch-plan.ts'
import type { BadLine, StreamCount } from './ingest.ts'
import type { LogPositions } from './log-positions.ts'
import type { StreamMark, StreamState } from './state.ts'

export interface Batch {
  readonly partition: number
  /** Tables of events that are counted now, and what is in them. */
  readonly tables: readonly string[]
  readonly counts: readonly StreamCount[]
  /** Bad lines that are counted now. */
  readonly badLines: readonly BadLine[]
  /** Bad lines that somebody else has counted, and that the archive's chain still needs as links. */
  readonly stagedBadLines?: readonly BadLine[]
  readonly voids: readonly PlannedVoid[]
  readonly holes: readonly ArchiveHole[]
  readonly marks: readonly PlannedMark[]
  /** Marks as an earlier aggregator stored them, from the archive. */
  readonly storedMarks?: { readonly streams: readonly ({ readonly streamId: string } & StreamMark)[], readonly hours: readonly StoredHourMark[] }
  /** Where the streams that moved stand after it; `archivedSeq` where that moves too. */
  readonly seqs: ReadonlyMap<string, StreamSeqs & { readonly archivedSeq?: number }>
  /** Where reading stands in the topics of a cluster; where that moves. */
  readonly positions?: LogPositions
  /** Written with it, such as what the archive now holds. */
  readonly also?: () => Promise<void>
}

/** Changes of the state in memory that hold once the transaction has been committed. */
export interface Applied {
  readonly revision: number
  readonly streams: ReadonlyMap<string, StreamState>
  readonly streamMarks: ReadonlyMap<string, StreamMark>
}

export interface Tally {
  readonly sourcePartition: number
  readonly streamId: string
  readonly gatewayId: string
  readonly hour: number
  billable: number
  notBillable: number
  deadLettered: number
  voided: number
}

/** Null where what stood counted at the mark can't be told any more; the next mark replaces it. */
export interface CountedAtMark {
  readonly billableAtMark: number | null
  readonly notBillableAtMark: number | null
  readonly deadLetteredAtMark: number | null
  readonly voidedAtMark: number | null
}

export interface StoredHourMark extends HourMark, CountedAtMark {
  readonly streamId: string
  readonly gatewayId: string
  readonly seq: number
}

export function tallyKey (streamId: string, hour: number): string { return `${streamId} ${hour}` }

export function emptyTally (sourcePartition: number, streamId: string, gatewayId: string, hour: number): Tally {
  return { sourcePartition, streamId, gatewayId, hour, billable: 0, notBillable: 0, deadLettered: 0, voided: 0 }
}

