// What a backup takes of an aggregator, while it counts: its database as of one moment, and by name the finished files that
// belong to it. On one machine the journal is copied in the same moment, after the database: so the copy of the journal holds
// everything that the copied database hasn't archived, and says of no stream less than the database has counted.
import { existsSync, globSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import type { UsageLog, UsageLogCopy } from '../usage-log/port.ts'
import type { Aggregator } from './aggregator.ts'
import { aggregatorFolders } from './folders.ts'

/** A file that never changes any more, or only grows, by its name within the state folder. */
export interface ListedFile {
  readonly path: string
  /** Of one that grows: how much of it belongs to the copy. */
  readonly bytes: number
  /** Where the database knows it. */
  readonly sha256?: string
}

export interface AggregatorCopy {
  readonly historyId: string
  readonly term: number
  readonly revision: number
  readonly files: readonly ListedFile[]
  readonly journal?: UsageLogCopy
}

export interface AggregatorCopying {
  readonly aggregator: Aggregator
  /** Runs the work while nothing is counted, archived or dropped from the usage log. */
  readonly operate: <Result>(work: () => Promise<Result>) => Promise<Result>
  readonly flush: () => Promise<void>
  readonly usageLog?: Pick<UsageLog, 'copyTo'>
}

/** @param folder gets the copies under the names that they have in the aggregator's state folder */
export async function copyAggregator ({ aggregator, operate, flush, usageLog }: AggregatorCopying, folder: string): Promise<AggregatorCopy> {
  const { duckDb, folders } = aggregator.parts
  const copies = aggregatorFolders(folder)
  mkdirSync(path.dirname(copies.databaseFile), { recursive: true, mode: 0o700 })
  return await operate(async () => {
    await flush()
    const { historyId, term, revision } = aggregator.state
    duckDb.copyTo(copies.databaseFile)
    const files = await listFiles(aggregator)
    const journal = await usageLog?.copyTo?.(path.join(folder, 'journal'))
    return { historyId, term, revision, files: [...files, ...listDeadLetters(folders)], ...(journal === undefined ? {} : { journal }) }
  })
}

/** What the database knows to be there. A snapshot that another owner has made is there only where it was brought. */
async function listFiles ({ parts: { writer, folders } }: Aggregator): Promise<ListedFile[]> {
  const nameOf = (folder: string, file: string): string => path.relative(folders.stateFolder, path.join(folder, file))
  const archived = await writer.rows<{ file: string, bytes: bigint, sha256: string }>('SELECT file, bytes, sha256 FROM archive_files ORDER BY file')
  const flushes = await writer.rows<{ flush: string }>('SELECT flush FROM flushes ORDER BY flush')
  const closed = await writer.rows<{ file: string, bytes: bigint, sha256: string, ownerName: string | null }>('SELECT file, bytes, sha256, ownerName FROM closed_segments ORDER BY file')
  return [
    ...archived.map(({ file, bytes, sha256 }) => ({ path: nameOf(folders.archive, file), bytes: Number(bytes), sha256 })),
    ...flushes.map(({ flush }) => `${flush}.json`).map((name) => ({ path: nameOf(folders.flushes, name), bytes: sizeOf(path.join(folders.flushes, name)) })),
    ...closed.filter(({ file, ownerName }) => ownerName === null || existsSync(path.join(folders.segments, file))).map(({ file, bytes, sha256 }) => ({ path: nameOf(folders.segments, file), bytes: Number(bytes), sha256 }))
  ]
}

function listDeadLetters ({ deadLetters, stateFolder }: Aggregator['parts']['folders']): ListedFile[] {
  return globSync('*.ndjson', { cwd: deadLetters }).sort().map((name) => path.join(deadLetters, name)).map((file) => ({ path: path.relative(stateFolder, file), bytes: sizeOf(file) }))
}

/** A file that is missing is told where it is copied. */
function sizeOf (file: string): number { return statSync(file, { throwIfNoEntry: false })?.size ?? 0 }
