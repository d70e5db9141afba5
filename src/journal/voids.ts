// What was lost where a part of the journal can't be read: worked out from the frame's header where that is whole, else from
// the frames before and after. Those don't say which partitions the lost events were in: where a stream has several, the void
// names none, and whoever reads the log works out from each partition's own chain what is missing there.
import { partitionsOf } from './frame.ts'
import type { FrameHeader } from './frame.ts'
import type { FirstFrame } from './inventory.ts'
import type { Void } from './repair.ts'
import type { OpenBody } from './statement.ts'
import type { JournalSummary } from './summary.ts'

/** Stands for no stream, where only a statement was lost and nothing is known. */
const noStream = '00000000-0000-0000-0000-000000000000'
const statementReason = 'a statement could not be read'
/** Uncertain hours are named up to this many. */
const uncertainHoursMax = 1000

export interface Loss {
  /** The unreadable frame's header, where it is whole. */
  readonly frame: FrameHeader | undefined
  /** The next frame that can be read, if any. */
  readonly following: FirstFrame | { readonly header: FrameHeader, readonly body: object } | undefined
  /** All before. */
  readonly summary: JournalSummary
  readonly newUuid: () => string
}

/** Says that a file was cut short here, so that it is said once. */
export const cutReason = 'the file was cut short: what followed is unknown'

/** At least one; those with count 0 say only that something other than events stood there. */
export function voidsFor (loss: Loss): Void[] {
  const { frame, following, summary } = loss
  if (frame !== undefined) return [knownVoid(frame, summary)]
  if (following === undefined) return [uncertainTail(loss, cutReason)]
  const voids = between(following, loss)
  return voids.length > 0 ? voids : [{ streamId: noStream, firstSeq: 0, count: 0, runs: [], body: { gatewayId: '', reason: statementReason } }]
}

function knownVoid (frame: FrameHeader, summary: JournalSummary): Void {
  const isEvents = frame.type === 'events' || frame.type === 'void'
  return {
    streamId: frame.streamId, firstSeq: frame.firstSeq, count: isEvents ? frame.count : 0, runs: isEvents ? frame.runs : [],
    body: {
      gatewayId: gatewayOf(frame.streamId, summary), reason: isEvents ? 'events could not be read' : statementReason,
      hours: frame.hours.map(({ hour, count }) => [hour, count] as const)
    }
  }
}

/** The frames before and after say which seqs are missing between them. */
function between (following: NonNullable<Loss['following']>, loss: Loss): Void[] {
  const { header } = following
  const { summary } = loss
  const before = summary.lastStream?.streamId
  const after = header.type === 'open' ? (following.body as OpenBody).previousStream : { streamId: header.streamId, lastSeq: lastSeqBefore(header) }
  const voids = after === undefined ? [] : missing(after.streamId, after.lastSeq, following, summary)
  // Another stream had been open before: how far it went on in here, nothing says.
  if (before !== undefined && before !== after?.streamId && summary.of(before) !== undefined) voids.push(uncertainTail(loss, 'frames could not be read: a stream may have gone on in them'))
  return voids
}

/** The last seq of the frame's stream that stands before the frame. */
function lastSeqBefore ({ type, firstSeq }: FrameHeader): number { return type === 'events' || type === 'void' ? firstSeq - 1 : firstSeq }

/** Records of a stream after what was seen of it, up to `toSeq`. */
function missing (streamId: string, toSeq: number, following: NonNullable<Loss['following']>, summary: JournalSummary): Void[] {
  const stream = summary.of(streamId)
  const lastSeq = stream?.lastSeq ?? (summary.lastStream?.streamId === streamId ? summary.lastStream.lastSeq : 0)
  if (toSeq <= lastSeq) return []
  return [lostAfter({ streamId, lastSeq, toSeq, nextHour: following.header.hours[0]?.hour, reason: 'frames could not be read', partitions: partitionsBefore(streamId, following, summary) }, summary)]
}

/** Partitions of the stream that was lost before this frame: as the stream has said, else as the next frame shows. */
function partitionsBefore (streamId: string, following: NonNullable<Loss['following']>, summary: JournalSummary): number {
  const known = summary.of(streamId)?.partitions ?? 0
  if (known > 0) return known
  const { header, body } = following
  if (header.type === 'events' && header.streamId === streamId) return partitionsOf(header)
  return (body as { readonly partitions?: number }).partitions ?? 1
}

/**
 * A stream goes on into what can't be read, and nothing says how far. It has no later record that would need a predecessor;
 * but the loss must be seen, and a reader may be further than the journal that is left. So the void is a stream of its own.
 */
function uncertainTail ({ summary, newUuid }: Loss, reason: string): Void {
  const lost = lostAfter({ streamId: newUuid(), lastSeq: 0, toSeq: 1, nextHour: undefined, reason, partitions: 1 }, summary)
  const last = summary.lastStream
  return { ...lost, body: { ...lost.body, gatewayId: last === undefined ? '' : gatewayOf(last.streamId, summary) } }
}

interface Missing { readonly streamId: string, readonly lastSeq: number, readonly toSeq: number, readonly nextHour: number | undefined, readonly reason: string, readonly partitions: number }

function lostAfter ({ streamId, lastSeq, toSeq, nextHour, reason, partitions }: Missing, summary: JournalSummary): Void {
  const hours = [summary.lastHour, nextHour].filter((hour) => hour !== undefined)
  const count = toSeq - lastSeq
  return {
    streamId, firstSeq: lastSeq + 1, count, runs: partitions > 1 ? [] : [{ partition: 0, count, prevSeq: lastSeq, lastSeq: toSeq }],
    body: {
      gatewayId: gatewayOf(streamId, summary), reason, ...(partitions > 1 ? { partitions } : {}),
      ...(hours.length === 0 ? {} : { fromHour: Math.min(...hours), toHour: Math.min(Math.max(...hours), Math.min(...hours) + uncertainHoursMax - 1) })
    }
  }
}

function gatewayOf (streamId: string, summary: JournalSummary): string { return summary.of(streamId)?.gatewayId ?? '' }

/** The hours that a void names: counts where they are known, else the hours between its neighbours with count 0. */
export function voidHours (body: { readonly hours?: readonly (readonly [number, number])[], readonly fromHour?: number, readonly toHour?: number }): { readonly hours: { readonly hour: number, readonly count: number }[], readonly isUncertain: boolean } {
  if (body.hours !== undefined) return { hours: body.hours.map(([hour, count]) => ({ hour, count })), isUncertain: false }
  const { fromHour, toHour } = body
  if (fromHour === undefined || toHour === undefined) return { hours: [], isUncertain: true }
  return { hours: Array.from({ length: toHour - fromHour + 1 }, (_, index) => ({ hour: fromHour + index, count: 0 })), isUncertain: true }
}

