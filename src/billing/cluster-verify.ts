// `tollgate verify` of a cluster: the gateways' own accounts from gateway-progress, tallies and hourly rows from the fold of
// the hourly topic, events from the archives of all aggregators, put before the same judge as on one machine.
//
// The ledger's state is taken first, as of one moment; what is counted by then goes to the archive and is read there up to
// exactly that point. A stream whose newest mark is just what the ledger has counted is compared to the last digit also in
// an hour that goes on; one that has moved since is shown as open.
import path from 'node:path'
import { acknowledge, acknowledgedBy, readAcknowledgements } from '../aggregator/acknowledgements.ts'
import type { Acknowledgement } from '../aggregator/acknowledgements.ts'
import type { RebuildReport } from '../aggregator/rebuild.ts'
import { compareStores, wrongDayProblems } from '../aggregator/verify.ts'
import type { Counted, HourStores, HourSums, StreamHour, VerifyInput, VerifyProblem, VerifyReport } from '../aggregator/verify.ts'
import { TollgateError } from '../domain/errors.ts'
import type { AccountTally, LedgerAccount } from '../ledger/account.ts'
import type { HourTotals, Ledger, LedgerTotals } from '../ledger/ledger-types.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import { readClusterArchive } from './cluster-archive.ts'
import type { ClusterArchive, ClusterArchiveParts } from './cluster-archive.ts'
import { rebuildCluster } from './cluster-rebuild.ts'
import type { Completeness } from './completeness.ts'
import { quietMarks } from './gateway-book.ts'
import type { GatewayBook, GatewayStream } from './gateway-book.ts'
import type { GatewaysFollower } from './follow-gateways.ts'

export interface ClusterVerifyParts {
  readonly ledger: Pick<Ledger, 'account' | 'proof'>
  readonly book: GatewayBook
  readonly gateways: Pick<GatewaysFollower, 'isCurrent' | 'nextOffset'>
  readonly completeness: Completeness
  readonly archive: Omit<ClusterArchiveParts, 'settledBeforeHour'>
  readonly acknowledgementsFile: string
  readonly onAcknowledged: () => void
  readonly clock: Clock
}

export interface ClusterVerifyReport extends VerifyReport {
  /** Odd, but no difference: hours whose archive has fewer copies than it should have. */
  readonly warnings: readonly string[]
}

export interface ClusterVerify {
  /** @param waitS wait so long at most until all that was answered before the call is counted, and the archive can be seen whole */
  readonly verify: (question: { readonly waitS: number }) => Promise<ClusterVerifyReport>
  /** @throws TollgateError as rebuildCluster */
  readonly rebuild: () => Promise<RebuildReport>
  /** @throws TollgateError NOTHING_TO_ACKNOWLEDGE, ARGUMENT_INVALID */
  readonly acknowledge: (question: { readonly gatewayId: string, readonly hour: number, readonly reason: string }) => Promise<Acknowledgement>
}

const pollMs = 100
/** Between two looks at an archive that is not to be seen whole; at least as long as the look took. */
const lookAgainMsMin = 1_000
/** No tally is asked for. */
const hourMax = 2 ** 31 - 1
/** Marks are said once a second, and take their way. */
const settleMarginMs = 2_000

export function openClusterVerify (parts: ClusterVerifyParts): ClusterVerify {
  // The temporary folder has room for one.
  let last: Promise<unknown> = Promise.resolve()
  const exclusively = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    const done = last.then(work)
    last = done.catch(() => undefined)
    return await done
  }
  const report = async (): Promise<ClusterVerifyReport> => await exclusively(async () => await verifyCluster(parts))
  return {
    verify: async ({ waitS }) => {
      const endMs = parts.clock.monotonicMs() + waitS * 1000
      if (waitS === 0) return await report()
      if (await settled(parts, endMs)) return await wholeReport(parts, report, endMs)
      const found = await report()
      return { ...found, unchecked: [...found.unchecked, `not everything that was answered was counted within ${waitS} s`], exitCode: found.exitCode === 0 ? 2 : found.exitCode }
    },
    rebuild: async () => await exclusively(async () => await rebuildCluster({ ledger: parts.ledger, archive: { ...parts.archive, settledBeforeHour: 0 }, folder: path.join(path.dirname(parts.archive.folder), 'rebuild') })),
    acknowledge: async ({ gatewayId, hour, reason }) => {
      if (reason.trim() === '') throw new TollgateError('ARGUMENT_INVALID', 'an acknowledgement needs a reason')
      const shown = await report()
      // A row of which a part is not to be seen would be another one in a moment, and not covered. Without aggregators it stays as it is.
      if (shown.unchecked.length > 0 && parts.archive.aggregators.length > 0) throw new TollgateError('NOTHING_TO_ACKNOWLEDGE', `nobody can know yet what there is to acknowledge: ${shown.unchecked.join('; ')}`)
      const kept = acknowledge(parts.acknowledgementsFile, shown, { gatewayId, hour, reason, nowMs: parts.clock.nowMs() })
      parts.onAcknowledged()
      return kept
    }
  }
}

/** Whoever takes a partition over, or has just been restarted, can be asked in a moment, and archives then what was counted. */
async function wholeReport ({ archive, clock }: ClusterVerifyParts, report: () => Promise<ClusterVerifyReport>, endMs: number): Promise<ClusterVerifyReport> {
  for (;;) {
    const fromMs = clock.monotonicMs()
    const found = await report()
    const pauseMs = Math.max(lookAgainMsMin, clock.monotonicMs() - fromMs)
    if (found.unchecked.length === 0 || archive.aggregators.length === 0 || clock.monotonicMs() + pauseMs > endMs) return found
    await sleepMs(pauseMs)
  }
}

async function verifyCluster (parts: ClusterVerifyParts): Promise<ClusterVerifyReport> {
  const proof = await parts.ledger.proof().catch(ignoreBehind)
  const acknowledged = acknowledgedBy(readAcknowledgements(parts.acknowledgementsFile))
  if (proof === undefined || !parts.gateways.isCurrent()) {
    const unchecked = proof === undefined ? 'the ledger is still reading the hourly counts' : 'what the gateways say is still being read'
    return { ...compareStores({ streamHours: [], streamMarks: new Map(), hours: [], uncertain: [], problems: [], unchecked: [unchecked], hasLedger: false }, acknowledged), warnings: [] }
  }
  // Before anything is awaited: what the gateways said by now belongs to this moment.
  const said = saidBy(parts.book, proof.account)
  const archive = await readClusterArchive({ ...parts.archive, settledBeforeHour: parts.completeness.report.completeBeforeHour }, proof.account.streams)
  return { ...compareStores(inputOf(proof, said, archive, parts.archive.aggregators.length), acknowledged), warnings: archive.warnings }
}

interface Said { readonly streams: readonly SaidStream[], readonly problems: readonly VerifyProblem[] }

interface SaidStream extends Pick<GatewayStream, 'gatewayId' | 'streamId'> {
  readonly hours: readonly { readonly hour: number, readonly answered: number, readonly journaled: number, readonly countedOnly: number, readonly recovered: number }[]
  readonly seq: number
  readonly watermarkMs: number
  readonly state: 'open' | 'closed' | 'recovered'
  /** The ledger has counted exactly what the newest mark covers. */
  readonly isAtMark: boolean
}

function saidBy (book: GatewayBook, { streams, tallies }: LedgerAccount): Said {
  const applied = new Map<string, Map<number, number>>()
  for (const { streamId, partition, appliedSeq } of streams) applied.set(streamId, (applied.get(streamId) ?? new Map<number, number>()).set(partition, appliedSeq))
  book.count(streams)
  const said = [...book.streams].flatMap((stream): SaidStream[] => {
    const { newest, gatewayId, streamId } = stream
    if (newest === undefined) return []
    const seqs = applied.get(streamId) ?? new Map<number, number>()
    const hours = [...stream.hours.range(0, Infinity)]
    const base = { gatewayId, streamId, seq: newest.seq, watermarkMs: stream.countedMs }
    // What a gateway that fell silent had journaled beyond its last answered count is recovered, as after a crash.
    if (book.retirementOf(stream) !== undefined) return [{ ...base, hours: hours.map((hour) => ({ ...hour, recovered: Math.max(hour.recovered, hour.journaled + hour.countedOnly - hour.answered) })), state: 'recovered', isAtMark: false }]
    const journaled = hours.reduce((sum, hour) => sum + hour.journaled, 0)
    return [{ ...base, hours, state: stream.isPending ? 'open' : newest.state, isAtMark: !stream.isPending && journaled === newest.seq && isExactly(newest, seqs) }]
  })
  const unheard = new Map(tallies.filter(({ streamId }) => book.stream(streamId)?.newest === undefined).map(({ streamId, gatewayId }) => [streamId, gatewayId]))
  return { streams: said, problems: [...unheard].map(([streamId, gatewayId]) => ({ gatewayId, problem: `stream ${streamId} is counted, and its gateway has never said hello` })) }
}

/** A partition that the mark doesn't name was counted before, and has counted nothing beyond the mark. */
function isExactly ({ seq, lastSeqs }: { readonly seq: number, readonly lastSeqs: readonly (readonly [number, number])[] }, applied: ReadonlyMap<number, number>): boolean {
  const named = new Map(lastSeqs)
  return [...applied].every(([partition, appliedSeq]) => appliedSeq === (named.get(partition) ?? Math.min(appliedSeq, seq))) &&
    lastSeqs.every(([partition, lastSeq]) => (applied.get(partition) ?? 0) === lastSeq)
}

function inputOf ({ account, totals }: { readonly account: LedgerAccount, readonly totals: LedgerTotals }, said: Said, archive: ClusterArchive, aggregators: number): VerifyInput {
  const isUnseen = archive.unreachable.length > 0 || aggregators === 0
  const unchecked = [...archive.unreachable]
  if (aggregators === 0) unchecked.push('`aggregators` is empty: the archive can\'t be read')
  if (archive.pending.size > 0 && !isUnseen) unchecked.push('some counted events are not in the archive yet')
  return {
    streamHours: streamHoursOf(account, said, archive, isUnseen),
    streamMarks: new Map(said.streams.map(({ streamId, gatewayId, seq, watermarkMs, state }) => [streamId, { gatewayId, seq, watermarkMs, state }])),
    hours: hoursOf(totals, archive, isUnseen || archive.pending.size > 0),
    uncertain: account.uncertain,
    problems: [...said.problems, ...archive.problems, ...wrongDayProblems(totals)],
    unchecked,
    hasLedger: true
  }
}

const none: Counted = { billable: 0, notBillable: 0, deadLettered: 0, voided: 0 }
function keyOf (streamId: string, hour: number): string { return `${streamId} ${hour}` }

function streamHoursOf ({ tallies }: LedgerAccount, { streams }: Said, archive: ClusterArchive, isUnseen: boolean): StreamHour[] {
  const tallied = new Map(tallies.map((tally) => [keyOf(tally.streamId, tally.hour), tally]))
  const archived = new Map(archive.streams)
  const hourOf = ({ gatewayId, streamId, hour }: { readonly gatewayId: string, readonly streamId: string, readonly hour: number }): Omit<StreamHour, 'said'> => {
    const key = keyOf(streamId, hour)
    const events = archived.get(key)?.events ?? 0
    const tally = tallied.get(key)
    tallied.delete(key)
    archived.delete(key)
    return { gatewayId, streamId, hour, counted: countedOf(tally), archived: events, archivedAtMark: events, isArchivePending: isUnseen || archive.pending.has(streamId) }
  }
  const found = streams.flatMap(({ gatewayId, streamId, hours, seq, isAtMark }) => hours.map(({ hour, ...account }): StreamHour => {
    const streamHour = hourOf({ gatewayId, streamId, hour })
    return { ...streamHour, said: { seq, ...account, counted: isAtMark ? streamHour.counted : undefined } }
  }))
  for (const each of [...tallied.values()]) found.push({ ...hourOf(each), said: undefined })
  // In the archive, and nowhere else.
  for (const each of [...archived.values()]) found.push({ ...hourOf(each), said: undefined })
  return found
}

function countedOf (tally: AccountTally | undefined): Counted {
  if (tally === undefined) return none
  const { billable, notBillable, deadLettered, voided } = tally
  return { billable, notBillable, deadLettered, voided }
}

/** The topic's rows are what the ledger holds: there is no other copy of them. */
function hoursOf ({ hours }: LedgerTotals, archive: ClusterArchive, isArchivePending: boolean): HourStores[] {
  const rows = new Map(hours.map((hour) => [hour.hour, sumsOf(hour)]))
  return [...new Set([...rows.keys(), ...archive.hours.keys()])].sort((a, b) => a - b).map((hour) => (
    { hour, rows: rows.get(hour), archive: archive.hours.get(hour), ledger: rows.get(hour), isLedgerBehind: false, isArchivePending }))
}

function sumsOf ({ count, errorCount, ...rest }: HourTotals): HourSums { return { ...rest, count: BigInt(count), errorCount: BigInt(errorCount) } }

/**
 * True when all that was answered before the call is counted here: every open stream has said so with a mark that is newer
 * than the call, by its own clock set right against the broker's, or has had nothing more to say for some marks in a row.
 */
async function settled ({ ledger, book, gateways, clock }: ClusterVerifyParts, endMs: number): Promise<boolean> {
  const fromOffset = gateways.nextOffset()
  const fromMs = book.lastAppendMs > 0 ? Math.min(clock.nowMs(), book.lastAppendMs + settleMarginMs) : clock.nowMs()
  const isSettled = (stream: GatewayStream): boolean => {
    const { newest, lagMsMin, quietSince, hasEnded, isPending } = stream
    if (newest === undefined || book.retirementOf(stream) !== undefined) return true
    if (isPending) return false
    if (hasEnded) return true
    const isQuiet = quietSince !== undefined && quietSince.offsets.length >= quietMarks && (quietSince.offsets[0] as number) >= fromOffset
    return newest.offset >= fromOffset && (isQuiet || newest.watermarkMs + lagMsMin >= fromMs + settleMarginMs)
  }
  for (;;) {
    const streams = [...book.streams]
    const account = await ledger.account({ streamIds: streams.filter(({ isPending }) => isPending).map(({ streamId }) => streamId), fromHour: hourMax }).catch(ignoreBehind)
    if (account !== undefined && gateways.isCurrent() && streams.length > 0) {
      book.count(account.streams)
      if (streams.every(isSettled)) return true
    }
    if (clock.monotonicMs() > endMs) return false
    await sleepMs(pollMs)
  }
}

function ignoreBehind (error: unknown): undefined {
  if ((error as { readonly code?: unknown }).code !== 'LEDGER_BEHIND') throw error
  return undefined
}
