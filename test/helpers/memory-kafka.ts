// Kafka in memory, as far as the owner of a partition sees it: offsets, committed and uncommitted readers, transactions that
// are whole or not there, fencing by epoch, compaction, and what brokers do when they lose power. For simulations, which
// decide each step; everything that is claimed of Kafka itself is tested on a real one.
import { randomUUID } from 'node:crypto'
import { TollgateError } from '../../src/domain/errors.ts'
import { OutOfRangeError } from '../../src/kafka/port.ts'
import type { KafkaAdmin, KafkaClient, PartitionReader, PartitionRecords, RecordIn, RecordOut, TransactionalPublisher } from '../../src/kafka/port.ts'

interface MemoryTopic { topicId: string, startOffset: number, endOffset: number, records: RecordIn[], /** Of other partitions than the one that is read. */ strays: RecordIn[] }

export interface MemoryKafkaFaults {
  /** Asked before each transaction of an owner; `lost-answer`: it takes place, and nobody is told. */
  publish?: ((parts: readonly PartitionRecords[]) => 'fine' | 'refused' | 'lost-answer') | undefined
  /** Decides which parts of a transaction become visible together: a right Kafka has one group. */
  split?: ((parts: readonly PartitionRecords[]) => readonly (readonly PartitionRecords[])[]) | undefined
  /** Where a transaction's record goes; left out: to the partition that its owner names. */
  place?: ((topic: string, record: RecordOut) => number) | undefined
  /** A wrong Kafka, or a wrong owner: everybody's transactions are taken. */
  isFencingOff?: boolean
}

/** Topics of which partition 0 can be read; what goes to others by a mistake is kept apart. */
export class MemoryKafka implements Pick<KafkaClient, 'openTransactionalPublisher' | 'openPartitionReader' | 'openPartitionProducer'> {
  readonly faults: MemoryKafkaFaults = {}
  recordsPerRead = Infinity
  nowMs: () => number
  readonly #topics = new Map<string, MemoryTopic>()
  readonly #epochs = new Map<string, number>()

  constructor (topics: readonly string[], nowMs: () => number) {
    this.nowMs = nowMs
    for (const topic of topics) this.remake(topic)
  }

  /** Deleted and made anew, empty. */
  remake (topic: string): void { this.#topics.set(topic, { topicId: randomUUID(), startOffset: 0, endOffset: 0, records: [], strays: [] }) }

  records (topic: string): readonly RecordIn[] { return this.#of(topic).records }
  strays (topic: string): readonly RecordIn[] { return this.#of(topic).strays }
  endOffset (topic: string): number { return this.#of(topic).endOffset }

  append (topic: string, records: readonly RecordOut[]): void {
    const log = this.#of(topic)
    for (const record of records) log.records.push(this.#recordOf(record, log.endOffset++))
  }

  /** What had not reached a disk is gone; the offsets are given again. */
  cut (topic: string, records: number): void {
    const log = this.#of(topic)
    for (let i = 0; i < records; i++) log.records.pop()
    log.endOffset = (log.records.at(-1)?.offset ?? log.startOffset - 1) + 1
  }

  /** The last record of each key stays, where it is. @param share of the log, from its start, that is looked at */
  compact (topic: string, share: number): void {
    const log = this.#of(topic)
    const last = new Map(log.records.map(({ key, offset }) => [key, offset]))
    const below = log.startOffset + share * (log.endOffset - log.startOffset)
    log.records = log.records.filter(({ key, offset }) => offset >= below || last.get(key) === offset)
  }

  openAdmin (): Pick<KafkaAdmin, 'topic' | 'deleteRecordsBefore' | 'offsets' | 'close'> {
    return {
      topic: async (name) => ({ name, topicId: this.#of(name).topicId, partitions: 1, replicationFactor: 1, settings: {} }),
      deleteRecordsBefore: async (topic, _partition, offset) => {
        const log = this.#of(topic)
        log.startOffset = Math.max(log.startOffset, Math.min(offset, log.endOffset))
        log.records = log.records.filter((record) => record.offset >= log.startOffset)
      },
      offsets: async (topic) => [{ startOffset: this.#of(topic).startOffset, endOffset: this.#of(topic).endOffset }],
      close: async () => {}
    }
  }

  readonly openPartitionProducer: KafkaClient['openPartitionProducer'] = ({ topic }) => ({ send: async (records) => { this.append(topic, records) }, close: async () => {} })

  readonly openPartitionReader: KafkaClient['openPartitionReader'] = ({ topic, topicId = this.#of(topic).topicId }): PartitionReader => ({
    read: async ({ offset }) => {
      const log = this.#of(topic)
      if (log.topicId !== topicId) throw new TollgateError('KAFKA_TOPIC_GONE', `${topic} was made anew`)
      if (offset < log.startOffset || offset > log.endOffset) throw new OutOfRangeError(`${topic}: no offset ${offset}`, log)
      const records = log.records.filter((record) => record.offset >= offset).slice(0, this.recordsPerRead)
      const isAtEnd = records.length === 0 || records.at(-1) === log.records.at(-1)
      return { records, memory: [], nextOffset: isAtEnd ? log.endOffset : (records.at(-1) as RecordIn).offset + 1, startOffset: log.startOffset, endOffset: log.endOffset }
    },
    close: async () => {}
  })

  readonly openTransactionalPublisher: KafkaClient['openTransactionalPublisher'] = async ({ transactionalId }): Promise<TransactionalPublisher> => {
    const epoch = (this.#epochs.get(transactionalId) ?? 0) + 1
    this.#epochs.set(transactionalId, epoch)
    let isDead = false
    const fail = (code: 'KAFKA_FENCED' | 'KAFKA_UNREACHABLE'): TollgateError => {
      isDead = true
      return new TollgateError(code, `publishing as ${transactionalId}`)
    }
    return {
      publish: async (given) => {
        if (isDead) throw new Error('this publisher has failed')
        const parts: PartitionRecords[] = []
        for await (const part of given as AsyncIterable<PartitionRecords>) parts.push(part)
        if (this.faults.isFencingOff !== true && this.#epochs.get(transactionalId) !== epoch) throw fail('KAFKA_FENCED')
        for (const together of this.faults.split?.(parts) ?? [parts]) {
          const fate = this.faults.publish?.(together) ?? 'fine'
          if (fate === 'refused') throw fail('KAFKA_UNREACHABLE')
          for (const { topic, records } of together) this.#place(topic, records)
          // The transaction's own marks take an offset each.
          for (const topic of new Set(together.map((part) => part.topic))) this.#of(topic).endOffset++
          if (fate === 'lost-answer') throw fail('KAFKA_UNREACHABLE')
        }
      },
      close: async () => { isDead = true }
    }
  }

  #place (topic: string, records: readonly RecordOut[]): void {
    const { place = () => 0 } = this.faults
    this.append(topic, records.filter((record) => place(topic, record) === 0))
    this.#of(topic).strays.push(...records.filter((record) => place(topic, record) !== 0).map((record) => this.#recordOf(record, -1)))
  }

  #recordOf ({ key, value, headers }: RecordOut, offset: number): RecordIn {
    return { offset, timestampMs: this.nowMs(), key, value: value === null ? undefined : Buffer.from(value), headers: new Map(Object.entries(headers ?? {})) }
  }

  #of (topic: string): MemoryTopic {
    const found = this.#topics.get(topic)
    if (found === undefined) throw new Error(`there is no topic ${topic}`)
    return found
  }
}
