// No Kibana is at hand to say whether it takes the file: what can be known of it without one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { dashboards } from '../../../monitoring/source/dashboards.ts'
import { eventFields } from '../../../src/domain/event-fields.ts'
import { metricCatalogue } from '../../../src/platform/metrics.ts'

interface SavedObject { readonly id: string, readonly type: string, readonly attributes: Readonly<Record<string, unknown>>, readonly references: readonly { readonly id: string, readonly name: string, readonly type: string }[] }

const file = path.resolve(import.meta.dirname, '../../../monitoring/kibana/dashboards.ndjson')
const objects = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as SavedObject)
const panels = dashboards.flatMap((dashboard) => dashboard.panels)

test('every id is there once, and every reference leads to an object of the file', () => {
  const ids = objects.map(({ id, type }) => `${type} ${id}`)
  assert.equal(new Set(ids).size, ids.length)
  const wrong = objects.flatMap(({ id, references }) => references.filter((reference) => !ids.includes(`${reference.type} ${reference.id}`)).map((reference) => `${id}: ${reference.id}`))
  assert.deepEqual(wrong, [])
  assert.equal(objects.filter(({ type }) => type === 'dashboard').length, 4)
})

test('each dashboard has its panels, none over another, and each panel names its reference', () => {
  for (const { id, attributes, references } of objects.filter(({ type }) => type === 'dashboard')) {
    const placed = JSON.parse(attributes['panelsJSON'] as string) as { readonly panelIndex: string, readonly panelRefName: string, readonly gridData: { readonly x: number, readonly y: number, readonly w: number } }[]
    assert.deepEqual(placed.map(({ panelIndex, panelRefName }) => `${panelIndex}:${panelRefName}`), references.map(({ name }) => name))
    assert.deepEqual(references.map((reference) => reference.id), dashboards.find((dashboard) => dashboard.id === id)?.panels.map((panel) => panel.id))
    assert.equal(new Set(placed.map(({ gridData }) => `${gridData.x} ${gridData.y}`)).size, placed.length)
    assert.ok(placed.every(({ gridData }) => gridData.x + gridData.w <= 48))
  }
})

test('panels ask for fields of usage events, or for metrics of the catalogue', () => {
  const fieldsOf = (value: unknown): string[] => typeof value !== 'object' || value === null ? [] : Object.entries(value).flatMap(([key, inner]) => key === 'field' ? [String(inner)] : fieldsOf(inner))
  for (const panel of panels) {
    for (const field of fieldsOf(panel)) {
      if (panel.source === 'usage') assert.ok(Object.hasOwn(eventFields, field), `${panel.id}: ${field}`)
      const metric = /^prometheus\.metrics\.(tollgate_.*)$/.exec(field)?.[1]
      if (metric !== undefined) assert.ok(Object.hasOwn(metricCatalogue, metric), `${panel.id}: ${metric}`)
    }
  }
  assert.ok(panels.length >= 20)
})
