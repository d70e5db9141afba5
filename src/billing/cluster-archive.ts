// The archive of a cluster as `verify` sees it: what every aggregator's manifest says, and every event of every file, hour
// by hour. Of each hour the files are brought into a temporary folder, read and removed, so that the disk needs room for
// one hour. An event that is there twice, from two owners or as a copy, counts once: its identity is partition, stream and
// seq. Only events that the ledger has counted are looked at, so that both are compared as of one moment.
import { rmSync } from 'node:fs'
import path from 'node:path'
import type { FlushRecord } from '../aggregator/flush-record.ts'
import { addRebuilt, compareRows, createRebuilt, rebuiltTable } from '../aggregator/rebuild.ts'
import type { RebuildReport } from '../aggregator/rebuild.ts'
import { addUp, breakProblems, brokenChains, eventsOf } from '../aggregator/verify-archive.ts'
import type { ArchivedHours, Chain, ChainBreak, FolderHour, PartRow, SumRow } from '../aggregator/verify-archive.ts'
import { archivedHourSums, archivedPerStream, differingRepeats } from '../aggregator/verify-sql.ts'
import type { VerifyProblem } from '../aggregator/verify.ts'
import { formatTimeMs, hourStartMs } from '../domain/window.ts'
import type { AccountStream } from '../ledger/account.ts'
import { makeFolderDurable } from '../platform/durable-file.ts'
import { openDuckDb, sqlText } from '../platform/duckdb.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import type { AggregatorFiles } from './aggregator-files.ts'
import { createArchiveTables, enterLinks, eventsUpToEnds, filesOfHour, hoursOfFiles, insertRows, linkBreaks, pendingStreams, scarceHours, setChainEnds } from './archive-sql.ts'
import type { ArchiveTable } from './archive-sql.ts'
import { bringFrom } from './segment-files.ts'

export interface ClusterArchiveParts {
  readonly aggregators: readonly AggregatorFiles[]
  /** Emptied before and after. */
  readonly folder: string
  readonly memoryBytesMax: number
  readonly threads: number
  /** So many machines must have each file of hours below `settledBeforeHour`. */
  readonly copies: number
  readonly settledBeforeHour: number
}

export interface ClusterArchive extends Pick<ArchivedHours, 'streams' | 'hours' | 'problems'> {
  /** Streams of which the ledger has counted more than the manifests cover. */
  readonly pending: ReadonlySet<string>
  /** Aggregators that could not be asked: their part of the archive was not seen. */
  readonly unreachable: readonly string[]
  readonly warnings: readonly string[]
  /** Where that was asked for, and all of the archive was seen. */
  readonly rebuilt: RebuildReport | undefined
}

const warningsMax = 20
/** A statement for each record would cost more than all else. */
const recordsAtATime = 200
/** Files of an hour that are brought beside each other. */
const filesAtATime = 8

/**
 * Everything counted goes to the archive, then all of it is read.
 * @param streams as the ledger has counted them before
 * @param rowsFile the ledger's hourly rows of that moment, as Parquet: they are made again from the archive and compared
 */
export async function readClusterArchive (parts: ClusterArchiveParts, streams: readonly AccountStream[], rowsFile?: string): Promise<ClusterArchive> {
  const { folder, memoryBytesMax, threads } = parts
  rmSync(folder, { recursive: true, force: true })
  makeFolderDurable(folder)
  const duckDb = await openDuckDb({ file: path.join(folder, 'manifest.duckdb'), memoryBytesMax, threads })
  const connection = await duckDb.connect()
  try {
    await connection.run(createArchiveTables)
    return await new ArchiveReading(parts, connection, rowsFile).read(streams)
  } finally {
    connection.close()
    duckDb.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface FileRow { readonly [column: string]: unknown, readonly sourcePartition: number, readonly file: string, readonly sha256: string, readonly bytes: bigint, readonly aggregators: readonly number[] }

class ArchiveReading {
  readonly #parts: ClusterArchiveParts
  readonly #connection: SqlConnection
  readonly #problems: VerifyProblem[] = []
  readonly #brokenHours = new Set<number>()
  readonly #rowsFile: string | undefined

  constructor (parts: ClusterArchiveParts, connection: SqlConnection, rowsFile: string | undefined) {
    this.#parts = parts
    this.#connection = connection
    this.#rowsFile = rowsFile
  }

  async read (streams: readonly AccountStream[]): Promise<ClusterArchive> {
    await this.#insert('streams', streams.map(({ partition, ...stream }) => ({ sourcePartition: partition, ...stream })))
    const unreachable = await this.#readManifests()
    await this.#connection.run(setChainEnds)
    const pending = new Set((await this.#connection.rows<{ streamId: string }>(pendingStreams)).map(({ streamId }) => streamId))
    // Half of the archive proves nothing: what is missing may be on a machine that can't be asked.
    if (unreachable.length > 0) return { streams: new Map(), hours: new Map(), problems: [], pending, unreachable, warnings: [], rebuilt: undefined }
    if (this.#rowsFile !== undefined) await this.#connection.run(createRebuilt)
    const read = await this.#readHours()
    const rebuilt = this.#rowsFile === undefined ? undefined : await compareRows(this.#connection, `read_parquet(${sqlText(this.#rowsFile)})`, [...this.#brokenHours].sort((a, b) => a - b))
    return { ...addUp([...read.values()]), problems: this.#problems, pending, unreachable, warnings: await this.#scarce(), rebuilt }
  }

  /** @returns why aggregators could not be asked */
  async #readManifests (): Promise<string[]> {
    const unreachable: string[] = []
    for (const [index, aggregator] of this.#parts.aggregators.entries()) {
      try {
        for (const partition of partitionsOf(await aggregator.json('GET', '/files'))) {
          await aggregator.json('POST', `/files/partition-${partition}/flush`)
        }
      } catch (error) {
        unreachable.push((error as Error).message)
        continue
      }
      await this.#readManifest(aggregator, index).catch((error: unknown) => { unreachable.push((error as Error).message) })
    }
    return unreachable
  }

  async #readManifest (aggregator: AggregatorFiles, index: number): Promise<void> {
    for (const partition of partitionsOf(await aggregator.json('GET', '/files'))) {
      let records: FlushRecord[] = []
      const enter = async (): Promise<void> => {
        await this.#enter(records, partition, index)
        records = []
      }
      await aggregator.lines(`/files/partition-${partition}/manifest`, async (line) => { if (records.push(JSON.parse(line) as FlushRecord) >= recordsAtATime) await enter() })
      await enter()
    }
  }

  async #enter (records: readonly FlushRecord[], sourcePartition: number, aggregator: number): Promise<void> {
    await this.#insert('files', records.flatMap(({ files }) => files).map(({ file, hour, sha256, bytes }) => ({ sourcePartition, hour, file, sha256, bytes, aggregator })))
    await this.#insert('covered', records.flatMap(({ streams }) => streams).map(({ streamId, lastSeq }) => ({ sourcePartition, streamId, lastSeq })))
    await this.#insert('dead_letters', records.flatMap(({ deadLetters }) => deadLetters))
    await this.#insert('voids', records.flatMap(({ voids }) => voids))
    await this.#insert('archive_holes', records.flatMap(({ holes }) => holes))
  }

  async #insert (table: ArchiveTable, rows: readonly object[]): Promise<void> {
    if (rows.length > 0) await this.#connection.runKept(insertRows(table), [JSON.stringify(rows)])
  }

  async #readHours (): Promise<Map<number, FolderHour>> {
    const hours = (await this.#connection.rows<{ hour: number }>(hoursOfFiles)).map(({ hour }) => hour)
    const read = new Map<number, FolderHour>()
    for (const hour of hours) await this.#withFiles(hour, true, async (files) => { read.set(hour, await this.#readFiles(files, { hour, isDistinct: false })) })
    // A chain that doesn't add up has a gap, or copies: copies are left out and it is added up again.
    const suspects = await brokenChains(this.#connection, read)
    for (const hour of hours) {
      if (read.get(hour)?.parts.some(({ sourcePartition, streamId }) => suspects.has(`${sourcePartition} ${streamId}`)) !== true) continue
      await this.#withFiles(hour, false, async (files) => { read.set(hour, await this.#readAgain(files, { hour, before: read.get(hour), suspects })) })
    }
    for (const chain of (await brokenChains(this.#connection, read)).values()) {
      const breaks = await this.#connection.rows<ChainBreak>(linkBreaks, [chain.sourcePartition, chain.streamId])
      this.#problems.push(...breakProblems(breaks, chain, this.#brokenHours))
    }
    return read
  }

  async #readFiles (files: readonly string[], { hour, isDistinct }: { readonly hour: number, readonly isDistinct: boolean }): Promise<FolderHour> {
    if (files.length === 0) return { parts: [], sums: [] }
    const source = eventsUpToEnds(files, isDistinct)
    if (this.#rowsFile !== undefined) {
      await this.#connection.run(`DELETE FROM ${rebuiltTable} WHERE hour = ${hour}`)
      await this.#connection.run(addRebuilt(0, source))
    }
    return { parts: await this.#connection.rows<PartRow>(archivedPerStream(source)), sums: await this.#connection.rows<SumRow>(archivedHourSums(source)) }
  }

  async #readAgain (files: readonly string[], { hour, before, suspects }: { readonly hour: number, readonly before: FolderHour | undefined, readonly suspects: ReadonlyMap<string, Chain> }): Promise<FolderHour> {
    const distinct = await this.#readFiles(files, { hour, isDistinct: true })
    if (before !== undefined && eventsOf(before) !== eventsOf(distinct)) {
      for (const { streamId, gatewayId, hour } of await this.#connection.rows<{ streamId: string, gatewayId: string, hour: number }>(differingRepeats(files))) {
        this.#problems.push({ gatewayId, hour, problem: `stream ${streamId}: events of one identity in the archive differ` })
      }
    }
    if (files.length > 0) await this.#connection.run(enterLinks(files), [JSON.stringify([...suspects.keys()])])
    return distinct
  }

  /** Brings an hour's files, each one once; they are gone afterwards. */
  async #withFiles (hour: number, isFirst: boolean, work: (files: readonly string[]) => Promise<void>): Promise<void> {
    const folder = path.join(this.#parts.folder, 'hour')
    makeFolderDurable(folder)
    try {
      const rows = await this.#connection.rows<FileRow>(filesOfHour, [hour])
      const files = new Map<string, string>()
      for (let from = 0; from < rows.length; from += filesAtATime) {
        for (const { row, file, refusals } of await Promise.all(rows.slice(from, from + filesAtATime).map(async (each) => await this.#bring(each, folder)))) {
          // The same content under two names, of two owners that have archived the same, is read once.
          if (refusals === undefined) files.set(contentOf(row), file)
          else if (isFirst) {
            this.#brokenHours.add(hour)
            this.#problems.push({ hour, problem: `archive file ${row.file} of partition ${row.sourcePartition}: ${refusals.join('; ')}` })
          }
        }
      }
      await work([...files.values()])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  async #bring (row: FileRow, folder: string): Promise<{ readonly row: FileRow, readonly file: string, readonly refusals: readonly string[] | undefined }> {
    // The content in the name: of a name that it has read before, DuckDB would believe what it remembers. Its own name too,
    // because files of one content are brought beside each other.
    const file = path.join(folder, `${contentOf(row)}-${path.basename(row.file)}`)
    const refusals = await bringFrom(
      row.aggregators.flatMap((aggregator) => this.#parts.aggregators[aggregator] ?? []), `/files/partition-${row.sourcePartition}/archive/${row.file}`,
      { file, sha256: row.sha256, bytesMax: Number(row.bytes), isTemporary: true })
    return { row, file, refusals }
  }

  async #scarce (): Promise<string[]> {
    const { copies, settledBeforeHour } = this.#parts
    const rows = (await this.#connection.rows<{ hour: number, files: bigint }>(scarceHours, [copies])).filter(({ hour }) => hour < settledBeforeHour)
    const named = rows.slice(0, warningsMax).map(({ hour, files }) => `hour ${formatTimeMs(hourStartMs(hour)).slice(0, 13)}: ${files} archive files have fewer than ${copies} copies`)
    return rows.length > warningsMax ? [...named, `${rows.length - warningsMax} more hours have archive files with fewer than ${copies} copies`] : named
  }
}

function contentOf ({ sourcePartition, sha256 }: FileRow): string { return `${sourcePartition}-${sha256}` }

function partitionsOf (answer: unknown): readonly number[] {
  const partitions = (answer as { readonly partitions?: unknown } | undefined)?.partitions
  return Array.isArray(partitions) ? partitions.filter((partition): partition is number => Number.isSafeInteger(partition)) : []
}
