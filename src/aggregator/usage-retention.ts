// Which part of the usage log the brokers may delete: what is in the archive, by a flush that was published, has as many
// copies as it should have, and is older than it has to be kept for other readers. Only copies are dropped: one flush whose
// copies are missing holds up everything behind it.
import type { KafkaAdmin } from '../kafka/port.ts'
import type { Logger } from '../platform/logger.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { filesOfFlush } from './flush-record.ts'
import type { AggregatorFolders } from './folders.ts'

/** Finished files of one partition: absolute paths. */
export interface ArchivedFiles { readonly partition: number, readonly files: readonly string[] }

export interface UsageRetentionParts {
  readonly partition: number
  readonly topic: string
  readonly admin: Pick<KafkaAdmin, 'deleteRecordsBefore'>
  readonly folders: AggregatorFolders
  readonly reader: SqlConnection
  /** Writes between two steps of the loop. */
  readonly write: (sql: string, values: readonly (string | number)[]) => Promise<void>
  /** Says whether the files have the copies that they should have. */
  readonly onArchived: (files: ArchivedFiles) => Promise<boolean>
  readonly keepMs: number
  readonly nowMs: () => number
  readonly log: Logger
}

const deleteIntervalMs = 60_000
/** Flushes asked for at a time. */
const flushesPerTick = 20

interface OffsetRow { readonly [column: string]: unknown, readonly archivedOffset: bigint, readonly flush: string | null, readonly timestampMs: bigint, readonly isSafe: boolean }

export class UsageRetention {
  readonly #parts: UsageRetentionParts
  #lastDeleteMs = -Infinity
  #deletedOffset = 0

  constructor (parts: UsageRetentionParts) { this.#parts = parts }

  /**
   * @param archivedOffset up to where what is archived was counted in public
   * @param safeOffset up to where whoever would take the partition over knows the archive, and would not read again
   */
  async tick ({ archivedOffset, safeOffset }: { readonly archivedOffset: number, readonly safeOffset: number }): Promise<void> {
    await this.#askForCopies(archivedOffset)
    await this.#deleteOld(safeOffset)
  }

  async #askForCopies (countedOffset: number): Promise<void> {
    const { partition, reader, folders, onArchived, write } = this.#parts
    const rows = await reader.rows<OffsetRow>('SELECT * FROM archived_offsets WHERE sourcePartition = $1 AND NOT isSafe AND archivedOffset <= $2 ORDER BY archivedOffset LIMIT $3', [partition, countedOffset, flushesPerTick])
    for (const { archivedOffset, flush } of rows) {
      if (flush !== null) {
        if (!await onArchived({ partition, files: filesOfFlush(folders, flush) })) return
      }
      await write('UPDATE archived_offsets SET isSafe = true WHERE sourcePartition = $1 AND archivedOffset = $2', [partition, Number(archivedOffset)])
    }
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
