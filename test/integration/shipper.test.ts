// The shipper's thread between a real journal and a real Kafka, read with another client.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { partitionOf } from '../../src/domain/partition.ts'
import { parseUsageEvent } from '../../src/domain/usage-event.ts'
import { JournalState } from '../../src/journal/memory.ts'
import { eventually } from '../helpers/eventually.ts'
import { makeUsageTopics, startCounter, startShipperRig } from '../helpers/shipper-rig.ts'
import type { Counter } from '../helpers/shipper-rig.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const partitions = 3
const kafka = await startKafka(undefined, { basePort: 23_100 })
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
