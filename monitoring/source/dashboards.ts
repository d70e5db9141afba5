// What the dashboards show, in words that a person can review. kibana.ts makes Kibana's saved objects from it, panel-query.ts
// the questions that Elasticsearch is asked: both say the same, and the questions can be asked without Kibana.
import type { EventFieldName } from '../../src/domain/event-fields.ts'
import type { MetricName } from '../../src/platform/metrics.ts'

/** One document a request; or what Metricbeat has measured. */
export type Source = 'usage' | 'machines'

export type Measure =
  | { readonly kind: 'count', readonly label: string }
  | { readonly kind: 'sum' | 'max' | 'average', readonly field: string, readonly label: string }
  | { readonly kind: 'percentiles', readonly field: string, readonly percents: readonly number[], readonly label: string }

export type Split =
  | { readonly kind: 'values', readonly field: string, readonly valuesMax: number }
  /** 2xx, 3xx, 4xx, 5xx. */
  | { readonly kind: 'status-class', readonly field: string }

export interface Panel {
  /** Stable: a re-import replaces what is there. */
  readonly id: string
  readonly title: string
  readonly source: Source
  readonly chart: 'line' | 'bar' | 'table' | 'map'
  readonly measure: Measure
  /** Along the time of the documents; left out: over all that is chosen. */
  readonly over?: 'minute' | 'day'
  readonly by?: Split
}

export interface Dashboard { readonly id: string, readonly title: string, readonly description: string, readonly panels: readonly Panel[] }

const requests: Measure = { kind: 'count', label: 'Requests' }
const usage = (field: EventFieldName): string => field
const valuesOf = (field: EventFieldName, valuesMax = 10): Split => ({ kind: 'values', field: usage(field), valuesMax })
const units: Measure = { kind: 'sum', field: usage('units'), label: 'Units' }

/** As Metricbeat's prometheus module names them. */
const metricField = (name: MetricName): string => `prometheus.metrics.${name}`
const byProcess: Split = { kind: 'values', field: 'prometheus.labels.instance', valuesMax: 20 }
const byHost: Split = { kind: 'values', field: 'host.name', valuesMax: 20 }

const top = (id: string, title: string, field: EventFieldName, measure: Measure = requests): Panel => ({ id, title, source: 'usage', chart: 'table', measure, by: valuesOf(field) })
const machine = (id: string, title: string, kind: 'max' | 'average', field: string, by = byHost): Panel => ({ id, title, source: 'machines', chart: 'line', measure: { kind, field, label: title }, over: 'minute', by })
const promise = (id: string, title: string, name: MetricName): Panel => machine(id, title, 'max', metricField(name), byProcess)

export const dashboards: readonly Dashboard[] = [
  {
    id: 'tollgate-requests',
    title: 'Tollgate: requests',
    description: 'Every request that was answered on a metered route.',
    panels: [
      { id: 'tollgate-requests-by-status', title: 'Requests by time and class of status', source: 'usage', chart: 'bar', measure: requests, over: 'minute', by: { kind: 'status-class', field: usage('responseStatus') } },
      { id: 'tollgate-upstream-latency', title: 'Upstream latency, ms', source: 'usage', chart: 'line', measure: { kind: 'percentiles', field: usage('upstreamLatencyMs'), percents: [50, 95, 99], label: 'Latency' }, over: 'minute' },
      top('tollgate-top-routes', 'Top routes', 'routeId'),
      top('tollgate-top-members', 'Top members', 'memberId'),
      top('tollgate-top-keys', 'Top keys', 'apiKeyId'),
      top('tollgate-errors-by-code', 'Errors of the gateway by code', 'errorCode'),
      { id: 'tollgate-callers', title: 'Callers', source: 'usage', chart: 'map', measure: requests }
    ]
  },
  {
    id: 'tollgate-usage',
    title: 'Tollgate: usage',
    description: 'Units by who used what. The bill is the billing server\'s; this is a copy.',
    panels: [
      { id: 'tollgate-units-by-day', title: 'Units by day', source: 'usage', chart: 'bar', measure: units, over: 'day' },
      top('tollgate-units-by-member', 'Units by member', 'memberId', units),
      top('tollgate-units-by-grade', 'Units by grade', 'memberGrade', units),
      top('tollgate-units-by-endpoint', 'Units by endpoint', 'apiEndpointId', units)
    ]
  },
  {
    id: 'tollgate-machines',
    title: 'Tollgate: machines',
    description: 'The Pis, Kafka and Redis, as Metricbeat sees them.',
    panels: [
      machine('tollgate-cpu', 'Processor, share', 'average', 'system.cpu.total.norm.pct'),
      machine('tollgate-memory', 'Memory in use, share', 'average', 'system.memory.actual.used.pct'),
      machine('tollgate-disk', 'Fullest file system, share', 'max', 'system.filesystem.used.pct'),
      machine('tollgate-temperature', 'Temperature, degrees', 'max', 'prometheus.metrics.node_hwmon_temp_celsius'),
      machine('tollgate-network-in', 'Network in, bytes since start', 'max', 'system.network.in.bytes'),
      machine('tollgate-network-out', 'Network out, bytes since start', 'max', 'system.network.out.bytes'),
      machine('tollgate-kafka-lag', 'Kafka: records that wait, by group', 'max', 'kafka.consumergroup.consumer_lag', { kind: 'values', field: 'kafka.consumergroup.id', valuesMax: 10 }),
      machine('tollgate-redis-memory', 'Redis: memory in use, bytes', 'max', 'redis.info.memory.used.value')
    ]
  },
  {
    id: 'tollgate-promises',
    title: 'Tollgate: promises',
    description: 'What only Tollgate knows of itself; the alerts speak of the same numbers (docs/runbook.md).',
    panels: [
      promise('tollgate-journal-used', 'Journal that is not yet archived, bytes', 'tollgate_journal_used_bytes'),
      promise('tollgate-shipping-backlog', 'Events that wait in journals', 'tollgate_shipper_backlog_events'),
      promise('tollgate-aggregation-lag', 'Counting is behind, s', 'tollgate_aggregator_lag_seconds'),
      promise('tollgate-watermark-age', 'Age of the oldest watermark, s', 'tollgate_aggregator_watermark_age_seconds'),
      promise('tollgate-complete-before', 'Hours are complete before, s since the epoch', 'tollgate_complete_before_timestamp_seconds'),
      promise('tollgate-conservation', 'Hours whose sums differ', 'tollgate_conservation_differences')
    ]
  }
]
