// The files that the database knows, read to the last byte: archive, the flushes' records, snapshots of closed segments.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { sha256OfFile } from '../platform/durable-file.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { readArchive } from './archive-sql.ts'
import { readFlushRecord } from './flush-record.ts'
import type { AggregatorFolders } from './folders.ts'
import type { VerifyProblem } from './verify.ts'

interface FileRow { readonly [column: string]: unknown, readonly file: string, readonly hour: number, readonly sha256: string }

export interface CheckedArchive {
  /** Files that can be read, changed or not, relative to the archive. */
  readonly readable: readonly { readonly file: string, readonly hour: number }[]
  readonly problems: readonly VerifyProblem[]
  /** Hours whose events may not all be there. */
  readonly brokenHours: ReadonlySet<number>
}

/** @param probe reads files that may be damaged: an error would end the reader's transaction */
export async function checkArchiveFiles (reader: SqlConnection, probe: SqlConnection, folders: AggregatorFolders): Promise<CheckedArchive> {
  const readable: { file: string, hour: number }[] = []
  const problems: VerifyProblem[] = []
  const brokenHours = new Set<number>()
  for (const { file, hour, sha256 } of await reader.rows<FileRow>('SELECT file, hour, sha256 FROM archive_files ORDER BY hour, file')) {
    const full = path.join(folders.archive, file)
    const problem = !existsSync(full) ? 'is missing' : await sha256OfFile(full) !== sha256 ? 'has changed' : undefined
    if (problem === undefined || (problem === 'has changed' && await isReadable(probe, full))) readable.push({ file, hour })
    if (problem === undefined) continue
    brokenHours.add(hour)
    const gateways = await reader.rows<{ gatewayId: string | null }>('SELECT DISTINCT s.gatewayId FROM archive_streams a JOIN streams s USING (sourcePartition, streamId) WHERE a.file = $1', [file])
    for (const { gatewayId } of gateways) problems.push({ gatewayId: gatewayId ?? undefined, hour, problem: `archive file ${file} ${problem}` })
  }
  for (const { flush } of await reader.rows<{ flush: string }>('SELECT flush FROM flushes')) {
    try {
      readFlushRecord(folders.flushes, flush)
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error
      problems.push({ problem: `archive: ${error.message}` })
    }
  }
  return { readable, problems, brokenHours }
}

/** What was changed by hand can be read as a rule, and then the numbers say what was changed. */
async function isReadable (probe: SqlConnection, file: string): Promise<boolean> {
  try {
    await probe.rows(`SELECT sum(hash(a)) FROM ${readArchive([file])} a`)
    return true
  } catch {
    return false
  }
}

export async function checkSegments (reader: SqlConnection, folders: AggregatorFolders): Promise<{ readonly readable: readonly string[], readonly problems: readonly VerifyProblem[] }> {
  const readable: string[] = []
  const problems: VerifyProblem[] = []
  for (const { file, sha256 } of await reader.rows<{ file: string, sha256: string }>('SELECT file, sha256 FROM closed_segments ORDER BY sourcePartition, segment')) {
    const full = path.join(folders.segments, file)
    const isThere = existsSync(full)
    if (isThere && await sha256OfFile(full) === sha256) readable.push(file)
    else problems.push({ problem: `closed segment ${file} ${isThere ? 'has changed' : 'is missing'}` })
  }
  return { readable, problems }
}
