// Which of the items just read are new, decided before anything is parsed: the chain is followed twice, once for what is
// counted and once for what is staged for the archive, because after a restart the one is behind the other. Pure.
import { followChain } from '../domain/chain.ts'
import { hourOf } from '../domain/window.ts'
import type { EventRun, HourCount, Mark, UsageLogItem, VoidRun } from '../usage-log/port.ts'
import { countLines } from './event-line.ts'
import { cutRun, headOfRun } from './run-lines.ts'

/** How far a stream of one partition was taken. */
export interface StreamSeqs { readonly appliedSeq: number, readonly stagedSeq: number }

/** Events that are all to be treated alike. */
export interface Piece { readonly run: EventRun, readonly isCounted: boolean, readonly isStaged: boolean }

/** A void that takes its place in one of the chains or both. */
export interface PlannedVoid {
  readonly item: VoidRun
  readonly isCounted: boolean
  /** What it takes the place of starts behind this seq: what was counted before it came is not void. */
  readonly afterSeq: number
  /** Lost events per hour that were not counted before. */
  readonly hours: readonly HourCount[]
}

/** A void that was counted and is not archived yet: what it takes the place of starts behind `afterSeq`. */
export interface CountedVoid { readonly streamId: string, readonly lastSeq: number, readonly afterSeq: number }

/** Events that were counted and can't be archived any more: a void took them away in between. */
export interface ArchiveHole { readonly streamId: string, readonly afterSeq: number, readonly toSeq: number }

/** A predecessor is missing: nothing of the stream is taken until it comes. */
export interface Gap {
  readonly streamId: string
  readonly afterSeq: number
  /** The last one that is missing, as far as what came behind it says. */
  readonly toSeq: number
  readonly reason: string
  /** Of what came behind it. */
  readonly gatewayId?: string | undefined
  /** Of what came behind it, since the epoch. */
  readonly hour?: number | undefined
}

export interface PlannedMark { readonly mark: Mark, /** Where the stream stood, as counted, before this batch. */ readonly appliedBefore: number }

export interface BatchPlan {
  readonly pieces: readonly Piece[]
  readonly voids: readonly PlannedVoid[]
  readonly holes: readonly ArchiveHole[]
  readonly marks: readonly PlannedMark[]
  readonly gaps: readonly Gap[]
  /** Streams of which records were passed over, whether what was missing came later or not. */
  readonly passedOver: ReadonlySet<string>
  /** Streams that moved, and where they stand after this batch. */
  readonly seqs: ReadonlyMap<string, StreamSeqs>
}

const untouched: StreamSeqs = { appliedSeq: 0, stagedSeq: 0 }

/**
 * @param known where the streams stand; one that isn't there has never been seen
 * @param countedVoids by `voidKey`: what these took the place of was not counted otherwise
 */
export function planBatch (items: readonly UsageLogItem[], known: ReadonlyMap<string, StreamSeqs>, countedVoids: ReadonlyMap<string, CountedVoid> = new Map()): BatchPlan {
  const seqs = new Map<string, StreamSeqs>()
  const plan = { pieces: [] as Piece[], voids: [] as PlannedVoid[], holes: [] as ArchiveHole[], marks: [] as PlannedMark[], gaps: new Map<string, Gap>(), passedOver: new Set<string>() }
  /** What was missing before has come, later in the same batch. */
  const move = (streamId: string, to: StreamSeqs): void => {
    seqs.set(streamId, to)
    plan.gaps.delete(streamId)
  }
  const standing = (streamId: string): StreamSeqs => seqs.get(streamId) ?? known.get(streamId) ?? untouched
  for (const item of items) {
    const before = standing(item.streamId)
    switch (item.kind) {
      case 'events': {
        const gap = unreadable(item, before) ?? gapOf(item, before)
        if (gap !== undefined) { reportNearest(plan, gap); break }
        const cut = piecesOf(item, before)
        if (cut.length === 0) break
        plan.pieces.push(...cut)
        move(item.streamId, { appliedSeq: Math.max(before.appliedSeq, item.lastSeq), stagedSeq: Math.max(before.stagedSeq, item.lastSeq) })
        break
      }
      case 'void': {
        const after = takeVoid(item, before, countedVoids.get(voidKey(item))?.afterSeq, plan)
        if (after !== undefined) move(item.streamId, after)
        break
      }
      case 'mark':
        // A mark stands behind everything that it covers, so one that covers more than has come tells of a loss.
        if (item.seq > before.appliedSeq) reportNearest(plan, missing(item.streamId, before, { toSeq: item.seq, reason: `a mark covers seq ${item.seq}`, gatewayId: item.gatewayId }))
        else plan.marks.push({ mark: item, appliedBefore: (known.get(item.streamId) ?? untouched).appliedSeq })
        break
    }
  }
  return { ...plan, gaps: [...plan.gaps.values()], seqs }
}

interface GapNotes { readonly gaps: Map<string, Gap>, readonly passedOver: Set<string> }

/** Records of one stream may have come in any order: what is missing ends before the first of them. */
function reportNearest ({ gaps, passedOver }: GapNotes, gap: Gap): void {
  passedOver.add(gap.streamId)
  if (gap.toSeq < (gaps.get(gap.streamId)?.toSeq ?? Infinity)) gaps.set(gap.streamId, gap)
}

function gapOf (run: EventRun, before: StreamSeqs): Gap | undefined {
  const isUncounted = followChain(before.appliedSeq, run).kind === 'gap'
  if (!isUncounted && followChain(before.stagedSeq, run).kind !== 'gap') return undefined
  const { gatewayId, requestTimeMs } = run.origin?.recordOf(run.firstSeq) ?? {}
  return missing(run.streamId, before, {
    toSeq: run.prevSeq,
    reason: `seq ${run.firstSeq} names ${run.prevSeq}${isUncounted ? ' as the one before it' : ', which is counted but not archived'}`,
    gatewayId,
    hour: requestTimeMs === undefined ? undefined : hourOf(requestTimeMs)
  })
}

/** What either chain needs is asked for: from the place of the other one alone, nothing that comes would fit. */
function neededAfter ({ appliedSeq, stagedSeq }: StreamSeqs): number { return Math.min(appliedSeq, stagedSeq) }

export function missing (streamId: string, before: StreamSeqs, seen: Omit<Gap, 'streamId' | 'afterSeq'>): Gap {
  const afterSeq = neededAfter(before)
  return { ...seen, streamId, afterSeq, reason: `what follows seq ${afterSeq} is missing: ${seen.reason}` }
}

/** A run that doesn't hold as many lines as it says: no line's place in the chain is sure, so it is as good as missing. */
function unreadable (run: EventRun, before: StreamSeqs): Gap | undefined {
  const lines = countLines(run.ndjson)
  if (lines === run.count) return undefined
  return { streamId: run.streamId, afterSeq: neededAfter(before), toSeq: run.lastSeq, reason: `the run from seq ${run.firstSeq} to ${run.lastSeq} should hold ${run.count} whole lines and holds ${lines ?? 'a torn one'}` }
}

/** The run in at most two pieces: what only one of the two chains still needs, then what both need. */
function piecesOf (run: EventRun, { appliedSeq, stagedSeq }: StreamSeqs): Piece[] {
  const pieces: Piece[] = []
  const behindSeq = Math.min(appliedSeq, stagedSeq)
  const aheadSeq = Math.max(appliedSeq, stagedSeq)
  const rest = cutRun(run, behindSeq)
  if (rest === undefined) return pieces
  const one = aheadSeq > behindSeq ? headOfRun(rest, aheadSeq) : undefined
  if (one !== undefined) pieces.push({ run: one, isCounted: appliedSeq < stagedSeq, isStaged: stagedSeq < appliedSeq })
  const both = cutRun(rest, aheadSeq)
  if (both !== undefined) pieces.push({ run: both, isCounted: true, isStaged: true })
  return pieces
}

export function voidKey ({ streamId, lastSeq }: { readonly streamId: string, readonly lastSeq: number }): string { return `${streamId} ${lastSeq}` }

function takeVoid (item: VoidRun, before: StreamSeqs, countedAfterSeq: number | undefined, plan: { readonly voids: PlannedVoid[], readonly holes: ArchiveHole[] } & GapNotes): StreamSeqs | undefined {
  const counted = followChain(before.appliedSeq, item)
  if (counted.kind === 'gap') {
    reportNearest(plan, missing(item.streamId, before, { toSeq: item.prevSeq, reason: `a void up to seq ${item.lastSeq} names ${item.prevSeq} as the one before it`, gatewayId: item.gatewayId, hour: item.hours[0]?.hour }))
    return undefined
  }
  const staged = followChain(before.stagedSeq, item)
  if (counted.kind === 'duplicate' && staged.kind === 'duplicate') return undefined
  const isCounted = counted.kind === 'count'
  // Events that were counted before the void came, and are not staged, went with it.
  const holeToSeq = countedAfterSeq ?? Math.min(before.appliedSeq, item.lastSeq)
  if (holeToSeq > before.stagedSeq) plan.holes.push({ streamId: item.streamId, afterSeq: before.stagedSeq, toSeq: holeToSeq })
  plan.voids.push({ item, isCounted, afterSeq: Math.max(before.appliedSeq, item.prevSeq), hours: isCounted ? lostHours(item, before.appliedSeq - item.prevSeq) : [] })
  return { appliedSeq: Math.max(before.appliedSeq, item.lastSeq), stagedSeq: Math.max(before.stagedSeq, item.lastSeq) }
}

/** Without the `alreadyCounted` first events of the block: hours rise with the seq, but for the few requests that cross one. */
function lostHours (item: VoidRun, alreadyCounted: number): HourCount[] {
  let skip = Math.max(0, alreadyCounted)
  return [...item.hours].sort((a, b) => a.hour - b.hour).map(({ hour, count }) => {
    const skipped = Math.min(skip, count)
    skip -= skipped
    return { hour, count: count - skipped }
  })
}
