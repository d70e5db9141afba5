// Where a request's time goes: the gateway thread's CPU divided among the stages of a request, with and without metering.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../../test/helpers/eventually.ts'
import { meteredPath } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { startTollgate } from '../contestants/tollgate.ts'
import { costBetween, costOf } from '../harness/cost.ts'
import { readMetrics } from '../harness/program-metrics.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { spreadOf } from '../harness/rounds.ts'
import { shareByStage, stages } from '../harness/stages.ts'
import type { Profile, Stage } from '../harness/stages.ts'
import { saturate } from '../load/saturate.ts'

const connections = 64
const warmS = 2
const windowS = { quick: 2, full: 6 }
/** Enough for the window on a fast machine; what is left is let finish. */
const requestsPerS = 14_000
const archiveFlushMs = 4_000
const preloads = { metered: '../contestants/profiled.ts', unmetered: '../contestants/profiled-unmetered.ts' } as const
type Kind = keyof typeof preloads

interface Sample { readonly kind: Kind, readonly round: number, readonly usByStage: ReadonlyMap<Stage, number>, readonly usByThread: Readonly<Record<string, number>> }

async function measure (context: BenchContext, kind: Kind, round: number): Promise<Sample> {
  const folder = path.join(context.folder, `${kind}-${round}`)
  mkdirSync(folder, { recursive: true })
  process.env['BENCH_PROFILE'] = folder
  const upstream = await startUpstream(context)
  const tollgate = await startTollgate(context, { folder: path.join(folder, 'tollgate'), upstreamPort: upstream.port, archiveFlushMs, preload: path.resolve(import.meta.dirname, preloads[kind]) })
  delete process.env['BENCH_PROFILE']
  const seconds = context.isQuick ? windowS.quick : windowS.full
  const target = { port: tollgate.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': tollgate.token } }
  const loading = saturate(target, { connections, requests: requestsPerS * (warmS + seconds) })
  const answered = async (): Promise<number> => (await readMetrics(tollgate.files.ports.operator)).get('tollgate_gateway_answers_total') ?? NaN
  await sleep(warmS * 1000)
  writeFileSync(path.join(folder, 'START'), '')
  const [before, requestsBefore] = [costOf(tollgate.pid), await answered()]
  await sleep(seconds * 1000)
  const [after, requestsAfter] = [costOf(tollgate.pid), await answered()]
  writeFileSync(path.join(folder, 'STOP'), '')
  const { requests } = await loading
  if (kind === 'metered') await tollgate.settleBilled({ complete: requests, cutMax: 0 })
  else await tollgate.settleUnbilled()
  const profileFile = path.join(folder, 'PROFILE')
  const profile = await eventually('the profile is there', () => JSON.parse(readFileSync(profileFile, 'utf8')) as Profile, { withinMs: 30_000 })
  const { cpuMsByThread } = costBetween(before, after)
  const perRequest = (cpuMs: number): number => cpuMs * 1000 / (requestsAfter - requestsBefore)
  const usByThread = Object.fromEntries(Object.entries(cpuMsByThread).map(([thread, cpuMs]) => [thread, perRequest(cpuMs)]))
  const usByStage = new Map([...shareByStage(profile)].map(([stage, share]) => [stage, share * (usByThread['gateway-0'] ?? NaN)]))
  context.say(`round ${round}, ${kind}: gateway thread ${(usByThread['gateway-0'] ?? NaN).toFixed(1)} us a request`)
  return { kind, round, usByStage, usByThread }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const samples: Sample[] = []
  for (let round = 1; round <= context.rounds; round++) for (const kind of ['unmetered', 'metered'] as const) samples.push(await measure(context, kind, round))
  const median = (kind: Kind, of: (sample: Sample) => number): number => spreadOf(samples.filter((sample) => sample.kind === kind).map(of)).median
  const row = (title: string, of: (sample: Sample) => number): string[] => [title, median('unmetered', of).toFixed(2), median('metered', of).toFixed(2), (median('metered', of) - median('unmetered', of)).toFixed(2)]
  const others = [...new Set(samples.flatMap(({ usByThread }) => Object.keys(usByThread)))].filter((thread) => thread !== 'gateway-0').sort()
  return {
    settings: [
      `All roles in one process, autocannon with ${connections} connections as fast as answers come; the gateway's only worker profiles itself for ${context.isQuick ? windowS.quick : windowS.full} s (a sample each 250 us), which costs it a tenth or so.`,
      'A stage\'s microseconds are its share of the samples in which the thread was not idle, times the thread\'s CPU a request as the kernel counts it in the same seconds; where other threads take the processor away from it, that counts at the call where it lost it, such as a call that wakes them. Not metered: the benchmark\'s own metering in place of the product\'s (perf/contestants/unmetered.ts).',
      `${context.rounds} rounds, medians.`
    ],
    tables: [
      { title: 'A request in the gateway\'s thread, us', columns: ['stage', 'not metered', 'metered', 'more'], rows: [...stages.map((stage) => row(stage, ({ usByStage }) => usByStage.get(stage) ?? 0)), row('together', ({ usByThread }) => usByThread['gateway-0'] ?? NaN)], notes: [] },
      { title: 'Beside it, in other threads, us a request', columns: ['thread', 'not metered', 'metered', 'more'], rows: others.map((thread) => row(thread, ({ usByThread }) => usByThread[thread] ?? 0)), notes: [] }
    ],
    files: [],
    samples: samples.map(({ usByStage, ...sample }) => ({ ...sample, usByStage: Object.fromEntries(usByStage) }))
  }
}

export const stagesOfARequest: Scenario = { name: 'stages', title: 'Where a request\'s time goes', run }
