// What owning a partition needs, and what it says of itself.
import type { KafkaAdmin, KafkaClient } from '../kafka/port.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { LoopOptions } from './aggregator-loop.ts'
import type { AggregatorMetrics } from './aggregator-metrics.ts'
import type { Gap } from './batch-plan.ts'
import type { ClusterMetrics } from './cluster-metrics.ts'
import type { ClusterTopics } from './cluster-topics.ts'
import type { DeadLetterTopic } from './dead-letter-topic.ts'
import type { SharedMemory } from './shared-memory.ts'
import type { ArchivedFiles } from './retention.ts'

export interface OwnershipSettings extends LoopOptions {
  readonly publishIntervalMs: number
  /** How long archived records stay in the usage log. */
  readonly keepHours: number
}

export interface OwnershipParts {
  readonly partition: number
  readonly kafka: Pick<KafkaClient, 'openPartitionReader'>
  readonly admin: Pick<KafkaAdmin, 'topic' | 'deleteRecordsBefore'>
  readonly topics: ClusterTopics
  readonly ownerName: string
  /** Read anew at each use: shares of memory change. */
  readonly settings: OwnershipSettings
  readonly deadLetters: DeadLetterTopic
  readonly onArchived: (files: ArchivedFiles) => Promise<boolean>
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: AggregatorMetrics
  readonly clusterMetrics: ClusterMetrics
  /** With all partitions of the process. */
  readonly shared: SharedMemory
}

export interface OwnershipStatus {
  readonly term: number
  readonly revision: number
  readonly publishedRevision: number
  readonly segment: number
  readonly appliedOffset: number
  readonly archivedOffset: number
  /** What the topic says of it; see safe-archive.ts. */
  readonly safeOffset: number
  /** Records of the usage log that wait; undefined before the first read. */
  readonly lag: number | undefined
  /** When the last record that was read came to the usage log, milliseconds; 0 before the first. */
  readonly readToMs: number
  readonly gaps: readonly Gap[]
  /** Events counted and not archived yet. */
  readonly waitingEvents: number
}
