// The ledger as the fold of the hourly topic, on a real Kafka: whatever is published, in whatever order it is read, each
// count is in the bill once.
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { ClusterBilling } from '../../src/billing/cluster.ts'
import { encodeTakeOver, encodeTombstone } from '../../src/hourly-log/kafka-record.ts'
import { hourlyTopics } from '../../src/hourly-log/kafka-topics.ts'
import type { RecordOut } from '../../src/kafka/port.ts'
import { BillingWorld, startFileServer } from '../helpers/billing-cluster.ts'
import { eventually } from '../helpers/eventually.ts'
import { MemoryPartition, countedRecords, rowKey, rowRecord, streamOf } from '../helpers/topic-records.ts'
import { startKafka } from '../services/kafka.ts'

const kafka = await startKafka(undefined)
after(() => kafka.close())

async function openWorld (t: TestContext, { partitions = 1, topicPartitions = partitions }: { readonly partitions?: number, readonly topicPartitions?: number } = {}): Promise<BillingWorld> {
  const world = new BillingWorld(t, kafka, partitions)
  await world.makeTopics(topicPartitions)
  return world
}

const countOf = async ({ ledger }: ClusterBilling): Promise<number> => (await ledger.totals()).count
const hasCount = async (billing: ClusterBilling, count: number, what = `${count} requests are counted`): Promise<void> => {
  await eventually(what, async () => await countOf(billing) === count)
}
const isReady = async (billing: ClusterBilling): Promise<void> => { await eventually('billing is ready', () => billing.health().isReady) }
const members = async ({ ledger }: ClusterBilling, memberId: number): Promise<number[]> => (await ledger.memberHours({ memberId, fromHour: 0, toHour: 2_000_000 })).map(({ count }) => count)

test('empty topics: ready, and nothing to bill', async (t) => {
  const world = await openWorld(t, { partitions: 3 })
  const billing = await world.open()
  await isReady(billing)
  assert.equal(await countOf(billing), 0)
})

test('rows of all partitions are added up, and later counts take the place of earlier ones', async (t) => {
  const world = await openWorld(t, { partitions: 2 })
  await world.publish(0, [rowRecord({ count: 1 }), rowRecord({ memberId: 2, count: 5 })])
  const billing = await world.open()
  await hasCount(billing, 6)
  await world.publish(1, [rowRecord({ partition: 1, count: 10 })])
  await world.publish(0, [rowRecord({ count: 3 })])
  await hasCount(billing, 18)
  assert.deepEqual(await members(billing, 1), [13])
})

test('closed segments, tombstones, rows that come again, compaction: always the same sums', async (t) => {
  const server = await startFileServer(t)
  const world = await openWorld(t)
  const history: RecordOut[] = []
  const write = async (...records: readonly RecordOut[]): Promise<void> => {
    history.push(...records)
    await world.publish(0, records)
  }
  const first = [{ count: 7 }, { memberId: 2, count: 4 }]
  const second = [{ segment: 1, count: 1 }, { segment: 1, memberId: 3, count: 2 }]
  await write(rowRecord({ count: 1 }), rowRecord({ memberId: 2, count: 4 }))
  const live = await world.open({ aggregators: [server.address] })
  await hasCount(live, 5)
  await write(rowRecord({ count: 7 }))
  const [closed, ...tombstones] = await world.closeSegment([server], { partition: 0, segment: 0, rows: first })
  await write(closed, rowRecord({ segment: 1, count: 1 }))
  await hasCount(live, 12, 'a segment is closed')
  // What a new owner sends again of a segment that is closed, and what is left of it.
  await write(encodeTakeOver(0, { takeOverId: 'x', ownerName: 'two' }), rowRecord({ count: 7 }), ...tombstones, rowRecord({ count: 7 }), ...second.map((row) => rowRecord(row)))
  const [closedAgain, ...tombstonesAgain] = await world.closeSegment([server], { partition: 0, segment: 1, rows: second })
  await write(closedAgain, ...tombstonesAgain, rowRecord({ segment: 2, count: 100 }))
  await hasCount(live, 114)
  assert.deepEqual(await members(live, 1), [108])
  const late = await world.open({ name: 'late', aggregators: [server.address] })
  await hasCount(late, 114, 'a ledger that begins later')
  const compacted = await openWorld(t)
  const partition = new MemoryPartition()
  partition.append(history)
  partition.compact()
  assert.ok(partition.records.length < history.length - 5, 'compaction has taken something away')
  await compacted.publish(0, partition.records.map(({ key = '', value }) => ({ key, value: value ?? null })))
  const reader = await compacted.open({ aggregators: [server.address] })
  await hasCount(reader, 114, 'a ledger that reads what compaction has left')
  assert.deepEqual(await members(reader, 1), [108])
  // Again, with all that a slow reader between `closed` and the tombstones sees.
  const half = await openWorld(t)
  await half.publish(0, history.slice(0, history.indexOf(closed) + 1))
  const slow = await half.open({ aggregators: [server.address] })
  await hasCount(slow, 11)
  await half.publish(0, history.slice(history.indexOf(closed) + 1).filter(({ value }) => value !== null))
  await hasCount(slow, 114, 'a slow reader')
})

test('after a restart it goes on where it was; a ledger that is lost is made again', async (t) => {
  const server = await startFileServer(t)
  const world = await openWorld(t)
  const [closed, ...tombstones] = await world.closeSegment([server], { partition: 0, segment: 0, rows: [{ count: 7 }] })
  await world.publish(0, [rowRecord({ count: 7 }), closed, ...tombstones, rowRecord({ segment: 1, count: 2 })])
  const before = await world.open({ aggregators: [server.address] })
  await hasCount(before, 9)
  await before.close()
  const requests = server.asked.length
  await world.publish(0, [rowRecord({ segment: 1, count: 5 })])
  const again = await world.open({ aggregators: [server.address] })
  await hasCount(again, 12)
  await again.close()
  rmSync(path.join(world.folder, 'one', 'ledger.duckdb'))
  server.isAway = true
  const lost = await world.open({ aggregators: [server.address] })
  await hasCount(lost, 12, 'from the topic and the files that were kept')
  assert.equal(server.asked.length, requests)
})

test('a closed segment that nobody has holds back its partition alone, by name, until somebody has it', async (t) => {
  const [one, two] = [await startFileServer(t), await startFileServer(t)]
  const world = await openWorld(t, { partitions: 2 })
  const [closed] = await world.closeSegment([two], { partition: 0, segment: 0, rows: [{ count: 7 }] })
  const [[place, content] = ['', '']] = two.files
  two.files.clear()
  one.files.set(place, 'something else')
  await world.publish(0, [rowRecord({ count: 6 })])
  const billing = await world.open({ aggregators: [one.address, two.address] })
  await hasCount(billing, 6)
  await world.publish(0, [closed, rowRecord({ segment: 1, count: 1 })])
  await eventually('it is missed', () => billing.state().missingSegments === 1)
  const [reason = ''] = billing.health().reasons
  assert.match(reason, /closed segment partition=0-segment=0.*of partition 0.*has another file of this name.*doesn't have it/)
  await world.publish(1, [rowRecord({ partition: 1, count: 20 })])
  await hasCount(billing, 26)
  assert.equal(billing.health().isReady, false)
  two.files.set(place, content)
  await hasCount(billing, 28)
  await isReady(billing)
  assert.equal(billing.state().missingSegments, 0)
})

test('a new server is ready when every partition is read, not before', async (t) => {
  const world = await openWorld(t, { partitions: 2 })
  const server = await startFileServer(t)
  const [closed] = await world.closeSegment([], { partition: 1, segment: 0, rows: [{ count: 7 }] })
  await world.publish(0, [rowRecord({ count: 6 })])
  await world.publish(1, [closed])
  const billing = await world.open({ aggregators: [server.address] })
  await eventually('partition 0 is read', async () => await billing.ledger.position(0))
  await eventually('partition 1 is missed', () => billing.state().missingSegments === 1)
  await assert.rejects(countOf(billing), { code: 'LEDGER_BEHIND' })
  assert.match(billing.health().reasons.join(), /still reading the hourly counts of partitions 1/)
})

test('another topic of the same name: everything is read again, beside what still answers', async (t) => {
  const world = await openWorld(t)
  await world.publish(0, [rowRecord({ count: 6 }), rowRecord({ memberId: 2, count: 1 }), rowRecord({ memberId: 3, count: 1 })])
  const billing = await world.open()
  await hasCount(billing, 8)
  const { historyId } = await billing.ledger.position(0) ?? {}
  await world.remakeHourlyTopic()
  await eventually('the new topic takes records', async () => { await world.publish(0, [rowRecord({ count: 2 }), rowRecord({ memberId: 2, count: 1 })]); return true })
  await hasCount(billing, 3)
  await isReady(billing)
  assert.notEqual((await billing.ledger.position(0))?.historyId, historyId)
  await billing.close()
  await world.remakeHourlyTopic()
  await eventually('the next topic takes records', async () => { await world.publish(0, [rowRecord({ count: 50 }), rowRecord({ memberId: 9, count: 1 }), ...Array.from({ length: 20 }, () => rowRecord({ count: 50 }))]); return true })
  const again = await world.open()
  await hasCount(again, 51, 'made anew while nobody looked, and longer than before')
})

test('what is not committed is not there, and an aborted transaction never was', async (t) => {
  const world = await openWorld(t)
  const { hourly } = hourlyTopics(world.prefix)
  await world.publish(0, [rowRecord({ count: 1 })])
  const billing = await world.open()
  await hasCount(billing, 1)
  const producer = kafka.independent().producer({ transactionalId: `${world.prefix}other`, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  t.after(() => producer.disconnect())
  const transaction = await producer.transaction()
  const { key, value } = rowRecord({ count: 99 })
  await transaction.send({ topic: hourly, messages: [{ key, value: value, partition: 0 }] })
  await transaction.abort()
  await world.publish(0, [rowRecord({ memberId: 2, count: 1 })])
  await hasCount(billing, 2)
})

test('records that can\'t be read are counted and kept aside, and nothing waits for them', async (t) => {
  const world = await openWorld(t)
  const { deadLetter } = hourlyTopics(world.prefix)
  const good = rowRecord({ count: 4 })
  await world.publish(0, [
    rowRecord({ count: 1 }), { key: 'no key of ours', value: 'x' }, { ...rowRecord({ memberId: 2 }), value: 'no json' }, { key: 'x'.repeat(5_000), value: 'y'.repeat(500_000) },
    { key: `stream|0|${streamOf(1)}`, value: '{"appliedSeq":-1}' }, good
  ])
  const billing = await world.open()
  await hasCount(billing, 4)
  assert.equal(billing.state().malformed, 4)
  const consumer = kafka.independent().consumer({ groupId: `${world.prefix}reader` })
  const found: { problem: string, value: string, offset: number }[] = []
  await consumer.connect()
  t.after(() => consumer.disconnect())
  await consumer.subscribe({ topics: [deadLetter], fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => { found.push(JSON.parse(String(message.value)) as typeof found[number]) } })
  await eventually('all four are on the dead-letter topic', () => found.length === 4, { withinMs: 40_000 })
  assert.deepEqual(found.map(({ offset }) => offset), [1, 2, 3, 4])
  assert.equal(Buffer.from(found[1]?.value ?? '', 'base64').toString(), 'no json')
  assert.equal(billing.state().malformedLost, 0)
})

test('rows of a segment that nothing has opened stop their partition, and no bill changes', async (t) => {
  const world = await openWorld(t)
  await world.publish(0, [rowRecord({ count: 3 })])
  const billing = await world.open()
  await hasCount(billing, 3)
  await world.publish(0, [rowRecord({ segment: 1, count: 5 })])
  await eventually('it says so', () => /segment 1 follow rows of segment 0/.test(billing.health().reasons.join()))
  assert.equal(await countOf(billing), 3)
})

test('partitions that the topic has gained are read too', async (t) => {
  const world = await openWorld(t, { partitions: 1, topicPartitions: 3 })
  await world.publish(2, [rowRecord({ partition: 2, count: 3 })])
  const billing = await world.open()
  await hasCount(billing, 3)
})

test('streams and tallies are read with their rows, and answered once all is true together', async (t) => {
  const world = await openWorld(t, { partitions: 2 })
  await world.publish(0, [...countedRecords({ streamId: streamOf(1), appliedSeq: 3, archivedSeq: 1, hours: { 5: { billable: 2, notBillable: 1 } } }), encodeTombstone(rowKey())])
  await world.publish(1, countedRecords({ partition: 1, streamId: streamOf(1), appliedSeq: 4, hours: { 5: { billable: 1 } } }))
  const billing = await world.open()
  await isReady(billing)
  assert.deepEqual(await billing.ledger.account({ fromHour: 0 }), {
    streams: [{ partition: 0, streamId: streamOf(1), gatewayId: 'gateway-1', appliedSeq: 3, archivedSeq: 1 }, { partition: 1, streamId: streamOf(1), gatewayId: 'gateway-1', appliedSeq: 4, archivedSeq: 4 }],
    tallies: [{ streamId: streamOf(1), hour: 5, gatewayId: 'gateway-1', billable: 3, notBillable: 1, deadLettered: 0, voided: 0 }],
    uncertain: []
  })
  assert.deepEqual((await billing.ledger.account({ fromHour: 6, streamIds: [streamOf(2)] })), { streams: [], tallies: [], uncertain: [] })
})
