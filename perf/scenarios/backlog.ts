// A gateway that comes back with a large journal: how fast it is drained beside live traffic, and in how much memory.
import { setTimeout as sleep } from 'node:timers/promises'
import { startUpstream } from '../contestants/line-up.ts'
import { clusterPath, createCaller, fillJournal, makeBenchCluster, startNode, startNodes } from '../cluster/cluster.ts'
import type { BenchCluster, Caller } from '../cluster/cluster.ts'
import { prove } from '../cluster/proof.ts'
import { brokers, kafkaText } from '../cluster/services.ts'
import { costOf, rssOf, rssPeakOf } from '../harness/cost.ts'
import { readMetric } from '../harness/program-metrics.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes, short, thousands } from '../harness/table.ts'
import { runOpenModel } from '../load/open-model.ts'
import type { OpenModelOutcome } from '../load/open-model.ts'

const partitions = 6
const connections = 16
const ratePerS = 1_000
/** Load is made in pieces, because nobody knows beforehand when the backlog is gone. */
const pieceS = 5
const lookMs = 1_000
/** What live traffic alone leaves uncounted at any time is less. */
const liveEventsMax = 5 * ratePerS
const drainedMsMax = 3_600_000

interface Look { readonly second: number, readonly uncounted: number, readonly rssBytes: number }

/** Looks each second until what is uncounted is no more than live traffic leaves. */
async function watch ({ gateway }: BenchCluster, pid: number, context: BenchContext, startMs: number): Promise<Look[]> {
  const looks: Look[] = []
  for (;;) {
    const uncounted = await readMetric(gateway.operatorPort, 'tollgate_shipper_backlog_events{state="uncounted"}')
    looks.push({ second: (performance.now() - startMs) / 1000, uncounted, rssBytes: rssOf(pid) })
    if (looks.length % 20 === 0) context.say(`${thousands(uncounted)} events left, gateway ${megabytes(rssOf(pid))} MB`)
    if (uncounted <= liveEventsMax) return looks
    if (performance.now() - startMs > drainedMsMax) throw new Error(`after ${drainedMsMax / 1000} s ${uncounted} events are not counted yet`)
    await sleep(lookMs)
  }
}

/** Live requests until `state.isDraining` is over. */
async function sendLive ({ gateway }: BenchCluster, { token }: Caller, state: { readonly isDraining: boolean }): Promise<OpenModelOutcome[]> {
  const outcomes: OpenModelOutcome[] = []
  while (state.isDraining) outcomes.push(await runOpenModel({ port: gateway.port, path: clusterPath, headers: { 'x-api-key': token }, connections, ratePerS, requests: ratePerS * pieceS }))
  return outcomes
}

/** Mean resident memory of a third of the looks. */
function third (looks: readonly Look[], which: 0 | 1 | 2): number {
  const part = looks.slice(Math.floor(looks.length * which / 3), Math.max(Math.floor(looks.length * (which + 1) / 3), 1))
  return part.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / part.length
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const events = context.events ?? (context.isQuick ? 100_000 : 1_000_000)
  const upstream = await startUpstream(context)
  const cluster = await makeBenchCluster(context, { name: 'backlog', partitions, upstreamPort: upstream.port, extra: 'archive: { flushIntervalMs: 5000 }\n' })
  const { gateway, aggregator, billing } = cluster
  context.say(`filling a journal with ${thousands(events)} events`)
  await fillJournal(gateway, events)
  const [counting] = await startNodes(context, [aggregator, billing])
  const startMs = performance.now()
  const { pid, diedEarly } = await startNode(context, gateway)
  const readyS = (performance.now() - startMs) / 1000
  context.say(`the gateway serves after ${short(readyS)} s; ${thousands(ratePerS)} requests/s beside the backlog`)
  const caller = await createCaller(gateway, 'live')
  const state = { isDraining: true }
  const watching = watch(cluster, pid, context, startMs).finally(() => { state.isDraining = false })
  const [looks, outcomes] = await Promise.race([diedEarly, Promise.all([watching, sendLive(cluster, caller, state)])])
  const drainedS = looks.at(-1)?.second ?? NaN
  const live = outcomes.reduce((sum, { requests }) => sum + requests, 0)
  const [rssPeakBytes, countingPeakBytes, cpuS] = [rssPeakOf(pid), rssPeakOf(counting?.pid ?? NaN), costOf(pid).cpuMs / 1000]
  context.say('the bills, the archive, tollgate verify')
  await prove(cluster, events + live)
  const liveSeconds = outcomes.reduce((sum, { seconds }) => sum + seconds, 0)
  return {
    settings: [
      kafkaText,
      `A gateway's journal with ${thousands(events)} events of ${partitions} partitions. Aggregator and billing server run; then the gateway is started, and as soon as it serves (${short(readyS)} s) ${thousands(ratePerS)} requests/s come over ${connections} connections until no more than ${thousands(liveEventsMax)} events wait to be counted. One process a role, default configuration, but an archive written each 5 s.`,
      `Time from the gateway's start. Its CPU until then: ${short(cpuS)} s. After it: the bills come to ${thousands(events + live)}, backlog and ${thousands(live)} live requests, the archive holds as many different events, and \`tollgate verify\` agrees.`
    ],
    tables: [{
      title: `${thousands(events)} events drained over ${brokers} brokers beside ${thousands(ratePerS)} requests/s`,
      columns: ['drained in s', 'backlog events/s', 'live requests/s', 'answers: p50 ms', 'worst p99 ms', 'gateway MB: first third', 'last third', 'peak', 'aggregator peak MB'],
      rows: [[
        short(drainedS), short(events / drainedS), short(live / liveSeconds),
        outcomes.length === 0 ? '-' : short(spreadOf(outcomes.map(({ latencyMsP50 }) => latencyMsP50)).median), outcomes.length === 0 ? '-' : short(Math.max(...outcomes.map(({ latencyMsP99 }) => latencyMsP99))),
        megabytes(third(looks, 0)), megabytes(third(looks, 2)), megabytes(rssPeakBytes), megabytes(countingPeakBytes)
      ]],
      notes: []
    }],
    files: [],
    samples: [...looks, ...outcomes]
  }
}

export const backlog: Scenario = { name: 'backlog', title: 'A journal drained beside live traffic', isCluster: true, run }
