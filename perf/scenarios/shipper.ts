// From a gateway's journal to Kafka: how many events a core takes.
import { globSync, statSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterNode } from '../../test/helpers/cluster.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { fillJournal, makeBenchCluster, startNode, startNodes } from '../cluster/cluster.ts'
import type { BenchCluster } from '../cluster/cluster.ts'
import { prove } from '../cluster/proof.ts'
import { benchKafka, brokers, kafkaText } from '../cluster/services.ts'
import { costBetween, costOf, rssPeakOf } from '../harness/cost.ts'
import type { Cost } from '../harness/cost.ts'
import { readMetric, readMetrics } from '../harness/program-metrics.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { secondsByThread, threadTable } from '../harness/thread-table.ts'

const partitions = 6
const shippedMsMax = 900_000
const pollMs = 50
/** After a start, until what is measured of doing nothing is complete. */
const restMs = 500
const thread = 'shipper'

export interface Shipped {
  /** From the process's start, a start without events included. */
  readonly wallS: number
  readonly cost: Cost
  readonly rssPeakBytes: number
  /** Before compression. */
  readonly sentBytes: number
}

/** Starts the gateway on its journal; it is stopped when Kafka has acknowledged all of it. @throws when more records went out than there are events */
export async function ship (context: BenchContext, { gateway }: BenchCluster, events: number): Promise<Shipped> {
  const startMs = performance.now()
  const { pid, diedEarly } = await startNode(context, gateway, { isReadyAwaited: false })
  await Promise.race([diedEarly, eventually(`${events} events are shipped`, () => isShipped(gateway, events), { withinMs: shippedMsMax, everyMs: pollMs })])
  const wallS = (performance.now() - startMs) / 1000
  const cost = costOf(pid)
  const rssPeakBytes = rssPeakOf(pid)
  const metrics = await readMetrics(gateway.operatorPort)
  const sent = metrics.get('tollgate_shipper_events_total') ?? 0
  if (sent !== events) throw new Error(`${events} events are in the journal, ${sent} were shipped`)
  await gateway.stop()
  return { wallS, cost, rssPeakBytes, sentBytes: metrics.get('tollgate_shipper_sent_bytes_total') ?? 0 }
}

async function isShipped (gateway: ClusterNode, events: number): Promise<boolean> {
  const shipped = await readMetric(gateway.operatorPort, 'tollgate_shipper_events_total')
  return shipped >= events && await readMetric(gateway.operatorPort, 'tollgate_shipper_backlog_events{state="unsent"}') === 0
}

interface Start { readonly wallS: number, readonly cost: Cost }

/** What starting and doing nothing takes: none of it is the events'. */
async function measureEmptyStart (context: BenchContext): Promise<Start> {
  const { gateway } = await makeBenchCluster(context, { name: 'shipper-empty', partitions })
  const startMs = performance.now()
  const { pid } = await startNode(context, gateway)
  const wallS = (performance.now() - startMs) / 1000
  await sleep(restMs)
  const cost = costOf(pid)
  await gateway.stop()
  return { wallS, cost }
}

interface Sample {
  readonly round: number
  readonly wallS: number
  readonly shipperCpuS: number
  readonly processCpuS: number
  readonly cpuSByThread: Readonly<Record<string, number>>
  readonly rssPeakBytes: number
  readonly sentBytes: number
  /** In the log of one broker. */
  readonly logBytes: number
}

async function measureRound (context: BenchContext, round: number, events: number, empty: Start): Promise<Sample> {
  const cluster = await makeBenchCluster(context, { name: `shipper-${round}`, partitions, extra: 'archive: { flushIntervalMs: 1000 }\n' })
  context.say(`round ${round + 1}: filling a journal with ${thousands(events)} events`)
  await fillJournal(cluster.gateway, events)
  const shipped = await ship(context, cluster, events)
  const cost = costBetween(empty.cost, shipped.cost)
  const sample = {
    round,
    wallS: shipped.wallS - empty.wallS,
    shipperCpuS: (cost.cpuMsByThread[thread] ?? NaN) / 1000,
    processCpuS: cost.cpuMs / 1000,
    cpuSByThread: secondsByThread(cost),
    rssPeakBytes: shipped.rssPeakBytes,
    sentBytes: shipped.sentBytes,
    logBytes: await logBytesOf(context, cluster)
  }
  context.say('counting, archiving and billing what was shipped')
  await startNodes(context, [cluster.aggregator, cluster.billing])
  await prove(cluster, events)
  for (const node of [cluster.aggregator, cluster.billing]) await node.stop()
  return sample
}

async function logBytesOf (context: BenchContext, { topicPrefix }: BenchCluster): Promise<number> {
  const { folder } = await benchKafka(context)
  return globSync(`broker-*/${topicPrefix}api-usage-trace-*/*.log`, { cwd: folder }).reduce((sum, file) => sum + statSync(path.join(folder, file)).size, 0) / brokers
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const events = context.events ?? (context.isQuick ? 50_000 : 500_000)
  await benchKafka(context)
  const empty = await measureEmptyStart(context)
  const samples: Sample[] = []
  for (let round = 0; round < context.rounds; round++) {
    const sample = await measureRound(context, round, events, empty)
    context.say(`round ${round + 1} of ${context.rounds}: ${short(events / sample.shipperCpuS)} events/s a core, ${short(events / sample.wallS)} a second`)
    samples.push(sample)
  }
  const spread = (value: (sample: Sample) => number): string => spreadText(spreadOf(samples.map(value)))
  return {
    settings: [
      kafkaText,
      `A gateway's journal with ${thousands(events)} events of ${partitions} partitions, filled with the product's own code; then the gateway is started on it, without traffic, and watched until all brokers have acknowledged everything. Default configuration.`,
      `CPU is that of the shipper's thread, and of the whole gateway process, less what a start with an empty journal takes (${short(empty.cost.cpuMs / 1000)} s in all). Wall time less an empty start's (${short(empty.wallS)} s).`,
      `${context.rounds} rounds on new topics each; median (least to most). After each an aggregator and a billing server are started: the bills of all members come to ${thousands(events)}, the archive holds as many different events, and \`tollgate verify\` agrees.`
    ],
    tables: [{
      title: `${thousands(events)} events from a journal to ${brokers} brokers`,
      columns: ['events/s a core', 'CPU us an event', 'whole process: us', 'wall s', 'events/s', 'RSS peak MB', 'bytes an event', 'in the log'],
      rows: [[
        spread(({ shipperCpuS }) => events / shipperCpuS), spread(({ shipperCpuS }) => shipperCpuS * 1e6 / events), spread(({ processCpuS }) => processCpuS * 1e6 / events),
        spread(({ wallS }) => wallS), spread(({ wallS }) => events / wallS), megabytes(Math.max(...samples.map(({ rssPeakBytes }) => rssPeakBytes))),
        short(spreadOf(samples.map(({ sentBytes }) => sentBytes / events)).median), short(spreadOf(samples.map(({ logBytes }) => logBytes / events)).median)
      ]],
      notes: ['bytes an event: as sent before compression, headers included; in the log: on one broker\'s disk.']
    }, threadTable('The gateway process\'s CPU by thread, us an event', samples, events)],
    files: [],
    samples
  }
}

export const shipper: Scenario = { name: 'shipper', title: 'Events a core from a journal to Kafka', isCluster: true, run }
