// The catalogue of metrics: every name the program exports, once. A thread makes those it owns in a registry of its own;
// the operator's listener adds the threads up. No label per key or member: their number has no bound.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { MetricsJson } from './thread.ts'

interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels?: readonly string[]
  /** Upper bounds of a histogram's buckets, in its unit. */
  readonly buckets?: readonly number[]
}

export const metricCatalogue = {
  tollgate_build_info: { type: 'gauge', help: 'Always 1; the labels say what runs', labels: ['version', 'node'] },

  tollgate_gateway_answers_total: { type: 'counter', help: 'Answers that left whole, by route and class of status', labels: ['route', 'status'] },
  tollgate_gateway_refusals_total: { type: 'counter', help: 'Answers of the gateway\'s own, by error code', labels: ['code'] },
  tollgate_gateway_cut_answers_total: { type: 'counter', help: 'Answers that did not reach their end, by who ended them: client, upstream, commit (the usage could not be recorded), stop, error', labels: ['reason'] },
  tollgate_gateway_broken_requests_total: { type: 'counter', help: 'Connections closed because it was in doubt where their request ends' },
  tollgate_gateway_in_flight: { type: 'gauge', help: 'Requests being forwarded' },
  tollgate_gateway_held_answers: { type: 'gauge', help: 'Usage events whose commit is waited for' },
  tollgate_gateway_upstream_seconds: { type: 'histogram', help: 'From the request\'s start to the head of the upstream\'s answer', labels: ['upstream'], buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  tollgate_gateway_upstream_failures_total: { type: 'counter', help: 'Requests that an upstream did not answer: unreachable, reset, invalid, timeout', labels: ['upstream', 'failure'] },
  tollgate_gateway_token_cache_total: { type: 'counter', help: 'Tokens looked up in the cache of verified tokens, by result', labels: ['result'] },
  tollgate_gateway_units_invalid_total: { type: 'counter', help: 'Answers whose units header was no whole number, or too large: 1 unit was taken' },
  tollgate_gateway_unpriced_total: { type: 'counter', help: 'Answers on metered routes whose path and method match no endpoint of the price book' },
  tollgate_limiter_shared_takes_total: { type: 'counter', help: 'Takes from buckets that several keys share because limiter.keysMax is too small' },

  tollgate_journal_events_total: { type: 'counter', help: 'Usage events made durable' },
  tollgate_journal_written_bytes_total: { type: 'counter', help: 'Bytes written by group commits, with headers and padding' },
  tollgate_journal_commit_seconds: { type: 'histogram', help: 'Group commits: from the first event taken to the frame being durable', buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5] },
  tollgate_journal_last_commit_timestamp_seconds: { type: 'gauge', help: 'When the last group commit was durable, seconds since the epoch; 0 before the first' },
  tollgate_journal_marks_total: { type: 'counter', help: 'Marks written: a journal that takes events writes one a second' },
  tollgate_journal_failures_total: { type: 'counter', help: 'Writes that failed; each ends a stream, and the answers that waited for it are cut' },
  tollgate_journal_counted_only_total: { type: 'counter', help: 'Refused requests that were counted and not recorded, by error code', labels: ['code'] },
  tollgate_journal_used_bytes: { type: 'gauge', help: 'Journal space that is not yet counted and archived' },
  tollgate_journal_limit_bytes: { type: 'gauge', help: 'The journal\'s bound, journal.bytesMax' },
  tollgate_journal_refused_bytes: { type: 'gauge', help: 'Journal space taken by refused requests, bound by journal.refusedBytesMax' },
  tollgate_journal_state: { type: 'gauge', help: '1 for the state the journal is in: starting, open, full, failing', labels: ['state'] },

  tollgate_aggregator_events_total: { type: 'counter', help: 'Events counted' },
  tollgate_aggregator_dead_letters_total: { type: 'counter', help: 'Lines of the usage log that could not be counted; they are kept with their reason' },
  tollgate_aggregator_batch_seconds: { type: 'histogram', help: 'Batches of the usage log: from their items to the commit', buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  tollgate_aggregator_failures_total: { type: 'counter', help: 'Steps that failed and were begun again from what is durable' },
  tollgate_aggregator_gaps: { type: 'gauge', help: 'Streams held back because records before theirs are missing' },
  tollgate_aggregator_watermark_age_seconds: { type: 'gauge', help: 'How far the oldest watermark of an open stream is behind the clock' },
  tollgate_aggregator_segment_rows: { type: 'gauge', help: 'Hourly rows in the open segment' },
  tollgate_archive_events_total: { type: 'counter', help: 'Events written to the archive' },
  tollgate_archive_flush_seconds: { type: 'histogram', help: 'Flushes of the archive, from the first file to the commit', buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] },
  tollgate_archive_waiting_events: { type: 'gauge', help: 'Events counted and not yet archived' },
  tollgate_archive_problems: { type: 'gauge', help: 'Files of the archive that were missing or damaged when the program started' },

  tollgate_billing_answers_total: { type: 'counter', help: 'Answers of the billing server, by listener, route and status', labels: ['listener', 'route', 'status'] },
  tollgate_billing_answer_seconds: { type: 'histogram', help: 'Time of the billing server\'s answers', labels: ['listener', 'route'], buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  tollgate_billing_questions_waiting: { type: 'gauge', help: 'Questions that wait for their turn at the ledger' },
  tollgate_ledger_current: { type: 'gauge', help: '1 while the ledger follows the hourly counts, 0 while it can\'t' },
  tollgate_ledger_steps_total: { type: 'counter', help: 'Steps of the hourly log that the ledger has taken' }
} as const satisfies Readonly<Record<string, MetricDefinition>>
export type MetricName = keyof typeof metricCatalogue

function definitionOf (name: MetricName, type: MetricDefinition['type']): MetricDefinition {
  const definition: MetricDefinition = metricCatalogue[name]
  if (definition.type !== type) throw new Error(`metric ${name} is a ${definition.type}, not a ${type}`)
  return definition
}

export function openMetrics (): Registry { return new Registry() }

export function counter (registry: Registry, name: MetricName): Counter {
  const { help, labels } = definitionOf(name, 'counter')
  return new Counter({ name, help, labelNames: [...(labels ?? [])], registers: [registry] })
}

export function gauge (registry: Registry, name: MetricName): Gauge {
  const { help, labels } = definitionOf(name, 'gauge')
  return new Gauge({ name, help, labelNames: [...(labels ?? [])], registers: [registry] })
}

export function histogram (registry: Registry, name: MetricName): Histogram {
  const { help, labels, buckets } = definitionOf(name, 'histogram')
  return new Histogram({ name, help, labelNames: [...(labels ?? [])], ...(buckets === undefined ? {} : { buckets: [...buckets] }), registers: [registry] })
}

/** What a thread answers when it is asked for its metrics. */
export async function metricsJson (registry: Registry): Promise<MetricsJson> {
  return await registry.getMetricsAsJSON()
}

export interface Sample { readonly labels?: Readonly<Record<string, string>>, readonly value: number }

/** A counter or gauge whose numbers a hot path has kept by itself. */
export function metricJson (name: MetricName, samples: readonly Sample[]): MetricsJson[number] {
  const { type, help }: MetricDefinition = metricCatalogue[name]
  const values = samples.map(({ labels, value }) => ({ labels: { ...labels }, value }))
  return { name, help, type, values, aggregator: 'sum' } as unknown as MetricsJson[number]
}

export function bucketsOf (name: MetricName): readonly number[] { return definitionOf(name, 'histogram').buckets ?? [] }

/** One series of a histogram: how many fell into each bucket alone, the last one without bound. */
export interface Series { readonly labels: Readonly<Record<string, string>>, readonly counts: readonly number[], readonly sum: number }

export function histogramJson (name: MetricName, series: readonly Series[]): MetricsJson[number] {
  const { help, buckets = [] } = definitionOf(name, 'histogram')
  const values = series.flatMap(({ labels, counts, sum }) => {
    let below = 0
    const cumulative = counts.map((count, index) => ({ labels: { le: buckets[index] ?? '+Inf', ...labels }, value: below += count, metricName: `${name}_bucket` }))
    return [...cumulative, { labels, value: sum, metricName: `${name}_sum` }, { labels, value: below, metricName: `${name}_count` }]
  })
  return { name, help, type: 'histogram', values, aggregator: 'sum' } as unknown as MetricsJson[number]
}
