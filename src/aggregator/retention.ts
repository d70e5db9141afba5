// What brokers may delete, and what has the copies that this takes. Of the usage log: what is in the archive, by a flush that was
// published, has as many copies as it should have, and is older than it has to be kept for other readers; one flush whose copies are
// missing holds up everything behind it. Of the hourly topic: rows of a closed segment whose file has its copies. Copies take as long
// as a peer is silent, so nothing that counts or publishes waits for them.
import path from 'node:path'
import type { KafkaAdmin } from '../kafka/port.ts'
import type { Logger } from '../platform/logger.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { unlessAborted } from '../platform/unless-aborted.ts'
import { filesOfFlush } from './flush-record.ts'
import type { AggregatorFolders } from './folders.ts'
import { segmentsWithRows } from './tombstones.ts'
import type { ClosedWithRows } from './tombstones.ts'

/** Finished files of one partition: absolute paths. */
export interface ArchivedFiles { readonly partition: number, readonly files: readonly string[] }

export interface RetentionParts {
  readonly partition: number
  readonly topic: string
  readonly admin: Pick<KafkaAdmin, 'deleteRecordsBefore'>
  readonly folders: AggregatorFolders
  readonly ownerName: string
  /** Its own: another's transaction would hide what was archived since. */
  readonly reader: SqlConnection
  /** Writes between two steps of the loop. */
  readonly write: (sql: string, values: readonly (string | number)[]) => Promise<void>
  /** Says whether the files have the copies that they should have. */
  readonly onArchived: (files: ArchivedFiles) => Promise<boolean>
  readonly keepMs: number
  readonly nowMs: () => number
  readonly log: Logger
  /** Ends the wait for copies, whatever becomes of them. */
  readonly signal: AbortSignal
}

export interface Published {
  readonly revision: number
  /** Up to where what is archived was counted in public. */
  readonly archivedOffset: number
  /** Up to where whoever would take the partition over knows the archive, and would not read again. */
  readonly safeOffset: number
}

const deleteIntervalMs = 60_000
/** Flushes asked for at a time. */
const flushesPerTick = 20

interface OffsetRow { readonly [column: string]: unknown, readonly archivedOffset: bigint, readonly flush: string | null, readonly timestampMs: bigint, readonly isSafe: boolean }

export class Retention {
  readonly #parts: RetentionParts
  readonly #safeSegments = new Set<number>()
  #lastDeleteMs = -Infinity
  #deletedOffset = 0

  constructor (parts: RetentionParts) { this.#parts = parts }

  /** @returns whether more waits that could be asked for at once */
  async tick ({ revision, archivedOffset, safeOffset }: Published): Promise<boolean> {
    const isMore = await this.#askForCopies(archivedOffset)
    await this.#askForSegment(revision)
    await this.#deleteOld(safeOffset)
    return isMore && !this.#parts.signal.aborted
  }

  /** A file of our own must have its copies before the topic loses what it stands for. */
  isSafe ({ segment, ownerName: closer }: ClosedWithRows): boolean {
    return this.#safeSegments.has(segment) || (closer !== null && closer !== this.#parts.ownerName)
  }

  async #askForCopies (countedOffset: number): Promise<boolean> {
    const { partition, reader, folders, write } = this.#parts
    const rows = await reader.rows<OffsetRow>('SELECT * FROM archived_offsets WHERE sourcePartition = $1 AND NOT isSafe AND archivedOffset <= $2 ORDER BY archivedOffset LIMIT $3', [partition, countedOffset, flushesPerTick])
    for (const { archivedOffset, flush } of rows) {
      if (flush !== null && !await this.#isCopied(filesOfFlush(folders, flush))) return false
      await write('UPDATE archived_offsets SET isSafe = true WHERE sourcePartition = $1 AND archivedOffset = $2', [partition, Number(archivedOffset)])
    }
    return rows.length === flushesPerTick
  }

  async #askForSegment (publishedRevision: number): Promise<void> {
    const { partition, reader, folders, log } = this.#parts
    const [closed] = await segmentsWithRows(reader, { partition, publishedRevision })
    if (closed === undefined || this.isSafe(closed)) return
    const { segment, file } = closed
    const isSafe = await this.#isCopied([path.join(folders.segments, file)]).catch((error: unknown) => { log.warn({ error, partition, file }, 'nobody can say whether a closed segment has its copies; its tombstones wait') })
    if (isSafe === true) this.#safeSegments.add(segment)
  }

  async #isCopied (files: readonly string[]): Promise<boolean> {
    const { partition, onArchived, signal } = this.#parts
    return await unlessAborted(signal, onArchived({ partition, files })) === true
  }

  async #deleteOld (safeOffset: number): Promise<void> {
    const { partition, topic, admin, reader, write, keepMs, nowMs, log } = this.#parts
    if (nowMs() - this.#lastDeleteMs < deleteIntervalMs) return
    const [row] = await reader.rows<{ offset: bigint | null }>(`SELECT max(archivedOffset) AS offset FROM archived_offsets WHERE sourcePartition = $1 AND archivedOffset > 0 AND archivedOffset <= $2 AND timestampMs < $3
      AND archivedOffset < coalesce((SELECT min(archivedOffset) FROM archived_offsets WHERE sourcePartition = $1 AND NOT isSafe), 9223372036854775807)`, [partition, safeOffset, nowMs() - keepMs])
    const offset = Number(row?.offset ?? 0n)
    if (offset <= this.#deletedOffset) return
    this.#lastDeleteMs = nowMs()
    await admin.deleteRecordsBefore(topic, partition, offset)
    this.#deletedOffset = offset
    // Its own row stays: it says how far the archive is safe.
    await write('DELETE FROM archived_offsets WHERE sourcePartition = $1 AND archivedOffset < $2', [partition, offset])
    log.debug({ partition, offset }, 'the usage log is kept from here on: what stands before it is archived')
  }
}
