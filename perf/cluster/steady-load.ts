// A constant rate through a cluster of one gateway, one aggregator and one billing server, with another member's requests
// beside it, one after another, whose bill is watched: from an answer to the bill. Afterwards the bills are the answers.
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { billedCount } from '../../test/helpers/cluster-oracle.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { answerBody } from '../contestants/answer.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { countShares } from '../harness/cpu-shares.ts'
import type { Share } from '../harness/cpu-shares.ts'
import { rssOf, rssPeakOf } from '../harness/cost.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { thousands } from '../harness/table.ts'
import { runOpenModel } from '../load/open-model.ts'
import type { OpenModelOutcome } from '../load/open-model.ts'
import { clusterPath, createCaller, makeBenchCluster, startNode, startNodes } from './cluster.ts'
import type { BenchCluster, Caller } from './cluster.ts'
import { Freshness } from './freshness.ts'
import { billedBy, verifyCluster } from './proof.ts'

export const connections = 16
export const markerEveryMs = 100
export const lookEveryMs = 50
const partitions = 6
const settleMsMax = 60_000
/** For what a start leaves behind to be given back. */
const idleMs = 5_000

interface Markers { sent: number, isLoading: boolean }

/** Sends one request after another, one each `markerEveryMs`. */
async function sendMarkers ({ gateway }: BenchCluster, marker: Caller, freshness: Freshness, markers: Markers): Promise<void> {
  for (let dueMs = performance.now(); markers.isLoading; dueMs += markerEveryMs) {
    await sleep(Math.max(0, dueMs - performance.now()))
    markers.sent++
    const response = await fetch(`http://127.0.0.1:${gateway.port}${clusterPath}`, { headers: { 'x-api-key': marker.token } })
    if (response.status !== 200 || await response.text() !== answerBody) throw new Error(`a marker was answered with ${response.status}`)
    freshness.answer(performance.now())
  }
}

async function watchBill ({ billing }: BenchCluster, marker: Caller, freshness: Freshness, markers: Readonly<Markers>): Promise<void> {
  const isSeen = (): boolean => !markers.isLoading && freshness.seen >= markers.sent
  for (let idleSinceMs = performance.now(); !isSeen();) {
    const count = await billedCount(billing, [marker.memberId])
    const before = freshness.seen
    freshness.look(count, performance.now(), markers.sent)
    if (freshness.seen > before || markers.isLoading) idleSinceMs = performance.now()
    if (performance.now() - idleSinceMs > settleMsMax) throw new Error(`${markers.sent - freshness.seen} of ${markers.sent} markers have not come to the bill within ${settleMsMax / 1000} s`)
    await sleep(lookEveryMs)
  }
}

export interface SteadyLoad {
  readonly outcome: OpenModelOutcome
  /** Markers and warm-up too: as many as are on the bills. */
  readonly requests: number
  readonly markersSent: number
  /** From an answer to the bill, ascending. */
  readonly freshnessMs: readonly number[]
  readonly shares: readonly Share[]
  readonly memory: readonly RoleMemory[]
}

export interface RoleMemory {
  readonly role: string
  /** Before the first request. */
  readonly idleBytes: number
  readonly peakBytes: number
}

/** @throws when an answer was wrong, a bill differs from the answers, or `tollgate verify` disagrees */
export async function runSteadyLoad (context: BenchContext, { name, ratePerS, seconds }: { readonly name: string, readonly ratePerS: number, readonly seconds: number }): Promise<SteadyLoad> {
  const upstream = await startUpstream(context)
  const cluster = await makeBenchCluster(context, { name, partitions, upstreamPort: upstream.port })
  const { gateway, aggregator, billing } = cluster
  context.say('starting gateway, aggregator and billing server')
  const [counting, asked] = await startNodes(context, [aggregator, billing])
  const serving = await startNode(context, gateway)
  const pids = { gateway: serving.pid, aggregator: counting?.pid ?? NaN, billing: asked?.pid ?? NaN }
  const [caller, marker] = [await createCaller(gateway, 'load'), await createCaller(gateway, 'marker')]
  await sleep(idleMs)
  const idle = Object.entries(pids).map(([role, pid]) => ({ role, pid, idleBytes: rssOf(pid) }))
  const load = (requests: number): Promise<OpenModelOutcome> => runOpenModel({ port: gateway.port, path: clusterPath, headers: { 'x-api-key': caller.token }, connections, ratePerS, requests })
  context.say(`${thousands(ratePerS)} requests/s for ${seconds} s`)
  const warmUp = await load(ratePerS)
  const freshness = new Freshness()
  const markers: Markers = { sent: 0, isLoading: true }
  const shares = countShares([...Object.entries(pids).map(([role, pid]) => ({ name: role, pid })), { name: 'upstream', pid: upstream.pid }, { name: 'load', pid: process.pid, isAlone: true }])
  const loading = load(ratePerS * seconds).finally(() => { markers.isLoading = false })
  const sharesOfLoad = loading.then(() => shares())
  const [outcome] = await Promise.all([loading, sendMarkers(cluster, marker, freshness, markers), watchBill(cluster, marker, freshness, markers)])
  const requests = warmUp.requests + outcome.requests + markers.sent
  await eventually(`${requests} requests are on the bills`, async () => await billedBy(billing) >= requests, { withinMs: settleMsMax, everyMs: 500 })
  const memory = idle.map(({ pid, ...known }) => ({ ...known, peakBytes: rssPeakOf(pid) }))
  context.say('tollgate verify')
  await verifyCluster(cluster)
  const billed = await billedBy(billing)
  if (billed !== requests) throw new Error(`${requests} requests were answered, ${billed} are on the bills`)
  return { outcome, requests, markersSent: markers.sent, freshnessMs: freshness.latenciesMs.toSorted((a, b) => a - b), shares: await sharesOfLoad, memory }
}
