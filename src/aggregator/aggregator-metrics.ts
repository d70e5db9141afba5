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
  /** The same of several, added up. */
  readonly measureAll: (measured: readonly Measured[], nowMs: number) => void
}

export interface Measured { readonly aggregator: Aggregator, readonly problems: readonly unknown[] }

export function openAggregatorMetrics (registry: ReturnType<typeof openMetrics>): AggregatorMetrics {
  const gaps = gauge(registry, 'tollgate_aggregator_gaps')
  const watermarkAge = gauge(registry, 'tollgate_aggregator_watermark_age_seconds')
  const segmentRows = gauge(registry, 'tollgate_aggregator_segment_rows')
  const waiting = gauge(registry, 'tollgate_archive_waiting_events')
  const problemFiles = gauge(registry, 'tollgate_archive_problems')
  const measure = (measured: readonly { readonly aggregator: Aggregator, readonly problems: number }[], nowMs: number): void => {
    const sum = (of: (aggregator: Aggregator) => number): number => measured.reduce((all, { aggregator }) => all + of(aggregator), 0)
    gaps.set(sum((aggregator) => aggregator.gaps.length))
    const open = measured.flatMap(({ aggregator }) => [...aggregator.state.streamMarks.values()]).filter((mark) => mark.state === 'open').map((mark) => mark.watermarkMs)
    watermarkAge.set(open.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...open)) / 1000)
    segmentRows.set(sum(({ state }) => [...state.partitions.values()].reduce((rows, partition) => rows + partition.segmentRows, 0)))
    waiting.set(sum((aggregator) => aggregator.stagedEvents))
    problemFiles.set(measured.reduce((all, { problems }) => all + problems, 0))
  }
  return {
    events: counter(registry, 'tollgate_aggregator_events_total'),
    deadLetters: counter(registry, 'tollgate_aggregator_dead_letters_total'),
    batchSeconds: histogram(registry, 'tollgate_aggregator_batch_seconds'),
    failures: counter(registry, 'tollgate_aggregator_failures_total'),
    archivedEvents: counter(registry, 'tollgate_archive_events_total'),
    flushSeconds: histogram(registry, 'tollgate_archive_flush_seconds'),
    measure: (aggregator, { problems, nowMs }) => { measure([{ aggregator, problems }], nowMs) },
    measureAll: (measured, nowMs) => { measure(measured.map(({ aggregator, problems }) => ({ aggregator, problems: problems.length })), nowMs) }
  }
}
