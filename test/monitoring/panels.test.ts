// Each panel's question is put to a real Elasticsearch and answered with the numbers that DuckDB finds in the same events.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { dashboards } from '../../monitoring/source/dashboards.ts'
import type { Panel } from '../../monitoring/source/dashboards.ts'
import { panelQuery, panelRows } from '../../monitoring/source/panel-query.ts'
import type { PanelAnswer, PanelRow } from '../../monitoring/source/panel-query.ts'
import { expectedPanels, expectedRows } from '../helpers/panel-oracle.ts'
import { usageEventOf, usageLineOf } from '../helpers/usage-records.ts'
import { startElasticsearch } from '../services/elasticsearch.ts'

const events = 5_000
/** Percentiles are estimated: this part of the value, or this many milliseconds. */
const percentileShare = 0.05
const percentileMs = 2

const elasticsearch = await startElasticsearch({ after })
const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-panels-'))
after(() => { rmSync(folder, { recursive: true }) })
const file = path.join(folder, 'events.ndjson')
const panels = dashboards.flatMap((dashboard) => dashboard.panels)

await elasticsearch.ask('PUT', '/_index_template/api_usage_trace', JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../monitoring/elasticsearch/index-template.json'), 'utf8')))
const lines = Array.from({ length: events }, (_, index) => usageLineOf(index + 1))
writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
await bulk(lines.map((line, index) => [`api_usage_trace-${new Date(usageEventOf(index + 1).requestTimeMs).toISOString().slice(0, 10).replaceAll('-', '.')}`, line]))

async function bulk (documents: readonly (readonly [index: string, document: string])[]): Promise<void> {
  const { errors } = await elasticsearch.ask<{ readonly errors: boolean }>('POST', '/_bulk?refresh=true', documents.map(([index, document]) => `{"index":{"_index":"${index}"}}\n${document}\n`).join(''))
  assert.equal(errors, false)
}

async function shown (panel: Panel, index: string): Promise<PanelRow[]> {
  return panelRows(panel, await elasticsearch.ask<PanelAnswer>('POST', `/${index}/_search`, panelQuery(panel)))
}

const sorted = (rows: readonly PanelRow[]): PanelRow[] => [...rows].sort((a, b) => JSON.stringify(a.slice(0, 2)) < JSON.stringify(b.slice(0, 2)) ? -1 : 1)

test('every panel of usage events is compared but for the map', () => {
  assert.deepEqual(panels.filter(({ source, chart }) => source === 'usage' && chart !== 'map').map(({ id }) => id), expectedPanels)
})

for (const panel of panels.filter(({ id }) => expectedPanels.includes(id))) {
  test(`${panel.title}: the numbers that DuckDB finds`, async () => {
    const [found, expected] = [sorted(await shown(panel, 'api_usage_trace')), sorted(await expectedRows(panel.id, file))]
    assert.ok(expected.length > 0)
    if (panel.measure.kind !== 'percentiles') { assert.deepEqual(found, expected); return }
    assert.deepEqual(found.map(([time]) => time), expected.map(([time]) => time))
    found.forEach((row, index) => {
      row.slice(1).forEach((value, at) => {
        const right = Number(expected[index]?.[at + 1])
        assert.ok(Math.abs(Number(value) - right) <= Math.max(percentileMs, right * percentileShare), `${JSON.stringify(row)} is not about ${JSON.stringify(expected[index])}`)
      })
    })
  })
}

test('tables show the largest first', async () => {
  for (const panel of panels.filter(({ chart }) => chart === 'table')) {
    const values = (await shown(panel, 'api_usage_trace')).map((row) => Number(row[1]))
    assert.deepEqual(values, values.toSorted((a, b) => b - a), panel.id)
  }
})

test('the map counts callers where they are', async () => {
  const map = panels.find(({ chart }) => chart === 'map') as Panel
  const at = (lat: number, lon: number): string => JSON.stringify({ ...JSON.parse(lines[0] ?? '') as object, requestLocation: { lat, lon } })
  await bulk([['api_usage_trace-2025.01.01', at(37.5, 127)], ['api_usage_trace-2025.01.01', at(37.51, 127.01)], ['api_usage_trace-2025.01.01', at(52.5, 13.4)]])
  assert.deepEqual((await shown(map, 'api_usage_trace-2025.01.01')).map(([, count]) => count), [2, 1])
})

test('panels of machines and promises ask what Elasticsearch understands, and show what Metricbeat would have written', async () => {
  const machines = panels.filter(({ source }) => source === 'machines')
  assert.ok(machines.length >= 14)
  const fields = new Set(machines.flatMap(({ by }) => by === undefined ? [] : [by.field]))
  await elasticsearch.ask('PUT', '/metricbeat-test', { mappings: { properties: { '@timestamp': { type: 'date' }, ...Object.fromEntries([...fields].map((field) => [field, { type: 'keyword' }])) } } })
  const time = '2026-01-15T12:00:00.000Z'
  await bulk(machines.flatMap(({ measure, by }) => measure.kind === 'count' || by === undefined ? [] : ['one', 'two'].map((name, index) => ['metricbeat-test', JSON.stringify({ '@timestamp': time, [measure.field]: index + 1, [by.field]: name })] as const)))
  for (const panel of machines) assert.deepEqual(sorted(await shown(panel, 'metricbeat-test')), [[time, 'one', 1], [time, 'two', 2]], panel.id)
})
