// What a request costs in the gateway, beside what it costs in nginx and fastify.
import type { Contestant } from '../contestants/contestant.ts'
import { names, startLineUp } from '../contestants/line-up.ts'
import type { LineUp } from '../contestants/line-up.ts'
import { firstLineOf } from '../harness/machine.ts'
import { measure } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { short } from '../harness/table.ts'
import { runOpenModel } from '../load/open-model.ts'
import { loadThreads, saturate } from '../load/saturate.ts'
import { runWrk } from '../load/wrk.ts'
import { latencyTable, saturationTable, shareTable, threadTable } from './gateway-tables.ts'

export const connectionCounts = [64, 8] as const
const openModelConnections = 64

interface Plan {
  /** Before anything is measured: enough for the compilers to have settled. */
  readonly primeRequests: number
  readonly warmUpS: number
  readonly saturationS: number
  readonly wrkS: number
  readonly openModelS: number
}

const fullPlan: Plan = { primeRequests: 40_000, warmUpS: 1, saturationS: 6, wrkS: 5, openModelS: 10 }
const quickPlan: Plan = { primeRequests: 2_000, warmUpS: 0.3, saturationS: 1, wrkS: 1, openModelS: 1.5 }

/** Samples of one contestant at one number of connections: warm-up, autocannon, wrk. */
async function saturateOnce (lineUp: LineUp, contestant: Contestant, connections: number, round: number, plan: Plan, withWrk: boolean): Promise<Sample[]> {
  const common = { contestant, upstreamPid: lineUp.upstream.pid, connections, round }
  const probe = await saturate(contestant, { connections, requests: Math.max(500, connections * 4) })
  const ratePerS = probe.requests / probe.seconds
  const warmUp = await saturate(contestant, { connections, requests: ratePerS * plan.warmUpS })
  await contestant.settle({ complete: probe.requests + warmUp.requests, cutMax: 0 })
  const requests = warmUp.requests / warmUp.seconds * plan.saturationS
  const samples = [await measure({ ...common, generator: 'autocannon', isCutAtEnd: false, load: () => saturate(contestant, { connections, requests }) })]
  if (withWrk) samples.push(await measure({ ...common, generator: 'wrk', isCutAtEnd: true, load: () => runWrk(contestant, { connections, seconds: plan.wrkS }) }))
  return samples
}

async function saturateAll (context: BenchContext, lineUp: LineUp, plan: Plan): Promise<Sample[]> {
  const withWrk = firstLineOf('wrk', ['-v']) !== undefined
  if (!withWrk) context.say('wrk is not installed (apt-get install wrk): no second opinion')
  for (const contestant of lineUp.contestants) {
    context.say(`warming up ${contestant.name}`)
    const prime = await saturate(contestant, { connections: openModelConnections, requests: plan.primeRequests })
    await contestant.settle({ complete: prime.requests, cutMax: 0 })
  }
  const samples: Sample[] = []
  for (const connections of connectionCounts) {
    for (let round = 0; round < context.rounds; round++) {
      for (const contestant of orderOf(lineUp.contestants, round)) {
        const found = await saturateOnce(lineUp, contestant, connections, round, plan, withWrk)
        for (const sample of found) context.say(`${connections} connections, round ${round + 1} of ${context.rounds}, ${sample.generator}, ${contestant.name}: ${short(sample.cpuUsPerRequest)} us, ${short(sample.ratePerS)} requests/s`)
        samples.push(...found)
      }
    }
  }
  return samples
}

/** Half of what the slowest contestant can do, so that none is near its limit. */
function halfLoad (samples: readonly Sample[]): number {
  const rates = Object.values(names).map((name) => samples.filter((sample) => sample.contestant === name && sample.connections === openModelConnections && sample.generator === 'autocannon'))
    .filter((found) => found.length > 0).map((found) => spreadOf(found.map((sample) => sample.ratePerS)).median)
  return Math.max(100, Math.floor(Math.min(...rates) / 200) * 100)
}

async function fixedRateAll (context: BenchContext, lineUp: LineUp, plan: Plan, ratePerS: number): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let round = 0; round < context.rounds; round++) {
    for (const contestant of orderOf(lineUp.contestants, round)) {
      const load = (seconds: number) => () => runOpenModel({ ...contestant, connections: openModelConnections, ratePerS, requests: Math.ceil(ratePerS * seconds) })
      const warmUp = await load(plan.warmUpS)()
      await contestant.settle({ complete: warmUp.requests, cutMax: 0 })
      const sample = await measure({ contestant, upstreamPid: lineUp.upstream.pid, generator: 'fixed rate', connections: openModelConnections, round, isCutAtEnd: false, load: load(plan.openModelS) })
      context.say(`${ratePerS} requests/s, round ${round + 1} of ${context.rounds}, ${contestant.name}: p50 ${short(sample.latencyMsP50)} ms, p99 ${short(sample.latencyMsP99)} ms`)
      samples.push(sample)
    }
  }
  return samples
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const lineUp = await startLineUp(context)
  const saturation = await saturateAll(context, lineUp, plan)
  const ratePerS = halfLoad(saturation)
  const fixedRate = await fixedRateAll(context, lineUp, plan, ratePerS)
  context.say('tollgate verify')
  await lineUp.verify()
  return {
    settings: [
      ...lineUp.settings,
      `${context.rounds} rounds, contestants in turn within each, the order turning; a warm-up of ${plan.warmUpS} s before each. Shown: median (least to most); ratios are taken within a round.`,
      `Saturation: autocannon with ${loadThreads} threads, ${plan.saturationS} s; wrk with ${loadThreads} threads, ${plan.wrkS} s. Load, upstream and contestant share the machine, so rates are of this machine and CPU a request is what can be compared.`,
      `Fixed rate: ${ratePerS} requests/s, half of the slowest contestant's saturation, ${plan.openModelS} s, ${openModelConnections} connections, sent whether or not earlier ones were answered; latency from the moment a request was due.`
    ],
    tables: [saturationTable(saturation), latencyTable(fixedRate, ratePerS), shareTable(saturation), threadTable(saturation)],
    files: lineUp.files,
    samples: [...saturation, ...fixedRate]
  }
}

export const gateway: Scenario = { name: 'gateway', title: 'CPU a request, rate and latency beside nginx and fastify', run }
