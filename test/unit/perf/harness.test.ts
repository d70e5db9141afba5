// The benchmark's arithmetic and its page: what a figure rests on.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { costBetween, costOf, ownCpuMsOf, rssPeakOf } from '../../../perf/harness/cost.ts'
import { blockDeviceOf, deviceNumbers } from '../../../perf/harness/device.ts'
import type { Cost } from '../../../perf/harness/cost.ts'
import { writePage } from '../../../perf/harness/page.ts'
import { orderOf, percentileOf, spreadOf } from '../../../perf/harness/rounds.ts'
import { markdownTable, short, spreadText, thousands } from '../../../perf/harness/table.ts'
import { shareOf } from '../../../perf/load/take-turns.ts'
import { eventually } from '../../helpers/eventually.ts'

test('every contestant starts a round in its turn', () => {
  assert.deepEqual([0, 1, 2, 3].map((round) => orderOf(['a', 'b', 'c'], round).join('')), ['abc', 'bca', 'cab', 'abc'])
})

test('connections that ask in turn share what is asked', () => {
  const requests = ['a', 'b', 'c', 'd', 'e'].map((path) => ({ path, headers: {} }))
  const shares = (connections: number): string[] => Array.from({ length: connections }, (_, connection) => shareOf({ requests, connections }, connection).map(({ path }) => path).join(''))
  assert.deepEqual(shares(2), ['ace', 'bd'])
  assert.deepEqual(shares(5), ['a', 'b', 'c', 'd', 'e'])
  assert.deepEqual(shares(6), ['abcde', 'bcdea', 'cdeab', 'deabc', 'eabcd', 'abcde'])
})

test('the device below a folder: its numbers, and none below /proc', () => {
  assert.deepEqual(deviceNumbers(65_024n), { major: 254n, minor: 0n })
  const large = { major: 0x12345n, minor: 0x6789an }
  assert.deepEqual(deviceNumbers(0x345n << 8n | 0x12000n << 32n | 0x9an | 0x67800n << 12n), large)
  assert.equal(blockDeviceOf('/proc'), undefined)
})

test('median, spread and percentiles', () => {
  assert.deepEqual(spreadOf([3, 1, 2]), { median: 2, min: 1, max: 3 })
  assert.deepEqual(spreadOf([4, 1, 2, 3]), { median: 2.5, min: 1, max: 4 })
  assert.throws(() => spreadOf([]))
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1)
  assert.deepEqual([0.5, 0.99, 1].map((share) => percentileOf(hundred, share)), [50, 99, 100])
  assert.equal(percentileOf([7], 0.01), 7)
})

test('numbers are as exact as they are worth', () => {
  assert.deepEqual([1.234, 12.34, 123.4, 12_345, NaN].map(short), ['1.23', '12.3', '123', '12,345', '-'])
  assert.equal(thousands(1_234_567), '1,234,567')
  assert.equal(spreadText({ median: 2, min: 1, max: 3 }), '2.00 (1.00 to 3.00)')
  assert.equal(spreadText({ median: 2, min: 2, max: 2 }), '2.00')
})

test('a table for the page', () => {
  assert.equal(markdownTable({ title: 'T', columns: ['a', 'b'], rows: [['x', '1']], notes: ['why'] }), '**T**\n\n| a | b |\n|---|---:|\n| x | 1 |\n\n* why')
})

test('a scenario rewrites its own part of the page and nothing else', (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'bench-page-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const file = path.join(folder, 'benchmarks.md')
  const part = (name: string, text: string): string => `<!-- bench:${name} -->\n${text}\n<!-- /bench:${name} -->`
  writePage(file, 'one', part('one', 'first'))
  writePage(file, 'two', part('two', 'second'))
  writePage(file, 'one', part('one', 'changed'))
  const text = readFileSync(file, 'utf8')
  assert.match(text, /^# Benchmarks\n/)
  assert.ok(text.endsWith(`${part('one', 'changed')}\n\n${part('two', 'second')}\n`), text)
  writeFileSync(file, text.replace('<!-- /bench:one -->', ''))
  assert.throws(() => { writePage(file, 'one', part('one', 'x')) }, /markers of "one" don't pair/)
})

test('CPU of a process counts its threads, and its children unless they are left out', async (t) => {
  const burn = 'const end = process.cpuUsage().user + 200_000; while (process.cpuUsage().user < end);'
  const code = `
    const { Worker } = require('node:worker_threads')
    const { spawn } = require('node:child_process')
    new Worker(${JSON.stringify(burn)}, { eval: true, name: 'burner' }).on('exit', () => {
      const child = spawn(process.execPath, ['-e', ${JSON.stringify(`${burn} console.log('done'); setInterval(() => {}, 1000)`)}])
      child.stdout.once('data', () => { console.log('done') })
      process.once('SIGTERM', () => { child.kill(); process.exit(0) })
    })`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise((resolve) => { child.once('exit', resolve) })
  t.after(async () => { child.kill('SIGTERM'); await ended })
  const { pid } = child
  assert.ok(pid !== undefined)
  let isDone = false
  child.stdout.once('data', () => { isDone = true })
  await eventually('the work is done', () => isDone, { withinMs: 45_000 })
  const ownCpuMs = ownCpuMsOf(pid)
  const { cpuMs, rssBytes } = costOf(pid)
  assert.ok(cpuMs >= 380, `the thread and the child worked 200 ms each, ${cpuMs} ms were seen`)
  assert.ok(ownCpuMs >= 190 && ownCpuMs <= cpuMs - 190, `its own are those of the thread, ${ownCpuMs} of ${cpuMs} ms`)
  assert.ok(rssBytes > rssPeakOf(pid), 'the child\'s memory counts beside the process\'s own')
})

test('CPU between two looks, thread by thread', () => {
  const look = (cpuMs: number, threads: Readonly<Record<string, number>>): Cost => ({ cpuMs, cpuMsByThread: new Map(Object.entries(threads)), rssBytes: 0 })
  assert.deepEqual(costBetween(look(100, { a: 60, b: 40 }), look(190, { a: 130, b: 40, c: 20 })), { cpuMs: 90, cpuMsByThread: { a: 70, c: 20 } })
})
