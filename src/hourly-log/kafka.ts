// The hourly log of a cluster: the compacted topic hourly-api-usage, read in committed records only. A ledger is the fold
// of a partition in topic order, and this is why it holds each count once, whatever was read when:
//
// 1. Rows are absolute within their key, which names the segment. Read again, sent again by a new owner, or seen in an
//    earlier version that compaction has not removed yet, a row ends as its newest version: that is the one which
//    compaction keeps, and it stands behind all others.
// 2. `closed` stands before the tombstones of its segment's rows and before the rows of the next segment, has a key of its
//    own and is written once, so compaction moves nothing across it. Where it is read, the segment's file takes the place
//    of all its rows: of those that were read before, and of those that a compaction has already taken away because their
//    tombstones follow. A slow reader that stands between `closed` and the tombstones, or before both, comes to the same.
// 3. A row of a segment that is closed changes nothing any more: one that is left over because its tombstone is still to
//    come, or one that was sent again after a take-over. The ledger keeps which segments are closed, with their files'
//    hashes, in the transaction that appends the file. Tombstones remove nothing.
// 4. Rows, tallies and streams of one transaction of the owner become visible together, but compaction may take an earlier
//    row away while its stream's earlier statement still stands. So what a partition says is true together only where the
//    end that could be seen was reached (`hasMore` false): then no newer version of anything stood behind it.
// 5. A position is an offset within one topic, named by its topicId. Another topicId, or an offset that the topic doesn't
//    have (any more), and everything is read again from the oldest record, beside the fold that still answers.
//
// A record that can't be read is reported and changes nothing. Nothing is skipped: only what comes after an unreadable
// record in topic order is taken after it.
import { OutOfRangeError } from '../kafka/port.ts'
import type { PartitionReader, ReadPosition, ReadResult } from '../kafka/port.ts'
import { cutBatch } from './kafka-batch.ts'
import type { CutBatch, MalformedRecord } from './kafka-batch.ts'
import type { ClosedValue } from './kafka-record.ts'
import type { ClosedSegment, HourlyBatch, HourlyLogReader, HourlyPosition } from './port.ts'

export interface KafkaHourlyLogParts {
  /** Of the topic as it is now. @throws TollgateError KAFKA_UNREACHABLE, KAFKA_TOPIC_GONE */
  readonly topicId: () => Promise<string>
  /** Of committed records of that topic and no other. */
  readonly openReader: (partition: number, topicId: string) => PartitionReader
  /** Brings a closed segment's file. @returns where it is. @throws TollgateError SEGMENT_UNAVAILABLE */
  readonly closedFile: (partition: number, closed: ClosedValue) => Promise<string>
  readonly onMalformed: (records: readonly MalformedRecord[]) => void
  /** Of one read of one partition. */
  readonly bytesMax: number
  /** How long `next` waits for something new. */
  readonly waitMs: number
}

export interface KafkaHourlyLog extends HourlyLogReader {
  readonly close: () => Promise<void>
}

export function openKafkaHourlyLog (parts: KafkaHourlyLogParts): KafkaHourlyLog {
  const partitions = new Map<number, PartitionLog>()
  return {
    next: async (partition, position) => {
      const log = partitions.get(partition) ?? new PartitionLog(partition, parts)
      partitions.set(partition, log)
      return await log.next(position)
    },
    // `next` itself waits for what is new.
    onChange: () => {},
    close: async () => { await Promise.all([...partitions.values()].map((each) => each.close())) }
  }
}

interface Source { readonly topicId: string, readonly reader: PartitionReader }

const nothing: NonNullable<HourlyBatch['account']> = { segment: undefined, streams: [], tallies: [], uncertainVoids: [], progress: undefined }

class PartitionLog {
  readonly #partition: number
  readonly #parts: KafkaHourlyLogParts
  #source: Source | undefined
  /** What a read has brought and no batch has taken yet: a file that is missing is waited for without reading all again and again. */
  #left: { readonly offset: number, readonly result: ReadResult } | undefined
  /** The first batch comes even when it is empty: it says that the end was reached. */
  #hasAnswered = false

  constructor (partition: number, parts: KafkaHourlyLogParts) {
    this.#partition = partition
    this.#parts = parts
  }

  async next (position: HourlyPosition | undefined): Promise<HourlyBatch | undefined> {
    const source = this.#source ??= await this.#open()
    try {
      return await this.#batch(source, position)
    } catch (error) {
      // Made anew, or about to be: which one it is now is asked before the next read.
      if ((error as { readonly code?: unknown }).code === 'KAFKA_TOPIC_GONE') await this.close()
      throw error
    }
  }

  async close (): Promise<void> {
    const source = this.#source
    this.#source = undefined
    this.#left = undefined
    await source?.reader.close()
  }

  async #open (): Promise<Source> {
    const topicId = await this.#parts.topicId()
    return { topicId, reader: this.#parts.openReader(this.#partition, topicId) }
  }

  async #batch ({ topicId, reader }: Source, position: HourlyPosition | undefined): Promise<HourlyBatch | undefined> {
    if (position === undefined || position.historyId !== topicId) return await this.#restart(topicId, reader)
    try {
      return await this.#batchAt(topicId, position.revision, await this.#readAt(reader, position.revision), false)
    } catch (error) {
      if (!(error instanceof OutOfRangeError)) throw error
      return await this.#restart(topicId, reader)
    }
  }

  async #restart (topicId: string, reader: PartitionReader): Promise<HourlyBatch | undefined> {
    this.#left = undefined
    try {
      return await this.#batchAt(topicId, 0, await this.#readAt(reader, 0), true)
    } catch (error) {
      if (!(error instanceof OutOfRangeError)) throw error
      const { startOffset } = error
      return await this.#batchAt(topicId, startOffset, await this.#readAt(reader, startOffset), true)
    }
  }

  async #readAt (reader: PartitionReader, offset: number): Promise<ReadResult> {
    if (this.#left?.offset === offset) return this.#left.result
    const position: ReadPosition = { offset, bytesMax: this.#parts.bytesMax, waitMs: this.#hasAnswered ? this.#parts.waitMs : 0 }
    return await reader.read(position)
  }

  async #batchAt (topicId: string, offset: number, result: ReadResult, isReset: boolean): Promise<HourlyBatch | undefined> {
    this.#left = result.records.length === 0 ? undefined : { offset, result }
    const cut = result.records.length === 0 ? undefined : cutBatch(result.records, this.#partition)
    const rest = result.records.slice(cut?.taken ?? 0)
    const nextOffset = rest[0]?.offset ?? result.nextOffset
    if (!isReset && this.#hasAnswered && nextOffset === offset) return undefined
    const closed = await this.#closedOf(cut)
    this.#left = rest.length === 0 ? undefined : { offset: nextOffset, result: { ...result, records: rest } }
    if (cut !== undefined && cut.malformed.length > 0) this.#parts.onMalformed(cut.malformed)
    this.#hasAnswered = true
    return {
      isReset,
      partition: this.#partition,
      position: { historyId: topicId, term: 0, revision: nextOffset },
      closed,
      rowsNdjson: cut?.rowsNdjson ?? '',
      watermarks: [],
      account: cut?.account ?? nothing,
      hasMore: nextOffset < result.endOffset
    }
  }

  async #closedOf (cut: CutBatch | undefined): Promise<readonly ClosedSegment[]> {
    if (cut?.closed === undefined) return []
    const { segment, value } = cut.closed
    const file = await this.#parts.closedFile(this.#partition, value)
    return [{ partition: this.#partition, segment, file, sha256: value.sha256, rows: value.rows, revision: 0 }]
  }
}
