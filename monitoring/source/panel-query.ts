// The question behind a panel, as Elasticsearch is asked it.
import { locationField } from './elasticsearch.ts'
import type { Measure, Panel, Split } from './dashboards.ts'

export const statusClasses = [[200, '2xx'], [300, '3xx'], [400, '4xx'], [500, '5xx']] as const
export const timeFields = { usage: 'requestTime', machines: '@timestamp' } as const
const mapPrecision = 6

interface Aggregation { readonly [kind: string]: unknown, aggs?: Aggregations }
type Aggregations = Readonly<Record<string, Aggregation>>

/** The body of a `_search`: buckets along the time and by value, as far as the panel has them, and in each its measure. */
export function panelQuery ({ source, chart, measure, over, by }: Panel): object {
  if (chart === 'map') return { size: 0, aggs: { cells: { geotile_grid: { field: locationField, precision: mapPrecision } } } }
  const measured: Aggregations = measure.kind === 'count' ? {} : { measure: measureOf(measure) }
  const split: Aggregations = by === undefined ? measured : { by: { ...splitOf(by, measure), aggs: measured } }
  const interval = over === 'day' ? { calendar_interval: 'day' } : { fixed_interval: '1m' }
  return { size: 0, track_total_hits: true, aggs: over === undefined ? split : { over: { date_histogram: { field: timeFields[source], ...interval, min_doc_count: 1 }, aggs: split } } }
}

function measureOf (measure: Exclude<Measure, { kind: 'count' }>): Aggregation {
  switch (measure.kind) {
    case 'sum': return { sum: { field: measure.field } }
    case 'max': return { max: { field: measure.field } }
    case 'average': return { avg: { field: measure.field } }
    case 'percentiles': return { percentiles: { field: measure.field, percents: measure.percents } }
  }
}

/** The largest first. */
function splitOf (by: Split, measure: Measure): Aggregation {
  switch (by.kind) {
    case 'values': return { terms: { field: by.field, size: by.valuesMax, order: measure.kind === 'count' || measure.kind === 'percentiles' ? { _count: 'desc' } : { measure: 'desc' } } }
    case 'status-class': return { range: { field: by.field, ranges: statusClasses.map(([from, key]) => ({ key, from, to: from + 100 })) } }
  }
}

interface Bucket { readonly key: string | number, readonly key_as_string?: string, readonly doc_count: number, readonly measure?: { readonly value?: number, readonly values?: Readonly<Record<string, number>> }, readonly by?: Buckets }
interface Buckets { readonly buckets: readonly Bucket[] }
export interface PanelAnswer { readonly aggregations: Readonly<Partial<Record<'over' | 'by' | 'cells', Buckets>>> }

export type PanelRow = readonly (string | number)[]

/** The answer as rows: time, value, and the measure's numbers; empty buckets are left out. */
export function panelRows ({ over, by, chart }: Panel, { aggregations }: PanelAnswer): PanelRow[] {
  if (chart === 'map') return (aggregations.cells?.buckets ?? []).map(({ key, doc_count: count }) => [key, count])
  if (over === undefined) return rowsOf(aggregations.by?.buckets ?? [])
  return (aggregations.over?.buckets ?? []).flatMap((bucket) => by === undefined
    ? [[timeOf(bucket), ...numbersOf(bucket)]]
    : rowsOf(bucket.by?.buckets ?? []).map((row) => [timeOf(bucket), ...row]))
}

function rowsOf (buckets: readonly Bucket[]): PanelRow[] { return buckets.filter(({ doc_count: count }) => count > 0).map((bucket) => [bucket.key, ...numbersOf(bucket)]) }

function timeOf ({ key, key_as_string: text }: Bucket): string | number { return text ?? key }

function numbersOf ({ doc_count: count, measure }: Bucket): readonly number[] {
  return measure === undefined ? [count] : measure.values === undefined ? [measure.value ?? 0] : Object.values(measure.values)
}
