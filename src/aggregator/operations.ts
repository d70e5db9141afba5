// What operators ask of an aggregator, of a running one between two steps of its loop or of one that was opened for the
// question: verify, acknowledge, rebuild, status.
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import type { Logger } from '../platform/logger.ts'
import { acknowledge, acknowledgedBy, readAcknowledgements } from './acknowledgements.ts'
import type { Acknowledgement } from './acknowledgements.ts'
import type { Aggregator } from './aggregator.ts'
import type { ArchiveProblem } from './archived-events.ts'
import type { LedgerHours } from './ledger-hours.ts'
import { dropRebuilt, rebuildRows, refuseIncomplete } from './rebuild.ts'
import type { RebuildReport } from './rebuild.ts'
import { applyRebuilt } from './rebuild-apply.ts'
import { restoreProblems } from './restored.ts'
import { gatewayWatermarks } from './state.ts'
import { gatherStores } from './verify-gather.ts'
import { compareStores } from './verify.ts'
import type { VerifyReport } from './verify.ts'

export interface OperationParts {
  readonly aggregator: Aggregator
  /** Runs work that writes while nobody else does. */
  readonly exclusively: <Result>(work: () => Promise<Result>) => Promise<Result>
  /** Puts what is counted into the archive; called exclusively. */
  readonly flush: () => Promise<void>
  readonly problems: readonly ArchiveProblem[]
  readonly log: Logger
  readonly nowMs: () => number
}

export interface AggregatorStatus {
  readonly historyId: string
  readonly term: number
  readonly revision: number
  readonly gaps: readonly { readonly streamId: string, readonly afterSeq: number, readonly reason: string }[]
  readonly archiveProblems: readonly ArchiveProblem[]
  readonly waitingEvents: number
  readonly watermarks: readonly { readonly gatewayId: string, readonly watermarkMs: number | null }[]
}

export interface AggregatorOperations {
  readonly verify: (question: { readonly ledger?: LedgerHours | undefined }) => Promise<VerifyReport>
  /** @throws TollgateError NOTHING_TO_ACKNOWLEDGE */
  readonly acknowledge: (question: { readonly gatewayId: string, readonly hour: number, readonly reason: string, readonly ledger?: LedgerHours | undefined }) => Promise<Acknowledgement>
  /** @throws TollgateError REBUILD_REFUSED when it is to be applied and an hour's archive is incomplete; ARCHIVE_PENDING */
  readonly rebuild: (question: { readonly apply?: boolean | undefined }) => Promise<RebuildReport & { readonly isApplied: boolean }>
  readonly status: () => AggregatorStatus
}

export function openOperations (parts: OperationParts): AggregatorOperations {
  const { aggregator, problems } = parts
  return {
    verify: async ({ ledger }) => await verifyStores(parts, ledger),
    acknowledge: async ({ gatewayId, hour, reason, ledger }) => {
      if (reason.trim() === '') throw new TollgateError('ARGUMENT_INVALID', 'an acknowledgement needs a reason')
      return acknowledge(aggregator.parts.folders.acknowledgementsFile, await verifyStores(parts, ledger), { gatewayId, hour, reason, nowMs: parts.nowMs() })
    },
    rebuild: async ({ apply = false }) => await parts.exclusively(async () => await rebuildStores(parts, apply)),
    status: () => {
      const { state, gaps, stagedEvents } = aggregator
      return { historyId: state.historyId, term: state.term, revision: state.revision, gaps, archiveProblems: problems, waitingEvents: stagedEvents, watermarks: gatewayWatermarks(state) }
    }
  }
}

/** Everything counted goes to the archive first; then all is read as of that moment, while counting goes on. */
async function verifyStores ({ aggregator, exclusively, flush }: OperationParts, ledger: LedgerHours | undefined): Promise<VerifyReport> {
  const { folders, duckDb } = aggregator.parts
  const reader = await duckDb.connect()
  const probe = await duckDb.connect()
  try {
    await exclusively(async () => {
      await flush()
      await reader.run('BEGIN TRANSACTION')
      // A transaction's moment is that of its first look.
      await reader.rows('SELECT revision FROM meta')
    })
    const gathered = await gatherStores({ reader, probe, folders, ledger, gaps: aggregator.gaps })
    return compareStores({ ...gathered, problems: [...gathered.problems, ...restoreProblems(folders.restoresFile)] }, acknowledgedBy(readAcknowledgements(folders.acknowledgementsFile)))
  } finally {
    await reader.run('ROLLBACK').catch(() => 0)
    reader.close()
    probe.close()
  }
}

async function rebuildStores ({ aggregator, flush, log, nowMs }: OperationParts, apply: boolean): Promise<RebuildReport & { readonly isApplied: boolean }> {
  const { folders, writer, segmentRowsMax, randomId } = aggregator.parts
  await flush()
  const [waiting] = await writer.rows<{ streams: bigint }>('SELECT count(*) AS streams FROM streams WHERE archivedSeq < appliedSeq')
  if (waiting !== undefined && waiting.streams > 0n) throw new TollgateError('ARCHIVE_PENDING', 'some counted events are not in the archive yet')
  try {
    const report = await rebuildRows(writer, folders)
    if (!apply) return { ...report, isApplied: false }
    refuseIncomplete(report)
    const files = await writer.rows<{ file: string }>('SELECT file FROM archive_files')
    await applyRebuilt(writer, { folders, segmentRowsMax, nowMs: nowMs(), randomId, archiveFiles: files.map(({ file }) => path.join(folders.archive, file)) })
    await aggregator.reset()
    log.warn({ rows: report.rows, differences: report.differenceCount }, 'hourly rows were made again from the archive; ledgers read all of them again')
    return { ...report, isApplied: true }
  } finally {
    await dropRebuilt(writer)
  }
}
