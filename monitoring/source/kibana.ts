// Kibana's saved objects, one a line, from the dashboards' source: data views, a visualization a panel, the dashboards. Their
// ids are the source's own, so that a re-import with overwriting changes nothing. No Kibana has run here: docs/monitoring.md.
import { dashboards } from './dashboards.ts'
import type { Dashboard, Measure, Panel, Source, Split } from './dashboards.ts'
import { locationField, usageIndexPrefix } from './elasticsearch.ts'
import { statusClasses, timeFields } from './panel-query.ts'

interface Reference { readonly id: string, readonly name: string, readonly type: string }
interface SavedObject { readonly id: string, readonly type: string, readonly attributes: object, readonly references: readonly Reference[], readonly coreMigrationVersion: string, readonly typeMigrationVersion: string }

/** The last changes of each type's shape that this file follows, within Kibana 8. */
const typeVersions = { 'index-pattern': '8.0.0', visualization: '8.5.0', map: '8.4.0', dashboard: '8.9.0' } as const
const coreMigrationVersion = '8.8.0'
const searchReference = 'kibanaSavedObjectMeta.searchSourceJSON.index'
const columns = 48
const panelWidth = 24
const panelHeight = 14

const dataViews: Readonly<Record<Source, { readonly id: string, readonly title: string, readonly name: string }>> = {
  usage: { id: 'tollgate-usage-events', title: `${usageIndexPrefix}*`, name: 'Tollgate: usage events' },
  machines: { id: 'tollgate-metricbeat', title: 'metricbeat-*', name: 'Tollgate: Metricbeat' }
}

/** NDJSON for Kibana's import. */
export function kibanaObjects (): string {
  const panels = dashboards.flatMap((dashboard) => dashboard.panels)
  const objects = [
    ...(Object.keys(dataViews) as Source[]).map(dataViewOf),
    ...panels.map((panel) => panel.chart === 'map' ? mapOf(panel) : visualizationOf(panel)),
    ...dashboards.map(dashboardOf)
  ]
  return objects.map((object) => `${JSON.stringify(object)}\n`).join('')
}

function saved (type: keyof typeof typeVersions, id: string, attributes: object, references: readonly Reference[] = []): SavedObject {
  return { id, type, attributes, references, coreMigrationVersion, typeMigrationVersion: typeVersions[type] }
}

function dataViewOf (source: Source): SavedObject {
  const { id, title, name } = dataViews[source]
  return saved('index-pattern', id, { title, name, timeFieldName: timeFields[source] })
}

function visualizationOf (panel: Panel): SavedObject {
  const { id, title, source, chart } = panel
  const type = chart === 'bar' ? 'histogram' : chart
  const visState = JSON.stringify({ title, type, aggs: aggregationsOf(panel), params: chart === 'table' ? tableParameters : chartParameters(panel) })
  const searchSourceJSON = JSON.stringify({ query: { query: '', language: 'kuery' }, filter: [], indexRefName: searchReference })
  return saved('visualization', id, { title, description: '', uiStateJSON: '{}', visState, kibanaSavedObjectMeta: { searchSourceJSON } }, [{ id: dataViews[source].id, name: searchReference, type: 'index-pattern' }])
}

/** The same that panel-query.ts asks for. */
function aggregationsOf ({ source, chart, measure, over, by }: Panel): readonly object[] {
  const time = over === undefined ? [] : [{ id: '2', enabled: true, type: 'date_histogram', schema: 'segment', params: { field: timeFields[source], interval: over === 'day' ? 'd' : 'auto', min_doc_count: 1, drop_partials: false, useNormalizedEsInterval: true } }]
  const split = by === undefined ? [] : [{ id: '3', enabled: true, schema: chart === 'table' ? 'bucket' : 'group', ...splitOf(by, measure) }]
  return [{ id: '1', enabled: true, schema: 'metric', ...measureOf(measure) }, ...time, ...split]
}

function measureOf (measure: Measure): object {
  switch (measure.kind) {
    case 'count': return { type: 'count', params: { customLabel: measure.label } }
    case 'average': return { type: 'avg', params: { field: measure.field, customLabel: measure.label } }
    case 'sum':
    case 'max': return { type: measure.kind, params: { field: measure.field, customLabel: measure.label } }
    case 'percentiles': return { type: 'percentiles', params: { field: measure.field, percents: measure.percents, customLabel: measure.label } }
  }
}

function splitOf (by: Split, measure: Measure): object {
  switch (by.kind) {
    case 'values': return { type: 'terms', params: { field: by.field, size: by.valuesMax, order: 'desc', orderBy: measure.kind === 'percentiles' ? '_key' : '1', otherBucket: false, missingBucket: false } }
    case 'status-class': return { type: 'filters', params: { filters: statusClasses.map(([from, label]) => ({ label, input: { language: 'kuery', query: `${by.field} >= ${from} and ${by.field} < ${from + 100}` } })) } }
  }
}

const tableParameters = { perPage: 10, showPartialRows: false, showMetricsAtAllLevels: false, showTotal: true, totalFunc: 'sum', percentageCol: '', showToolbar: true }

function chartParameters ({ chart, measure }: Panel): object {
  const axisTitle = { text: measure.label }
  return {
    type: chart === 'bar' ? 'histogram' : 'line',
    grid: { categoryLines: false },
    categoryAxes: [{ id: 'CategoryAxis-1', type: 'category', position: 'bottom', show: true, scale: { type: 'linear' }, labels: { show: true, filter: true, truncate: 100 }, title: {}, style: {} }],
    valueAxes: [{ id: 'ValueAxis-1', name: 'LeftAxis-1', type: 'value', position: 'left', show: true, scale: { type: 'linear', mode: 'normal' }, labels: { show: true, rotate: 0, filter: false, truncate: 100 }, title: axisTitle, style: {} }],
    seriesParams: [{ show: true, type: chart === 'bar' ? 'histogram' : 'line', mode: chart === 'bar' ? 'stacked' : 'normal', data: { label: measure.label, id: '1' }, valueAxis: 'ValueAxis-1', drawLinesBetweenPoints: true, lineWidth: 2, interpolate: 'linear', showCircles: false }],
    addTooltip: true,
    addLegend: true,
    legendPosition: 'right',
    times: [],
    addTimeMarker: false,
    labels: { show: false },
    thresholdLine: { show: false, value: 10, width: 1, style: 'full', color: '#E7664C' }
  }
}

function mapOf ({ id, title, source }: Panel): SavedObject {
  const reference = 'layer_1_source_index_pattern'
  const ground = { id: `${id}-ground`, type: 'EMS_VECTOR_TILE', label: null, visible: true, alpha: 1, minZoom: 0, maxZoom: 24, sourceDescriptor: { type: 'EMS_TMS', isAutoSelect: true }, style: { type: 'EMS_VECTOR_TILE', color: '' }, includeInFitToBounds: true }
  const cells = {
    id: `${id}-cells`, type: 'GEOJSON_VECTOR', label: title, visible: true, alpha: 0.75, minZoom: 0, maxZoom: 24, joins: [], includeInFitToBounds: true,
    sourceDescriptor: { id: `${id}-source`, type: 'ES_GEO_GRID', geoField: locationField, requestType: 'point', resolution: 'COARSE', metrics: [{ type: 'count' }], applyGlobalQuery: true, applyGlobalTime: true, applyForceRefresh: true, indexPatternRefName: reference },
    style: { type: 'VECTOR', isTimeAware: true, properties: { iconSize: { type: 'DYNAMIC', options: { minSize: 7, maxSize: 32, field: { name: 'doc_count', origin: 'source' }, fieldMetaOptions: { isEnabled: false, sigma: 3 } } } } }
  }
  const mapState = { zoom: 1.5, center: { lon: 60, lat: 25 }, timeFilters: { from: 'now-24h', to: 'now' }, refreshConfig: { isPaused: true, interval: 0 }, query: { query: '', language: 'kuery' }, filters: [] }
  return saved('map', id, { title, description: '', layerListJSON: JSON.stringify([ground, cells]), mapStateJSON: JSON.stringify(mapState), uiStateJSON: '{}' }, [{ id: dataViews[source].id, name: reference, type: 'index-pattern' }])
}

/** Two panels side by side. */
function dashboardOf ({ id, title, description, panels }: Dashboard): SavedObject {
  const placed = panels.map((panel, index) => {
    const panelIndex = String(index + 1)
    const place = { x: index * panelWidth % columns, y: Math.floor(index * panelWidth / columns) * panelHeight, w: panelWidth, h: panelHeight, i: panelIndex }
    return { panel, panelIndex, json: { version: coreMigrationVersion, type: typeOf(panel), gridData: place, panelIndex, embeddableConfig: {}, panelRefName: `panel_${panelIndex}` } }
  })
  const attributes = {
    title, description, version: 1, timeRestore: true, timeFrom: 'now-24h', timeTo: 'now', refreshInterval: { pause: true, value: 0 },
    optionsJSON: JSON.stringify({ useMargins: true, syncColors: false, syncCursor: true, syncTooltips: false, hidePanelTitles: false }),
    panelsJSON: JSON.stringify(placed.map(({ json }) => json)),
    kibanaSavedObjectMeta: { searchSourceJSON: JSON.stringify({ query: { query: '', language: 'kuery' }, filter: [] }) }
  }
  return saved('dashboard', id, attributes, placed.map(({ panel, panelIndex }) => ({ id: panel.id, name: `${panelIndex}:panel_${panelIndex}`, type: typeOf(panel) })))
}

function typeOf ({ chart }: Panel): 'map' | 'visualization' { return chart === 'map' ? 'map' : 'visualization' }
