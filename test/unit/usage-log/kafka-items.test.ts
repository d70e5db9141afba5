// Records to items: every record with an identity keeps its place, whatever its value is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readRunLines } from '../../../src/aggregator/run-lines.ts'
import { formatTimeMs } from '../../../src/domain/window.ts'
import type { RecordIn } from '../../../src/kafka/port.ts'
import { encodeDeadLetter, reasonClassOf, withoutToken } from '../../../src/usage-log/kafka-dead-letters.ts'
import { itemsOf, valueBytesMax } from '../../../src/usage-log/kafka-items.ts'
import type { EventRun, VoidRun } from '../../../src/usage-log/port.ts'
import { testTimeMs, usageEvent } from '../../helpers/memory-usage-log.ts'
import { ClusterStream } from '../../helpers/owner-rig.ts'
import type { RecordOut } from '../../../src/kafka/port.ts'

const loggedAtMs = testTimeMs + 1_000

function recordsIn (records: readonly RecordOut[], firstOffset = 0): RecordIn[] {
  return records.map(({ key, value, headers }, index) => ({
    offset: firstOffset + index, timestampMs: loggedAtMs + index, key, value: value === null ? undefined : Buffer.from(value), headers: new Map(Object.entries(headers ?? {}))
  }))
}

const events = (count: number): ReturnType<typeof usageEvent>[] => Array.from({ length: count }, () => usageEvent())
const runsOf = (records: readonly RecordOut[]): EventRun[] => itemsOf(recordsIn(records)).items.filter((item): item is EventRun => item.kind === 'events')

test('records of one stream that name each other are one run, as they are', () => {
  const stream = new ClusterStream()
  const records = stream.records(events(3))
  const [run, ...more] = runsOf(records)
  assert.ok(run)
  assert.deepEqual(more, [])
  assert.deepEqual([run.streamId, run.prevSeq, run.firstSeq, run.lastSeq, run.count, run.isEncoded], [stream.streamId, 0, 1, 3, 3, false])
  assert.equal(run.ndjson.toString(), records.map(({ value }) => `${String(value)}\n`).join(''))
  assert.equal(run.origin?.loggedAtMs, loggedAtMs)
  assert.deepEqual([run.origin?.recordOf(2)?.offset, run.origin?.recordOf(2)?.requestTimeMs, run.origin?.recordOf(4)], [1, testTimeMs, undefined])
})

test('streams in turns are put together each by itself, in the order of its chain', () => {
  const [one, two] = [new ClusterStream(), new ClusterStream('gateway-2')]
  const turns = [0, 1, 2].flatMap(() => [...one.records(events(1)), ...two.records(events(1))])
  assert.deepEqual(runsOf(turns).map(({ streamId, count }) => [streamId, count]), [[one.streamId, 3], [two.streamId, 3]])
})

test('a run ends where the chain does: a repeat, a hole, a void', () => {
  const stream = new ClusterStream()
  const first = stream.records(events(3))
  const lost = stream.void(2, [[490_000, 2]])
  const last = stream.records(events(2))
  const { items, strays } = itemsOf(recordsIn([...first, ...first.slice(1), lost, ...last.slice(1)]))
  assert.deepEqual(strays, [])
  assert.deepEqual(items.map((item) => item.kind === 'mark' ? [] : [item.kind, item.prevSeq, item.lastSeq]), [['events', 0, 3], ['events', 1, 3], ['void', 3, 5], ['events', 6, 7]])
  const found = items[2] as VoidRun
  assert.deepEqual([found.reason, found.hours, found.isHoursUncertain, found.gatewayId], ['unreadable block', [{ hour: 490_000, count: 2 }], false, 'gateway-1'])
})

test('a void that can\'t be read takes its place all the same', () => {
  const lost = { ...new ClusterStream().void(4, []), value: '{"reason":' }
  const [item] = itemsOf(recordsIn([lost])).items as [VoidRun]
  assert.deepEqual([item.kind, item.prevSeq, item.lastSeq, item.gatewayId, item.isHoursUncertain], ['void', 0, 4, 'gateway-1', true])
  assert.equal(item.hours[0]?.count, 0)
})

test('a value that is no line keeps its place, with the reason', () => {
  const stream = new ClusterStream()
  const records = stream.records(events(4), new Map<number, string | null>([[0, null], [1, ''], [2, 'x'.repeat(valueBytesMax + 1)]]))
  const [run] = runsOf(records)
  assert.ok(run)
  const lines = readRunLines(run)
  assert.deepEqual(lines.map(({ seq, problem }) => [seq, problem]), [
    [1, 'record: no value'], [2, 'record: an empty value'], [3, `record: ${valueBytesMax + 1} bytes, and no event has more than ${valueBytesMax}`], [4, undefined]
  ])
  assert.ok(run.ndjson.length < 2_000, 'a large value isn\'t carried along')
})

test('line feeds in a value become spaces, so that a record is one line', () => {
  const stream = new ClusterStream()
  const [record] = stream.records(events(1))
  const [run] = runsOf([{ ...record as RecordOut, value: `${JSON.stringify(JSON.parse(String(record?.value)), null, 2)}\n` }])
  assert.ok(run)
  assert.equal(run.ndjson.toString().split('\n').length, 2)
  assert.equal(readRunLines(run)[0]?.problem, undefined)
})

test('identity comes from the headers, else from the value; without any a record is a stray', () => {
  const stream = new ClusterStream()
  const [bare, wrong, foreign] = stream.records(events(3)) as [RecordOut, RecordOut, RecordOut]
  const { items, strays } = itemsOf(recordsIn([
    { key: bare.key, value: bare.value },
    { ...wrong, headers: { ...wrong.headers, seq: 'two' } },
    { ...foreign, value: '{}' },
    { key: 'a', value: '{"streamId":"x","seq":1,"prevSeq":0}' }, { key: 'b', value: 'no json' }, { key: 'c', value: null },
    { key: 'd', value: JSON.stringify({ streamId: stream.streamId, seq: 3, prevSeq: 3 }) }, { key: 'e', value: JSON.stringify({ streamId: stream.streamId, seq: 1.5, prevSeq: 0 }) }
  ]))
  assert.deepEqual(items.map((item) => item.kind === 'events' ? [item.firstSeq, item.lastSeq, item.count] : []), [[1, 3, 3]])
  assert.deepEqual(strays.map(({ record }) => record.key), ['a', 'b', 'c', 'd', 'e'])
  assert.ok(strays.every(({ reason }) => reasonClassOf(reason) === 'no-identity'))
})

test('times that nobody can believe are told from late and early ones', () => {
  const dayMs = 86_400_000
  const times = [Date.UTC(2015) - 1, Date.UTC(2015), testTimeMs, loggedAtMs + dayMs, loggedAtMs + dayMs + 100_000]
  const [run] = runsOf(new ClusterStream().records(times.map((requestTimeMs) => usageEvent({ requestTimeMs }))))
  assert.deepEqual(readRunLines(run as EventRun).map(({ problem }) => problem), ['requestTime: before 2015', undefined, undefined, undefined, 'requestTime: more than a day ahead of the log\'s clock'])
})

test('a dead letter keeps key, headers and place; its value is cut and holds no token', () => {
  const [record] = recordsIn([{ key: '11', value: `{"apiKey":"eyJ.secret","text":"${'x'.repeat(200_000)}"}`, headers: { streamId: 's', long: 'y'.repeat(5_000) } }], 7) as [RecordIn]
  const { key, value, headers } = encodeDeadLetter({ partition: 3, reason: 'line: not JSON', record })
  assert.deepEqual([key, headers?.['streamId'], headers?.['reason'], headers?.['sourcePartition'], headers?.['sourceOffset'], headers?.['long']?.length], ['11', 's', 'line: not JSON', '3', '7', 1_024])
  assert.ok(Buffer.byteLength(value ?? '') <= valueBytesMax + 100)
  assert.equal(String(value).includes('secret'), false)
  assert.equal(withoutToken('{"apiKey" : "a\\"b"}'), '{"apiKey":"(removed)"}')
})

test('reasons fall into few classes', () => {
  const reasons = ['no-identity: x', 'line: not JSON', 'record: no value', 'identity: says', 'requestTime: before 2015', 'requestTime: more than a day', 'requestTime: not a time', 'units: not an integer', 'toString: x']
  assert.deepEqual(reasons.map(reasonClassOf), ['no-identity', 'malformed', 'record', 'identity', 'time', 'time', 'field', 'field', 'field'])
  assert.equal(formatTimeMs(testTimeMs).length, 24)
})
