// The rate that the first system was to bear: 10,000 requests a second for ten minutes, here on one machine with all roles in one
// process. Where the machine can't, the highest rate that holds, and who had the machine meanwhile.
import path from 'node:path'
import process from 'node:process'
import { meteredPath } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { startTollgate } from '../contestants/tollgate.ts'
import type { Tollgate } from '../contestants/tollgate.ts'
import { rssPeakOf } from '../harness/cost.ts'
import { countShares, sharesTable } from '../harness/cpu-shares.ts'
import type { Share } from '../harness/cpu-shares.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, thousands } from '../harness/table.ts'
import { runOpenModel } from '../load/open-model.ts'
import type { OpenModelOutcome } from '../load/open-model.ts'
import { saturate } from '../load/saturate.ts'
import type { Target } from '../load/saturate.ts'

const connections = 64
/** A rate that is more than can be answered makes waiting grow without end: this is past any pause of a machine that keeps up. */
const heldLatencyMsP99 = 1_000
/** Of the rate that a long run could not hold, for its next try. */
const stepDown = 0.9
const triesMax = 4

interface Plan { readonly steps: readonly number[], readonly stepS: number, readonly longS: number, readonly primeRequests: number, readonly archiveFlushMs: number }
/** The archive's interval is the configuration's default. */
const fullPlan: Plan = { steps: [2_000, 4_000, 6_000, 7_000, 8_000, 9_000, 10_000], stepS: 20, longS: 600, primeRequests: 40_000, archiveFlushMs: 60_000 }
const quickPlan: Plan = { steps: [500, 1_000], stepS: 1, longS: 3, primeRequests: 2_000, archiveFlushMs: 1_000 }

interface Sample extends OpenModelOutcome {
  readonly kind: 'step' | 'long'
  readonly askedPerS: number
  readonly isHeld: boolean
  readonly shares: readonly Share[]
}

interface Rig { readonly tollgate: Tollgate, readonly target: Target, readonly upstreamPid: number, /** Answered so far. */ requests: number }

async function startRig (context: BenchContext, plan: Plan): Promise<Rig> {
  const upstream = await startUpstream(context)
  const tollgate = await startTollgate(context, { folder: path.join(context.folder, 'tollgate'), upstreamPort: upstream.port, archiveFlushMs: plan.archiveFlushMs })
  const target = { port: tollgate.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': tollgate.token } }
  const { requests } = await saturate(target, { connections, requests: plan.primeRequests })
  await tollgate.settleBilled({ complete: requests, cutMax: 0 })
  return { tollgate, target, upstreamPid: upstream.pid, requests }
}

/** The bill must come to exactly what was answered, whether the rate was held or not. */
async function tryRate (context: BenchContext, rig: Rig, kind: Sample['kind'], askedPerS: number, seconds: number): Promise<Sample> {
  const shares = countShares([{ name: 'Tollgate', pid: rig.tollgate.pid, isByThread: true }, { name: 'upstream', pid: rig.upstreamPid }, { name: 'load', pid: process.pid, isAlone: true }])
  const outcome = await runOpenModel({ ...rig.target, connections, ratePerS: askedPerS, requests: askedPerS * seconds })
  const found = shares()
  await rig.tollgate.settleBilled({ complete: outcome.requests, cutMax: 0 })
  rig.requests += outcome.requests
  const isHeld = outcome.latencyMsP99 <= heldLatencyMsP99
  context.say(`${thousands(askedPerS)} requests/s for ${seconds} s: ${isHeld ? 'held' : 'not held'}, p99 ${short(outcome.latencyMsP99)} ms`)
  return { ...outcome, kind, askedPerS, isHeld, shares: found }
}

async function climb (context: BenchContext, rig: Rig, plan: Plan): Promise<Sample[]> {
  const samples: Sample[] = []
  for (const askedPerS of plan.steps) {
    const sample = await tryRate(context, rig, 'step', askedPerS, plan.stepS)
    samples.push(sample)
    if (!sample.isHeld) break
  }
  return samples
}

/** From the highest rate that a step held, or the least of them, down until a long run holds or patience ends: being slow is no mistake. */
async function holdLong (context: BenchContext, rig: Rig, steps: readonly Sample[], longS: number): Promise<Sample[]> {
  const samples: Sample[] = []
  const highest = Math.max(...steps.filter(({ isHeld }) => isHeld).map(({ askedPerS }) => askedPerS), Math.min(...steps.map(({ askedPerS }) => askedPerS)))
  for (let askedPerS = highest; samples.at(-1)?.isHeld !== true && samples.length < triesMax; askedPerS = Math.floor(askedPerS * stepDown)) {
    samples.push(await tryRate(context, rig, 'long', askedPerS, longS))
  }
  return samples
}

function tablesOf (samples: readonly Sample[], rssPeakBytes: number): Table[] {
  const last = samples.at(-1)
  const longest = samples.findLast(({ kind, isHeld }) => kind === 'long' && isHeld)
  return [{
    title: 'The highest rate that held to the end',
    columns: ['requests/s', 'for s', 'requests', 'all on the bill', 'p50 ms', 'p99 ms', 'Tollgate: most MB'],
    rows: [longest === undefined ? ['0', '-', '-', '-', '-', '-', megabytes(rssPeakBytes)] : [
      thousands(longest.askedPerS), short(longest.requests / longest.askedPerS), thousands(longest.requests), 'yes', short(longest.latencyMsP50), short(longest.latencyMsP99), megabytes(rssPeakBytes)
    ]],
    notes: []
  }, {
    title: 'Rates that were asked for, one after another',
    columns: ['requests/s', 'for s', 'requests', 'all on the bill', 'held', 'answered in s', 'p50 ms', 'p99 ms', 'most ms'],
    rows: samples.map(({ askedPerS, requests, seconds, isHeld, latencyMsP50, latencyMsP99, latencyMsMax }) => [
      thousands(askedPerS), short(requests / askedPerS), thousands(requests), 'yes', isHeld ? 'yes' : 'no', short(seconds), short(latencyMsP50), short(latencyMsP99), short(latencyMsMax)
    ]),
    notes: [`held: p99 of at most ${short(heldLatencyMsP99)} ms from the moment a request was due; at more than can be answered, waiting grows without end.`]
  }, sharesTable(`Who had the machine at ${thousands(last?.askedPerS ?? NaN)} requests/s, the last of them`, last?.shares ?? [])]
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const longS = context.rateS ?? plan.longS
  const rig = await startRig(context, plan)
  const steps = await climb(context, rig, plan)
  const long = await holdLong(context, rig, steps, longS)
  const rssPeakBytes = rssPeakOf(rig.tollgate.pid)
  context.say('tollgate verify')
  await rig.tollgate.verify()
  return {
    settings: [
      `Tollgate with all roles in one process, default configuration with grades that never refuse; GET with an API key, authenticated, limited, durably metered; ${connections} connections, requests sent when they are due, whether or not earlier ones were answered. Load, upstream and Tollgate share the machine.`,
      `Steps of ${plan.stepS} s up to ${thousands(plan.steps.at(-1) ?? 0)} requests/s or to the first that doesn't hold; then ${longS} s at the highest that did, and a tenth less each time that a long run does not hold, ${triesMax} at most.`,
      `After each: the bill came to exactly as many requests as were answered, ${thousands(rig.requests)} in the end, and \`tollgate verify\` agreed.`
    ],
    tables: tablesOf([...steps, ...long], rssPeakBytes),
    files: [],
    samples: [...steps, ...long]
  }
}

export const rates: Scenario = { name: 'rates', title: 'The first system\'s rate on one machine', run }
