// Opening the aggregator: the database, or a new one in the place of a damaged one, brought together with the archive.
import { existsSync, rmSync } from 'node:fs'
import { TollgateError } from '../domain/errors.ts'
import type { Logger } from '../platform/logger.ts'
import { makeFolderDurable } from '../platform/durable-file.ts'
import { adoptArchive, beginBehindArchive } from './adopt.ts'
import { Aggregator } from './aggregator.ts'
import type { AggregatorParts } from './aggregator.ts'
import { makeArchiveFolders } from './archive.ts'
import type { ArchiveProblem } from './archived-events.ts'
import { openDatabase, putBack, setAside } from './database.ts'
import type { AggregatorDatabase } from './database.ts'
import { aggregatorFolders } from './folders.ts'
import { openIngest } from './ingest.ts'
import { loadState } from './state.ts'

export interface AggregatorOptions {
  readonly stateFolder: string
  /** Partitions of the usage log that are read here. */
  readonly partitions: readonly number[]
  readonly memoryBytesMax: number
  readonly threads: number
  readonly segmentRowsMax: number
  readonly log: Logger
  readonly nowMs: () => number
  /** A new UUID at each call. */
  readonly randomId: () => string
  /**
   * Of a cluster: other machines hold parts of the archive, so what is in this folder is no whole history. A new database
   * is filled from the topic of hourly counts by whoever opens it, and only flushes that are newer than it are adopted.
   */
  readonly isArchiveShared?: boolean
  readonly tellBadLines?: NonNullable<AggregatorParts['tellBadLines']>
  readonly onSnapshot?: NonNullable<AggregatorParts['onSnapshot']>
  readonly keepsClosedRows?: boolean
  /** Decides what is new. Tests bring wrong ones, to see that they are caught. */
  readonly plan?: NonNullable<AggregatorParts['plan']>
}

export interface OpenedAggregator {
  readonly aggregator: Aggregator
  /** What is wrong with the archive; what is counted stands. */
  readonly problems: readonly ArchiveProblem[]
  /** The database was made just now. */
  readonly isNew: boolean
  readonly close: () => void
}

/**
 * @throws TollgateError AGGREGATOR_DAMAGED or ARCHIVE_INCOMPLETE when the counts can't be made again from the archive:
 * then every file is where it was. AGGREGATOR_NEWER.
 */
export async function openAggregator (options: AggregatorOptions): Promise<OpenedAggregator> {
  const folders = aggregatorFolders(options.stateFolder)
  const file = folders.databaseFile
  const open = async (): Promise<AggregatorDatabase> => await openDatabase({ file, memoryBytesMax: options.memoryBytesMax, threads: options.threads, newHistoryId: options.randomId, nowMs: options.nowMs })
  makeArchiveFolders(folders)
  makeFolderDurable(folders.deadLetters)
  let database
  let aside: string | undefined
  let damage: unknown
  try {
    database = await open()
  } catch (error) {
    if (!(error instanceof TollgateError) || error.code !== 'AGGREGATOR_DAMAGED') throw error
    damage = error
    aside = setAside(file, options.nowMs())
    options.log.error({ code: error.code, file, aside, error }, 'the aggregator\'s database is damaged: it was moved aside, its counts are made again from the archive and the journal')
    database = await open()
  }
  const ingest = openIngest(database.writer, folders.blockFile)
  const close = (): void => {
    ingest.close()
    database.writer.close()
    database.duckDb.close()
  }
  try {
    const aggregator = new Aggregator({ ...options, folders, duckDb: database.duckDb, writer: database.writer, ingest }, await loadState(database.writer, options.partitions))
    const isShared = options.isArchiveShared === true
    const { problems } = isShared && database.isNew ? await beginBehindArchive(aggregator) : await adoptArchive(aggregator, { isOnlyNewer: isShared })
    if (database.isNew && problems.length > 0) throw incomplete(problems, damage)
    return { aggregator, problems, isNew: database.isNew, close }
  } catch (error) {
    close()
    // A database made from half an archive would pass for the truth at the next start.
    if (database.isNew) for (const suffix of ['', '.wal']) if (existsSync(file + suffix)) rmSync(file + suffix)
    if (aside !== undefined) putBack(aside, file)
    throw error
  }
}

function incomplete (problems: readonly ArchiveProblem[], damage: unknown): TollgateError {
  const named = problems.slice(0, 5).map(({ file, problem }) => `${file}: ${problem}`).join('; ')
  const all = problems.length > 5 ? `${named}; and ${problems.length - 5} more` : named
  if (damage instanceof TollgateError) return new TollgateError(damage.code, `${damage.message}; its counts can't be made again, because the archive is incomplete (${all})`, { cause: damage })
  return new TollgateError('ARCHIVE_INCOMPLETE', `there is no aggregator.duckdb, and its counts can't be made again, because the archive is incomplete (${all})`)
}
