// A constant rate through a cluster of one gateway, one aggregator and one billing server, with another member's requests
// beside it, one after another, whose bill is watched: from an answer to the bill. Afterwards the bills are the answers.
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { billedCount } from '../../test/helpers/cluster-oracle.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { countShares } from '../harness/cpu-shares.ts'
import type { Share } from '../harness/cpu-shares.ts'
import { rssOf, rssPeakOf } from '../harness/cost.ts'
import type { BenchContext } from '../harness/scenario.ts'
import { thousands } from '../harness/table.ts'
import { watchFreshness } from '../load/freshness.ts'
import type { WatchedLoad } from '../load/freshness.ts'
import { runOpenModel } from '../load/open-model.ts'
import type { OpenModelOutcome } from '../load/open-model.ts'
import { clusterPath, createCaller, makeBenchCluster, startNode, startNodes } from './cluster.ts'
import { billedBy, verifyCluster } from './proof.ts'

export const connections = 16
const partitions = 6
const settleMsMax = 60_000
/** For what a start leaves behind to be given back. */
const idleMs = 5_000

export interface SteadyLoad extends WatchedLoad<OpenModelOutcome> {
  /** Markers and warm-up too: as many as are on the bills. */
  readonly requests: number
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
  const shares = countShares([...Object.entries(pids).map(([role, pid]) => ({ name: role, pid })), { name: 'upstream', pid: upstream.pid }, { name: 'load', pid: process.pid, isAlone: true }])
  const loading = load(ratePerS * seconds)
  const sharesOfLoad = loading.then(() => shares())
  const watched = await watchFreshness({ port: gateway.port, path: clusterPath, token: marker.token, countBilled: () => billedCount(billing, [marker.memberId]) }, loading)
  const requests = warmUp.requests + watched.outcome.requests + watched.markersSent
  await eventually(`${requests} requests are on the bills`, async () => await billedBy(billing) >= requests, { withinMs: settleMsMax, everyMs: 500 })
  const memory = idle.map(({ pid, ...known }) => ({ ...known, peakBytes: rssPeakOf(pid) }))
  context.say('tollgate verify')
  await verifyCluster(cluster)
  const billed = await billedBy(billing)
  if (billed !== requests) throw new Error(`${requests} requests were answered, ${billed} are on the bills`)
  return { ...watched, requests, shares: await sharesOfLoad, memory }
}
