// The shipper's thread between a real journal and a real Kafka, read with another client.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { partitionOf } from '../../src/domain/partition.ts'
import { parseUsageEvent } from '../../src/domain/usage-event.ts'
import { JournalState } from '../../src/journal/memory.ts'
import { startShipper } from '../../src/shipper/start.ts'
import { usageTopics } from '../../src/usage-log/kafka-topics.ts'
import { parseGatewayStatement } from '../../src/usage-log/gateway-progress.ts'
import type { StreamHourMark, StreamMark } from '../../src/usage-log/gateway-progress.ts'
import { eventually } from '../helpers/eventually.ts'
import { makeUsageTopics, shipperOptions, startCounter, startRigJournal, startShipperRig, temporaryFolder } from '../helpers/shipper-rig.ts'
import type { Counter } from '../helpers/shipper-rig.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const partitions = 3
const kafka = await startKafka()
after(() => kafka.close())

/** What any reader of the topic may rely on. */
function checkRecords ({ records }: Counter, gatewayId: string): void {
  const last = new Map<string, number>()
  for (const { partition, key, value, headers, timestampMs } of records) {
    const parsed = parseUsageEvent(value)
    assert.ok('event' in parsed, `not an event: ${value}`)
    const { event } = parsed
    assert.equal(partition, partitionOf(key, partitions))
    assert.equal(key, event.apiKeyId === undefined ? gatewayId : String(event.apiKeyId))
    const said = { gatewayId: event.gatewayId, streamId: event.streamId, seq: String(event.seq), prevSeq: String(event.prevSeq), requestTime: new Date(event.requestTimeMs).toISOString() }
    assert.deepEqual(headers, said)
    assert.ok(Math.abs(timestampMs - event.requestTimeMs) < 60_000, 'the record has the broker\'s time')
    const at = `${event.streamId}|${partition}`
    assert.equal(event.prevSeq, last.get(at) ?? 0, 'the chain is unbroken, in order and without repeats')
    last.set(at, event.seq)
  }
}

test('events of several streams arrive in order, keyed and chained, once each; the journal is trimmed by what is archived', async (t) => {
  const prefix = uniquePrefix()
  await makeUsageTopics(kafka, prefix, partitions)
  const counter = await startCounter(t, kafka, prefix)
  const first = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-1', partitions })
  assert.ok(Math.abs((first.shipper.heardMs ?? 0) - Date.now()) < 60_000, 'the broker\'s time of the hello is known')
  await first.offer(5_000)
  await first.stop()
  await eventually('the first stream has arrived', () => counter.counted.size === 5_000)
  await counter.report()
  const second = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-1', partitions, folder: first.folder })
  await second.offer(5_000)
  await eventually('the second stream has arrived', () => counter.counted.size === 10_000)
  checkRecords(counter, 'gateway-1')
  assert.equal(counter.records.length, 10_000, 'what is counted already is not sent again')
  assert.equal(new Set(counter.records.map(({ headers }) => headers['streamId'])).size, 2)
  const state = new JournalState(second.journal.reader.state)
  assert.ok(state.durableEnd.segment > 3)
  await counter.report(false)
  await eventually('the first stream is recycled', () => state.oldestSegment > 1)
  const { oldestSegment } = state
  assert.ok(oldestSegment < state.durableEnd.segment, 'what is not archived is kept')
  await counter.report()
  await eventually('all but the last segment is recycled', () => state.oldestSegment > oldestSegment)
  assert.deepEqual(await second.shipper.health(), { isReady: true, reasons: [] })
})

test('a backlog of 0 is none: what was durable when it is asked for is in it', async (t) => {
  const prefix = uniquePrefix()
  await makeUsageTopics(kafka, prefix, partitions)
  const rig = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-9', partitions })
  for (let offered = 1; offered <= 40; offered++) {
    await rig.offer(1)
    const metrics = await rig.shipper.metrics()
    const value = (name: string): number => metrics.find((found) => found.name === name)?.values[0]?.value ?? NaN
    const [sent, unsent] = [value('tollgate_shipper_events_total'), value('tollgate_shipper_backlog_events')]
    assert.equal(sent + unsent, offered, `${sent} sent, ${unsent} not`)
  }
})

/** What gateway-progress says in the end, with the client under no suspicion. */
async function statementsOf (prefix: string): Promise<{ readonly marks: Map<string, StreamMark>, readonly hours: Map<string, StreamHourMark> }> {
  const consumer = kafka.independent().consumer({ groupId: `statements-${prefix}${Math.floor(performance.now())}` })
  const marks = new Map<string, StreamMark>()
  const hours = new Map<string, StreamHourMark>()
  await consumer.connect()
  await consumer.subscribe({ topic: usageTopics(prefix).gatewayProgress, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      const statement = parseGatewayStatement({ offset: 0, timestampMs: 0, key: String(message.key), value: message.value ?? undefined, headers: new Map() })
      if (statement?.kind === 'mark') marks.set(statement.streamId, statement)
      if (statement?.kind === 'hour') hours.set(`${statement.streamId}|${statement.hour}`, statement)
    }
  })
  try {
    await eventually('every stream has ended', () => marks.size > 0 && [...marks.values()].every(({ state }) => state !== 'open'))
  } finally {
    await consumer.disconnect()
  }
  return { marks, hours }
}

test('a stop drains: the last mark covers every event, and the hours add up', async (t) => {
  const prefix = uniquePrefix()
  await makeUsageTopics(kafka, prefix, partitions)
  const rig = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-2', partitions })
  await rig.offer(2_000)
  await rig.stop()
  const { marks, hours } = await statementsOf(prefix)
  const [mark] = marks.values()
  assert.deepEqual([mark?.state, mark?.seq, mark?.gatewayId], ['closed', 2_000, 'gateway-2'])
  assert.equal(Math.max(...(mark?.lastSeqs ?? []).map(([, lastSeq]) => lastSeq)), 2_000)
  assert.equal([...hours.values()].reduce((sum, { journaled }) => sum + journaled, 0), 2_000)
  assert.equal([...hours.values()].reduce((sum, { answered }) => sum + answered, 0), 2_000)
})

test('a gateway that stops while it has nothing to do says that it has ended', async (t) => {
  const prefix = uniquePrefix()
  await makeUsageTopics(kafka, prefix, partitions)
  // Without marks between, the last one is the only thing that the stop finds.
  const rig = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-6', partitions, markIntervalMs: 600_000 })
  await rig.offer(10)
  await eventually('all is acknowledged', async () => (await rig.shipper.metrics()).find(({ name }) => name === 'tollgate_shipper_events_total')?.values[0]?.value === 10)
  await rig.stop()
  const { marks } = await statementsOf(prefix)
  assert.deepEqual([...marks.values()].map(({ state, seq }) => [state, seq]), [['closed', 10]])
})

test('Kafka away: a known gateway starts and works, a new one is refused; all arrives when it is back', async (t) => {
  const prefix = uniquePrefix()
  const options = { prefix, gatewayId: 'gateway-3', partitions, journalBytesMax: 256 * 2 ** 20 }
  await makeUsageTopics(kafka, prefix, partitions)
  const known = await startShipperRig(t, kafka, options)
  await known.offer(1_000)
  await kafka.stop(1)
  await known.offer(1_000)
  await eventually('the outage is told', async () => (await known.shipper.health()).reasons.some((reason) => reason.includes('Kafka has failed for')))
  assert.equal((await known.shipper.health()).isReady, true)
  await known.stop()

  const fresh = { ...options, gatewayId: 'gateway-4' }
  const folder = temporaryFolder()
  const { journal } = await startRigJournal(t, fresh, folder)
  const starting = startShipper({
    options: shipperOptions(kafka, { ...fresh, shipper: { helloTimeoutMs: 3_000 } }, folder), journal: journal.reader,
    environment: { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined }, onDeath: () => {}
  })
  await assert.rejects(starting, { code: 'GATEWAY_UNHEARD' })

  const again = await startShipperRig(t, kafka, { ...options, folder: known.folder })
  await again.offer(60_000)
  await kafka.start(1)
  const counter = await startCounter(t, kafka, prefix)
  await again.offer(3_000)
  await eventually('everything has arrived', () => counter.counted.size === 65_000, { withinMs: 120_000 })
  assert.equal(counter.gaps.size, 0)
  await eventually('the recovery is told', async () => (await again.shipper.health()).reasons.length === 0)
  await counter.report()
  const metrics = await again.shipper.metrics()
  const unsent = metrics.find(({ name }) => name === 'tollgate_shipper_backlog_events')?.values.find(({ labels }) => labels['state'] === 'unsent')
  assert.equal(unsent?.value, 0)
})

test('what Kafka has acknowledged and lost is sent again', async (t) => {
  const prefix = uniquePrefix()
  await makeUsageTopics(kafka, prefix, partitions)
  const rig = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-5', partitions, shipper: { resendAfterMs: 2_000 } })
  await rig.offer(900)
  await eventually('all is acknowledged', async () => (await rig.shipper.metrics()).find(({ name }) => name === 'tollgate_shipper_events_total')?.values[0]?.value === 900)
  await kafka.killAll()
  for (let partition = 0; partition < partitions; partition++) await kafka.cutLogs(`${usageTopics(prefix).usage}-${partition}`, 0.5)
  await kafka.startAll()
  const counter = await startCounter(t, kafka, prefix)
  await eventually('all is counted', async () => {
    await counter.report()
    return counter.counted.size === 900
  }, { withinMs: 60_000, everyMs: 500 })
  assert.ok(counter.records.length < 3_000, `${counter.records.length} records for 900 events`)
})
