// From an answer to the bill, at a constant rate through a cluster.
import { setTimeout as sleep } from 'node:timers/promises'
import { billedCount } from '../../test/helpers/cluster-oracle.ts'
import { answerBody } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { clusterPath, createCaller, makeBenchCluster, startNode, startNodes } from '../cluster/cluster.ts'
import type { BenchCluster, Caller } from '../cluster/cluster.ts'
import { Freshness } from '../cluster/freshness.ts'
import { billedBy, verifyCluster } from '../cluster/proof.ts'
import { kafkaText } from '../cluster/services.ts'
import { percentileOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { short, thousands } from '../harness/table.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { runOpenModel } from '../load/open-model.ts'

const connections = 16
const partitions = 6
const markerEveryMs = 100
const lookEveryMs = 50
const settleMsMax = 60_000

/** Sends one request after another, one each `markerEveryMs`. @returns how many */
async function sendMarkers ({ gateway }: BenchCluster, marker: Caller, freshness: Freshness, state: { sent: number, isLoading: boolean }): Promise<void> {
  for (let dueMs = performance.now(); state.isLoading; dueMs += markerEveryMs) {
    await sleep(Math.max(0, dueMs - performance.now()))
    state.sent++
    const response = await fetch(`http://127.0.0.1:${gateway.port}${clusterPath}`, { headers: { 'x-api-key': marker.token } })
    if (response.status !== 200 || await response.text() !== answerBody) throw new Error(`a marker was answered with ${response.status}`)
    freshness.answer(performance.now())
  }
}

async function watchBill ({ billing }: BenchCluster, marker: Caller, freshness: Freshness, state: { readonly sent: number, readonly isLoading: boolean }): Promise<void> {
  const endMs = (): boolean => !state.isLoading && freshness.seen >= state.sent
  for (let idleSinceMs = performance.now(); !endMs();) {
    const count = await billedCount(billing, [marker.memberId])
    const before = freshness.seen
    freshness.look(count, performance.now(), state.sent)
    if (freshness.seen > before || state.isLoading) idleSinceMs = performance.now()
    if (performance.now() - idleSinceMs > settleMsMax) throw new Error(`${state.sent - freshness.seen} of ${state.sent} markers have not come to the bill within ${settleMsMax / 1000} s`)
    await sleep(lookEveryMs)
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const ratePerS = context.isQuick ? 500 : 1_000
  const seconds = context.isQuick ? 8 : 60
  const upstream = await startUpstream(context)
  const cluster = await makeBenchCluster(context, { name: 'freshness', partitions, upstreamPort: upstream.port })
  const { gateway, aggregator, billing } = cluster
  context.say('starting gateway, aggregator and billing server')
  await startNodes(context, [aggregator, billing])
  await startNode(context, gateway)
  const [caller, marker] = [await createCaller(gateway, 'load'), await createCaller(gateway, 'marker')]
  const load = (requests: number) => runOpenModel({ port: gateway.port, path: clusterPath, headers: { 'x-api-key': caller.token }, connections, ratePerS, requests })
  context.say(`${thousands(ratePerS)} requests/s for ${seconds} s`)
  const warmUp = await load(ratePerS)
  const freshness = new Freshness()
  const state = { sent: 0, isLoading: true }
  const loading = load(ratePerS * seconds).finally(() => { state.isLoading = false })
  const [outcome] = await Promise.all([loading, sendMarkers(cluster, marker, freshness, state), watchBill(cluster, marker, freshness, state)])
  const requests = warmUp.requests + outcome.requests + state.sent
  await eventually(`${requests} requests are on the bills`, async () => await billedBy(billing) >= requests, { withinMs: settleMsMax, everyMs: 500 })
  context.say('tollgate verify')
  await verifyCluster(cluster)
  const billed = await billedBy(billing)
  if (billed !== requests) throw new Error(`${requests} requests were answered, ${billed} are on the bills`)
  const latenciesMs = freshness.latenciesMs.toSorted((a, b) => a - b)
  const at = (share: number): string => short(percentileOf(latenciesMs, share) / 1000)
  return {
    settings: [
      kafkaText,
      `One gateway, one aggregator, one billing server, each a process of its own, default configuration. ${thousands(ratePerS)} requests/s over ${connections} connections for ${seconds} s, sent whether or not earlier ones were answered; each authenticated, limited, durably metered.`,
      `Freshness: beside the load another member sends a request each ${markerEveryMs} ms (${state.sent} in all), and its bill is asked for over HTTP each ${lookEveryMs} ms: from the answer's last byte to the first bill with the request on it.`,
      `After it: the bills come to ${thousands(requests)}, as many as were answered, and \`tollgate verify\` agrees.`
    ],
    tables: [{
      title: `From an answer to the bill at ${thousands(ratePerS)} requests/s, seconds`,
      columns: ['p50', 'p90', 'p99', 'most', 'requests/s', 'answers: p50 ms', 'p99 ms'],
      rows: [[at(0.5), at(0.9), at(0.99), at(1), short(outcome.requests / outcome.seconds), short(outcome.latencyMsP50), short(outcome.latencyMsP99)]],
      notes: []
    }],
    files: [],
    samples: [{ ...outcome, latenciesMs }]
  }
}

export const freshness: Scenario = { name: 'freshness', title: 'From an answer to the bill', isCluster: true, run }
