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
  tollgate_price_book_info: { type: 'gauge', help: 'Always 1; the label is the digest of the price book in force, the same wherever the same prices are', labels: ['sha256'] },
  tollgate_certificate_not_after_seconds: { type: 'gauge', help: 'When the certificate of a listener ends, seconds since the epoch', labels: ['listener'] },
  tollgate_reloads_total: { type: 'counter', help: 'Reloads of the configuration: applied, refused (what the file says or names can\'t be used, nothing has changed), failed (for another reason, nothing has changed)', labels: ['result'] },

  tollgate_gateway_answers_total: { type: 'counter', help: 'Answers that left whole, by route and class of status', labels: ['route', 'status'] },
  tollgate_gateway_refusals_total: { type: 'counter', help: 'Answers of the gateway\'s own, by error code', labels: ['code'] },
  tollgate_gateway_connections: { type: 'gauge', help: 'Connections of clients' },
  tollgate_gateway_connections_refused_total: { type: 'counter', help: 'Connections that were closed at once because there were too many, by the bound: total (gateway.connectionsMax), address (gateway.addressConnectionsMax)', labels: ['bound'] },
  tollgate_gateway_crowd_refusals_total: { type: 'counter', help: 'Requests refused because there were too many at a time, by the bound: total (gateway.inFlightMax), address (gateway.addressInFlightMax)', labels: ['bound'] },
  tollgate_gateway_cut_answers_total: { type: 'counter', help: 'Answers that did not reach their end, by who ended them: client, slow (a client that sent or took too little), upstream, commit (the usage could not be recorded), stop, error', labels: ['reason'] },
  tollgate_gateway_broken_requests_total: { type: 'counter', help: 'Connections closed because it was in doubt where their request ends' },
  tollgate_gateway_in_flight: { type: 'gauge', help: 'Requests being forwarded' },
  tollgate_gateway_held_answers: { type: 'gauge', help: 'Usage events whose commit is waited for' },
  tollgate_gateway_upstream_seconds: { type: 'histogram', help: 'From the request\'s start to the head of the upstream\'s answer', labels: ['upstream'], buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  tollgate_gateway_upstream_retries_total: { type: 'counter', help: 'Requests that were sent again after a server had failed them', labels: ['upstream'] },
  tollgate_gateway_upstreams_retired: { type: 'gauge', help: 'Upstreams that a reload has replaced and that requests from before it still use' },
  tollgate_gateway_upstream_targets_out: { type: 'gauge', help: 'Workers that leave this server out because it failed', labels: ['upstream', 'target'] },
  tollgate_gateway_upstream_failures_total: { type: 'counter', help: 'Requests that an upstream did not answer: unreachable, reset, invalid, timeout', labels: ['upstream', 'failure'] },
  tollgate_gateway_token_cache_total: { type: 'counter', help: 'Tokens looked up in the cache of verified tokens, by result', labels: ['result'] },
  tollgate_gateway_units_invalid_total: { type: 'counter', help: 'Answers whose units header was no whole number, or too large: 1 unit was taken' },
  tollgate_gateway_unpriced_total: { type: 'counter', help: 'Answers on metered routes whose path and method match no endpoint of the price book' },
  tollgate_limiter_shared_takes_total: { type: 'counter', help: 'Takes from buckets that several keys share because limiter.keysMax is too small' },

  tollgate_limiter_local_workers: { type: 'gauge', help: 'Gateway workers that limit with their share of the rate, because Redis does not answer in time' },
  tollgate_limiter_local_takes_total: { type: 'counter', help: 'Takes decided with the local share of the rate' },
  tollgate_limiter_redis_takes_total: { type: 'counter', help: 'Takes decided by Redis' },
  tollgate_limiter_redis_trips_total: { type: 'counter', help: 'Questions to Redis: the takes of one turn of the loop share one' },
  tollgate_limiter_repeated_refusals_total: { type: 'counter', help: 'Takes refused without asking Redis, because it had just refused the key' },
  tollgate_limiter_failures_total: { type: 'counter', help: 'Questions to Redis that failed: timeout, unreachable, error, foreign (a bucket that holds something else)', labels: ['failure'] },
  tollgate_limiter_gateways: { type: 'gauge', help: 'Gateways last known to share the rates' },
  tollgate_registry_contact_age_seconds: { type: 'gauge', help: 'Time since this gateway last had everything that the registry in Redis holds' },
  tollgate_registry_changes_total: { type: 'counter', help: 'Changes of members and keys taken over from Redis' },
  tollgate_registry_full_reads_total: { type: 'counter', help: 'Times that the whole registry was read from Redis' },
  tollgate_registry_failures_total: { type: 'counter', help: 'Attempts to read the registry in Redis that failed, by error code', labels: ['code'] },
  tollgate_registry_foreign_total: { type: 'counter', help: 'Members and keys in Redis that could not be read and were passed over' },

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

  tollgate_shipper_events_total: { type: 'counter', help: 'Events and voids that Kafka has acknowledged, repeats included' },
  tollgate_shipper_sent_bytes_total: { type: 'counter', help: 'Their bytes before compression, headers included roughly' },
  tollgate_shipper_sends_total: { type: 'counter', help: 'Sends to Kafka that were acknowledged' },
  tollgate_shipper_failures_total: { type: 'counter', help: 'Requests to Kafka that failed; each is made again' },
  tollgate_shipper_resends_total: { type: 'counter', help: 'Times that acknowledged events stayed uncounted and were sent again: probe (one send of them), all', labels: ['kind'] },
  tollgate_shipper_kafka_up: { type: 'gauge', help: '1 while Kafka does what is asked of it, 0 while any request fails' },
  tollgate_shipper_backlog_events: { type: 'gauge', help: 'Events in the journal that wait, by what for: unsent, uncounted, unarchived; each includes the one before', labels: ['state'] },
  tollgate_shipper_backlog_bytes: { type: 'gauge', help: 'Journal bytes of these events, at about', labels: ['state'] },
  tollgate_shipper_partitions_behind: { type: 'gauge', help: 'Partitions that have fallen behind the others and are caught up separately' },
  tollgate_shipper_oldest_unsent_seconds: { type: 'gauge', help: 'Age of the journal segment that holds the oldest unacknowledged event; 0 without any' },
  tollgate_shipper_journal_full_seconds: { type: 'gauge', help: 'Until the journal is full at the present rate if nothing is recycled; +Inf while nothing comes in' },
  tollgate_shipper_clock_skew_seconds: { type: 'gauge', help: 'This machine\'s clock minus the brokers\', where it is outside of the time that a send took' },

  tollgate_aggregator_events_total: { type: 'counter', help: 'Events counted' },
  tollgate_aggregator_dead_letters_total: { type: 'counter', help: 'Lines of the usage log that could not be counted; they are kept with their reason' },
  tollgate_aggregator_batch_seconds: { type: 'histogram', help: 'Batches of the usage log: from their items to the commit', buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] },
  tollgate_aggregator_failures_total: { type: 'counter', help: 'Steps that failed and were begun again from what is durable' },
  tollgate_aggregator_gaps: { type: 'gauge', help: 'Streams held back because records before theirs are missing' },
  tollgate_aggregator_watermark_age_seconds: { type: 'gauge', help: 'How far the oldest watermark of an open stream is behind the clock' },
  tollgate_aggregator_segment_rows: { type: 'gauge', help: 'Hourly rows in the open segment' },
  tollgate_aggregator_partitions: { type: 'gauge', help: 'Partitions that this aggregator has been dealt, by what it does with them: fencing, reading, comparing, loading, owning, waiting (for an operator), pausing (before another try)', labels: ['state'] },
  tollgate_aggregator_partitions_in_line: { type: 'gauge', help: 'Partitions that have much to count or to archive, and wait for their turn at the memory that they share' },
  tollgate_aggregator_lag_records: { type: 'gauge', help: 'Records of the usage log that wait to be counted' },
  tollgate_aggregator_lag_seconds: { type: 'gauge', help: 'How long ago the last record that was read came to the usage log, of the partition furthest behind; 0 where no record waits' },
  tollgate_aggregator_unpublished_revisions: { type: 'gauge', help: 'Commits that the topic of hourly counts does not have yet' },
  tollgate_aggregator_take_overs_total: { type: 'counter', help: 'Partitions taken over, by whether the own file was kept, the topic loaded, a file recovered, or nothing was there: keep, load, recover, begin', labels: ['decision'] },
  tollgate_aggregator_take_over_seconds: { type: 'histogram', help: 'Take-overs, from fencing the former owner to the first transaction of our own', buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120] },
  tollgate_aggregator_partitions_given_up_total: { type: 'counter', help: 'Times that a partition was given up because of an error, by its code', labels: ['code'] },
  tollgate_aggregator_published_records_total: { type: 'counter', help: 'Records published: hourly rows, tallies, streams and progress' },
  tollgate_aggregator_publish_seconds: { type: 'histogram', help: 'Transactions that published counts', buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  tollgate_usage_dead_letters_total: { type: 'counter', help: 'Records of the usage log sent to the dead letters, by reason: no-identity, malformed, record (missing, empty, too large), identity, time, field', labels: ['reason'] },
  tollgate_aggregator_hourly_malformed_total: { type: 'counter', help: 'Records of the topic of hourly counts that a take-over could not read' },
  tollgate_archive_events_total: { type: 'counter', help: 'Events written to the archive' },
  tollgate_archive_flush_seconds: { type: 'histogram', help: 'Flushes of the archive, from the first file to the commit', buckets: [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] },
  tollgate_archive_waiting_events: { type: 'gauge', help: 'Events counted and not yet archived' },
  tollgate_archive_copies_total: { type: 'counter', help: 'Finished files brought to peers' },
  tollgate_archive_copy_failures_total: { type: 'counter', help: 'Attempts to bring a finished file to a peer that failed; it is tried again' },
  tollgate_archive_problems: { type: 'gauge', help: 'Files of the archive that were missing or damaged when the program started' },

  tollgate_billing_answers_total: { type: 'counter', help: 'Answers of the billing server, by listener, route and status', labels: ['listener', 'route', 'status'] },
  tollgate_billing_answer_seconds: { type: 'histogram', help: 'Time of the billing server\'s answers', labels: ['listener', 'route'], buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  tollgate_billing_questions_waiting: { type: 'gauge', help: 'Questions that wait for their turn at the ledger' },
  tollgate_ledger_current: { type: 'gauge', help: '1 while the ledger follows the hourly counts, 0 while it can\'t' },
  tollgate_ledger_steps_total: { type: 'counter', help: 'Steps of the hourly log that the ledger has taken' },

  tollgate_ledger_behind_partitions: { type: 'gauge', help: 'Partitions of the hourly topic that this billing server has not read to their end' },
  tollgate_ledger_missing_segments: { type: 'gauge', help: 'Closed segments that no aggregator could give; their partitions wait' },
  tollgate_hourly_log_malformed_total: { type: 'counter', help: 'Records of the hourly topic that could not be read, and count in no bill' },
  tollgate_hourly_log_dead_letters_lost_total: { type: 'counter', help: 'Of them those that could not be put on the dead-letter topic' },
  tollgate_complete_before_timestamp_seconds: { type: 'gauge', help: 'Hours before it are complete, seconds since the epoch; 0 while none is' },
  tollgate_completeness_holding_gateways: { type: 'gauge', help: 'Gateways because of which the next hour is not complete' },
  tollgate_conservation_differences: { type: 'gauge', help: 'Hours of gateways\' streams, all of them counted, for which answered + recovered = journaled + counted only = counted does not hold, and which no operator has acknowledged' },
  tollgate_gateway_clocks_ahead_total: { type: 'counter', help: 'Watermarks of gateways that were more than 2 s ahead of the broker\'s clock' }
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
