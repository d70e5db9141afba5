// What it costs that the brokers sync each record of a topic to their disks before they acknowledge it.
import { openKafka } from '../../src/kafka/client.ts'
import type { RecordOut } from '../../src/kafka/port.ts'
import { uniquePrefix } from '../../test/services/kafka.ts'
import { benchKafka, brokers, kafkaText } from '../cluster/services.ts'
import { orderOf, percentileOf, spreadOf } from '../harness/rounds.ts'
import type { BenchContext, Scenario, ScenarioResult } from '../harness/scenario.ts'
import { short, spreadText } from '../harness/table.ts'

const batchSizes = [100, 1_000] as const
const valueBytes = 420
const warmUpSends = 10

interface Contestant { readonly name: string, readonly topic: string, readonly settings: Readonly<Record<string, string>>, sent: number }
interface Sample { readonly contestant: string, readonly batch: number, readonly round: number, readonly msP50: number, readonly msP99: number }

/** Like events: half of each is the same in all, so that compression finds what it finds in them. */
function makeRecords (count: number): RecordOut[] {
  return Array.from({ length: count }, (_, index) => {
    const own = String(index * 2_654_435_761 % 2 ** 32).padStart(10, '0').repeat(Math.ceil(valueBytes / 20))
    const value = `{"eventId":"${own}","requestUri":"/api/v1/resource${index % 20}","clientAgent":"okhttp/4.12.0"}`.padEnd(valueBytes, ' ')
    return { key: String(index % 400), value, headers: { gatewayId: 'gateway-1', streamId: 'bench', seq: String(index), prevSeq: String(index - 1) } }
  })
}

async function measureRound (context: BenchContext, contestants: readonly Contestant[], { round, sends }: { readonly round: number, readonly sends: number }): Promise<Sample[]> {
  const client = openKafka((await benchKafka(context)).options('bench'))
  const samples: Sample[] = []
  try {
    for (const batch of batchSizes) {
      const records = makeRecords(batch)
      for (const contestant of orderOf(contestants, round)) {
        const producer = client.openPartitionProducer({ topic: contestant.topic, partition: 0 })
        const milliseconds: number[] = []
        for (let send = -warmUpSends; send < sends; send++) {
          const startMs = performance.now()
          await producer.send(records)
          if (send >= 0) milliseconds.push(performance.now() - startMs)
          contestant.sent += batch
        }
        await producer.close()
        milliseconds.sort((a, b) => a - b)
        samples.push({ contestant: contestant.name, batch, round, msP50: percentileOf(milliseconds, 0.5), msP99: percentileOf(milliseconds, 0.99) })
        context.say(`round ${round + 1}, ${batch} records, ${contestant.name}: p50 ${short(percentileOf(milliseconds, 0.5))} ms, p99 ${short(percentileOf(milliseconds, 0.99))} ms`)
      }
    }
  } finally { await client.close() }
  return samples
}

/** @throws unless each topic holds exactly what was acknowledged */
async function checkTopics (context: BenchContext, contestants: readonly Contestant[]): Promise<void> {
  const admin = (await benchKafka(context)).independent('bench-check').admin()
  await admin.connect()
  try {
    for (const { topic, name, sent } of contestants) {
      const [offsets] = await admin.fetchTopicOffsets(topic)
      if (Number(offsets?.high) !== sent) throw new Error(`${name}: ${sent} records were acknowledged, the topic holds ${offsets?.high ?? 0}`)
    }
  } finally { await admin.disconnect() }
}

async function run (context: BenchContext): Promise<ScenarioResult> {
  const sends = context.isQuick ? 30 : 300
  const prefix = uniquePrefix()
  const contestants: readonly Contestant[] = [
    { name: 'as Kafka does by itself', topic: `${prefix}lazy`, settings: {}, sent: 0 },
    { name: 'flush.messages=1', topic: `${prefix}flushed`, settings: { 'flush.messages': '1' }, sent: 0 }
  ]
  const kafka = await benchKafka(context)
  await kafka.makeTopics(contestants.map(({ topic, settings }) => ({ name: topic, partitions: 1, settings, minimums: { 'min.insync.replicas': 2 }, mayHaveMorePartitions: false })))
  const samples: Sample[] = []
  for (let round = 0; round < context.rounds; round++) samples.push(...await measureRound(context, contestants, { round, sends }))
  await checkTopics(context, contestants)
  const [lazy] = contestants
  const rows = batchSizes.flatMap((batch) => contestants.map(({ name }) => {
    const own = samples.filter((sample) => sample.contestant === name && sample.batch === batch)
    const ratios = own.map((sample) => sample.msP50 / (samples.find((other) => other.contestant === lazy?.name && other.batch === batch && other.round === sample.round)?.msP50 ?? NaN))
    return [name, String(batch), spreadText(spreadOf(own.map(({ msP50 }) => msP50))), spreadText(spreadOf(own.map(({ msP99 }) => msP99))), spreadText(spreadOf(ratios))]
  }))
  return {
    settings: [
      kafkaText,
      `The program's own producer (idempotent, acks=all, compressed) to a topic with one partition, one send at a time: ${sends} sends after ${warmUpSends} to warm up, records of ${valueBytes} bytes. ${context.rounds} rounds, the topics in turn within each; median (least to most), ratios within a round. All ${brokers} brokers are on one disk, which they sync one after another.`,
      'After it each topic holds exactly the records that were acknowledged, by another client.'
    ],
    tables: [{ title: 'A send until it is acknowledged, milliseconds', columns: ['topic', 'records', 'p50', 'p99', 'x p50'], rows, notes: [] }],
    files: [],
    samples
  }
}

export const flushCost: Scenario = { name: 'flush-cost', title: 'What `flush.messages=1` costs', isCluster: true, run }
