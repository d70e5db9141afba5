// What all of Tollgate in one process keeps in memory: idle, and over minutes of the most load this machine can make.
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { meteredPath } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { startTollgate } from '../contestants/tollgate.ts'
import { rssAnonymousOf, rssOf, rssPeakOf } from '../harness/cost.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes, thousands } from '../harness/table.ts'
import { saturate } from '../load/saturate.ts'

const connections = 64
const idleS = 10
/** The configuration's default, so that what waits for the archive is held as long as in real use. */
const defaultFlushMs = 60_000
const sampleEveryMs = 1_000

interface Sample { readonly phase: 'idle' | 'load' | 'after', readonly second: number, readonly rssBytes: number }

/** Looks each second until `isDone`; the first look is at once. */
async function watch (pid: number, phase: Sample['phase'], isDone: (seconds: number) => boolean): Promise<Sample[]> {
  const samples: Sample[] = []
  for (let second = 0; ; second++) {
    samples.push({ phase, second, rssBytes: rssOf(pid) })
    if (isDone(second)) return samples
    await sleep(sampleEveryMs)
  }
}

const mean = (samples: readonly Sample[]): number => samples.reduce((sum, sample) => sum + sample.rssBytes, 0) / samples.length
const third = (samples: readonly Sample[], which: 0 | 1 | 2): Sample[] => samples.slice(Math.floor(samples.length * which / 3), Math.floor(samples.length * (which + 1) / 3))

async function run (context: BenchContext): Promise<ScenarioResult> {
  const upstream = await startUpstream(context)
  const tollgate = await startTollgate(context, { folder: path.join(context.folder, 'tollgate'), upstreamPort: upstream.port, archiveFlushMs: defaultFlushMs })
  context.say(`idle, ${idleS} s`)
  const idle = await watch(tollgate.pid, 'idle', (seconds) => seconds >= idleS)
  const idleAnonymous = rssAnonymousOf(tollgate.pid)
  const target = { port: tollgate.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': tollgate.token } }
  const probe = await saturate(target, { connections, requests: context.isQuick ? 5_000 : 40_000 })
  context.say(`load, about ${context.memoryS} s at about ${thousands(probe.requests / probe.seconds)} requests/s`)
  let isLoading = true
  const loading = saturate(target, { connections, requests: probe.requests / probe.seconds * context.memoryS }).finally(() => { isLoading = false })
  const [outcome, load] = await Promise.all([loading, watch(tollgate.pid, 'load', (seconds) => {
    if (seconds > 0 && seconds % 60 === 0) context.say(`${seconds} s: ${megabytes(rssOf(tollgate.pid))} MB`)
    return !isLoading
  })])
  const settleStartMs = performance.now()
  await tollgate.settleBilled({ complete: probe.requests + outcome.requests, cutMax: 0 })
  const settleS = (performance.now() - settleStartMs) / 1000
  const after = await watch(tollgate.pid, 'after', (seconds) => seconds >= idleS)
  const loadedAnonymous = rssAnonymousOf(tollgate.pid)
  const peak = rssPeakOf(tollgate.pid)
  await tollgate.verify()
  const spread = spreadOf(load.map((sample) => sample.rssBytes))
  const [second, last] = [mean(third(load, 1)), mean(third(load, 2))]
  return {
    settings: [
      'Tollgate with all roles in one process, default configuration with grades that never refuse; resident memory as the kernel counts it, looked at each second.',
      `Load: autocannon, ${connections} connections, as many requests as are answered; each authenticated, limited, durably metered. ${thousands(outcome.requests)} requests in ${outcome.seconds.toFixed(0)} s (${thousands(outcome.requests / outcome.seconds)} a second); the last one was on the bill ${settleS.toFixed(1)} s after the load.`
    ],
    tables: [{
      title: 'Memory of all roles in one process, MB',
      columns: ['idle', 'load: median', 'most', 'second third', 'last third', 'drift', 'idle again', 'peak (kernel)'],
      rows: [[
        megabytes(spreadOf(idle.map((sample) => sample.rssBytes)).median), megabytes(spread.median), megabytes(spread.max), megabytes(second), megabytes(last),
        `${((last / second - 1) * 100).toFixed(1)} %`, megabytes(after.at(-1)?.rssBytes ?? NaN), megabytes(peak)
      ]],
      notes: ['drift: mean of the last third of the load against the second third.', `The program's own data (anonymous pages): ${megabytes(idleAnonymous)} MB of the idle, ${megabytes(loadedAnonymous)} MB of the idle again; the rest are pages of Node and DuckDB themselves.`]
    }],
    files: [],
    samples: [...idle, ...load, ...after]
  }
}

export const memory: Scenario = { name: 'memory', title: 'Resident memory of all roles in one process', run }
