// Measures Tollgate beside its rivals, one scenario after another, and writes what it found.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { readCircumstances, root } from './harness/machine.ts'
import { pagePart, writePage } from './harness/page.ts'
import type { BenchContext, Scenario, ScenarioResult } from './harness/scenario.ts'
import { terminalTable } from './harness/table.ts'
import { backlog } from './scenarios/backlog.ts'
import { billing } from './scenarios/billing.ts'
import { bodies } from './scenarios/bodies.ts'
import { clusterFreshness, clusterRate } from './scenarios/cluster-freshness.ts'
import { clusterPipeline } from './scenarios/cluster-pipeline.ts'
import { file } from './scenarios/file.ts'
import { flushCost } from './scenarios/flush-cost.ts'
import { freshness } from './scenarios/freshness.ts'
import { gateway } from './scenarios/gateway.ts'
import { growth } from './scenarios/growth.ts'
import { journal } from './scenarios/journal.ts'
import { memory } from './scenarios/memory.ts'
import { pipeline } from './scenarios/pipeline.ts'
import { rates } from './scenarios/rates.ts'
import { redis } from './scenarios/redis.ts'
import { rivals } from './scenarios/rivals.ts'
import { scale } from './scenarios/scale.ts'
import { shipper } from './scenarios/shipper.ts'
import { spark } from './scenarios/spark.ts'
import { stagesOfARequest } from './scenarios/stages.ts'
import { takeOver } from './scenarios/take-over.ts'

const scenarios: readonly Scenario[] = [gateway, stagesOfARequest, scale, bodies, journal, rates, freshness, pipeline, billing, growth, memory, file, shipper, clusterPipeline, redis, clusterFreshness, clusterRate, takeOver, backlog, flushCost, rivals, spark]
/** All scenarios of the cluster; and all there are. */
const clusterGroup = 'cluster'
const everyGroup = 'all'
const groups: readonly string[] = [clusterGroup, everyGroup]

interface Options {
  readonly wanted: readonly Scenario[]
  readonly isQuick: boolean
  readonly rounds: number
  readonly memoryS: number
  readonly rateS: number | undefined
  readonly events: number | undefined
  readonly rows: number | undefined
  readonly jsonFile: string | undefined
  readonly docsFile: string | undefined
}

class UsageError extends Error {}

function readOptions (): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, rounds: { type: 'string' }, 'memory-seconds': { type: 'string' }, 'rate-seconds': { type: 'string' }, events: { type: 'string' }, rows: { type: 'string' }, json: { type: 'string' }, docs: { type: 'string' } }
  })
  const isQuick = values.quick === true
  const whole = (name: string, text: string | undefined, otherwise: number, max: number): number => {
    const value = text === undefined ? otherwise : Number(text)
    if (!Number.isInteger(value) || value < 1 || value > max) throw new UsageError(`--${name} takes a whole number from 1 to ${max}, not "${text ?? ''}"`)
    return value
  }
  const unknown = positionals.filter((name) => !groups.includes(name) && !scenarios.some((scenario) => scenario.name === name))
  if (unknown.length > 0) throw new UsageError(`no such scenario: ${unknown.join(', ')}; there are ${[...scenarios.map((scenario) => scenario.name), ...groups].join(', ')}`)
  const chosen = (name: 'events' | 'rows' | 'rate-seconds', max: number): number | undefined => values[name] === undefined ? undefined : whole(name, values[name], 0, max)
  const isInGroup = ({ isCluster = false, isNamedOnly = false }: Scenario): boolean => positionals.includes(everyGroup) || (!isNamedOnly && (isCluster ? positionals.includes(clusterGroup) : positionals.length === 0))
  return {
    wanted: scenarios.filter((scenario) => positionals.includes(scenario.name) || isInGroup(scenario)),
    isQuick,
    rounds: whole('rounds', values.rounds, isQuick ? 1 : 3, 100),
    memoryS: whole('memory-seconds', values['memory-seconds'], isQuick ? 60 : 600, 86_400),
    rateS: chosen('rate-seconds', 7_200),
    events: chosen('events', 100_000_000),
    rows: chosen('rows', 10_000_000),
    jsonFile: values.json,
    docsFile: values.docs ?? (isQuick ? undefined : path.join(root, 'docs/benchmarks.md'))
  }
}

const say = (line: string): void => { process.stderr.write(`  ${line}\n`) }
type Closers = (() => Promise<void> | void)[]
/** Of the scenario that runs, and of what scenarios share. */
const closers: Closers = []
const finishers: Closers = []

async function closeAll (own: Closers): Promise<void> {
  for (let close = own.pop(); close !== undefined; close = own.pop()) await close()
}

async function runScenario (scenario: Scenario, options: Options): Promise<ScenarioResult> {
  // Beside the checkout's other state and not under /tmp, which may be memory: a commit has to meet a disk.
  const parent = path.join(root, '.tollgate')
  mkdirSync(parent, { recursive: true })
  // The path of a socket is limited: a short name leaves the checkout a long one.
  const folder = mkdtempSync(path.join(parent, 'bench-'))
  closers.push(() => { rmSync(folder, { recursive: true, force: true }) })
  const { isQuick, rounds, memoryS, rateS, events, rows } = options
  const context: BenchContext = { isQuick, rounds, memoryS, rateS, events, rows, folder, say, onEnd: (close) => { closers.push(close) }, onFinish: (close) => { finishers.push(close) } }
  try {
    return await scenario.run(context)
  } finally {
    await closeAll(closers)
  }
}

async function main (): Promise<void> {
  const options = readOptions()
  const circumstances = readCircumstances()
  const results: Record<string, ScenarioResult> = {}
  for (const scenario of options.wanted) {
    say(`== ${scenario.name}`)
    const startMs = performance.now()
    const result = await runScenario(scenario, options)
    say(`${((performance.now() - startMs) / 1000).toFixed(0)} s`)
    process.stdout.write(`\n${scenario.name}: ${scenario.title}\n\n${result.tables.map(terminalTable).join('\n\n')}\n`)
    if (options.docsFile !== undefined) writePage(options.docsFile, scenario.name, pagePart(scenario, result, circumstances))
    results[scenario.name] = result
  }
  if (options.jsonFile !== undefined) writeFileSync(options.jsonFile, `${JSON.stringify({ ...circumstances, isQuick: options.isQuick, rounds: options.rounds, scenarios: results }, null, 2)}\n`)
  process.stdout.write(`\n${circumstances.machine}; commit ${circumstances.commit}${options.isQuick ? '\nA quick run: everything was right, the figures mean little.' : ''}\n`)
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { void closeAll(closers).then(() => closeAll(finishers)).then(() => { process.exit(1) }) })
try {
  await main()
} catch (error) {
  process.stderr.write(`bench: ${error instanceof UsageError ? error.message : error instanceof Error ? error.stack ?? error.message : String(error)}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
} finally {
  await closeAll(finishers)
}
