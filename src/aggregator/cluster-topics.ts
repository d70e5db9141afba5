// Names of the topics and ids that an aggregator of a cluster uses.
import { hourlyTopics, ownerTransactionalId } from '../hourly-log/kafka-topics.ts'
import { usageTopics } from '../usage-log/kafka-topics.ts'

export interface ClusterTopics {
  readonly usage: string
  readonly deadLetter: string
  readonly usageProgress: string
  readonly hourly: string
  readonly groupId: string
  readonly transactionalId: (partition: number) => string
}

export function clusterTopics (prefix: string): ClusterTopics {
  const { usage, deadLetter, usageProgress } = usageTopics(prefix)
  return { usage, deadLetter, usageProgress, hourly: hourlyTopics(prefix).hourly, groupId: `${prefix}tollgate-aggregators`, transactionalId: (partition) => ownerTransactionalId(prefix, partition) }
}
