// What the frames that hold no events say, as JSON in their bodies. Short keys are not worth it: one a second.
import type { HourMark, Mark } from '../usage-log/port.ts'
import type { LogPosition } from './memory.ts'

/** In the first frame of a segment: where the log stood before it. What lies beyond that place is no part of the log. */
export interface Linked { readonly previous?: LogPosition }

export interface OpenBody extends Linked {
  readonly gatewayId: string
  readonly journalId: string
  /** The program's version. */
  readonly build: string
  readonly partitions: number
  readonly watermarkMs: number
  /** The stream before this one, and the last of its records that counts. */
  readonly previousStream?: { readonly streamId: string, readonly lastSeq: number }
}

/** hour, answered, journaled, countedOnly, recovered */
export type HourRow = readonly [number, number, number, number, number]
/** minute since the epoch, code, count */
export type RefusalRow = readonly [number, string, number]

export interface MarkBody extends Linked {
  readonly gatewayId: string
  readonly watermarkMs: number
  readonly state: Mark['state']
  readonly partitions: number
  readonly hours: readonly HourRow[]
  /** Refusals that were only counted, since the stream's last mark. */
  readonly refusals?: readonly RefusalRow[]
}

export interface VoidBody extends Linked {
  readonly gatewayId: string
  readonly reason: string
  /** Lost events by hour, where the frame's header could still be read. */
  readonly hours?: readonly (readonly [number, number])[]
  /** Else the hours between the neighbouring frames. */
  readonly fromHour?: number
  readonly toHour?: number
  /** Partitions of the stream, where the frame's header is lost too and its runs can't say who lost what. */
  readonly partitions?: number
}

export function hourRow ({ hour, answered, journaled, countedOnly, recovered }: HourMark): HourRow {
  return [hour, answered, journaled, countedOnly, recovered]
}

export function hourMark ([hour, answered, journaled, countedOnly, recovered]: HourRow): HourMark {
  return { hour, answered, journaled, countedOnly, recovered }
}
