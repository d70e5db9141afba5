// The rules are judged by promtool itself; what it can't see is checked here: that every alert is tried both ways and has
// its entry in the runbook, and that the names of metrics exist.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { metricCatalogue } from '../../../src/platform/metrics.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const folder = path.join(root, 'monitoring/prometheus')
const read = (file: string): string => readFileSync(path.join(folder, file), 'utf8')
const promtool = (...words: string[]): string => execFileSync('promtool', words, { cwd: folder, encoding: 'utf8', stdio: 'pipe' })

interface Rule { readonly alert?: string, readonly record?: string, readonly expr: string, readonly labels?: Readonly<Record<string, string>>, readonly annotations?: Readonly<Record<string, string>> }
interface Rules { readonly groups: readonly { readonly rules: readonly Rule[] }[] }
interface RuleTests { readonly tests: readonly { readonly alert_rule_test?: readonly { readonly alertname: string, readonly exp_alerts: readonly unknown[] }[], readonly promql_expr_test?: readonly { readonly expr: string }[] }[] }

const rulesOf = (file: string): Rule[] => (parse(read(file)) as Rules).groups.flatMap(({ rules }) => rules)
const alerts = rulesOf('alerts.yml')
const records = rulesOf('recording.yml')

test('promtool accepts the scrape example with its rules', () => {
  assert.match(promtool('check', 'config', 'prometheus.yml'), /2 rule files found/)
})

test('promtool\'s own tests of every rule pass', () => {
  promtool('test', 'rules', 'alerts.test.yml', 'recording.test.yml')
})

test('every alert is seen quiet and seen loud, every recording rule is worked out', () => {
  const tried = (parse(read('alerts.test.yml')) as RuleTests).tests.flatMap(({ alert_rule_test: tests = [] }) => tests)
  const quiet = new Set(tried.filter(({ exp_alerts: expected }) => expected.length === 0).map(({ alertname }) => alertname))
  const loud = new Set(tried.filter(({ exp_alerts: expected }) => expected.length > 0).map(({ alertname }) => alertname))
  const names = alerts.map(({ alert = '' }) => alert)
  assert.ok(names.length >= 18)
  assert.deepEqual(names.filter((name) => !quiet.has(name) || !loud.has(name)), [])
  assert.deepEqual([...quiet, ...loud].filter((name) => !names.includes(name)), [])
  const worked = (parse(read('recording.test.yml')) as RuleTests).tests.flatMap(({ promql_expr_test: tests = [] }) => tests).map(({ expr }) => expr)
  assert.deepEqual(records.filter(({ record = '' }) => !worked.some((expr) => expr.includes(record))), [])
})

test('every alert has an entry in the runbook that says what it means, what to look at and what to do, and no entry is of none', () => {
  const page = readFileSync(path.join(root, 'docs/runbook.md'), 'utf8')
  const entries = new Map(page.split('\n## ').slice(1).map((entry) => [entry.split('\n')[0] ?? '', entry]))
  assert.deepEqual([...entries.keys()].filter((name) => name.startsWith('Tollgate')).sort(), alerts.map(({ alert }) => alert).sort())
  for (const { alert = '', labels, annotations } of alerts) {
    for (const part of ['**Means**', '**Look at**', '**Do**']) assert.ok(entries.get(alert)?.includes(part), `${alert}: ${part}`)
    assert.match(labels?.['severity'] ?? '', /^(?:critical|warning|info)$/, alert)
    assert.ok((annotations?.['summary'] ?? '').length > 10, alert)
  }
})

test('rules speak of metrics that the program has, by labels that they have', () => {
  const catalogue = metricCatalogue as Readonly<Record<string, { readonly type: string, readonly labels?: readonly string[] }>>
  const texts = [...alerts, ...records].map(({ expr }) => expr)
  const names = texts.flatMap((text) => [...text.matchAll(/\btollgate_[a-z_]+/g)].map(([name]) => name))
  assert.ok(names.length > 20)
  const known = (name: string): boolean => Object.hasOwn(catalogue, name) || (name.endsWith('_bucket') && catalogue[name.slice(0, -'_bucket'.length)]?.type === 'histogram')
  assert.deepEqual(names.filter((name) => !known(name)), [])
  for (const text of texts) {
    for (const [, name = '', label = ''] of text.matchAll(/\b(tollgate_[a-z_]+)\{([a-z]+)/g)) assert.ok(catalogue[name]?.labels?.includes(label), `${name}{${label}}`)
  }
})

test('no metric has a label for a key or a member', () => {
  const labels = new Set(Object.values(metricCatalogue as Readonly<Record<string, { readonly labels?: readonly string[] }>>).flatMap(({ labels = [] }) => labels))
  assert.ok(labels.size > 10)
  assert.deepEqual([...labels].filter((label) => /key|member|trace|client|address|path/i.test(label)), [])
})
