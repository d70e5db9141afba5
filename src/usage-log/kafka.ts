// The usage log of a cluster, one partition of it: the topic api-usage-trace, read from offsets of our own, records of
// aborted sends included - the chain says what counts. What can't be read for now is told and waited for; nothing that
// was handed out is ever forgotten because of it.
import { TollgateError } from '../domain/errors.ts'
import { OutOfRangeError } from '../kafka/port.ts'
import type { PartitionReader } from '../kafka/port.ts'
import { giveBack } from '../platform/give-back.ts'
import type { Logger } from '../platform/logger.ts'
import { itemsOf } from './kafka-items.ts'
import type { Stray } from './kafka-items.ts'
import type { ReadTo, UsageLog, UsageLogItem } from './port.ts'

export interface KafkaUsageLogParts {
  readonly partition: number
  readonly reader: PartitionReader
  /** Where reading begins, also again after an error: everything before it is in the archive. */
  readonly archivedOffset: () => number
  /** Keeps records that belong to no stream; durable when it resolves. */
  readonly setAside: (strays: readonly Stray[]) => Promise<void>
  /** The topic was deleted, made anew, or has lost its end: offsets say nothing any more, and whoever owns the partition takes it over again. */
  readonly onGone: (error: TollgateError) => void
  readonly log: Logger
}

/** The longest wait at the end of the log: whoever wants the aggregator's turn waits behind it. */
const waitMs = 20
/** Fetched at once; unpacked it may be many times as much, and is handed out in parts. */
const fetchBytesMax = 4 * 2 ** 20

export class KafkaUsageLog implements UsageLog {
  readonly partitions: readonly number[]
  readonly isGapSentAgain = true
  readonly #parts: KafkaUsageLogParts
  #position: ReadTo
  #endOffset: number | undefined
  #problem: string | undefined
  /** Of what was handed out since the last `release`. */
  #memory: ArrayBufferLike[] = []

  constructor (parts: KafkaUsageLogParts) {
    this.#parts = parts
    this.partitions = [parts.partition]
    this.#position = { offset: parts.archivedOffset(), timestampMs: 0 }
  }

  /** Why nothing can be read for now. */
  get problem (): string | undefined { return this.#problem }
  /** Records that wait; undefined before the first read. */
  get lag (): number | undefined { return this.#endOffset === undefined ? undefined : Math.max(0, this.#endOffset - this.#position.offset) }

  readTo (): ReadTo { return this.#position }

  async read (_partition: number, bytesMax: number): Promise<readonly UsageLogItem[]> {
    const { reader, setAside } = this.#parts
    const { offset, timestampMs } = this.#position
    try {
      const { records, memory, nextOffset, endOffset } = await reader.read({ offset, bytesMax: Math.max(1, Math.min(bytesMax, fetchBytesMax)), waitMs })
      const { items, strays } = itemsOf(records)
      this.#memory.push(...memory, ...items.flatMap((item) => item.kind === 'events' ? item.ndjson.buffer : []))
      if (strays.length > 0) await setAside(strays)
      this.#position = { offset: nextOffset, timestampMs: records.at(-1)?.timestampMs ?? timestampMs }
      this.#endOffset = endOffset
      this.#problem = undefined
      return items
    } catch (error) {
      return this.#explain(error)
    }
  }

  release (): void {
    for (const memory of this.#memory) giveBack(memory)
    this.#memory = []
  }

  rewind (): void { this.#position = { offset: this.#parts.archivedOffset(), timestampMs: 0 } }

  reportProgress (): void { /* Gateways are told by the topic usage-progress, in the transaction that publishes the counts. */ }

  async close (): Promise<void> { await this.#parts.reader.close() }

  #explain (error: unknown): readonly UsageLogItem[] {
    const { log, partition, onGone } = this.#parts
    if (error instanceof OutOfRangeError && this.#position.offset > error.endOffset) {
      // The brokers have lost the end of it, and give its offsets to other records now.
      onGone(error)
      return []
    }
    if (error instanceof OutOfRangeError) {
      const { startOffset, endOffset } = error
      log.warn({ code: error.code, partition, offset: this.#position.offset, startOffset, endOffset }, 'the usage log no longer holds our offset: it is read from its start, and what is missing in it shows as a gap')
      this.#position = { offset: startOffset, timestampMs: 0 }
      return []
    }
    if (!(error instanceof TollgateError)) throw error
    if (error.code === 'KAFKA_TOPIC_GONE') onGone(error)
    if (this.#problem !== error.message) log.warn({ error, partition }, 'the usage log can\'t be read for now')
    this.#problem = error.message
    return []
  }
}
