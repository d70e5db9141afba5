// Reads one partition of a compacted topic from its beginning and then for ever.
import { TollgateError } from '../domain/errors.ts'
import { OutOfRangeError } from '../kafka/port.ts'
import type { KafkaClient, PartitionReader, RecordIn } from '../kafka/port.ts'
import { sleepMs } from '../platform/clock.ts'
import type { KafkaWatch } from './kafka-watch.ts'

export interface FollowerParts {
  readonly kafka: Pick<KafkaClient, 'openPartitionReader'>
  readonly topic: string
  readonly partition: number
  readonly watch: KafkaWatch
  readonly onRecords: (records: readonly RecordIn[]) => void
  readonly signal: AbortSignal
}

const bytesMax = 1 << 20
const waitMs = 1000
const timeoutMs = 5000
const retryMs = 1000

export class TopicFollower {
  /** Resolves when all was read that the topic held at some time since the start. */
  readonly caughtUp: Promise<void>
  readonly #parts: FollowerParts
  readonly #onCaughtUp: () => void
  #offset = 0
  #onContact: (() => void)[] = []

  constructor (parts: FollowerParts) {
    this.#parts = parts
    const { promise, resolve } = Promise.withResolvers<void>()
    this.caughtUp = promise
    this.#onCaughtUp = resolve
  }

  /** Resolves when Kafka has answered once more, or with the signal. */
  contact (): Promise<void> { return new Promise((resolve) => { this.#onContact.push(resolve) }) }

  /** Ends with the signal. */
  async run (): Promise<void> {
    const { signal } = this.#parts
    let reader = this.#open()
    // A read that waits must not hold up a stop.
    const close = (): void => { void reader.close() }
    signal.addEventListener('abort', close, { once: true })
    while (!signal.aborted) {
      try {
        await this.#read(reader)
      } catch (error) {
        if (signal.aborted) break
        // Behind what the topic holds: it was cut or cleaned.
        if (error instanceof OutOfRangeError) { this.#offset = error.startOffset; continue }
        this.#parts.watch.failed(this.#name, error)
        if (error instanceof TollgateError && error.code === 'KAFKA_TOPIC_GONE') {
          await reader.close()
          reader = this.#open()
          this.#offset = 0
        }
        await sleepMs(retryMs, signal).catch(() => undefined)
      }
    }
    signal.removeEventListener('abort', close)
    await reader.close()
    this.#answered()
  }

  get #name (): string { return `${this.#parts.topic}-${this.#parts.partition}` }

  async #read (reader: PartitionReader): Promise<void> {
    const { records, nextOffset, endOffset } = await reader.read({ offset: this.#offset, bytesMax, waitMs })
    this.#offset = nextOffset
    if (records.length > 0) this.#parts.onRecords(records)
    this.#parts.watch.worked(this.#name)
    if (nextOffset >= endOffset) this.#onCaughtUp()
    this.#answered()
  }

  #answered (): void { for (const resolve of this.#onContact.splice(0)) resolve() }

  #open (): PartitionReader {
    const { kafka, topic, partition } = this.#parts
    return kafka.openPartitionReader({ topic, partition, isolation: 'committed', timeoutMs })
  }
}
