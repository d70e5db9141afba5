// The aggregator's steps: take a batch, flush the archive, close a segment. Each ends in one transaction; memory follows
// the file only after the commit. One caller at a time; the loop in aggregator-loop.ts is that caller.
import { crashPoint } from '../platform/crash-points.ts'
import type { DuckDb, SqlConnection } from '../platform/duckdb.ts'
import type { Logger } from '../platform/logger.ts'
import type { ReadTo, UsageLogItem, UsageProgress } from '../usage-log/port.ts'
import { applyBatch, writeRows } from './apply.ts'
import { collectDetails, coveredBy, enterFlush, flushName, removeFlushFiles, writeArchiveFiles } from './archive.ts'
import type { StagedTable } from './archive-sql.ts'
import type { Applied, Batch } from './batch.ts'
import { missing, planBatch, voidKey } from './batch-plan.ts'
import type { BatchPlan, Gap } from './batch-plan.ts'
import { writeDeadLetters } from './dead-letters.ts'
import { writeFlushRecord } from './flush-record.ts'
import type { FlushRecord, FlushedStream } from './flush-record.ts'
import type { AggregatorFolders } from './folders.ts'
import type { BadLine, Ingest, IngestedTable } from './ingest.ts'
import { archivedOffsets, awaitCopies, positionsAfter, writeArchivedOffsets } from './log-positions.ts'
import type { ArchivedOffset } from './log-positions.ts'
import { closeSegment } from './segments.ts'
import type { ArchivedFiles } from './retention.ts'
import { countRows, loadState, partitionOf } from './state.ts'
import type { AggregatorState } from './state.ts'

export interface AggregatorParts {
  readonly folders: AggregatorFolders
  readonly duckDb: DuckDb
  readonly writer: SqlConnection
  readonly ingest: Ingest
  readonly partitions: readonly number[]
  readonly segmentRowsMax: number
  readonly log: Logger
  readonly nowMs: () => number
  /** Hexadecimal, unlike any other: a UUID. */
  readonly randomId: () => string
  /** Decides what is new. Tests bring wrong ones, to see that they are caught. */
  readonly plan?: typeof planBatch
  /** Of a cluster: tells others of lines that can't be counted; durable when it resolves, and before they count as taken. */
  readonly tellBadLines?: (partition: number, badLines: readonly BadLine[]) => Promise<void>
  /**
   * Of a cluster: brings a segment's file to other machines before it is closed, because some of its rows may be in no topic. False: not
   * now, and the segment stays open.
   */
  readonly onSnapshot?: (files: ArchivedFiles) => Promise<boolean>
  /** Of a cluster: rows of a closed segment stay until nobody needs their keys any more. */
  readonly keepsClosedRows?: boolean
  /** Of a cluster: other machines keep copies of the archive. */
  readonly isArchiveShared?: boolean
}

export interface Taken { readonly events: number, readonly deadLetters: number, /** Something was committed. */ readonly isChanged: boolean }

/** A snapshot that can't be copied is made again after this. */
const closeRetryMs = 60_000
/** Staged tables are put together up to this many rows: few tables, and no row copied often. */
const stagedTableRowsMin = 20_000

export class Aggregator {
  readonly parts: AggregatorParts
  #state: AggregatorState
  #staged: StagedTable[] = []
  /** No segment is closed before: the last file could not be copied. */
  #openUntilMs = 0
  /** Streams that are held back, by partition and stream. */
  readonly #gaps = new Map<string, Gap>()

  /** Streams of which records were passed over since they were last taken out of it. */
  readonly passedOver = new Set<string>()

  constructor (parts: AggregatorParts, state: AggregatorState) {
    this.parts = parts
    this.#state = state
  }

  get state (): AggregatorState { return this.#state }
  get gaps (): readonly Gap[] { return [...this.#gaps.values()] }
  get stagedEvents (): number { return this.#staged.reduce((sum, { rows }) => sum + rows, 0) }
  get stagedBytes (): number { return this.#staged.reduce((sum, { bytes }) => sum + bytes, 0) }

  /** Asks for copies of flushes that were not written by `flush` just now. Part of a transaction. */
  async awaitCopies (flushes: readonly string[]): Promise<void> {
    if (this.parts.isArchiveShared !== true) return
    for (const partition of this.#state.partitions.keys()) await awaitCopies(this.parts.writer, partition, flushes)
  }

  /** What the usage log may be told about a partition. */
  progress (partition: number): UsageProgress[] {
    return [...partitionOf(this.#state, partition).streams].map(([streamId, { appliedSeq, archivedSeq }]) => ({ streamId, appliedSeq, archivedSeq }))
  }

  /** Counts what is new of `items`, in one transaction. After an error: `reset`, and read the usage log again. */
  async take (partition: number, items: readonly UsageLogItem[], readTo?: ReadTo): Promise<Taken> {
    const open = partitionOf(this.#state, partition)
    const { streams, voids } = open
    const plan = (this.parts.plan ?? planBatch)(items, streams, voids)
    this.#noteGaps(partition, plan)
    const marks = plan.marks.filter(({ mark }) => mark.seq >= (this.#state.streamMarks.get(mark.streamId)?.seq ?? 0))
    const positions = positionsAfter(open, readTo)
    if (plan.seqs.size === 0 && marks.length === 0 && positions === undefined) {
      open.readTo = readTo
      return { events: 0, deadLetters: 0, isChanged: false }
    }
    const [both, counted, staged] = await this.#read(plan)
    const newTables = [both, counted]
    const batch: Batch = {
      partition,
      tables: newTables.flatMap(({ table }) => table ?? []),
      counts: newTables.flatMap(({ counts }) => counts),
      badLines: newTables.flatMap(({ badLines }) => badLines),
      stagedBadLines: staged.badLines,
      voids: plan.voids.filter(({ isCounted }) => isCounted),
      holes: plan.holes,
      marks,
      seqs: plan.seqs,
      ...(positions === undefined ? {} : { positions })
    }
    writeDeadLetters(this.parts.folders.deadLetters, batch.badLines, this.parts.nowMs())
    if (batch.badLines.length > 0) await this.parts.tellBadLines?.(partition, batch.badLines)
    await this.commit(batch)
    open.readTo = readTo
    if (counted.table !== undefined) await this.parts.writer.run(`DROP TABLE ${counted.table}`)
    for (const { table, rows, bytes } of [staged, both]) if (table !== undefined) await this.#stage({ partition, table, rows, bytes })
    for (const hole of plan.holes) this.parts.log.error({ hole }, 'counted events were lost before they were archived: bills stand, the archive lacks them')
    const events = batch.counts.reduce((sum, { billable, notBillable }) => sum + billable + notBillable, 0)
    return { events, deadLetters: batch.badLines.length, isChanged: true }
  }

  /** Commits a batch whose events are in tables already. After an error: `reset`. */
  async commit (batch: Batch): Promise<void> {
    const { writer, nowMs } = this.parts
    const applied = await writer.transaction(async () => {
      const changes = await applyBatch(writer, this.#state, batch, nowMs())
      crashPoint('aggregator.before-commit')
      return changes
    })
    crashPoint('aggregator.after-commit')
    await this.#remember(batch.partition, applied)
    const open = partitionOf(this.#state, batch.partition)
    if (batch.positions !== undefined) open.positions = batch.positions
    const { voids } = open
    for (const { item, afterSeq, isCounted } of batch.voids) if (isCounted) voids.set(voidKey(item), { streamId: item.streamId, lastSeq: item.lastSeq, afterSeq })
  }

  /** Puts everything staged into the archive. @returns false when nothing was */
  async flush (): Promise<boolean> {
    const { folders, writer, randomId, nowMs } = this.parts
    const streams = this.#unarchived()
    const archived = archivedOffsets(this.#state)
    if (streams.length === 0) return await this.#moveArchivedOffsets(archived)
    const flush = flushName(nowMs(), randomId())
    const record = await this.#writeFlushFiles(flush, streams)
    writeFlushRecord(folders.flushes, record)
    const revision = this.#state.revision + 1
    const flushedRevision = this.#state.revision
    const moved = streams.map(({ sourcePartition, streamId, gatewayId, lastSeq }) => ({
      sourcePartition, streamId, gatewayId: gatewayId ?? null, appliedSeq: partitionOf(this.#state, sourcePartition).streams.get(streamId)?.appliedSeq ?? 0, archivedSeq: lastSeq, revision
    }))
    await writer.transaction(async () => {
      await enterFlush(writer, record)
      await writeRows(writer, 'streams', moved)
      await writeArchivedOffsets(writer, archived, { flush, revision })
      await writer.run('UPDATE meta SET revision = $1, flushedRevision = $2, lastFlush = $3', [revision, flushedRevision, flush])
    })
    crashPoint('archive.after-commit')
    for (const { sourcePartition, streamId, lastSeq } of streams) {
      const known = partitionOf(this.#state, sourcePartition).streams
      const stream = known.get(streamId)
      if (stream !== undefined) known.set(streamId, { ...stream, archivedSeq: lastSeq })
    }
    Object.assign(this.#state, { revision, flushedRevision, lastFlush: flush })
    for (const { partition, positions } of archived) partitionOf(this.#state, partition).positions = positions
    for (const { streams: known, voids } of this.#state.partitions.values()) {
      for (const [key, { streamId, lastSeq }] of voids) if (lastSeq <= (known.get(streamId)?.archivedSeq ?? 0)) voids.delete(key)
    }
    const tables = this.#staged
    this.#staged = []
    for (const { table } of tables) await writer.run(`DROP TABLE ${table}`)
    return true
  }

  /** Closes a segment that has grown large enough. @returns whether it had */
  async closeSegmentWhenFull (partition: number): Promise<boolean> {
    const { writer, folders, segmentRowsMax, nowMs, randomId, keepsClosedRows, onSnapshot, log } = this.parts
    const open = partitionOf(this.#state, partition)
    if (open.segmentRows < segmentRowsMax || nowMs() < this.#openUntilMs) return false
    const revision = this.#state.revision + 1
    const bring = async (file: string): Promise<boolean> => await onSnapshot?.({ partition, files: [file] }) ?? true
    if (!await closeSegment(writer, { partition, segment: open.segment, folder: folders.segments, random: randomId(), revision, keepsRows: keepsClosedRows === true, bring })) {
      this.#openUntilMs = nowMs() + closeRetryMs
      log.warn({ partition, segment: open.segment, rows: open.segmentRows }, 'a segment that is full stays open: its file could not be brought to as many machines as archive.copies wants; it is tried again in a minute')
      return false
    }
    this.#state.revision = revision
    Object.assign(open, { segment: open.segment + 1, segmentRows: 0 })
    return true
  }

  /** After an error nothing in memory is believed: all of it comes from the file again, and what was staged from the usage log. */
  async reset (): Promise<void> {
    const { writer, partitions } = this.parts
    this.#staged = []
    const tables = await writer.rows<{ table_name: string }>('SELECT table_name FROM duckdb_tables() WHERE temporary AND starts_with(table_name, $1)', ['events_'])
    for (const { table_name: table } of tables) await writer.run(`DROP TABLE ${table}`)
    this.#state = await loadState(writer, partitions)
  }

  /** Nothing was staged, but what was read needn't be read again: it was counted and archived before, or never counts. */
  async #moveArchivedOffsets (archived: readonly ArchivedOffset[]): Promise<boolean> {
    if (archived.length === 0) return false
    const revision = this.#state.revision + 1
    const { writer } = this.parts
    await writer.transaction(async () => {
      await writeArchivedOffsets(writer, archived, { flush: null, revision })
      await writer.run('UPDATE meta SET revision = $1', [revision])
    })
    this.#state.revision = revision
    for (const { partition, positions } of archived) partitionOf(this.#state, partition).positions = positions
    return true
  }

  async #remember (partition: number, { revision, streams, streamMarks }: Applied): Promise<void> {
    const open = partitionOf(this.#state, partition)
    this.#state.revision = revision
    for (const [streamId, stream] of streams) open.streams.set(streamId, stream)
    for (const [streamId, mark] of streamMarks) this.#state.streamMarks.set(streamId, mark)
    open.segmentRows = await countRows(this.parts.writer, partition, open.segment)
  }

  /** Pieces into tables: for counting and the archive, for counting alone, for the archive alone. */
  async #read (plan: BatchPlan): Promise<[IngestedTable, IngestedTable, IngestedTable]> {
    const read = async (isCounted: boolean, isStaged: boolean): Promise<IngestedTable> => {
      const runs = plan.pieces.filter((piece) => piece.isCounted === isCounted && piece.isStaged === isStaged).map((piece) => piece.run)
      return runs.length === 0 ? { table: undefined, rows: 0, bytes: 0, counts: [], badLines: [] } : await this.parts.ingest.read(runs)
    }
    return [await read(true, true), await read(true, false), await read(false, true)]
  }

  async #stage (table: StagedTable): Promise<void> {
    const last = this.#staged.at(-1)
    if (last === undefined || last.partition !== table.partition || last.rows + table.rows > stagedTableRowsMin) {
      this.#staged.push(table)
      return
    }
    await this.parts.writer.run(`INSERT INTO ${last.table} SELECT * FROM ${table.table}`)
    await this.parts.writer.run(`DROP TABLE ${table.table}`)
    last.rows += table.rows
    last.bytes += table.bytes
  }

  #unarchived (): FlushedStream[] {
    return [...this.#state.partitions].flatMap(([sourcePartition, { streams }]) => [...streams]
      .filter(([, stream]) => stream.stagedSeq > stream.archivedSeq)
      .map(([streamId, { gatewayId, archivedSeq, stagedSeq }]) => ({ sourcePartition, streamId, gatewayId, afterSeq: archivedSeq, lastSeq: stagedSeq })))
  }

  async #writeFlushFiles (flush: string, streams: readonly FlushedStream[]): Promise<FlushRecord> {
    const { folders, writer } = this.parts
    try {
      const written = await writeArchiveFiles(writer, { archive: folders.archive, tables: this.#staged, flush })
      const details = coveredBy(streams, await collectDetails(writer, this.#state))
      return { schemaVersion: 1, flush, previousFlush: this.#state.lastFlush ?? null, ...written, streams, ...details }
    } catch (error) {
      // Files of a flush that no record names are copies of what the usage log still holds.
      removeFlushFiles(folders.archive, flush)
      throw error
    }
  }

  /**
   * Of a cluster, when the usage log was read to its end: what is counted, not archived, and not in the log any more is
   * asked for again from the gateway, which keeps it until it is archived. Only between two steps.
   */
  noteUnstaged (partition: number): void {
    for (const [streamId, stream] of partitionOf(this.#state, partition).streams) {
      if (stream.stagedSeq < stream.appliedSeq) this.#noteGap(partition, missing(streamId, stream, { toSeq: stream.appliedSeq, reason: `it is counted up to ${stream.appliedSeq}, not archived, and no longer in the usage log` }))
    }
  }

  #noteGaps (partition: number, plan: BatchPlan): void {
    for (const [streamId] of plan.seqs) {
      if (this.#gaps.delete(`${partition} ${streamId}`)) this.parts.log.info({ partition, streamId }, 'the stream is counted again: what was missing has come, or was given up')
    }
    for (const gap of plan.gaps) this.#noteGap(partition, gap)
    for (const streamId of plan.passedOver) this.passedOver.add(streamId)
  }

  #noteGap (partition: number, gap: Gap): void {
    const key = `${partition} ${gap.streamId}`
    // Said once: what comes behind a gap would say it again with every batch.
    const known = this.#gaps.get(key)
    if (known?.afterSeq === gap.afterSeq) {
      if (gap.toSeq < known.toSeq) this.#gaps.set(key, gap)
      return
    }
    this.parts.log.error({ code: 'USAGE_LOG_GAP', partition, ...gap }, 'records are missing: nothing of this stream is counted until they come')
    this.#gaps.set(key, gap)
  }
}
