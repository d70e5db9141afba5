// The topic of hourly counts: name and settings. Source partition p is partition p, so that one transaction of its owner
// moves everything that belongs together.
import type { TopicSpec } from '../kafka/port.ts'

export interface HourlyTopics { readonly hourly: string, readonly deadLetter: string }

export function hourlyTopics (prefix: string): HourlyTopics {
  return { hourly: `${prefix}hourly-api-usage`, deadLetter: `${prefix}hourly-api-usage.dead-letter` }
}

/** The transactional id of a source partition: whoever opens it last owns the partition. */
export function ownerTransactionalId (prefix: string, partition: number): string { return `${prefix}tollgate-aggregator-${partition}` }

const durable = { 'flush.messages': '1', 'unclean.leader.election.enable': 'false' } as const

export function hourlyTopicSpecs ({ prefix, partitions, minInsyncReplicas }: { readonly prefix: string, readonly partitions: number, readonly minInsyncReplicas: number }): readonly TopicSpec[] {
  const { hourly, deadLetter } = hourlyTopics(prefix)
  const minimums = { 'min.insync.replicas': minInsyncReplicas }
  return [
    { name: hourly, partitions, settings: { 'cleanup.policy': 'compact', ...durable }, minimums, mayHaveMorePartitions: true },
    { name: deadLetter, partitions: 1, settings: { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1', ...durable }, minimums, mayHaveMorePartitions: true }
  ]
}
