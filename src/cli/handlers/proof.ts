// `tollgate verify` and `tollgate rebuild`: the aggregator compares, the ledger is asked first, and what crosses the socket
// is JSON: hours as texts, exact sums as decimal strings.
import type { Acknowledgement } from '../../aggregator/acknowledgements.ts'
import type { AggregatorOperations, AggregatorStatus } from '../../aggregator/operations.ts'
import type { RebuildReport, RebuildSums } from '../../aggregator/rebuild.ts'
import type { VerifyReport, VerifyRow } from '../../aggregator/verify.ts'
import type { ClusterBillingHandle } from '../../billing/cluster-start.ts'
import { TollgateError } from '../../domain/errors.ts'
import { formatTimeMs, hourOf, hourStartMs, parseTimeMs } from '../../domain/window.ts'
import type { LedgerTotals } from '../../ledger/ledger-types.ts'
import { sleepMs } from '../../platform/clock.ts'
import type { Clock } from '../../platform/clock.ts'
import type { ControlHandlers } from '../control-server.ts'
import { HandlerArgument, needed } from './argument.ts'

export interface ProofParts {
  /** Of a running thread, or opened for the question. */
  readonly aggregator: Pick<AggregatorOperations, 'verify' | 'acknowledge' | 'rebuild'> & { readonly status: () => AggregatorStatus | Promise<AggregatorStatus> }
  /** @throws TollgateError LEDGER_BEHIND */
  readonly ledger: () => Promise<LedgerTotals>
  readonly clock: Clock
  /** Lets the gateways say at once how far they are, instead of when they would next. */
  readonly askMarks: () => Promise<void>
  /** False: nothing is counted while the question is open, so that waiting is of no use. */
  readonly isCounting: boolean
}

/** `hour` as `2026-01-15T12`, UTC. */
export type VerifyRowView = Omit<VerifyRow, 'hour'> & { readonly hour: string }
export type VerifyView = Omit<VerifyReport, 'rows'> & { readonly rows: readonly VerifyRowView[], /** Of a cluster: odd, but no difference. */ readonly warnings?: readonly string[] }
export interface AcknowledgementView { readonly gatewayId: string, readonly hour: string, readonly at: string, readonly reason: string, readonly row: VerifyRowView }
export type SumsView = Readonly<Record<keyof RebuildSums, string>>
export interface DifferenceView { readonly hour: string, readonly memberId: number, readonly apiKeyId: number, readonly apiEndpointId: number, readonly stored: SumsView | null, readonly rebuilt: SumsView | null }
export interface RebuildView {
  readonly rows: number
  readonly isApplied: boolean
  readonly refusedHours: readonly string[]
  readonly differenceCount: number
  /** The first 100. */
  readonly differences: readonly DifferenceView[]
}

export const verifyWaitSMax = 86_400
const pollMs = 100

export function proofHandlers (parts: ProofParts): ControlHandlers {
  const { aggregator } = parts
  return {
    verify: async (argument): Promise<VerifyView> => {
      const waitS = new HandlerArgument(argument).integer('waitS', 0) ?? 0
      const isSettled = waitS === 0 || await settled(parts, Math.min(waitS, verifyWaitSMax) * 1000)
      const report = verifyView(await aggregator.verify({ ledger: await askedLedger(parts) }))
      if (isSettled) return report
      const reason = parts.isCounting ? `not everything that was answered was counted within ${waitS} s` : 'the program is not running, and what its journal holds is not counted: start it'
      return { ...report, unchecked: [...report.unchecked, reason], exitCode: report.exitCode === 0 ? 2 : report.exitCode }
    },
    'verify.acknowledge': async (argument): Promise<AcknowledgementView> => {
      const given = new HandlerArgument(argument)
      const [gatewayId, reason] = [needed('gatewayId', given.text('gatewayId')), needed('reason', given.text('reason'))]
      return acknowledgementView(await aggregator.acknowledge({ gatewayId, hour: hourOfText(needed('hour', given.text('hour'))), reason, ledger: await askedLedger(parts) }))
    },
    rebuild: async (argument): Promise<RebuildView> => {
      const report = await aggregator.rebuild({ apply: new HandlerArgument(argument).flag('apply') })
      return rebuildView(report, report.isApplied)
    }
  }
}

/** Of a cluster: billing compares, and knows itself when everything is counted. */
export function clusterProofHandlers (billing: Pick<ClusterBillingHandle, 'verify' | 'acknowledge' | 'rebuild'>): ControlHandlers {
  return {
    verify: async (argument): Promise<VerifyView> => {
      const waitS = new HandlerArgument(argument).integer('waitS', 0) ?? 0
      return verifyView(await billing.verify({ waitS: Math.min(waitS, verifyWaitSMax) }))
    },
    'verify.acknowledge': async (argument): Promise<AcknowledgementView> => {
      const given = new HandlerArgument(argument)
      const [gatewayId, reason] = [needed('gatewayId', given.text('gatewayId')), needed('reason', given.text('reason'))]
      return acknowledgementView(await billing.acknowledge({ gatewayId, hour: hourOfText(needed('hour', given.text('hour'))), reason }))
    },
    rebuild: async (argument): Promise<RebuildView> => {
      if (new HandlerArgument(argument).flag('apply')) throw new TollgateError('ARGUMENT_INVALID', '--apply is for one machine: in a cluster all go by the topic of hourly counts, which its aggregators write')
      return rebuildView(await billing.rebuild(), false)
    }
  }
}

/**
 * True when every request that was answered before the call is counted, and in the ledger: each gateway has said, after all
 * its events before, that nothing older than the call will follow. False when `waitMs` has passed before.
 */
async function settled ({ aggregator, ledger, clock, askMarks, isCounting }: ProofParts, waitMs: number): Promise<boolean> {
  const fromMs = clock.nowMs()
  const endMs = clock.monotonicMs() + waitMs
  await askMarks()
  for (;;) {
    const { watermarks, gaps, revision } = await aggregator.status()
    const isCounted = gaps.length === 0 && (watermarks.length > 0 || !isCounting) && watermarks.every(({ watermarkMs }) => watermarkMs === null || watermarkMs >= fromMs)
    if (isCounted && await isLedgerAt(ledger, revision)) return true
    if (!isCounting || clock.monotonicMs() > endMs) return false
    await sleepMs(pollMs)
  }
}

async function isLedgerAt (ledger: ProofParts['ledger'], revision: number): Promise<boolean> {
  try {
    const { positions } = await ledger()
    return positions.length > 0 && positions.every((position) => position.revision >= revision)
  } catch (error) {
    if (isBehind(error)) return false
    throw error
  }
}

/** Undefined: there is none to be asked, which the report says. */
async function askedLedger ({ ledger }: ProofParts): Promise<LedgerTotals | undefined> {
  try {
    return await ledger()
  } catch (error) {
    if (isBehind(error)) return undefined
    throw error
  }
}

function isBehind (error: unknown): boolean { return (error as { readonly code?: unknown }).code === 'LEDGER_BEHIND' }

function hourText (hour: number): string { return formatTimeMs(hourStartMs(hour)).slice(0, 13) }

/** @throws TollgateError ARGUMENT_INVALID for anything but an hour such as 2026-01-15T12 */
function hourOfText (text: string): number {
  const timeMs = parseTimeMs(`${text}:00:00.000Z`)
  if (timeMs === undefined) throw new TollgateError('ARGUMENT_INVALID', `an hour is written as 2026-01-15T12 (UTC), not ${JSON.stringify(text)}`)
  return hourOf(timeMs)
}

function rowView (row: VerifyRow): VerifyRowView { return { ...row, hour: hourText(row.hour) } }

function verifyView (report: VerifyReport): VerifyView { return { ...report, rows: report.rows.map(rowView) } }

function acknowledgementView ({ gatewayId, hour, atMs, reason, row }: Acknowledgement): AcknowledgementView {
  return { gatewayId, hour: hourText(hour), at: formatTimeMs(atMs), reason, row: rowView(row) }
}

function rebuildView ({ rows, refusedHours, differenceCount, differences }: RebuildReport, isApplied: boolean): RebuildView {
  return {
    rows,
    isApplied,
    refusedHours: refusedHours.map(hourText),
    differenceCount,
    differences: differences.map(({ hour, stored, rebuilt, ...key }) => ({ hour: hourText(hour), ...key, stored: sumsView(stored), rebuilt: sumsView(rebuilt) }))
  }
}

function sumsView (sums: RebuildSums | undefined): SumsView | null {
  if (sums === undefined) return null
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, String(sum)])) as unknown as SumsView
}
