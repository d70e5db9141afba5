// The topics that carry usage events and what gateways and aggregators say of them: names and settings. The broker's clock
// is a record's time (LogAppendTime): with the request's own, retention would delete a late backlog.
import type { TopicSpec } from '../kafka/port.ts'

export interface UsageTopics {
  readonly usage: string
  readonly deadLetter: string
  /** Compacted: what is counted and archived, per stream; from aggregators to gateways. */
  readonly usageProgress: string
  /** Compacted, one partition: hellos, marks and hours; from gateways to everybody. */
  readonly gatewayProgress: string
}

/** @param prefix of all topics; several Tollgates can share one Kafka */
export function usageTopics (prefix: string): UsageTopics {
  return {
    usage: `${prefix}api-usage-trace`,
    deadLetter: `${prefix}api-usage-trace.dead-letter`,
    usageProgress: `${prefix}usage-progress`,
    gatewayProgress: `${prefix}gateway-progress`
  }
}

export interface TopicOptions { readonly prefix: string, readonly partitions: number, readonly minInsyncReplicas: number }

const appendTime = { 'message.timestamp.type': 'LogAppendTime', 'unclean.leader.election.enable': 'false' } as const
/** Kafka doesn't sync by itself: several machines on one power strip would lose what they have acknowledged. */
const flushed = { 'flush.messages': '1' } as const
export const compacted = { 'cleanup.policy': 'compact', ...flushed, 'unclean.leader.election.enable': 'false' } as const
const kept = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'retention.bytes': '-1' } as const

export function usageTopicSpecs ({ prefix, partitions, minInsyncReplicas }: TopicOptions): readonly TopicSpec[] {
  const names = usageTopics(prefix)
  const minimums = { 'min.insync.replicas': minInsyncReplicas }
  return [
    { name: names.usage, partitions, settings: { ...kept, ...appendTime }, minimums, mayHaveMorePartitions: true },
    { name: names.deadLetter, partitions: 1, settings: { ...kept, ...appendTime, ...flushed }, minimums, mayHaveMorePartitions: true },
    { name: names.usageProgress, partitions, settings: compacted, minimums, mayHaveMorePartitions: true },
    { name: names.gatewayProgress, partitions: 1, settings: { ...compacted, ...appendTime }, minimums, mayHaveMorePartitions: false }
  ]
}
