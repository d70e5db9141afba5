// From an answer to the bill, at a constant rate through a cluster: for a minute, and for as long as the first system was asked to.
import { connections, runSteadyLoad } from '../cluster/steady-load.ts'
import type { SteadyLoad } from '../cluster/steady-load.ts'
import { kafkaText } from '../cluster/services.ts'
import { sharesTable } from '../harness/cpu-shares.ts'
import { freshnessTable, markersText } from '../harness/freshness-table.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, thousands } from '../harness/table.ts'

function memoryTable ({ memory }: SteadyLoad): Table {
  return {
    title: 'Memory of each role, MB',
    columns: ['role', 'idle', 'most'],
    rows: memory.map(({ role, idleBytes, peakBytes }) => [role, megabytes(idleBytes), megabytes(peakBytes)]),
    notes: ['Resident, with pages of files that are mapped. idle: five seconds after all were ready; most: until all was on the bills.']
  }
}

function settingsOf ({ requests, markersSent }: SteadyLoad, ratePerS: number, seconds: number): string[] {
  return [
    kafkaText,
    `One gateway, one aggregator, one billing server, each a process of its own, default configuration. ${thousands(ratePerS)} requests/s over ${connections} connections for ${seconds} s, sent whether or not earlier ones were answered; each authenticated, limited, durably metered.`,
    markersText(markersSent),
    `After it: the bills come to ${thousands(requests)}, as many as were answered, and \`tollgate verify\` agrees.`
  ]
}

async function runClusterFreshness (context: BenchContext): Promise<ScenarioResult> {
  const [ratePerS, seconds] = context.isQuick ? [500, 8] : [1_000, 60]
  const load = await runSteadyLoad(context, { name: 'freshness', ratePerS, seconds })
  return { settings: settingsOf(load, ratePerS, seconds), tables: [freshnessTable([{ ...load, ratePerS }])], files: [], samples: [load] }
}

const firstSystemRatePerS = 1_000
const firstSystemS = 1_800

async function runClusterRate (context: BenchContext): Promise<ScenarioResult> {
  const ratePerS = context.isQuick ? 500 : firstSystemRatePerS
  const seconds = context.rateS ?? (context.isQuick ? 8 : firstSystemS)
  const load = await runSteadyLoad(context, { name: 'rate', ratePerS, seconds })
  return {
    settings: settingsOf(load, ratePerS, seconds),
    tables: [{
      title: `${thousands(ratePerS)} requests/s for ${seconds} s through the cluster`,
      columns: ['requests', 'requests/s', 'on the bills', 'answers: p50 ms', 'p99 ms', 'most ms'],
      rows: [[
        thousands(load.outcome.requests), short(load.outcome.requests / load.outcome.seconds), `${thousands(load.requests)} of ${thousands(load.requests)}`, short(load.outcome.latencyMsP50), short(load.outcome.latencyMsP99), short(load.outcome.latencyMsMax)
      ]],
      notes: ['on the bills: with those of the warm-up and of the member whose bill was watched.']
    }, freshnessTable([{ ...load, ratePerS }]), memoryTable(load), sharesTable('Who had the machine meanwhile', load.shares)],
    files: [],
    samples: [load]
  }
}

export const clusterFreshness: Scenario = { name: 'cluster-freshness', title: 'From an answer to the bill through the cluster', isCluster: true, run: runClusterFreshness }
export const clusterRate: Scenario = { name: 'cluster-rate', title: 'The first system\'s rate through the cluster', isCluster: true, run: runClusterRate }
