// Measures Tollgate beside its rivals, one scenario after another, and writes what it found.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { readCircumstances, root } from './harness/machine.ts'
import { pagePart, writePage } from './harness/page.ts'
import type { BenchContext, Scenario, ScenarioResult } from './harness/scenario.ts'
import { terminalTable } from './harness/table.ts'
import { billing } from './scenarios/billing.ts'
import { gateway } from './scenarios/gateway.ts'
import { memory } from './scenarios/memory.ts'
import { pipeline } from './scenarios/pipeline.ts'

const scenarios: readonly Scenario[] = [gateway, pipeline, billing, memory]

interface Options {
  readonly wanted: readonly Scenario[]
  readonly isQuick: boolean
  readonly rounds: number
  readonly memoryS: number
  readonly jsonFile: string | undefined
  readonly docsFile: string | undefined
}

class UsageError extends Error {}

function readOptions (): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean' }, rounds: { type: 'string' }, 'memory-seconds': { type: 'string' }, json: { type: 'string' }, docs: { type: 'string' } }
  })
  const isQuick = values.quick === true
  const whole = (name: string, text: string | undefined, otherwise: number, max: number): number => {
    const value = text === undefined ? otherwise : Number(text)
    if (!Number.isInteger(value) || value < 1 || value > max) throw new UsageError(`--${name} takes a whole number from 1 to ${max}, not "${text ?? ''}"`)
    return value
  }
  const unknown = positionals.filter((name) => !scenarios.some((scenario) => scenario.name === name))
  if (unknown.length > 0) throw new UsageError(`no such scenario: ${unknown.join(', ')}; there are ${scenarios.map((scenario) => scenario.name).join(', ')}`)
  return {
    wanted: scenarios.filter((scenario) => positionals.length === 0 || positionals.includes(scenario.name)),
    isQuick,
    rounds: whole('rounds', values.rounds, isQuick ? 1 : 3, 100),
    memoryS: whole('memory-seconds', values['memory-seconds'], isQuick ? 60 : 600, 86_400),
    jsonFile: values.json,
    docsFile: values.docs ?? (isQuick ? undefined : path.join(root, 'docs/benchmarks.md'))
  }
}

const say = (line: string): void => { process.stderr.write(`  ${line}\n`) }
const closers: (() => Promise<void> | void)[] = []

async function closeAll (): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
}

async function runScenario (scenario: Scenario, options: Options): Promise<ScenarioResult> {
  // Beside the checkout's other state and not under /tmp, which may be memory: a commit has to meet a disk.
  const parent = path.join(root, '.tollgate')
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(path.join(parent, `bench-${scenario.name}-`))
  closers.push(() => { rmSync(folder, { recursive: true, force: true }) })
  const context: BenchContext = { isQuick: options.isQuick, rounds: options.rounds, memoryS: options.memoryS, folder, say, onEnd: (close) => { closers.push(close) } }
  try {
    return await scenario.run(context)
  } finally {
    await closeAll()
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

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { void closeAll().then(() => { process.exit(1) }) })
try {
  await main()
} catch (error) {
  process.stderr.write(`bench: ${error instanceof UsageError ? error.message : error instanceof Error ? error.stack ?? error.message : String(error)}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
