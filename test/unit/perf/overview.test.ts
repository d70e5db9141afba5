// The picture beside the benchmarks' page: its numbers are the page's, its verdicts follow from them.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { machineOf } from '../../../perf/harness/cpu-shares.ts'
import { goals, judge } from '../../../perf/harness/goals.ts'
import { overviewOf } from '../../../perf/harness/overview.ts'
import { figureAt, figureOf, tablesOfPage } from '../../../perf/harness/page-tables.ts'
import { markdownTable } from '../../../perf/harness/table.ts'

const part = (scenario: string, ...tables: readonly string[]): string => `<!-- bench:${scenario} -->\n\n## ${scenario}: x\n\n${tables.join('\n\n')}\n\nHow it was measured:\n\n* so\n\n<!-- /bench:${scenario} -->\n`
const table = (title: string, columns: readonly string[], rows: readonly (readonly string[])[], notes: readonly string[] = []): string => markdownTable({ title, columns, rows, notes })
const meteredName = 'Tollgate, authenticated + limited + durably metered'
const saturation = (rows: readonly (readonly string[])[]): string => table('Saturation', ['contestant', 'connections', 'CPU us a request', 'x nginx', 'x fastify', 'wrk: CPU us', 'x nginx'], rows)

test('figures are read as tables write them', () => {
  assert.deepEqual(figureOf('81.2 (67.0 to 83.0)'), { median: 81.2, min: 67, max: 83 })
  assert.deepEqual(figureOf('111,982 (106,724 to 112,233)'), { median: 111_982, min: 106_724, max: 112_233 })
  assert.deepEqual(figureOf('55.1 (38.0 to 63.9) %'), { median: 55.1, min: 38, max: 63.9 })
  assert.deepEqual(['4.9 %', '1,234'].map((cell) => figureOf(cell)?.median), [4.9, 1_234])
  assert.deepEqual(['-', '', 'nginx', '1.2.3'].map(figureOf), [undefined, undefined, undefined, undefined])
})

test('tables are read back from the page, by part', () => {
  const page = part('one', table('First', ['a', 'b'], [['x', '1'], ['y', '2']], ['why']), table('Second', ['c'], [['3']])) + part('two', table('First', ['a', 'b'], [['x', '9']]))
  assert.deepEqual(tablesOfPage(page), [
    { scenario: 'one', title: 'First', columns: ['a', 'b'], rows: [['x', '1'], ['y', '2']] },
    { scenario: 'one', title: 'Second', columns: ['c'], rows: [['3']] },
    { scenario: 'two', title: 'First', columns: ['a', 'b'], rows: [['x', '9']] }
  ])
  const at = (scenario: string, row: readonly string[], column: string): number | undefined => figureAt(tablesOfPage(page), { scenario, title: 'Fir', row, column })?.median
  assert.deepEqual([at('one', ['y'], 'b'), at('two', ['x'], 'b'), at('one', ['z'], 'b'), at('one', ['x'], 'c'), at('three', ['x'], 'b')], [2, 9, undefined, undefined, undefined])
})

test('a goal is met by its worst figure, and unknown while one is missing', () => {
  const verdictOf = (page: string, text: string): boolean | undefined => judge(tablesOfPage(page)).find(({ goal }) => goal.text.startsWith(text))?.isMet
  const nginx = (ratio: string): string => part('gateway', saturation([['nginx', '64', '20', '1.00', '0.2', '19', '1.00'], [meteredName, '8', '99', '9.00', '0.8', '9', '9.00'], [meteredName, '64', '40', ratio, '0.8', '9', '9.00']]))
  assert.deepEqual(['1.99', '2.00', '2.01 (1.00 to 3.00)'].map((ratio) => verdictOf(nginx(ratio), 'Metered gateway')), [true, true, false])
  const bodies = (rows: readonly (readonly string[])[]): string => part('bodies', table('Bodies through', ['body', 'x nginx'], rows))
  assert.equal(verdictOf(bodies([['1 KB down', '0.90'], ['1 KB up', '0.80']]), 'Bodies of 1 KB'), true)
  assert.equal(verdictOf(bodies([['1 KB down', '0.90'], ['1 KB up', '0.79']]), 'Bodies of 1 KB'), false)
  assert.equal(verdictOf(bodies([['1 KB down', '0.90']]), 'Bodies of 1 KB'), undefined)
})

test('the picture shows the contestants and every goal, the same for the same page', () => {
  const page = part('gateway', saturation([['nginx <bare>', '64', '20.0 (19.0 to 21.0)', '1.00', '0.20', '19', '1.00'], [meteredName, '64', '80.0', '4.00', '0.80', '9', '9.00'], [meteredName, '8', '123', '4.00', '0.80', '9', '9.00']]))
  const picture = overviewOf(page)
  assert.equal(overviewOf(page), picture)
  assert.match(picture, /nginx &lt;bare&gt;<\/text>\n<rect [^>]*width="103"/)
  assert.ok(!picture.includes('123'), 'only 64 connections are drawn')
  assert.match(picture, /0 of 2 measured are met/)
  assert.equal(picture.match(/>(?:not met|met|not measured)</g)?.length, goals.length)
  assert.match(overviewOf(''), /0 of 0 measured are met/)
})

test('the picture in docs/ is the one of the page', () => {
  const docs = path.resolve(import.meta.dirname, '../../../docs')
  assert.equal(readFileSync(path.join(docs, 'benchmarks.svg'), 'utf8'), overviewOf(readFileSync(path.join(docs, 'benchmarks.md'), 'utf8')), 'bin/bench writes both; after a merge any run that writes the page mends it')
})

test('the machine\'s processors: busy, idle, taken by the host', () => {
  assert.deepEqual(machineOf('cpu  100 1 50 1000 20 2 3 7 0 0\ncpu0 1 1 1 1\n'), { busyMs: 1_560, idleMs: 10_200, stolenMs: 70 })
})
