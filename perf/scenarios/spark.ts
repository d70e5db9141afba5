// From usage events to hourly counts with archive: Tollgate beside Spark, which was the first system's way.
import { createWriteStream, globSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import type { WriteStream } from 'node:fs'
import { once } from 'node:events'
import path from 'node:path'
import { finished } from 'node:stream/promises'
import { uniquePrefix } from '../../test/services/kafka.ts'
import type { RunningKafka } from '../../test/services/kafka.ts'
import type { BenchCluster } from '../cluster/cluster.ts'
import { eachRecord, recordCount } from '../cluster/records.ts'
import { benchKafka, kafkaText } from '../cluster/services.ts'
import { costBetween, costOf, rssPeakOfFamily } from '../harness/cost.ts'
import { firstLineOf } from '../harness/machine.ts'
import { orderOf, spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult, Table } from '../harness/scenario.ts'
import { megabytes, short, spreadText, thousands } from '../harness/table.ts'
import { countArchived, sumOfParquet } from '../pipeline/checks.ts'
import { fetchSpark, jobFile, sessionSettings, startSession } from '../spark/session.ts'
import type { JobRun, JobSettings, Spark } from '../spark/session.ts'
import { measureClusterPipeline, measureEmptyClusterStart, shipRound } from './cluster-pipeline.ts'
import { measureEmptyStart, measurePipeline } from './pipeline.ts'

const names = {
  embedded: 'Tollgate, from its journal to the ledger',
  cluster: 'Tollgate, from Kafka to hourly counts',
  batchFirst: 'Spark batch, from files: first job of a session',
  batch: 'Spark batch, from files: second job',
  streamFirst: 'Structured Streaming, from Kafka: first run of a session',
  stream: 'Structured Streaming, from Kafka: second run'
} as const

/** Five seconds of the first system's 10,000 requests a second, where there are as many. */
const batchEventsMax = 50_000
const batchesMin = 5
const hourlyPartitions = 2

interface Sample {
  readonly contestant: string
  readonly round: number
  readonly cpuS: number
  readonly wallS: number
  readonly rssPeakBytes: number
  readonly archiveBytes: number
}

interface Round { readonly context: BenchContext, readonly spark: Spark, readonly round: number, readonly events: number, readonly cluster: BenchCluster, readonly kafka: RunningKafka, readonly folder: string }

const usageTopic = ({ topicPrefix }: BenchCluster): string => `${topicPrefix}api-usage-trace`

/** The events of the topic, byte for byte, as NDJSON: a file a partition. @returns its size */
async function writeNdjson ({ kafka, cluster, events }: Round, folder: string): Promise<number> {
  mkdirSync(folder, { recursive: true })
  const files = new Map<number, WriteStream>()
  await eachRecord(kafka, usageTopic(cluster), events, async ({ partition, value }) => {
    const file = files.get(partition) ?? createWriteStream(path.join(folder, `part-${partition}.json`))
    files.set(partition, file)
    if (!file.write(`${value}\n`)) await once(file, 'drain')
  })
  for (const file of files.values()) {
    file.end()
    await finished(file)
  }
  return globSync('*.json', { cwd: folder }).reduce((sum, file) => sum + statSync(path.join(folder, file)).size, 0)
}

/** The sum of the hourly counts on a topic where the last record of a key is the one that counts. */
async function sumOfHourlyTopic (kafka: RunningKafka, topic: string): Promise<number> {
  const counts = new Map<string, number>()
  await eachRecord(kafka, topic, await recordCount(kafka, topic), ({ key, value }) => { counts.set(key, (JSON.parse(value) as { readonly count: number }).count) })
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

interface SparkWork {
  readonly job: JobSettings
  /** Names of the first job of a session, which compiles what it runs, and of the one after it. */
  readonly runs: readonly string[]
  readonly target: (folder: string) => Promise<JobRun>
  /** The sum of the hourly counts that a run has left. */
  readonly counted: (run: JobRun) => Promise<number>
}

/** One session that does its job twice. @throws unless counts and archive hold every event each time */
async function measureSpark ({ context, spark, round, events, folder }: Round, work: SparkWork): Promise<Sample[]> {
  const session = await startSession(context, spark, path.join(folder, work.job.mode), work.job)
  const samples: Sample[] = []
  for (const [index, contestant] of work.runs.entries()) {
    const run = await work.target(path.join(folder, work.job.mode, `run-${index}`))
    const before = costOf(session.pid)
    const startMs = performance.now()
    await session.run(run)
    const wallS = (performance.now() - startMs) / 1000
    const cost = costBetween(before, costOf(session.pid))
    const rssPeakBytes = rssPeakOfFamily(session.pid)
    const counted = await work.counted(run)
    if (counted !== events) throw new Error(`${contestant}: ${events} events went in, the hourly counts come to ${counted}`)
    const archived = await countArchived({ folder, states: [run.folder] })
    if (archived.events !== events || archived.rows !== events) throw new Error(`${contestant}: ${events} events went in, ${archived.events} are in ${archived.rows} rows of the archive`)
    samples.push({ contestant, round, cpuS: cost.cpuMs / 1000, wallS, rssPeakBytes, archiveBytes: archived.bytes })
  }
  await session.stop()
  return samples
}

async function measureBatch (round: Round): Promise<Sample[]> {
  const files = path.join(round.folder, 'ndjson')
  await writeNdjson(round, files)
  return await measureSpark(round, {
    job: { mode: 'batch', files },
    runs: [names.batchFirst, names.batch],
    target: async (folder) => ({ folder }),
    counted: ({ folder }) => sumOfParquet({ folder: round.folder, files: path.join(folder, 'hourly/*.parquet'), column: 'count' })
  })
}

async function measureStreaming (round: Round): Promise<Sample[]> {
  const { kafka, cluster, events } = round
  return await measureSpark(round, {
    job: { mode: 'streaming', brokers: kafka.brokers.join(','), topic: usageTopic(cluster), batchEvents: batchEventsOf(events) },
    runs: [names.streamFirst, names.stream],
    target: async (folder) => {
      const topic = `${uniquePrefix()}hourly`
      await kafka.makeTopics([{ name: topic, partitions: hourlyPartitions, settings: {}, minimums: {}, mayHaveMorePartitions: false }])
      return { folder, topic }
    },
    counted: ({ topic = '' }) => sumOfHourlyTopic(kafka, topic)
  })
}

const batchEventsOf = (events: number): number => Math.min(batchEventsMax, Math.ceil(events / batchesMin))

async function measureAll (context: BenchContext, events: number): Promise<Sample[]> {
  const spark = await fetchSpark(context)
  const kafka = await benchKafka(context)
  const empty = await measureEmptyStart(context)
  const emptyCluster = await measureEmptyClusterStart(context)
  const samples: Sample[] = []
  for (let number = 0; number < context.rounds; number++) {
    const cluster = await shipRound(context, number, events)
    const round: Round = { context, spark, round: number, events, cluster, kafka, folder: path.join(context.folder, `spark-${number}`) }
    const contestants: readonly (() => Promise<Sample[]>)[] = [
      async () => [sampleOf(names.embedded, await measurePipeline(context, number, events, empty))],
      async () => [sampleOf(names.cluster, await measureClusterPipeline(context, cluster, { round: number, events, empty: emptyCluster }))],
      () => measureBatch(round),
      () => measureStreaming(round)
    ]
    for (const measureOne of orderOf(contestants, number)) {
      for (const sample of await measureOne()) {
        context.say(`round ${number + 1} of ${context.rounds}, ${sample.contestant}: ${short(sample.cpuS * 1e6 / events)} us an event, ${short(events / sample.wallS)} events/s, ${megabytes(sample.rssPeakBytes)} MB`)
        samples.push(sample)
      }
    }
  }
  return samples
}

function sampleOf (contestant: string, { round, cpuS, wallS, rssPeakBytes, archived }: Omit<Sample, 'contestant' | 'archiveBytes'> & { readonly archived: { readonly bytes: number } }): Sample {
  return { contestant, round, cpuS, wallS, rssPeakBytes, archiveBytes: archived.bytes }
}

function tableOf (samples: readonly Sample[], events: number): Table {
  const of = (name: string): Sample[] => samples.filter(({ contestant }) => contestant === name)
  const rows = Object.values(names).map((name) => {
    const own = of(name)
    const spread = (value: (sample: Sample) => number): string => spreadText(spreadOf(own.map(value)))
    const over = (other: string): string => spreadText(spreadOf(own.map((sample) => sample.cpuS / (of(other).find(({ round }) => round === sample.round)?.cpuS ?? NaN))))
    return [
      name, spread(({ cpuS }) => events / cpuS), spread(({ cpuS }) => cpuS * 1e6 / events), over(names.embedded), over(names.cluster),
      spread(({ wallS }) => wallS), spread(({ wallS }) => events / wallS), megabytes(Math.max(...own.map(({ rssPeakBytes }) => rssPeakBytes))), short(spreadOf(own.map(({ archiveBytes }) => archiveBytes / events)).median)
    ]
  })
  return {
    title: `${thousands(events)} events to hourly counts and archive`,
    columns: ['who', 'events/s a core', 'CPU us an event', 'x Tollgate from its journal', 'x Tollgate from Kafka', 'wall s', 'events/s', 'RSS peak MB', 'archive bytes an event'],
    rows,
    notes: ['Goal: Structured Streaming at least 15 x Tollgate from Kafka.']
  }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const events = context.events ?? (context.isQuick ? 50_000 : 500_000)
  const samples = await measureAll(context, events)
  return {
    settings: [
      kafkaText,
      `${thousands(events)} events of one hour, made with the product's own code and shipped to Kafka in six partitions; the same ones go into Spark, from the topic (Structured Streaming) and from files of NDJSON, byte for byte the topic's values (batch). Tollgate's embedded form fills a journal of its own with as many.`,
      'Tollgate: the scenarios `pipeline` and `cluster-pipeline`, in the same rounds: the whole process, from its start until everything is counted, archived and - embedded - in the ledger, less what an empty start takes. It compiles within the measured time, checks identities and chain of each event and commits what it counts; Spark counts what it is given.',
      `Spark: PySpark from PyPI, ${firstLineOf('java', ['-version']) ?? 'Java'}, one session a round on all processors, no Python in its data's way. Session start not counted. The job runs twice in a session: first, while Java still compiles, and again. Batch: hourly counts by endpoint, member, key and status to Parquet, and all events to Parquet by hour. Streaming: two queries on the topic, counts (update mode) to another topic and the archive to Parquet, ${thousands(batchEventsOf(events))} events a micro-batch, until all of the topic is through.`,
      `CPU and memory are those of Python and Java together; the memory's peak is the kernel's, over both runs. ${context.rounds} rounds, in an order that turns; median (least to most), ratios within a round. Each time hourly counts came to ${thousands(events)} and the archive held ${thousands(events)} different events, once each.`
    ],
    tables: [tableOf(samples, events)],
    files: [
      { name: 'Spark\'s settings', text: Object.entries(sessionSettings('JARS', 'FOLDER')).map(([name, value]) => `${name}=${value}`).join('\n') },
      { name: 'requirements.txt', text: readFileSync(path.join(path.dirname(jobFile), 'requirements.txt'), 'utf8') },
      { name: 'job.py', text: readFileSync(jobFile, 'utf8') }
    ],
    samples
  }
}

export const spark: Scenario = { name: 'spark', title: 'Hourly counts and archive beside Spark', isNamedOnly: true, run }
