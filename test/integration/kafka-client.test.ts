// The Kafka layer against one real broker: order, transactions, fencing, what readers see and don't see, and what they are
// told when their position isn't there. Another client, kafkajs, reads what ours wrote and writes what ours reads.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import kafkajs from 'kafkajs'
import { openKafka } from '../../src/kafka/client.ts'
import { openCluster } from '../../src/kafka/cluster.ts'
import { OutOfRangeError } from '../../src/kafka/port.ts'
import type { KafkaClient, PartitionReader, RecordIn, RecordOut } from '../../src/kafka/port.ts'
import { openProducer } from '../../src/kafka/producer.ts'
import { eventually } from '../helpers/eventually.ts'
import { recordsOf } from '../services/kafka-records.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka(undefined, { settings: { 'log.cleaner.backoff.ms': '200', 'log.retention.check.interval.ms': '500', 'log.segment.delete.delay.ms': '100' } })
after(() => kafka.close())

const kept = { 'cleanup.policy': 'delete', 'retention.ms': '-1' }

async function topicOf (t: TestContext, { partitions = 1, settings = kept }: { readonly partitions?: number, readonly settings?: Readonly<Record<string, string>> } = {}): Promise<{ readonly client: KafkaClient, readonly topic: string }> {
  const client = openKafka(kafka.options('client-test'))
  t.after(() => client.close())
  const topic = `${uniquePrefix()}records`
  await kafka.makeTopics([{ name: topic, partitions, settings, minimums: {}, mayHaveMorePartitions: false }])
  return { client, topic }
}

function numbered (from: number, to: number): RecordOut[] {
  return Array.from({ length: to - from }, (_, index) => ({ key: `key-${from + index}`, value: JSON.stringify({ number: from + index }), headers: { seq: String(from + index), gateway: 'gw-ü' } }))
}

async function readAll (reader: PartitionReader, { offset = 0, bytesMax = 1_000_000 } = {}): Promise<{ readonly records: RecordIn[], readonly nextOffset: number, readonly endOffset: number }> {
  const records: RecordIn[] = []
  let nextOffset = offset
  for (;;) {
    const result = await reader.read({ offset: nextOffset, bytesMax, waitMs: 50 })
    records.push(...result.records)
    nextOffset = result.nextOffset
    if (nextOffset >= result.endOffset) return { records, nextOffset, endOffset: result.endOffset }
  }
}

/** A commit is acknowledged before every partition shows it. */
function readUntil (reader: PartitionReader, count: number): Promise<Awaited<ReturnType<typeof readAll>>> {
  return eventually(`${count} records are visible`, async () => {
    const result = await readAll(reader)
    return result.records.length >= count ? result : undefined
  })
}

const keysOf = (records: readonly RecordIn[]): (string | undefined)[] => records.map(({ key }) => key)

test('records come back in order, with key, value, headers and the broker\'s time; kafkajs reads the same', async (t) => {
  const { client, topic } = await topicOf(t, { partitions: 3, settings: { ...kept, 'message.timestamp.type': 'LogAppendTime' } })
  const producer = client.openPartitionProducer({ topic, partition: 1 })
  for (let from = 0; from < 5_000; from += 500) await producer.send(numbered(from, from + 500))
  await producer.send([{ key: 'gone', value: null }, { key: '', value: Buffer.from([0, 255, 1]) }])
  await producer.send([])

  const { records, nextOffset, endOffset } = await readAll(client.openPartitionReader({ topic, partition: 1, isolation: 'committed' }), { bytesMax: 10_000 })
  assert.deepEqual(keysOf(records), [...numbered(0, 5_000).map(({ key }) => key), 'gone', ''])
  assert.deepEqual(records.map(({ offset }) => offset), Array.from({ length: 5_002 }, (_, offset) => offset))
  assert.deepEqual([nextOffset, endOffset], [5_002, 5_002])
  assert.equal(records[4_321]?.value?.toString(), '{"number":4321}')
  assert.deepEqual([...records[4_321]?.headers ?? []], [['seq', '4321'], ['gateway', 'gw-ü']])
  assert.equal(records[5_000]?.value, undefined)
  assert.deepEqual([...records[5_001]?.value ?? []], [0, 255, 1])
  const ageMs = Date.now() - (records[0]?.timestampMs ?? 0)
  assert.ok(ageMs >= 0 && ageMs < 600_000, `a record ${ageMs} ms old`)

  const others = await recordsOf(kafka, topic, { count: 5_002 })
  assert.deepEqual(others.map(({ key, value }) => [key, value]), records.map(({ key, value }) => [key, value?.toString()]))
  assert.deepEqual(others[7]?.headers, { seq: '7', gateway: 'gw-ü' })
})

test('what kafkajs writes is read, compressed or not; a read begins at the record asked for, in the middle of a batch', async (t) => {
  const { client, topic } = await topicOf(t)
  const other = kafka.independent().producer()
  await other.connect()
  t.after(() => other.disconnect())
  for (const compression of ['None', 'GZIP', 'ZSTD'] as const) await other.send({ topic, compression: kafkajs.CompressionTypes[compression], messages: numbered(0, 100).map(({ key, value }) => ({ key, value: value as string })) })
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  const { records } = await readAll(reader, { offset: 150 })
  assert.deepEqual(keysOf(records), [...numbered(50, 100), ...numbered(0, 100)].map(({ key }) => key))
  assert.equal(records[0]?.offset, 150)
  assert.equal(records[0]?.headers.size, 0)
})

test('a batch larger than what was asked for comes whole, and memory is bounded by handing out one batch after another', async (t) => {
  const { client, topic } = await topicOf(t)
  const producer = client.openPartitionProducer({ topic, partition: 0 })
  const large = Array.from({ length: 40 }, (_, index) => ({ key: `large-${index}`, value: `${index}`.repeat(50_000) }))
  await producer.send(large)
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  const first = await reader.read({ offset: 0, bytesMax: 1, waitMs: 50 })
  assert.ok(first.records.length > 0 && first.records.length < 40, `${first.records.length} records in the first read`)
  assert.deepEqual(keysOf((await readAll(reader)).records), large.map(({ key }) => key))
})

test('a record that no topic takes is refused by its key, and the producer is dead', async (t) => {
  const { client, topic } = await topicOf(t)
  const producer = client.openPartitionProducer({ topic, partition: 0 })
  await assert.rejects(producer.send([{ key: 'giant', value: Buffer.alloc(1_100_000) }]), { code: 'KAFKA_REFUSED', message: /giant/ })
  await assert.rejects(producer.send(numbered(0, 1)), /has failed/)
  const { client: small, topic: narrow } = await topicOf(t, { settings: { ...kept, 'max.message.bytes': '1000' } })
  await assert.rejects(small.openPartitionProducer({ topic: narrow, partition: 0 }).send([{ key: 'a', value: randomBytes(4_000) }]), { code: 'KAFKA_REFUSED', message: /MESSAGE_TOO_LARGE/ })
})

test('sequence numbers begin again after 2^31 records', async (t) => {
  const { client, topic } = await topicOf(t)
  const producer = openProducer(openCluster(kafka.options('wrap')), { topic, partition: 0 }, 2 ** 31 - 3)
  t.after(() => producer.close())
  await producer.send(numbered(0, 5))
  await producer.send(numbered(5, 10))
  await producer.send(numbered(10, 12))
  assert.deepEqual(keysOf((await readAll(client.openPartitionReader({ topic, partition: 0, isolation: 'committed' }))).records), numbered(0, 12).map(({ key }) => key))
})

test('a transaction over several topics is seen by readers of committed records when it is whole', async (t) => {
  const { client, topic } = await topicOf(t, { partitions: 2 })
  const second = (await topicOf(t)).topic
  const publisher = await client.openTransactionalPublisher({ transactionalId: `${topic}-owner`, transactionTimeoutMs: 60_000 })
  for (let round = 0; round < 20; round++) {
    await publisher.publish([
      { topic, partition: 1, records: numbered(round * 10, round * 10 + 10) },
      { topic, partition: 0, records: [] },
      { topic: second, partition: 0, records: [{ key: 'progress', value: String(round) }] }
    ])
  }
  await publisher.publish([{ topic, partition: 1, records: Array.from({ length: 60 }, (_, index) => ({ key: `large-${index}`, value: 'x'.repeat(50_000) })) }])
  await publisher.publish([])
  const { records, nextOffset, endOffset } = await readUntil(client.openPartitionReader({ topic, partition: 1, isolation: 'committed' }), 260)
  assert.deepEqual(keysOf(records), [...numbered(0, 200).map(({ key }) => key), ...Array.from({ length: 60 }, (_, index) => `large-${index}`)])
  assert.equal(nextOffset, endOffset)
  assert.equal(endOffset, 260 + 21, 'each transaction ends with a record that nobody sees')
  assert.equal((await readAll(client.openPartitionReader({ topic: second, partition: 0, isolation: 'committed' }))).records.at(-1)?.value?.toString(), '19')
})

test('an open transaction is hidden from readers of committed records, and an aborted one for ever', async (t) => {
  const { client, topic } = await topicOf(t)
  const other = kafka.independent().producer({ transactionalId: `${topic}-open`, maxInFlightRequests: 1, idempotent: true })
  await other.connect()
  t.after(() => other.disconnect())
  const send = async (transaction: Awaited<ReturnType<typeof other.transaction>>, key: string): Promise<void> => { await transaction.send({ topic, messages: [{ key, value: 'v' }] }) }
  const committed = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  const uncommitted = client.openPartitionReader({ topic, partition: 0, isolation: 'uncommitted' })

  const first = await other.transaction()
  await send(first, 'aborted-1')
  assert.deepEqual(keysOf((await readAll(uncommitted)).records), ['aborted-1'])
  const hidden = await committed.read({ offset: 0, bytesMax: 1_000, waitMs: 50 })
  assert.deepEqual([hidden.records.length, hidden.nextOffset, hidden.endOffset], [0, 0, 0])
  await first.abort()
  const onlyAborted = await eventually('the abort is visible', async () => {
    const result = await readAll(committed)
    return result.endOffset === 2 ? result : undefined
  })
  assert.deepEqual([onlyAborted.records.length, onlyAborted.nextOffset], [0, 2], 'the position moves on over what nobody may see')

  const plain = client.openPartitionProducer({ topic, partition: 0 })
  const second = await other.transaction()
  await send(second, 'aborted-2')
  await plain.send([{ key: 'plain-between', value: 'v' }])
  await send(second, 'aborted-3')
  await second.abort()
  const third = await other.transaction()
  await send(third, 'committed')
  await third.commit()
  const all = await eventually('all is decided', async () => {
    const result = await readAll(committed)
    return result.records.length === 2 ? result : undefined
  })
  assert.deepEqual(keysOf(all.records), ['plain-between', 'committed'])
  assert.deepEqual(keysOf((await readAll(committed, { offset: 3 })).records), ['plain-between', 'committed'])
})

test('who opens a transactional id fences everybody before, for ever; nothing of theirs is seen', async (t) => {
  const { client, topic } = await topicOf(t)
  const options = { transactionalId: `${topic}-owner`, transactionTimeoutMs: 60_000 }
  const zombie = await client.openTransactionalPublisher(options)
  await zombie.publish([{ topic, partition: 0, records: numbered(0, 3) }])
  const owner = await client.openTransactionalPublisher(options)
  await assert.rejects(zombie.publish([{ topic, partition: 0, records: [{ key: 'zombie', value: 'v' }] }]), { code: 'KAFKA_FENCED' })
  for (let i = 0; i < 3; i++) await assert.rejects(zombie.publish([{ topic, partition: 0, records: [{ key: 'zombie', value: 'v' }] }]), /has failed/)
  await owner.publish([{ topic, partition: 0, records: numbered(3, 5) }])
  assert.deepEqual(keysOf((await readUntil(client.openPartitionReader({ topic, partition: 0, isolation: 'committed' }), 5)).records), numbered(0, 5).map(({ key }) => key))
})

test('an owner that was fenced with a transaction open loses it; one that was never used is fenced too', async (t) => {
  const { client, topic } = await topicOf(t)
  const options = { transactionalId: `${topic}-owner`, transactionTimeoutMs: 60_000 }
  const zombie = kafka.independent().producer({ transactionalId: options.transactionalId, maxInFlightRequests: 1, idempotent: true })
  await zombie.connect()
  t.after(() => zombie.disconnect())
  const open = await zombie.transaction()
  await open.send({ topic, messages: [{ key: 'zombie', value: 'v' }] })
  const unused = await client.openTransactionalPublisher(options)
  const owner = await client.openTransactionalPublisher(options)
  await assert.rejects(open.commit())
  await assert.rejects(unused.publish([{ topic, partition: 0, records: numbered(0, 1) }]), { code: 'KAFKA_FENCED' })
  await owner.publish([{ topic, partition: 0, records: numbered(1, 2) }])
  assert.deepEqual(keysOf((await readUntil(client.openPartitionReader({ topic, partition: 0, isolation: 'committed' }), 1)).records), ['key-1'])
})

test('a transaction that fails half way is aborted: readers go on without waiting for its timeout', async (t) => {
  const { client, topic } = await topicOf(t)
  const publisher = await client.openTransactionalPublisher({ transactionalId: `${topic}-owner`, transactionTimeoutMs: 60_000 })
  await assert.rejects(publisher.publish([{ topic, partition: 0, records: [...numbered(0, 3)] }, { topic, partition: 0, records: [{ key: 'giant', value: Buffer.alloc(1_100_000) }] }]), { code: 'KAFKA_REFUSED' })
  await client.openPartitionProducer({ topic, partition: 0 }).send([{ key: 'after', value: 'v' }])
  const { records } = await readUntil(client.openPartitionReader({ topic, partition: 0, isolation: 'committed' }), 1)
  assert.deepEqual(keysOf(records), ['after'])
})

test('a position before what is kept, or behind the end, is told with both ends', async (t) => {
  const { client, topic } = await topicOf(t)
  await client.openPartitionProducer({ topic, partition: 0 }).send(numbered(0, 100))
  const admin = client.openAdmin()
  await admin.deleteRecordsBefore(topic, 0, 40)
  assert.deepEqual(await admin.offsets(topic), [{ startOffset: 40, endOffset: 100 }])
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  for (const offset of [0, 39, 101]) {
    await assert.rejects(reader.read({ offset, bytesMax: 1_000, waitMs: 50 }), (error) => error instanceof OutOfRangeError && error.startOffset === 40 && error.endOffset === 100 && error.message.includes('40 up to 100'))
  }
  const { records, startOffset, endOffset } = await reader.read({ offset: 40, bytesMax: 1_000_000, waitMs: 50 })
  assert.deepEqual([records.length, records[0]?.offset, startOffset, endOffset], [60, 40, 40, 100])
  const atEnd = await reader.read({ offset: 100, bytesMax: 1_000, waitMs: 50 })
  assert.deepEqual([atEnd.records.length, atEnd.nextOffset], [0, 100])
})

test('a compacted topic is read over its holes', async (t) => {
  const { client, topic } = await topicOf(t, { settings: { 'cleanup.policy': 'compact', 'segment.ms': '200', 'min.cleanable.dirty.ratio': '0.01', 'max.compaction.lag.ms': '500', 'min.compaction.lag.ms': '0' } })
  const publisher = await client.openTransactionalPublisher({ transactionalId: `${topic}-owner`, transactionTimeoutMs: 60_000 })
  let sent = 0
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  const records = await eventually('the topic is compacted', async () => {
    const last = String(sent + 49)
    await publisher.publish([{ topic, partition: 0, records: Array.from({ length: 50 }, (_, index) => ({ key: `key-${index % 5}`, value: String(sent + index) })) }])
    sent += 50
    const all = await eventually('the last one is visible', async () => {
      const { records: visible } = await readAll(reader)
      return visible.at(-1)?.value?.toString() === last ? visible : undefined
    })
    return all.length < sent ? all : undefined
  }, { withinMs: 60_000, everyMs: 300 })
  const latest = new Map(records.map(({ key, value }) => [key, value?.toString()]))
  assert.deepEqual([...latest.entries()].sort(), Array.from({ length: 5 }, (_, index) => [`key-${index}`, String(sent - 5 + index)]))
})

test('a topic that is deleted, or made anew, is gone', async (t) => {
  const { client, topic } = await topicOf(t)
  await client.openPartitionProducer({ topic, partition: 0 }).send(numbered(0, 3))
  const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
  await reader.read({ offset: 0, bytesMax: 1_000, waitMs: 50 })
  const admin = client.openAdmin()
  const before = await admin.topic(topic)
  const other = kafka.independent().admin()
  await other.connect()
  t.after(() => other.disconnect())
  await other.deleteTopics({ topics: [topic] })
  await eventually('the topic is gone', async () => await admin.topic(topic) === undefined)
  await assert.rejects(reader.read({ offset: 3, bytesMax: 1_000, waitMs: 50 }), { code: 'KAFKA_TOPIC_GONE' })
  await admin.createTopic({ name: topic, partitions: 1, settings: kept, minimums: {}, mayHaveMorePartitions: false }, 1)
  assert.notEqual((await admin.topic(topic))?.topicId, before?.topicId)
  await assert.rejects(reader.read({ offset: 3, bytesMax: 1_000, waitMs: 50 }), { code: 'KAFKA_TOPIC_GONE', message: /made anew/ })
})

test('nobody there is KAFKA_UNREACHABLE; a reader comes back by itself', async (t) => {
  const client = openKafka({ ...kafka.options('nobody'), brokers: ['127.0.0.1:1'] })
  t.after(() => client.close())
  const reader = client.openPartitionReader({ topic: 'any', partition: 0, isolation: 'committed', timeoutMs: 500 })
  await assert.rejects(reader.read({ offset: 0, bytesMax: 1_000, waitMs: 0 }), { code: 'KAFKA_UNREACHABLE', message: /127\.0\.0\.1:1.*ECONNREFUSED/ })
  const { client: there, topic } = await topicOf(t)
  await there.openPartitionProducer({ topic, partition: 0 }).send(numbered(0, 3))
  const stopped = there.openPartitionReader({ topic, partition: 0, isolation: 'committed', timeoutMs: 100 })
  await stopped.read({ offset: 0, bytesMax: 1_000, waitMs: 0 })
  kafka.pause(1)
  await assert.rejects(stopped.read({ offset: 3, bytesMax: 1_000, waitMs: 0 }), { code: 'KAFKA_UNREACHABLE', message: /no answer within/ })
  kafka.resume(1)
  assert.equal((await eventually('it reads again', () => stopped.read({ offset: 0, bytesMax: 1_000, waitMs: 0 }))).records.length, 3)
})
