// What keys and limits in Redis cost a gateway: a gateway of a cluster beside the one that has everything in its process.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { billedCount } from '../../test/helpers/cluster-oracle.ts'
import { writeNode } from '../../test/helpers/cluster.ts'
import type { ClusterNode } from '../../test/helpers/cluster.ts'
import { startRedis } from '../../test/services/redis.ts'
import { meteredPath } from '../contestants/answer.ts'
import type { Contestant } from '../contestants/contestant.ts'
import { startUpstream } from '../contestants/line-up.ts'
import { Books, startTollgate } from '../contestants/tollgate.ts'
import type { Tollgate } from '../contestants/tollgate.ts'
import { clusterPath, createCaller, makeBenchCluster, startNode, startNodes } from '../cluster/cluster.ts'
import { verifyCluster } from '../cluster/proof.ts'
import { kafkaText, redisPid } from '../cluster/services.ts'
import { costOf } from '../harness/cost.ts'
import { answeringCpuUs } from '../harness/measure.ts'
import type { Sample } from '../harness/measure.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import { prime, saturateOnce } from '../harness/saturation.ts'
import type { SaturationPlan } from '../harness/saturation.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, spreadText } from '../harness/table.ts'
import { loadThreads } from '../load/saturate.ts'
import { pricesText } from '../pipeline/workload.ts'

const connections = 64
const archiveFlushMs = 2_000
const names = { embedded: 'all in one process', cluster: 'gateway of a cluster, without Redis', redis: 'gateway of a cluster, Redis for keys and limits' } as const

const fullPlan: SaturationPlan = { primeRequests: 40_000, warmUpS: 1, saturationS: 8 }
const quickPlan: SaturationPlan = { primeRequests: 2_000, warmUpS: 0.3, saturationS: 1 }

interface RedisSample extends Sample { readonly redisCpuUsPerRequest: number }

interface LineUp {
  readonly contestants: readonly Contestant[]
  readonly upstreamPid: number
  readonly redisPid: number
  readonly verify: () => Promise<void>
}

async function startLineUp (context: BenchContext): Promise<LineUp> {
  const upstream = await startUpstream(context)
  const redis = await startRedis({ after: context.onEnd })
  const cluster = await makeBenchCluster(context, { name: 'redis', gateways: 2, partitions: 6, upstreamPort: upstream.port, redis, extra: `archive: { flushIntervalMs: ${archiveFlushMs} }\n` })
  const { gateway, aggregator, billing } = cluster
  const without = cluster.gateways[1] as ClusterNode
  writeNode({ ...cluster.setup, redis: undefined }, without, cluster.aggregators)
  writeFileSync(path.join(without.folder, 'prices.yaml'), pricesText())
  context.say('starting a cluster with Redis, another gateway of it without, and Tollgate in one process')
  await startNodes(context, [aggregator, billing])
  const [{ pid }, { pid: pidWithout }] = [await startNode(context, gateway), await startNode(context, without)]
  // The other gateway doesn't know the key, and accepts it by its signature.
  const caller = await createCaller(gateway, 'bench')
  const books = new Books(() => billedCount(billing, [caller.memberId]), aggregator.operatorPort)
  const embedded: Tollgate = await startTollgate(context, { folder: path.join(context.folder, 'embedded'), upstreamPort: upstream.port, archiveFlushMs })
  return {
    contestants: [
      { name: names.embedded, port: embedded.files.ports.gateway, path: meteredPath, headers: { 'x-api-key': embedded.token }, pid: embedded.pid, settle: embedded.settleBilled },
      { name: names.cluster, port: without.port, path: clusterPath, headers: { 'x-api-key': caller.token }, pid: pidWithout, settle: (seen) => books.settle(seen) },
      { name: names.redis, port: gateway.port, path: clusterPath, headers: { 'x-api-key': caller.token }, pid, settle: (seen) => books.settle(seen) }
    ],
    upstreamPid: upstream.pid,
    redisPid: await redisPid(redis),
    verify: async () => {
      await embedded.verify()
      await verifyCluster(cluster)
    }
  }
}

async function measureOnce ({ upstreamPid, redisPid }: LineUp, contestant: Contestant, round: number, plan: SaturationPlan): Promise<RedisSample> {
  let redisBeforeMs = 0
  const sample = await saturateOnce(contestant, { upstreamPid, connections, round, plan, onStart: () => { redisBeforeMs = costOf(redisPid).cpuMs } })
  return { ...sample, redisCpuUsPerRequest: (costOf(redisPid).cpuMs - redisBeforeMs) * 1000 / sample.requests }
}

async function measureAll (context: BenchContext, lineUp: LineUp, plan: SaturationPlan): Promise<RedisSample[]> {
  for (const contestant of lineUp.contestants) await prime(contestant, { connections, plan })
  const samples: RedisSample[] = []
  for (let round = 0; round < context.rounds; round++) {
    for (const contestant of orderOf(lineUp.contestants, round)) {
      const sample = await measureOnce(lineUp, contestant, round, plan)
      context.say(`round ${round + 1} of ${context.rounds}, ${contestant.name}: ${short(answeringCpuUs(sample))} us until the answer, ${short(sample.cpuUsPerRequest)} in all, ${short(sample.ratePerS)} requests/s`)
      samples.push(sample)
    }
  }
  return samples
}

function tablesOf (samples: readonly RedisSample[]): Table[] {
  const of = (name: string): RedisSample[] => samples.filter(({ contestant }) => contestant === name)
  const spread = (own: readonly RedisSample[], value: (sample: RedisSample) => number): string => spreadText(spreadOf(own.map(value)))
  const rows = Object.values(names).map((name) => {
    const own = of(name)
    const ratios = own.map((sample) => answeringCpuUs(sample) / answeringCpuUs(of(names.embedded).find(({ round }) => round === sample.round) ?? sample))
    return [
      name, spread(own, answeringCpuUs), spreadText(spreadOf(ratios)), spread(own, ({ cpuUsPerRequest }) => cpuUsPerRequest),
      name !== names.redis ? '-' : spread(own, ({ redisCpuUsPerRequest }) => redisCpuUsPerRequest),
      spread(own, ({ ratePerS }) => ratePerS), spread(own, ({ latencyMsP50 }) => latencyMsP50), spread(own, ({ latencyMsP99 }) => latencyMsP99), megabytes(Math.max(...own.map(({ rssBytes }) => rssBytes)))
    ]
  })
  const threads = [...new Set(samples.flatMap(({ cpuUsPerRequestByThread }) => Object.keys(cpuUsPerRequestByThread)))]
    .map((thread) => ({ thread, us: Object.values(names).map((name) => spreadOf(of(name).map(({ cpuUsPerRequestByThread }) => cpuUsPerRequestByThread[thread] ?? 0)).median) }))
    .sort((a, b) => Math.max(...b.us) - Math.max(...a.us))
  return [{
    title: `CPU of the gateway's process, us a request, ${connections} connections`,
    columns: ['gateway', 'until the answer', 'x all in one', 'in all', 'in Redis', 'requests/s', 'p50 ms', 'p99 ms', 'RSS MB'],
    rows,
    notes: ['until the answer: without the threads that work after it - aggregator, billing and their DuckDB in the one, the shipper to Kafka in the others. V8Worker compiles and collects garbage for all threads, the shipper too.']
  }, { title: 'By thread, us a request', columns: ['thread', ...Object.values(names)], rows: threads.map(({ thread, us }) => [thread, ...us.map((value) => value.toFixed(2))]), notes: [] }]
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const plan = context.isQuick ? quickPlan : fullPlan
  const lineUp = await startLineUp(context)
  const samples = await measureAll(context, lineUp, plan)
  context.say('tollgate verify')
  await lineUp.verify()
  return {
    settings: [
      kafkaText,
      'Redis: one server on the same machine, nothing on disk. One gateway of the cluster takes keys from its mirror of Redis and asks it for every limit; another one has keys and limits of its own, so that what Kafka costs can be told from what Redis costs. Aggregator and billing server are processes of their own and do not count. The first is Tollgate with all roles in one process.',
      `Default configuration with grades that never refuse, an archive written each ${archiveFlushMs / 1000} s, one worker; autocannon with ${loadThreads} threads, ${plan.saturationS} s after ${plan.warmUpS} s to warm up, ${connections} connections, GET with an API key, the same upstream.`,
      `${context.rounds} rounds, in turn within each; median (least to most), ratios within a round. Every answer was right, each load was on the bill before the next, and \`tollgate verify\` agrees with all.`
    ],
    tables: tablesOf(samples),
    files: [],
    samples
  }
}

export const redis: Scenario = { name: 'redis', title: 'What keys and limits in Redis cost a gateway', isCluster: true, run }
