// What a request costs in the gateway, beside what it costs in nginx and fastify.
import { names, startLineUp } from '../contestants/line-up.ts'
import type { LineUp } from '../contestants/line-up.ts'
import { measure } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import { saturateField } from '../harness/saturate-field.ts'
import type { FieldPlan } from '../harness/saturate-field.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { short } from '../harness/table.ts'
import { runOpenModel } from '../load/open-model.ts'
import { loadThreads } from '../load/saturate.ts'
import { latencyTable, saturationTable, shareTable, threadTable } from './gateway-tables.ts'
import type { Standing } from './gateway-tables.ts'

const connectionCounts = [64, 8] as const
const openModelConnections = 64

interface Plan extends FieldPlan { readonly openModelS: number }

const fullPlan: Plan = { primeRequests: () => 40_000, connectionCounts, warmUpS: 1, saturationS: 6, wrkS: 5, openModelS: 10 }
const quickPlan: Plan = { primeRequests: () => 2_000, connectionCounts, warmUpS: 0.3, saturationS: 1, wrkS: 1, openModelS: 1.5 }

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

const standing: Standing = {
  names: Object.values(names),
  references: [{ column: 'x nginx', name: names.nginx }, { column: 'x fastify', name: names.fastify }],
  splitName: names.metered
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const lineUp = await startLineUp(context)
  const saturation = await saturateField(context, lineUp, plan)
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
    tables: [saturationTable(saturation, standing), latencyTable(fixedRate, ratePerS), shareTable(saturation), threadTable(saturation)],
    files: lineUp.files,
    samples: [...saturation, ...fixedRate]
  }
}

export const gateway: Scenario = { name: 'gateway', title: 'CPU a request, rate and latency beside nginx and fastify', run }
