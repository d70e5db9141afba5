// From Kafka to the hourly counts, archive included: how many events a core takes in an aggregator, and how much memory.
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../../test/helpers/eventually.ts'
import { fillJournal, makeBenchCluster, startNode } from '../cluster/cluster.ts'
import type { BenchCluster } from '../cluster/cluster.ts'
import { awaitCounted, prove } from '../cluster/proof.ts'
import { brokers, kafkaText } from '../cluster/services.ts'
import { costBetween, costOf, rssPeakOf } from '../harness/cost.ts'
import type { Cost } from '../harness/cost.ts'
import { readMetric } from '../harness/program-metrics.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { secondsByThread, threadTable } from '../harness/thread-table.ts'
import type { Archived } from '../pipeline/checks.ts'
import { ship } from './shipper.ts'

const partitions = 6
const flushIntervalMs = 1_000
const extra = `archive: { flushIntervalMs: ${flushIntervalMs} }\n`
const restMs = 500

/** What starting, joining the group and taking over all partitions takes when there is nothing to count. */
export interface EmptyClusterStart { readonly wallS: number, readonly cost: Cost }

export async function measureEmptyClusterStart (context: BenchContext): Promise<EmptyClusterStart> {
  const { aggregator } = await makeBenchCluster(context, { name: 'counting-empty', partitions, extra })
  const startMs = performance.now()
  const { pid } = await startNode(context, aggregator)
  await eventually('all partitions are owned', async () => await readMetric(aggregator.operatorPort, 'tollgate_aggregator_partitions{state="owning"}') === partitions, { withinMs: 60_000, everyMs: 50 })
  const wallS = (performance.now() - startMs) / 1000
  await sleep(restMs)
  const cost = costOf(pid)
  await aggregator.stop()
  return { wallS, cost }
}

export interface ClusterSample {
  readonly round: number
  readonly wallS: number
  readonly cpuS: number
  readonly cpuSByThread: Readonly<Record<string, number>>
  readonly rssPeakBytes: number
  readonly archived: Archived
}

/** A cluster whose usage log holds `events` that nobody has counted. */
export async function shipRound (context: BenchContext, round: number, events: number): Promise<BenchCluster> {
  const cluster = await makeBenchCluster(context, { name: `counting-${round}`, partitions, extra })
  context.say(`round ${round + 1}: filling a journal with ${thousands(events)} events and shipping them`)
  await fillJournal(cluster.gateway, events)
  await ship(context, cluster, events)
  return cluster
}

/** From Kafka to the hourly counts. @throws unless all events are billed and archived */
export async function measureClusterPipeline (context: BenchContext, cluster: BenchCluster, { round, events, empty }: { readonly round: number, readonly events: number, readonly empty: EmptyClusterStart }): Promise<ClusterSample> {
  const { aggregator, billing } = cluster
  const startMs = performance.now()
  const { pid, diedEarly } = await startNode(context, aggregator, { isReadyAwaited: false })
  await Promise.race([diedEarly, awaitCounted(aggregator, events)])
  const wallS = (performance.now() - startMs) / 1000 - empty.wallS
  const cost = costBetween(empty.cost, costOf(pid))
  const rssPeakBytes = rssPeakOf(pid)
  await startNode(context, billing)
  const archived = await prove(cluster, events)
  for (const node of [aggregator, billing]) await node.stop()
  return { round, wallS, cpuS: cost.cpuMs / 1000, cpuSByThread: secondsByThread(cost), rssPeakBytes, archived }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const events = context.events ?? (context.isQuick ? 50_000 : 500_000)
  const empty = await measureEmptyClusterStart(context)
  const samples: ClusterSample[] = []
  for (let round = 0; round < context.rounds; round++) {
    const sample = await measureClusterPipeline(context, await shipRound(context, round, events), { round, events, empty })
    context.say(`round ${round + 1} of ${context.rounds}: ${short(events / sample.cpuS)} events/s a core, ${short(sample.wallS)} s, ${megabytes(sample.rssPeakBytes)} MB`)
    samples.push(sample)
  }
  const spread = (value: (sample: ClusterSample) => number): string => spreadText(spreadOf(samples.map(value)))
  return {
    settings: [
      kafkaText,
      `The usage log holds ${thousands(events)} events of one hour in ${partitions} partitions, shipped from a journal that was filled with the product's own code. One aggregator is started on it and owns all partitions; watched until everything is counted, archived and published to the topic of hourly counts.`,
      `CPU is that of the whole process, DuckDB's threads included, less what a start with empty topics takes (${short(empty.cost.cpuMs / 1000)} s). Wall time less an empty start's (${short(empty.wallS)} s). Default configuration, but what waits for the archive is written after ${flushIntervalMs} ms so that it lies within the measured time. The memory's peak is the whole process's, as the kernel remembers it.`,
      `${context.rounds} rounds on new topics each; median (least to most). After each: the bills of all members come to ${thousands(events)}, the archive holds as many different events, and \`tollgate verify\` agrees.`
    ],
    tables: [{
      title: `${thousands(events)} events from ${brokers} brokers to hourly counts, archive included`,
      columns: ['events/s a core', 'CPU us an event', 'wall s', 'events/s', 'RSS peak MB', 'archive bytes an event'],
      rows: [[
        spread(({ cpuS }) => events / cpuS), spread(({ cpuS }) => cpuS * 1e6 / events), spread(({ wallS }) => wallS), spread(({ wallS }) => events / wallS),
        spread(({ rssPeakBytes }) => rssPeakBytes / 1_000_000), short(spreadOf(samples.map(({ archived }) => archived.bytes / events)).median)
      ]],
      notes: []
    }, threadTable('The aggregator\'s CPU by thread, us an event', samples, events)],
    files: [],
    samples
  }
}

export const clusterPipeline: Scenario = { name: 'cluster-pipeline', title: 'Events a core from Kafka to hourly counts, archive included', isCluster: true, run }
