// What the rest of the program sees of Kafka: records in and out of one partition, transactions, topics, a group. The
// client library stays behind these types, and so do its rules: one partition a send, finite retries, a new producer
// after any failure, every position our own.
import { TollgateError } from '../domain/errors.ts'

/** Plain data: crosses threads. */
export interface KafkaOptions {
  /** `host:port`. */
  readonly brokers: readonly string[]
  /** Names this process in the brokers' logs. */
  readonly clientId: string
  /** PEM texts, not files. */
  readonly tls?: { readonly ca?: string, readonly certificate?: string, readonly key?: string }
  readonly sasl?: { readonly mechanism: 'SCRAM-SHA-256' | 'SCRAM-SHA-512', readonly username: string, readonly password: string }
}

export interface RecordOut {
  readonly key: string
  /** Null deletes the key of a compacted topic. */
  readonly value: Buffer | string | null
  readonly headers?: Readonly<Record<string, string>>
}

export interface RecordIn {
  readonly offset: number
  /** The broker's append time, milliseconds since the epoch. */
  readonly timestampMs: number
  readonly key: string | undefined
  /** Undefined: a tombstone. */
  readonly value: Buffer | undefined
  readonly headers: ReadonlyMap<string, string>
}

/** Appends to one partition, in order, each record durable by acks=all when `send` resolves. One send at a time. */
export interface PartitionProducer {
  /** @throws TollgateError KAFKA_UNREACHABLE, KAFKA_REFUSED. After a throw it is unknown what was appended, and the producer can't be used any more. */
  readonly send: (records: readonly RecordOut[]) => Promise<void>
  readonly close: () => Promise<void>
}

export interface PartitionRecords { readonly topic: string, readonly partition: number, readonly records: readonly RecordOut[] }

/** Writes transactions under one transactional id. Opening it fences everybody who had that id before. */
export interface TransactionalPublisher {
  /** Takes the parts as they come, so that a large transaction needs no memory of its size. All of it becomes visible to readers of committed records, or nothing; within some milliseconds after it resolves. Parts without records are left out. @throws TollgateError KAFKA_FENCED when somebody else has opened the id since, KAFKA_UNREACHABLE when it is unknown whether it took place. After a throw the publisher can't be used any more. */
  readonly publish: (parts: Iterable<PartitionRecords> | AsyncIterable<PartitionRecords>) => Promise<void>
  readonly close: () => Promise<void>
}

export interface ReadPosition { readonly offset: number, readonly bytesMax: number, /** How long to wait at the end of the log. */ readonly waitMs: number }

export interface ReadResult {
  readonly records: readonly RecordIn[]
  /** What they were unpacked into, and nothing else: whoever is done with them may give it back at once (`giveBack`) instead of leaving it to the garbage collector. */
  readonly memory: readonly ArrayBufferLike[]
  /** Where to read next: behind the last record, and behind aborted and control records after it. */
  readonly nextOffset: number
  /** Behind the last committed record that a reader can see now. */
  readonly endOffset: number
  /** The oldest offset that is kept. */
  readonly startOffset: number
}

/** KAFKA_OUT_OF_RANGE with what the topic holds: from `startOffset`, up to and without `endOffset`. */
export class OutOfRangeError extends TollgateError {
  readonly startOffset: number
  readonly endOffset: number
  constructor (message: string, { startOffset, endOffset }: PartitionOffsets) {
    super('KAFKA_OUT_OF_RANGE', message)
    this.name = 'OutOfRangeError'
    this.startOffset = startOffset
    this.endOffset = endOffset
  }
}

export interface ReaderOptions {
  readonly topic: string
  readonly partition: number
  /** `committed` hides open and aborted transactions. */
  readonly isolation: 'committed' | 'uncommitted'
  /** The offsets' topic; left out: whichever has the name at the first read. Another one is KAFKA_TOPIC_GONE ever after. */
  readonly topicId?: string
  /** How long a read may take beyond its `waitMs`; 15 s by default. */
  readonly timeoutMs?: number
}

/** Reads one partition from offsets of our own. Finds a new leader by itself. One read at a time. */
export interface PartitionReader {
  /** @throws OutOfRangeError; TollgateError KAFKA_UNREACHABLE (after `timeoutMs`), KAFKA_TOPIC_GONE, KAFKA_DENIED, KAFKA_REFUSED (a record that nobody can decode). The reader can be used again after any of them. */
  readonly read: (position: ReadPosition) => Promise<ReadResult>
  readonly close: () => Promise<void>
}

/** Settings of a topic as this program needs them. */
export interface TopicSpec {
  readonly name: string
  readonly partitions: number
  /** Exactly these; `flush.messages` and the like. Values as Kafka writes them. */
  readonly settings: Readonly<Record<string, string>>
  /** Settings that may be stronger than asked for: only a number below is refused. */
  readonly minimums: Readonly<Record<string, number>>
  /** More partitions than asked for are no problem. */
  readonly mayHaveMorePartitions: boolean
}

export interface TopicFacts { readonly name: string, /** A UUID: another one means that the topic was made anew. */ readonly topicId: string, readonly partitions: number, readonly replicationFactor: number, readonly settings: Readonly<Record<string, string>> }

export interface PartitionOffsets { readonly startOffset: number, readonly endOffset: number }

export interface KafkaAdmin {
  /** Undefined for a topic that isn't there. @throws TollgateError KAFKA_UNREACHABLE */
  readonly topic: (name: string) => Promise<TopicFacts | undefined>
  /** Resolves when every partition has a leader; a topic that is there already is left as it is. @throws KAFKA_REFUSED with the brokers' reason */
  readonly createTopic: (spec: TopicSpec, replicationFactor: number) => Promise<void>
  /** Changes these settings of a topic that is there and leaves the others. */
  readonly setSettings: (topic: string, settings: Readonly<Record<string, string>>) => Promise<void>
  /** Makes the brokers create the topic in which they keep transactions, which they otherwise do at the first one. */
  readonly createTransactionState: () => Promise<void>
  /** Raises the number of partitions. */
  readonly addPartitions: (topic: string, partitions: number) => Promise<void>
  /** Offsets of what is committed, by partition. */
  readonly offsets: (topic: string) => Promise<readonly PartitionOffsets[]>
  /** Lets the brokers delete everything before `offset`. */
  readonly deleteRecordsBefore: (topic: string, partition: number, offset: number) => Promise<void>
  readonly close: () => Promise<void>
}

export interface GroupOptions {
  readonly groupId: string
  readonly topic: string
  /** This member's name, the same after a restart: partitions come back to whoever had them. */
  readonly memberName: string
  /** Called with all partitions that are this member's now, whenever they change; [] when the membership was lost. */
  readonly onAssigned: (partitions: readonly number[]) => void
  /** Why it can't join, again with each try: KAFKA_DENIED and KAFKA_REFUSED at once, KAFKA_UNREACHABLE when it has lasted for some seconds or the membership is lost by it. It goes on by itself. */
  readonly onFailure: (error: Error) => void
  /** Who isn't heard of for so long is no member any more; 10 s by default. At least four heartbeats. */
  readonly sessionTimeoutMs?: number
  /** Time between two signs of life; 2 s by default. */
  readonly heartbeatMs?: number
}

/** Membership in a group that deals out the partitions of one topic; joins again by itself for ever. */
export interface GroupMembership {
  readonly isMember: () => boolean
  /** Gives the partitions to others at once. `onAssigned` is not called any more. */
  readonly leave: () => Promise<void>
}

/**
 * Kafka as one thread sees it. Every producer, publisher, reader and membership has connections of its own: a broker
 * answers the requests of a connection one after another, so a shared one would make each wait for the slowest.
 */
export interface KafkaClient {
  readonly openPartitionProducer: (target: { readonly topic: string, readonly partition: number }) => PartitionProducer
  /** Resolves when everybody who had the id before is fenced. `transactionTimeoutMs`: after so long the brokers abort what isn't committed. @throws TollgateError KAFKA_UNREACHABLE, KAFKA_DENIED, KAFKA_REFUSED */
  readonly openTransactionalPublisher: (options: { readonly transactionalId: string, readonly transactionTimeoutMs: number }) => Promise<TransactionalPublisher>
  readonly openPartitionReader: (options: ReaderOptions) => PartitionReader
  readonly openAdmin: () => KafkaAdmin
  readonly joinGroup: (options: GroupOptions) => GroupMembership
  /** Closes all that was opened here. */
  readonly close: () => Promise<void>
}
