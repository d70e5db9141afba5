// Records that can't be counted, sent to the topic of dead letters before they count as taken: none is lost; after a crash
// in between one may stand there twice, and its identity tells.
import type { KafkaClient, PartitionProducer } from '../kafka/port.ts'
import type { Logger } from '../platform/logger.ts'
import { encodeDeadLetter, reasonClassOf } from '../usage-log/kafka-dead-letters.ts'
import type { DeadLetter } from '../usage-log/kafka-dead-letters.ts'
import type { Stray } from '../usage-log/kafka-items.ts'
import type { BadLine } from './ingest.ts'

export interface DeadLetterTopicParts {
  readonly kafka: Pick<KafkaClient, 'openPartitionProducer'>
  readonly topic: string
  readonly partition: number
  readonly count: (reasonClass: string, letters: number) => void
  readonly log: Logger
}

/** Records sent at once; a value has 64 KiB at most. */
const lettersPerSend = 100

export class DeadLetterTopic {
  readonly #parts: DeadLetterTopicParts
  #producer: PartitionProducer | undefined

  constructor (parts: DeadLetterTopicParts) { this.#parts = parts }

  /** Durable when it resolves. @throws TollgateError KAFKA_UNREACHABLE, KAFKA_REFUSED: then some may have been sent */
  async sendLines (badLines: readonly BadLine[]): Promise<void> {
    await this.#send(badLines.flatMap(({ reason, origin }) => origin === undefined ? [] : [{ partition: this.#parts.partition, reason, record: origin }]))
  }

  async sendStrays (strays: readonly Stray[]): Promise<void> {
    const { partition, log } = this.#parts
    await this.#send(strays.map(({ reason, record }) => ({ partition, reason, record })))
    log.warn({ partition, records: strays.length, offset: strays[0]?.record.offset }, 'records of the usage log belong to no stream: they were set aside as no-identity, and are in nobody\'s bill')
  }

  async close (): Promise<void> {
    const producer = this.#producer
    this.#producer = undefined
    await producer?.close()
  }

  async #send (letters: readonly DeadLetter[]): Promise<void> {
    const { kafka, topic, count } = this.#parts
    for (let at = 0; at < letters.length; at += lettersPerSend) {
      const some = letters.slice(at, at + lettersPerSend)
      this.#producer ??= kafka.openPartitionProducer({ topic, partition: 0 })
      try {
        await this.#producer.send(some.map(encodeDeadLetter))
      } catch (error) {
        // It can't be used any more; the next send opens another.
        await this.close()
        throw error
      }
      for (const { reason } of some) count(reasonClassOf(reason), 1)
    }
  }
}
