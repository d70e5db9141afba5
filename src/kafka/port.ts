// What the rest of the program sees of Kafka: records in and out of one partition, transactions, topics, a group. The
// client library stays behind these types, and so do its rules: one partition a send, finite retries, a new producer
// after any failure, every position our own.

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
  /** All of it becomes visible to readers of committed records, or nothing. @throws TollgateError KAFKA_FENCED when somebody else has opened the id since, KAFKA_UNREACHABLE when it is unknown whether it took place. After a throw the publisher can't be used any more. */
  readonly publish: (parts: readonly PartitionRecords[]) => Promise<void>
  readonly close: () => Promise<void>
}

export interface ReadPosition { readonly offset: number, readonly bytesMax: number, /** How long to wait at the end of the log. */ readonly waitMs: number }

export interface ReadResult {
  readonly records: readonly RecordIn[]
  /** Where to read next: behind the last record, and behind aborted and control records after it. */
  readonly nextOffset: number
  /** Behind the last committed record that a reader can see now. */
  readonly endOffset: number
  /** The oldest offset that is kept. */
  readonly startOffset: number
}

/** Reads one partition from offsets of our own. Finds a new leader by itself. */
export interface PartitionReader {
  /** @throws TollgateError KAFKA_OUT_OF_RANGE, KAFKA_UNREACHABLE (after `timeoutMs`), KAFKA_TOPIC_GONE. The reader can be used again after any of them. */
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
  readonly createTopic: (spec: TopicSpec, replicationFactor: number) => Promise<void>
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
}

/** Membership in a group that deals out the partitions of one topic; joins again by itself for ever. */
export interface GroupMembership {
  readonly isMember: () => boolean
  readonly leave: () => Promise<void>
}
