// Metrics of an aggregator of a cluster, beside those that every aggregator has.
import { counter, gauge, histogram } from '../platform/metrics.ts'
import type { openMetrics } from '../platform/metrics.ts'

/** What is measured of a partition. */
export interface MeasuredPartition {
  readonly state: string
  readonly ownership: { readonly lag: number | undefined, readonly readToMs: number, readonly revision: number, readonly publishedRevision: number } | undefined
}

export interface ClusterMetrics {
  readonly takeOvers: ReturnType<typeof counter>
  readonly takeOverSeconds: ReturnType<typeof histogram>
  readonly givenUp: ReturnType<typeof counter>
  readonly publishedRecords: ReturnType<typeof counter>
  readonly publishSeconds: ReturnType<typeof histogram>
  readonly usageDeadLetters: ReturnType<typeof counter>
  readonly malformedHourly: ReturnType<typeof counter>
  /** `inLine`: partitions that wait for their turn at the shared memory. */
  readonly measure: (partitions: readonly MeasuredPartition[], inLine: number, nowMs: number) => void
}

export function openClusterMetrics (registry: ReturnType<typeof openMetrics>): ClusterMetrics {
  const owned = gauge(registry, 'tollgate_aggregator_partitions')
  const waiting = gauge(registry, 'tollgate_aggregator_partitions_in_line')
  const lag = gauge(registry, 'tollgate_aggregator_lag_records')
  const lagSeconds = gauge(registry, 'tollgate_aggregator_lag_seconds')
  const unpublished = gauge(registry, 'tollgate_aggregator_unpublished_revisions')
  return {
    takeOvers: counter(registry, 'tollgate_aggregator_take_overs_total'),
    takeOverSeconds: histogram(registry, 'tollgate_aggregator_take_over_seconds'),
    givenUp: counter(registry, 'tollgate_aggregator_partitions_given_up_total'),
    publishedRecords: counter(registry, 'tollgate_aggregator_published_records_total'),
    publishSeconds: histogram(registry, 'tollgate_aggregator_publish_seconds'),
    usageDeadLetters: counter(registry, 'tollgate_usage_dead_letters_total'),
    malformedHourly: counter(registry, 'tollgate_aggregator_hourly_malformed_total'),
    measure: (partitions, inLine, nowMs) => {
      owned.reset()
      for (const { state } of partitions) owned.inc({ state })
      waiting.set(inLine)
      lag.set(partitions.reduce((sum, { ownership }) => sum + (ownership?.lag ?? 0), 0))
      lagSeconds.set(Math.max(0, ...partitions.map(({ ownership }) => ownership === undefined ? 0 : lagMsOf(ownership, nowMs))) / 1000)
      unpublished.set(partitions.reduce((sum, { ownership }) => sum + (ownership === undefined ? 0 : ownership.revision - ownership.publishedRevision), 0))
    }
  }
}

function lagMsOf ({ lag = 0, readToMs }: NonNullable<MeasuredPartition['ownership']>, nowMs: number): number {
  return lag === 0 || readToMs === 0 ? 0 : nowMs - readToMs
}
