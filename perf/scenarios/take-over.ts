// A partition with many hourly rows whose aggregator dies: how long until another one owns it.
import type { ClusterNode } from '../../test/helpers/cluster.ts'
import { eventually } from '../../test/helpers/eventually.ts'
import { fillJournal, makeBenchCluster, startNode, startNodes } from '../cluster/cluster.ts'
import { awaitCounted, prove } from '../cluster/proof.ts'
import { kafkaText } from '../cluster/services.ts'
import { costOf, rssPeakOf } from '../harness/cost.ts'
import { readMetric, readMetrics } from '../harness/program-metrics.ts'
import { spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { ship } from './shipper.ts'

const ownedMsMax = 300_000
const pollMs = 50

interface Sample {
  readonly round: number
  /** From the death of the former owner. */
  readonly ownedS: number
  /** From fencing it to the first transaction of our own, as the program counts it. */
  readonly takeOverS: number
  readonly cpuS: number
  readonly rssPeakBytes: number
}

const owns = async ({ operatorPort }: ClusterNode): Promise<boolean> => await readMetric(operatorPort, 'tollgate_aggregator_partitions{state="owning"}') === 1

/** The heir waits as a spare without any file of the partition; then the owner is killed. */
async function measureRound (context: BenchContext, round: number, { owner, heir, rows }: { readonly owner: ClusterNode, readonly heir: ClusterNode, readonly rows: number }): Promise<Sample> {
  const { pid, diedEarly } = await startNode(context, heir)
  if (!await owns(owner)) throw new Error(`${owner.name} has lost the partition to a spare`)
  const cpuBeforeMs = costOf(pid).cpuMs
  const startMs = performance.now()
  await owner.kill()
  await Promise.race([diedEarly, eventually(`${heir.name} owns the partition`, () => owns(heir), { withinMs: ownedMsMax, everyMs: pollMs })])
  const ownedS = (performance.now() - startMs) / 1000
  const metrics = await readMetrics(heir.operatorPort)
  const loaded = metrics.get('tollgate_aggregator_segment_rows')
  if (loaded !== rows) throw new Error(`${rows} hourly rows are in the topic, ${heir.name} has ${loaded ?? 0}`)
  return { round, ownedS, takeOverS: metrics.get('tollgate_aggregator_take_over_seconds_sum') ?? NaN, cpuS: (costOf(pid).cpuMs - cpuBeforeMs) / 1000, rssPeakBytes: rssPeakOf(pid) }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const rows = context.rows ?? (context.isQuick ? 100_000 : 1_000_000)
  const cluster = await makeBenchCluster(context, {
    name: 'take-over', partitions: 1, aggregators: context.rounds + 1,
    extra: `archive: { copies: 1, flushIntervalMs: 1000 }\nhourlyLog: { segmentRowsMax: ${Math.max(2 * rows, 10)} }\n`
  })
  const { aggregators, billing, gateway } = cluster
  context.say(`filling a journal with ${thousands(rows)} events that make as many hourly rows, and shipping them`)
  await fillJournal(gateway, rows, { isDistinct: true })
  await ship(context, cluster, rows)
  const [first, ...heirs] = aggregators as readonly [ClusterNode, ...ClusterNode[]]
  await startNode(context, first)
  context.say('counting and publishing them')
  await awaitCounted(first, rows)
  const samples: Sample[] = []
  for (const [round, heir] of heirs.entries()) {
    const sample = await measureRound(context, round, { owner: aggregators[round] as ClusterNode, heir, rows })
    context.say(`round ${round + 1} of ${context.rounds}: owned ${short(sample.ownedS)} s after the death, taken over within ${short(sample.takeOverS)} s`)
    samples.push(sample)
  }
  context.say('the bills, the archive, tollgate verify')
  await startNodes(context, [...aggregators.filter(({ program }) => program === undefined), billing])
  await prove(cluster, rows)
  const spread = (value: (sample: Sample) => number): string => spreadText(spreadOf(samples.map(value)))
  return {
    settings: [
      kafkaText,
      `One partition with ${thousands(rows)} hourly rows in its open segment, counted and published by an aggregator out of as many events. A second aggregator waits, with nothing of the partition on its disk; then the first is killed (SIGKILL). Default configuration, but that the segment stays open.`,
      `Each of ${context.rounds} rounds kills the owner and has a new aggregator inherit; median (least to most). Each heir holds exactly ${thousands(rows)} rows; at the end, with all aggregators running, the bills come to ${thousands(rows)}, the archive holds as many different events, and \`tollgate verify\` agrees.`
    ],
    tables: [{
      title: `A partition with ${thousands(rows)} hourly rows is taken over`,
      columns: ['s from the death until owned', 'of it taking over', 'CPU s', 'RSS peak MB'],
      rows: [[spread(({ ownedS }) => ownedS), spread(({ takeOverS }) => takeOverS), spread(({ cpuS }) => cpuS), megabytes(Math.max(...samples.map(({ rssPeakBytes }) => rssPeakBytes)))]],
      notes: ['The difference is the time after which the brokers hold a member for dead (10 s).']
    }],
    files: [],
    samples
  }
}

export const takeOver: Scenario = { name: 'take-over', title: 'A partition is taken over by another aggregator', isCluster: true, run }
