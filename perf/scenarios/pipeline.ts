// From journal to ledger, archive included: how many events a core takes.
import { execFile } from 'node:child_process'
import { globSync, statSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { writeProgramFiles } from '../../test/helpers/program.ts'
import type { ProgramFiles } from '../../test/helpers/program.ts'
import { verify } from '../contestants/tollgate.ts'
import { costBetween, costOf, rssPeakOf } from '../harness/cost.ts'
import type { Cost } from '../harness/cost.ts'
import { startMeasured } from '../harness/program.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import { runToEnd } from '../harness/servers.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { secondsByThread, threadTable } from '../harness/thread-table.ts'
import { awaitCountedAndArchived, countArchived, sumBilled } from '../pipeline/checks.ts'
import type { Archived } from '../pipeline/checks.ts'
import { pricesText } from '../pipeline/workload.ts'

const flushIntervalMs = 1_000
const pollMs = 50
/** Longer than the ledger's pause between two steps. */
const restMs = 500
/** At the bills, before they are believed to be wrong. */
const looksMax = 20

/** What starting and doing nothing takes: none of it is the events'. */
export interface EmptyStart { readonly readyS: number, readonly cost: Cost }

export interface PipelineSample {
  readonly round: number
  readonly fillS: number
  readonly journalBytes: number
  /** From the program's start until everything was counted, archived and folded, less what an empty start takes. */
  readonly wallS: number
  readonly cpuS: number
  readonly cpuSByThread: Readonly<Record<string, number>>
  readonly rssPeakBytes: number
  readonly archived: Archived
}

async function writeFiles (folder: string): Promise<ProgramFiles> {
  return await writeProgramFiles({ folder, upstreamUrl: 'http://127.0.0.1:9', prices: pricesText(), extra: `archive: { flushIntervalMs: ${flushIntervalMs} }\n` })
}

export async function measureEmptyStart (context: BenchContext): Promise<EmptyStart> {
  const files = await writeFiles(path.join(context.folder, 'empty'))
  const startMs = performance.now()
  const program = await startMeasured(context, files)
  const readyS = (performance.now() - startMs) / 1000
  await sleep(restMs)
  const cost = costOf(program.pid)
  await program.stop()
  return { readyS, cost }
}

interface Done { readonly atMs: number, readonly cost: Cost }

/** Resolves when `events` are counted, archived and on the bills. @returns when the ledger came to rest, performance.now(), and what it had cost by then */
async function awaitDone (files: ProgramFiles, pid: number, events: number): Promise<Done> {
  await awaitCountedAndArchived(files.ports.operator, events)
  // A rest may be a pause of a loaded machine: the bills say whether the ledger has everything.
  for (let looks = 0; looks < looksMax; looks++) {
    const atMs = await ledgerAtRest(files)
    const cost = costOf(pid)
    if (await sumBilled({ privatePort: files.ports.privateBilling, operatorToken: files.operatorToken }) === events) return { atMs, cost }
  }
  throw new Error(`${events} events went in, and not as many are on the bills`)
}

async function ledgerAtRest (files: ProgramFiles): Promise<number> {
  for (let steps = -1, sinceMs = performance.now(); ;) {
    const now = (await readMetrics(files.ports.operator)).get('tollgate_ledger_steps_total') ?? 0
    if (now !== steps) { steps = now; sinceMs = performance.now() }
    if (performance.now() - sinceMs >= restMs) return sinceMs
    await sleep(pollMs)
  }
}

/** From a full journal of `events` to the ledger. @throws unless all of them are billed and archived */
export async function measurePipeline (context: BenchContext, round: number, events: number, empty: EmptyStart): Promise<PipelineSample> {
  const files = await writeFiles(path.join(context.folder, `round-${round}`))
  const fillStartMs = performance.now()
  await runToEnd(path.join(import.meta.dirname, '../pipeline/fill-journal.ts'), [files.configFile, String(events)])
  const fillS = (performance.now() - fillStartMs) / 1000
  const journalBytes = globSync('journal/*.segment', { cwd: files.state }).reduce((sum, file) => sum + statSync(path.join(files.state, file)).size, 0)
  const startMs = performance.now()
  const program = await startMeasured(context, files, { isReadyAwaited: false })
  const done = await Promise.race([awaitDone(files, program.pid, events), program.diedEarly])
  const cost = costBetween(empty.cost, done.cost)
  const rssPeakBytes = rssPeakOf(program.pid)
  const archived = await countArchived({ folder: files.folder, states: [files.state] })
  if (archived.events !== events) throw new Error(`${events} events went in, ${archived.events} are in the archive`)
  await verify(files)
  await program.stop()
  return { round, fillS, journalBytes, wallS: (done.atMs - startMs) / 1000 - empty.readyS, cpuS: cost.cpuMs / 1000, cpuSByThread: secondsByThread(cost), rssPeakBytes, archived }
}

type UsByStage = Readonly<Record<string, number>>

/** Microseconds of CPU an event, by what they are for: the same aggregator on the same journal, in a process that does nothing else. */
async function measureStages (context: BenchContext, round: number, events: number): Promise<UsByStage> {
  const files = await writeFiles(path.join(context.folder, `stages-${round}`))
  await runToEnd(path.join(import.meta.dirname, '../pipeline/fill-journal.ts'), [files.configFile, String(events)])
  const { stdout } = await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', path.join(import.meta.dirname, '../pipeline/counting-stages.ts'), files.configFile, String(events)])
  return JSON.parse(stdout) as UsByStage
}

function stagesTable (samples: readonly UsByStage[]): Table {
  const median = (of: (sample: UsByStage) => number): string => spreadOf(samples.map(of)).median.toFixed(2)
  return {
    title: 'Where a counted event\'s time goes, CPU us an event',
    columns: ['', 'us'],
    rows: [...Object.keys(samples[0] ?? {}).map((stage) => [stage, median((sample) => sample[stage] ?? NaN)]), ['together', median((sample) => Object.values(sample).reduce((sum, us) => sum + us, 0))]],
    notes: ['Aggregator and archive alone, in a process of their own: no ledger, no bills, and the work of the journal\'s thread is over. Each of DuckDB\'s statements is charged with what the process was given while it ran.']
  }
}

function tablesOf (samples: readonly PipelineSample[], events: number): Table[] {
  const spread = (value: (sample: PipelineSample) => number): string => spreadText(spreadOf(samples.map(value)))
  return [{
    title: `${thousands(events)} events from journal to ledger, archive included`,
    columns: ['events/s a core', 'CPU us an event', 'wall s', 'events/s', 'RSS peak MB', 'archive bytes an event'],
    rows: [[
      spread((sample) => events / sample.cpuS), spread((sample) => sample.cpuS * 1e6 / events), spread((sample) => sample.wallS), spread((sample) => events / sample.wallS),
      megabytes(Math.max(...samples.map((sample) => sample.rssPeakBytes))), short(spreadOf(samples.map((sample) => sample.archived.bytes / events)).median)
    ]],
    notes: []
  }, threadTable('Its CPU by thread, us an event', samples, events)]
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const events = context.isQuick ? 100_000 : 1_000_000
  const empty = await measureEmptyStart(context)
  const samples: PipelineSample[] = []
  for (let round = 0; round < context.rounds; round++) {
    const sample = await measurePipeline(context, round, events, empty)
    context.say(`round ${round + 1} of ${context.rounds}: ${short(events / sample.cpuS)} events/s a core, ${short(sample.wallS)} s; the journal was filled in ${short(sample.fillS)} s`)
    samples.push(sample)
  }
  const stages: UsByStage[] = []
  for (let round = 0; round < context.rounds; round++) stages.push(await measureStages(context, round, events))
  return {
    settings: [
      `A journal filled with the product's own code (${short((samples[0]?.journalBytes ?? 0) / events)} bytes of disk an event, segments included): ${thousands(events)} answers of one hour to 400 keys of 200 members on 20 endpoints. Then the whole program is started on it, as after a stop of the aggregator, and watched until all is counted, archived and in the ledger.`,
      `CPU is that of the whole process less what an empty start takes (${short(empty.cost.cpuMs / 1000)} s); wall time less an empty start's (${short(empty.readyS)} s). Default configuration, but what waits for the archive is written after ${flushIntervalMs} ms so that it lies within the measured time.`,
      `${context.rounds} rounds on a new state each; median (least to most). After each: the bills of all members over HTTP come to ${thousands(events)}, the archive holds ${thousands(events)} different events, and \`tollgate verify\` agrees.`
    ],
    tables: [...tablesOf(samples, events), stagesTable(stages)],
    files: [],
    samples: [...samples, ...stages]
  }
}

export const pipeline: Scenario = { name: 'pipeline', title: 'Events a core from journal to ledger, archive included', run }
