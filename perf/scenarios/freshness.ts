// From an answer to the bill, with all roles in one process: at a rate that is easy, and at the highest that is asked of it.
import path from 'node:path'
import { meteredPath } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { createCaller, startTollgate } from '../contestants/tollgate.ts'
import type { Tollgate } from '../contestants/tollgate.ts'
import { freshnessTable, markersText } from '../harness/freshness-table.ts'
import type { FreshnessAt } from '../harness/freshness-table.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { short, thousands } from '../harness/table.ts'
import { watchFreshness } from '../load/freshness.ts'
import { runOpenModel } from '../load/open-model.ts'
import type { OpenModelOutcome } from '../load/open-model.ts'

const connections = 64

interface Plan { readonly ratesPerS: readonly number[], readonly seconds: number, readonly archiveFlushMs: number }
/** The archive's interval is the configuration's default. */
const fullPlan: Plan = { ratesPerS: [1_000, 10_000], seconds: 60, archiveFlushMs: 60_000 }
const quickPlan: Plan = { ratesPerS: [100, 500], seconds: 3, archiveFlushMs: 1_000 }

async function measureAt (context: BenchContext, tollgate: Tollgate, ratePerS: number, seconds: number): Promise<FreshnessAt> {
  const load = (requests: number): Promise<OpenModelOutcome> =>
    runOpenModel({ port: tollgate.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': tollgate.token }, connections, ratePerS, requests })
  // A member of its own for each load: its bill begins with nothing.
  const marker = await createCaller(tollgate.files, 'marker')
  const warmUp = await load(ratePerS)
  const watched = await watchFreshness({ ...marker, port: tollgate.files.ports.gateway, path: meteredPath }, load(ratePerS * seconds))
  const { outcome, freshnessMs } = watched
  await tollgate.settleBilled({ complete: warmUp.requests + outcome.requests, cutMax: 0 })
  context.say(`${thousands(ratePerS)} requests/s for ${seconds} s: on the bill after ${short((freshnessMs.at(-1) ?? NaN) / 1000)} s at most`)
  return { ...watched, ratePerS }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const { ratesPerS, seconds, archiveFlushMs } = context.isQuick ? quickPlan : fullPlan
  const upstream = await startUpstream(context)
  const tollgate = await startTollgate(context, { folder: path.join(context.folder, 'tollgate'), upstreamPort: upstream.port, archiveFlushMs })
  const samples: FreshnessAt[] = []
  for (const ratePerS of ratesPerS) samples.push(await measureAt(context, tollgate, ratePerS, seconds))
  context.say('tollgate verify')
  await tollgate.verify()
  return {
    settings: [
      `Tollgate with all roles in one process, default configuration with grades that never refuse; ${connections} connections, requests sent when they are due, whether or not earlier ones were answered, ${seconds} s at each rate; each authenticated, limited, durably metered. Load, upstream and Tollgate share the machine.`,
      markersText(samples.reduce((sum, { markersSent }) => sum + markersSent, 0)),
      'After each rate: both bills came to exactly as many requests as were answered; `tollgate verify` agreed.'
    ],
    tables: [freshnessTable(samples)],
    files: [],
    samples
  }
}

export const freshness: Scenario = { name: 'freshness', title: 'From an answer to the bill', run }
