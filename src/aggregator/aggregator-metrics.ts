// The aggregator's metrics, added to once a step.
import { counter, gauge, histogram } from '../platform/metrics.ts'
import type { openMetrics } from '../platform/metrics.ts'
import type { Aggregator } from './aggregator.ts'

type Counter = ReturnType<typeof counter>
type Histogram = ReturnType<typeof histogram>

export interface AggregatorMetrics {
  readonly events: Counter
  readonly deadLetters: Counter
  readonly batchSeconds: Histogram
  readonly failures: Counter
  readonly archivedEvents: Counter
  readonly flushSeconds: Histogram
  /** Sets the gauges to what is so now. */
  readonly measure: (aggregator: Aggregator, state: { readonly problems: number, readonly nowMs: number }) => void
}

export function openAggregatorMetrics (registry: ReturnType<typeof openMetrics>): AggregatorMetrics {
  const gaps = gauge(registry, 'tollgate_aggregator_gaps')
  const watermarkAge = gauge(registry, 'tollgate_aggregator_watermark_age_seconds')
  const segmentRows = gauge(registry, 'tollgate_aggregator_segment_rows')
  const waiting = gauge(registry, 'tollgate_archive_waiting_events')
  const problemFiles = gauge(registry, 'tollgate_archive_problems')
  return {
    events: counter(registry, 'tollgate_aggregator_events_total'),
    deadLetters: counter(registry, 'tollgate_aggregator_dead_letters_total'),
    batchSeconds: histogram(registry, 'tollgate_aggregator_batch_seconds'),
    failures: counter(registry, 'tollgate_aggregator_failures_total'),
    archivedEvents: counter(registry, 'tollgate_archive_events_total'),
    flushSeconds: histogram(registry, 'tollgate_archive_flush_seconds'),
    measure: (aggregator, { problems, nowMs }) => {
      gaps.set(aggregator.gaps.length)
      const open = [...aggregator.state.streamMarks.values()].filter((mark) => mark.state === 'open').map((mark) => mark.watermarkMs)
      watermarkAge.set(open.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...open)) / 1000)
      segmentRows.set([...aggregator.state.partitions.values()].reduce((sum, partition) => sum + partition.segmentRows, 0))
      waiting.set(aggregator.stagedEvents)
      problemFiles.set(problems)
    }
  }
}
