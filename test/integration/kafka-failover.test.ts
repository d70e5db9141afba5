// Three brokers that are killed and stopped under load: nothing that was acknowledged is lost, the order holds, and what
// was not acknowledged is there once or not at all.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import type { KafkaClient, PartitionProducer, PartitionReader, TransactionalPublisher } from '../../src/kafka/port.ts'
import { eventually } from '../helpers/eventually.ts'
import { recordsOf } from '../services/kafka-records.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka(undefined, { brokers: 3 })
after(() => kafka.close())

async function topicOf (t: TestContext, partitions = 1): Promise<{ readonly client: KafkaClient, readonly topic: string }> {
  const client = openKafka(kafka.options('failover'))
  t.after(() => client.close())
  const topic = `${uniquePrefix()}failover`
  await kafka.makeTopics([{ name: topic, partitions, settings: {}, minimums: { 'min.insync.replicas': 2 }, mayHaveMorePartitions: false }])
  return { client, topic }
}

interface Sending { readonly acknowledged: () => number, readonly failures: () => number, readonly stop: () => Promise<number> }

/** Sends numbers in order, ten at a time, with a new producer after any failure from the first unacknowledged one, as the shipper does. */
function sendNumbers (client: KafkaClient, topic: string, partition: number): Sending {
  let acknowledged = 0
  let failures = 0
  let isStopped = false
  const run = async (): Promise<number> => {
    let producer: PartitionProducer | undefined
    while (!isStopped) {
      producer ??= client.openPartitionProducer({ topic, partition })
      try {
        await producer.send(Array.from({ length: 10 }, (_, index) => ({ key: 'number', value: String(acknowledged + index) })))
        acknowledged += 10
      } catch (error) {
        assert.ok(['KAFKA_UNREACHABLE'].includes((error as { readonly code: string }).code), String(error))
        failures++
        producer = undefined
      }
    }
    return acknowledged
  }
  const running = run()
  return { acknowledged: () => acknowledged, failures: () => failures, stop: () => { isStopped = true; return running } }
}

/** Follows a partition until it was told to stop and has read what there is. */
function follow (reader: PartitionReader): { readonly numbers: number[], readonly stop: (count: number) => Promise<number[]> } {
  const numbers: number[] = []
  let countWanted = Infinity
  const run = async (): Promise<void> => {
    let offset = 0
    while (new Set(numbers).size < countWanted) {
      try {
        const result = await reader.read({ offset, bytesMax: 100_000, waitMs: 200 })
        for (const { value } of result.records) numbers.push(Number(value?.toString()))
        offset = result.nextOffset
      } catch (error) {
        assert.equal((error as { readonly code: string }).code, 'KAFKA_UNREACHABLE', String(error))
      }
    }
  }
  const running = run()
  return { numbers, stop: async (count) => { countWanted = count; await running; return numbers } }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, number) => number)

for (const [what, harm, mend] of [
  ['killed', (leader: number) => kafka.kill(leader), (leader: number) => kafka.start(leader)],
  ['stopped like a zombie', async (leader: number) => { kafka.pause(leader) }, async (leader: number) => { kafka.resume(leader) }]
] as const) {
  test(`a leader is ${what} under sends and reads`, async (t) => {
    const { client, topic } = await topicOf(t)
    const sending = sendNumbers(client, topic, 0)
    const following = follow(client.openPartitionReader({ topic, partition: 0, isolation: 'committed' }))
    await eventually('it flows', () => sending.acknowledged() > 500)
    const leader = await kafka.leaderOf(topic, 0)
    await harm(leader)
    const before = sending.acknowledged()
    await eventually('it flows again', () => sending.acknowledged() > before + 500, { withinMs: 60_000 })
    await mend(leader)
    const again = sending.acknowledged()
    await eventually('it flows on', () => sending.acknowledged() > again + 500, { withinMs: 60_000 })
    const count = await sending.stop()
    const numbers = await following.stop(count)
    // A producer that failed leaves open what it did; then numbers come again, and never with a hole.
    if (sending.failures() === 0) assert.deepEqual(numbers, upTo(count))
    let highest = -1
    for (const number of numbers) {
      assert.ok(number <= highest + 1, `${number} came after ${highest}`)
      highest = Math.max(highest, number)
    }
    assert.equal(highest, count - 1)
    const others = await recordsOf(kafka, topic, { count: numbers.length, withinMs: 60_000 })
    assert.deepEqual(others.map(({ value }) => Number(value)), numbers)
  })
}

test('brokers are killed under transactions: each is there whole and once, or not at all; those acknowledged are', async (t) => {
  const { client, topic } = await topicOf(t, 3)
  const options = { transactionalId: `${topic}-owner`, transactionTimeoutMs: 60_000 }
  const acknowledged: number[] = []
  let attempts = 0
  let isStopped = false
  const run = async (): Promise<void> => {
    let publisher: TransactionalPublisher | undefined
    while (!isStopped) {
      try {
        publisher ??= await client.openTransactionalPublisher(options)
        const number = attempts++
        await publisher.publish([0, 1, 2].map((partition) => ({ topic, partition, records: [{ key: 'part', value: String(number) }] })))
        acknowledged.push(number)
      } catch (error) {
        assert.ok(['KAFKA_UNREACHABLE', 'KAFKA_FENCED'].includes((error as { readonly code: string }).code), String(error))
        publisher = undefined
      }
    }
  }
  const running = run()
  for (const broker of [1, 2, 3]) {
    const before = acknowledged.length
    await eventually('transactions flow', () => acknowledged.length > before + 5, { withinMs: 60_000 })
    await kafka.kill(broker)
    const after = acknowledged.length
    await eventually('transactions flow without it', () => acknowledged.length > after + 5, { withinMs: 60_000 })
    await kafka.start(broker)
  }
  isStopped = true
  await running
  // The last one is closed by whoever opens the id next; then readers see all that there will ever be.
  await (await client.openTransactionalPublisher(options)).publish([0, 1, 2].map((partition) => ({ topic, partition, records: [{ key: 'end', value: 'end' }] })))
  const seen = await Promise.all([0, 1, 2].map((partition) => readToEnd(client.openPartitionReader({ topic, partition, isolation: 'committed' }))))
  assert.deepEqual(seen[1], seen[0])
  assert.deepEqual(seen[2], seen[0])
  const numbers = (seen[0] ?? []).map(Number)
  assert.equal(new Set(numbers).size, numbers.length, 'none is there twice')
  assert.deepEqual(acknowledged.filter((number) => !numbers.includes(number)), [], 'every acknowledged one is there')
  assert.ok(numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0)), 'in order')
  t.diagnostic(`${attempts} transactions, ${acknowledged.length} acknowledged, ${numbers.length} there`)
})

async function readToEnd (reader: PartitionReader): Promise<string[]> {
  const values: string[] = []
  let offset = 0
  await eventually('the end is read', async () => {
    const result = await reader.read({ offset, bytesMax: 1_000_000, waitMs: 100 })
    offset = result.nextOffset
    values.push(...result.records.map(({ value }) => value?.toString() ?? ''))
    return values.at(-1) === 'end'
  }, { withinMs: 60_000 })
  return values.slice(0, -1)
}

test('all brokers are away for a while: what waits goes on, nothing is lost', async (t) => {
  const { client, topic } = await topicOf(t)
  const sending = sendNumbers(client, topic, 0)
  const following = follow(client.openPartitionReader({ topic, partition: 0, isolation: 'committed', timeoutMs: 2_000 }))
  await eventually('it flows', () => sending.acknowledged() > 200)
  await kafka.killAll()
  await kafka.startAll()
  const before = sending.acknowledged()
  await eventually('it flows again', () => sending.acknowledged() > before + 200, { withinMs: 60_000 })
  const count = await sending.stop()
  const numbers = await following.stop(count)
  assert.deepEqual([...new Set(numbers)], upTo(count))
})

test('brokers that forget acknowledged records: a reader in front of them is told, a sender goes on with a new producer', async (t) => {
  const { client, topic } = await topicOf(t)
  const producer = client.openPartitionProducer({ topic, partition: 0 })
  for (let i = 0; i < 50; i++) await producer.send([{ key: 'number', value: String(i).repeat(100) }])
  await kafka.killAll()
  await kafka.cutLogs(`${topic}-0`, 0.5)
  await kafka.startAll()
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  await assert.rejects(reader.read({ offset: 50, bytesMax: 1_000, waitMs: 0 }), { code: 'KAFKA_OUT_OF_RANGE' })
  const left = (await client.openAdmin().offsets(topic))[0]?.endOffset ?? 0
  assert.ok(left > 0 && left < 50, `${left} records are left`)
  await assert.rejects(producer.send([{ key: 'number', value: 'next' }]), { code: 'KAFKA_UNREACHABLE', message: /OUT_OF_ORDER_SEQUENCE_NUMBER/ })
  await client.openPartitionProducer({ topic, partition: 0 }).send([{ key: 'number', value: 'again' }])
  assert.equal((await reader.read({ offset: left, bytesMax: 1_000, waitMs: 0 })).records[0]?.value?.toString(), 'again')
})
