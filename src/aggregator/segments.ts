// A segment of hourly rows that has grown large enough is closed: its rows become a Parquet file that never changes again,
// and the next segment starts empty. Later events of the same hours open rows there; readers add segments up.
import { rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { hourlyColumns } from '../hourly-log/port.ts'
import { crashPoint } from '../platform/crash-points.ts'
import { makeFolderDurable, partialSuffix, publishFile, sha256OfFile } from '../platform/durable-file.ts'
import { sqlText } from '../platform/duckdb.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { createHourlyTable, hourlyTable, selectHourlyRows } from './aggregator-sql.ts'
import { writeRows } from './apply.ts'

export interface Snapshot { readonly file: string, readonly sha256: string, readonly rows: number, readonly bytes: number }

/** The ledger's order: a member's rows stand together. */
export const snapshotOrder = 'memberId, apiKeyId, hour, apiEndpointId'

/** Writes rows with the columns of an hourly row to a file of the segments' folder; durable when it returns. */
export async function writeSnapshot (writer: SqlConnection, { folder, name, select }: { readonly folder: string, readonly name: string, readonly select: string }): Promise<Snapshot> {
  makeFolderDurable(folder)
  const file = path.join(folder, `${name}.parquet`)
  const rows = await writer.run(`COPY (SELECT ${hourlyColumns.join(', ')} FROM (${select}) ORDER BY ${snapshotOrder}) TO ${sqlText(file + partialSuffix)} (FORMAT parquet, COMPRESSION zstd)`)
  const sha256 = await sha256OfFile(file + partialSuffix)
  publishFile(file + partialSuffix, file)
  return { file, sha256, rows, bytes: statSync(file).size }
}

export interface SegmentClosing {
  readonly partition: number
  readonly segment: number
  readonly folder: string
  /** Makes the snapshot's name unlike any other. */
  readonly random: string
  /** The revision of the transaction that closes it. */
  readonly revision: number
  /** The rows' table stays: a topic holds rows under these keys, and each wants a tombstone. */
  readonly keepsRows: boolean
  /** Brings the file to all machines that must have it before anybody hears of it. */
  readonly bring: (file: string) => Promise<boolean>
}

/** Closes the open segment of a partition and starts the next one. @returns false when its file isn't where it must be: the segment stays open */
export async function closeSegment (writer: SqlConnection, { partition, segment, folder, random, revision, keepsRows, bring }: SegmentClosing): Promise<boolean> {
  const snapshot = await writeSnapshot(writer, { folder, name: `partition=${partition}-segment=${segment}-${random.slice(0, 8)}`, select: selectHourlyRows(partition, segment) })
  crashPoint('segment.after-snapshot')
  if (!await bring(snapshot.file)) {
    rmSync(snapshot.file)
    return false
  }
  await writer.transaction(async () => {
    await enterSegment(writer, { partition, segment, snapshot, revision })
    if (!keepsRows) await writer.run(`DROP TABLE ${hourlyTable(partition, segment)}`)
    await writer.run(createHourlyTable(partition, segment + 1))
    await writer.run('UPDATE partitions SET segment = $2 WHERE sourcePartition = $1', [partition, segment + 1])
    await writer.run('UPDATE meta SET revision = $1', [revision])
  })
  crashPoint('segment.after-commit')
  return true
}

/** Enters a snapshot into the list of closed segments, as one that was closed here; part of a transaction. */
export async function enterSegment (writer: SqlConnection, { partition, segment, snapshot, revision }: { readonly partition: number, readonly segment: number, readonly snapshot: Snapshot, readonly revision: number }): Promise<void> {
  await writeRows(writer, 'closed_segments', [{ sourcePartition: partition, segment, ...snapshot, file: path.basename(snapshot.file), revision, ownerName: null }])
}
