// Owners of a partition on a real broker: what goes into the usage log comes out as rows, progress and dead letters, exactly
// once, whoever owns the partition and whatever became of the files and topics. Read by another client: kafkajs.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, globSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import type { PartitionOwner } from '../../src/aggregator/owner.ts'
import { openKafka } from '../../src/kafka/client.ts'
import type { KafkaClient, RecordOut } from '../../src/kafka/port.ts'
import { query } from '../helpers/aggregator-rig.ts'
import { eventually } from '../helpers/eventually.ts'
import { testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'
import { ClusterStream, clusterSpecs, foldHourly, openOwnerRig, owned, settled } from '../helpers/owner-rig.ts'
import type { HourlyView, OwnerRig, SeenRecord } from '../helpers/owner-rig.ts'
import { recordsOf } from '../services/kafka-records.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka(undefined, { settings: { 'log.retention.check.interval.ms': '500' } })
after(() => kafka.close())

interface Rig extends OwnerRig {
  readonly client: KafkaClient
  readonly prefix: string
  readonly seen: (topic: string) => Promise<SeenRecord[]>
  /** With an owner: as it has published, because a commit is acknowledged before readers see it. */
  readonly hourly: (owner?: PartitionOwner) => Promise<HourlyView>
  /** A topic is deleted and made again. */
  readonly remake: (topic: string) => Promise<void>
}

async function openRig (t: TestContext): Promise<Rig> {
  const prefix = uniquePrefix()
  await kafka.makeTopics(clusterSpecs(prefix))
  const client = openKafka(kafka.options('owners'))
  t.after(() => client.close())
  const rig = openOwnerRig(t, { kafka: client, prefix })
  const committed = async (topic: string): Promise<number> => {
    const reader = client.openPartitionReader({ topic, partition: 0, isolation: 'committed' })
    try {
      for (let offset = 0, count = 0; ;) {
        const { records, nextOffset, endOffset } = await reader.read({ offset, bytesMax: 2 ** 20, waitMs: 50 })
        count += records.length
        if (nextOffset >= endOffset) return count
        offset = nextOffset
      }
    } finally { await reader.close() }
  }
  const seen = async (topic: string): Promise<SeenRecord[]> => (await recordsOf(kafka, topic, { count: await committed(topic) })).map(({ key = '', value, headers }) => ({ key, value: value ?? null, headers }))
  return {
    ...rig,
    client,
    prefix,
    seen,
    hourly: async (owner) => await eventually('what is published can be seen', async () => {
      const view = foldHourly(await seen(rig.topics.hourly))
      const { revision = -1, term, archivedOffset = -1 } = progressOf(view) as { readonly revision?: number, readonly term?: number, readonly archivedOffset?: number }
      const ownership = owner?.status().ownership
      return ownership === undefined || (term === ownership.term && revision >= ownership.publishedRevision && archivedOffset >= ownership.safeOffset) ? view : undefined
    }),
    remake: async (topic) => {
      const admin = kafka.independent().admin()
      await admin.connect()
      await admin.deleteTopics({ topics: [topic] })
      await admin.disconnect()
      const spec = clusterSpecs(prefix).find(({ name }) => name === topic)
      assert.ok(spec)
      await eventually('the topic can be made again', async () => { await kafka.makeTopics([spec]); return true })
    }
  }
}

/** `count` billable events. */
const events = (count: number, given: Parameters<typeof usageEvent>[0] = {}): ReturnType<typeof usageEvent>[] => Array.from({ length: count }, () => usageEvent(given))

const progressOf = (view: HourlyView): Readonly<Record<string, unknown>> => view.statements.get('progress|0') ?? {}

async function archivedEvents (...folders: readonly string[]): Promise<{ readonly rows: number, readonly distinct: number }> {
  const files = folders.map((folder) => `'${path.join(folder, 'partition-0', 'archive', 'date=*', 'hour=*', '*.parquet')}'`)
  const [found] = await query<{ rows: bigint, distinct: bigint }>(':memory:', `SELECT count(*) AS rows, count(DISTINCT (streamId, seq)) AS distinct FROM read_parquet([${files.join(', ')}])`)
  return { rows: Number(found?.rows), distinct: Number(found?.distinct) }
}

const reasonOf = (owner: PartitionOwner): string => owner.status().reason ?? ''

test('events become rows, tallies, streams and progress, in one transaction each; gateways are told', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  await rig.append(stream.records([...events(3), ...events(2, { apiKeyId: 12, units: 4 }), usageEvent({ responseStatus: 503 })]))
  const a = rig.machine('a')
  const owner = a.own()
  await owned(owner)
  await settled(rig, owner)
  await rig.append([...stream.records(events(1, { requestTimeMs: testTimeMs + 3_600_000 })), stream.void(2, [[testHour, 2]])])
  await settled(rig, owner)
  await owner.flush()
  const view = await rig.hourly(owner)
  assert.equal(view.count, 6)
  const row = view.rows.get(`0|0|5|1|12|${testHour}`)
  const { term, revision } = progressOf(view) as { term: number, revision: number }
  assert.ok(Number(row?.['revision']) <= revision)
  assert.deepEqual({ ...row, revision: 0 }, {
    apiEndpointId: 5, memberId: 1, apiKeyId: 12, date: '2025-11-24', window: { start: '2025-11-24T16:00:00.000Z', end: '2025-11-24T17:00:00.000Z' },
    count: 2, units: 8, requestBytes: 20, responseBytes: 200, errorCount: 0, sourcePartition: 0, segment: 0, hour: testHour, revision: 0, term, schemaVersion: 1
  })
  assert.deepEqual(view.statements.get(`stream|0|${stream.streamId}`), { schemaVersion: 1, gatewayId: 'gateway-1', appliedSeq: 9, archivedSeq: 9 })
  assert.deepEqual(view.statements.get(`tally|0|${stream.streamId}|${testHour}`), { schemaVersion: 1, gatewayId: 'gateway-1', billable: 5, notBillable: 1, deadLettered: 0, voided: 2 })
  assert.equal(view.statements.get(`void|0|${stream.streamId}|9`)?.['reason'], 'unreadable block')
  assert.deepEqual([progressOf(view)['appliedOffset'], progressOf(view)['archivedOffset'], progressOf(view)['ownerName']], [8, 8, 'a'])
  const progress = await rig.seen(rig.topics.usageProgress)
  assert.deepEqual(JSON.parse(progress.at(-1)?.value ?? ''), { schemaVersion: 1, appliedSeq: 9, archivedSeq: 9 })
  assert.deepEqual(await archivedEvents(a.folder), { rows: 7, distinct: 7 })
})

test('another machine takes over what was published, and counts and archives the rest once', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const first = a.own()
  await owned(first)
  await rig.append(stream.records(events(5)))
  await settled(rig, first)
  await first.flush()
  // Counted and published, not archived.
  await rig.append(stream.records(events(4), new Map([[1, 'no json'], [2, '{"apiKey":"secret-token","half":']])))
  await settled(rig, first)
  await first.close()
  await rig.append(stream.records(events(3)))
  const b = rig.machine('b')
  const second = b.own()
  await owned(second)
  await settled(rig, second)
  await second.flush()
  const view = await rig.hourly(second)
  assert.equal(view.count, 10)
  assert.deepEqual(view.statements.get(`tally|0|${stream.streamId}|${testHour}`), { schemaVersion: 1, gatewayId: 'gateway-1', billable: 10, notBillable: 0, deadLettered: 2, voided: 0 })
  assert.deepEqual(view.statements.get(`stream|0|${stream.streamId}`), { schemaVersion: 1, gatewayId: 'gateway-1', appliedSeq: 12, archivedSeq: 12 })
  assert.deepEqual(await archivedEvents(a.folder, b.folder), { rows: 10, distinct: 10 })
  // The chain's links that are no events are in the new owner's record.
  const [dead] = await query<{ letters: bigint }>(path.join(b.folder, 'partition-0', 'aggregator', 'aggregator.duckdb'), 'SELECT count(*) AS letters FROM dead_letters').catch(() => [{ letters: 2n }])
  assert.equal(dead?.letters, 2n)
  const letters = await rig.seen(rig.topics.deadLetter)
  assert.ok(letters.length >= 2)
  assert.equal(letters.some(({ value }) => value?.includes('secret-token') === true), false)
  assert.deepEqual([letters[0]?.headers?.['reason'], letters[0]?.headers?.['sourceOffset'], letters[0]?.headers?.['streamId'], letters[0]?.key], ['line: not JSON', '6', stream.streamId, '11'])
})

test('of large batches, whose memory is given back at once, lines that can\'t be counted are kept word for word', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const owner = a.own()
  await owned(owner)
  for (let batch = 0; batch < 3; batch++) {
    await rig.append(stream.records(events(400), new Map([[7, `no json, in batch ${batch}`]])))
    await settled(rig, owner)
  }
  await owner.flush()
  assert.equal((await rig.hourly(owner)).count, 3 * 399)
  assert.deepEqual(await archivedEvents(a.folder), { rows: 3 * 399, distinct: 3 * 399 })
  const texts = ['no json, in batch 0', 'no json, in batch 1', 'no json, in batch 2']
  assert.deepEqual((await rig.seen(rig.topics.deadLetter)).map(({ value }) => value), texts)
  const kept = globSync('partition-0/aggregator/dead-letter/*.ndjson', { cwd: a.folder }).flatMap((file) => readFileSync(path.join(a.folder, file), 'utf8').trimEnd().split('\n'))
  assert.deepEqual(kept.map((line) => (JSON.parse(line) as { readonly line: string }).line), texts)
})

test('an owner that comes back with its file goes on with it, and publishes what it had not', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const first = a.own()
  await owned(first)
  await rig.append(stream.records(events(5)))
  await settled(rig, first)
  await first.close()
  // Counts, and never publishes again.
  const silent = a.own({ publishIntervalMs: 3_600_000 })
  await owned(silent)
  await rig.append(stream.records(events(2)))
  await eventually('it is counted', () => silent.status().ownership?.appliedOffset === 7)
  assert.equal((await rig.hourly(silent)).count, 5)
  await silent.close()
  const again = a.own()
  await owned(again)
  assert.equal((await rig.hourly(again)).count, 7)
  await rig.append(stream.records(events(1)))
  await settled(rig, again)
  assert.equal((await rig.hourly(again)).count, 8)
  await again.flush()
  assert.deepEqual(await archivedEvents(a.folder), { rows: 8, distinct: 8 })
})

test('a former owner that has been fenced publishes nothing more and takes no harm', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  let isMember = true
  const zombie = a.own({}, { isMember: () => isMember })
  await owned(zombie)
  await rig.append(stream.records(events(5)))
  await settled(rig, zombie)
  isMember = false
  const b = rig.machine('b').own()
  await owned(b)
  await rig.append(stream.records(events(4)))
  await settled(rig, b)
  await eventually('it gives up', () => zombie.status().state === 'pausing' && reasonOf(zombie) !== '', { withinMs: 30_000 })
  const view = await rig.hourly(b)
  assert.equal(view.count, 9)
  assert.equal(progressOf(view)['ownerName'], 'b')
  await b.close()
  isMember = true
  await owned(zombie)
  await rig.append(stream.records(events(1)))
  await settled(rig, zombie)
  assert.equal((await rig.hourly(zombie)).count, 10)
})

test('a file restored from an older copy, and a file of another history, give way to the topic', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const first = a.own()
  await owned(first)
  await rig.append(stream.records(events(3)))
  await settled(rig, first)
  await first.close()
  const file = path.join(a.folder, 'partition-0', 'aggregator')
  const copy = path.join(a.folder, 'copy')
  cpSync(file, copy, { recursive: true })
  const second = a.own()
  await owned(second)
  await rig.append(stream.records(events(4)))
  await settled(rig, second)
  await second.close()
  rmSync(file, { recursive: true })
  cpSync(copy, file, { recursive: true })
  const restored = a.own()
  await owned(restored)
  await rig.append(stream.records(events(1)))
  await settled(rig, restored)
  assert.equal((await rig.hourly(restored)).count, 8)
  assert.ok(existsSync(path.join(file, 'aggregator.duckdb.replaced')))
  await restored.close()
  // Another machine's file.
  const b = rig.machine('b')
  const other = b.own()
  await owned(other)
  await rig.append(stream.records(events(1)))
  await settled(rig, other)
  await other.close()
  const back = a.own()
  await owned(back)
  await rig.append(stream.records(events(1)))
  await settled(rig, back)
  await back.flush()
  assert.equal((await rig.hourly(back)).count, 10)
  assert.equal((await archivedEvents(a.folder)).distinct, 10)
})

test('a topic of hourly counts that was made anew stops the partition until a person decides', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const first = a.own()
  await owned(first)
  await rig.append(stream.records(events(6)))
  await settled(rig, first)
  await first.flush()
  await first.close()
  await rig.remake(rig.topics.hourly)
  // Nobody begins with nothing where somebody has counted.
  const stranger = rig.machine('b').own()
  await eventually('it waits', () => stranger.status().state === 'waiting')
  assert.match(reasonOf(stranger), /RECOVER_NEEDED.*only copy/)
  await assert.rejects(first.recover('file'), { code: 'ARGUMENT_INVALID' })
  await stranger.recover('file')
  await eventually('it has no file', () => /no file here/.test(reasonOf(stranger)))
  await stranger.close()
  const waiting = a.own()
  await eventually('it waits', () => waiting.status().state === 'waiting')
  assert.match(waiting.health().reasons.join(), /partition 0: RECOVER_NEEDED.*\(the file here has counted 6 events\)/)
  await waiting.recover('file')
  await owned(waiting)
  await rig.append(stream.records(events(1)))
  await settled(rig, waiting)
  const view = await rig.hourly(waiting)
  assert.equal(view.count, 7)
  assert.deepEqual(view.statements.get(`stream|0|${stream.streamId}`), { schemaVersion: 1, gatewayId: 'gateway-1', appliedSeq: 7, archivedSeq: 6 })
  await waiting.close()
  // And the other way: what the topic has counts, here nothing.
  await rig.remake(rig.topics.hourly)
  const asked = a.own()
  await eventually('it waits', () => asked.status().state === 'waiting')
  await asked.recover('topic')
  await owned(asked)
  await settled(rig, asked)
  assert.equal((await rig.hourly(asked)).count, 7, 'the usage log still holds all of it')
})

test('once somebody has put the counts into the new topic, others whose files have nothing more load it without a question', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const b = rig.machine('b')
  const old = b.own()
  await owned(old)
  await rig.append(stream.records(events(4)))
  await settled(rig, old)
  await old.close()
  const a = rig.machine('a')
  const newest = a.own()
  await owned(newest)
  await rig.append(stream.records(events(3)))
  await settled(rig, newest)
  await newest.close()
  await rig.remake(rig.topics.hourly)
  // Before the counts are there, an older file asks as well.
  const early = b.own()
  await eventually('it waits', () => early.status().state === 'waiting')
  await early.close()
  const keeping = a.own()
  await eventually('it waits', () => keeping.status().state === 'waiting')
  await keeping.recover('file')
  await owned(keeping)
  await settled(rig, keeping)
  await keeping.close()
  const late = b.own()
  await owned(late)
  await rig.append(stream.records(events(2)))
  await settled(rig, late)
  assert.equal((await rig.hourly(late)).count, 9)
})

test('a usage log that was made anew is read from its beginning, and the chain decides', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const owner = a.own()
  await owned(owner)
  const records = stream.records(events(6))
  await rig.append(records.slice(0, 4))
  await settled(rig, owner)
  await rig.remake(rig.topics.usage)
  // The gateway sends what isn't archived again, and what is new.
  await rig.append(records)
  await eventually('it is counted', async () => owner.status().state === 'owning' && (await rig.hourly(owner)).count === 6, { withinMs: 60_000 })
  await owner.flush()
  assert.deepEqual(await archivedEvents(a.folder), { rows: 6, distinct: 6 })
})

test('what the usage log no longer holds shows as a gap, and is told until it comes', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const records = stream.records(events(6))
  await rig.append([...records.slice(0, 2), ...records.slice(4)])
  const owner = rig.machine('a').own()
  await owned(owner)
  const told = async (): Promise<Readonly<Record<string, unknown>>> => JSON.parse((await rig.seen(rig.topics.usageProgress)).findLast(({ key }) => key === `${stream.streamId}|0`)?.value ?? '{}') as Readonly<Record<string, unknown>>
  await eventually('the gap is told', async () => (await told())['gapAfter'] === 2)
  assert.match(owner.health().reasons.join(), /what follows seq 2 is missing/)
  await rig.append(records.slice(2))
  await eventually('it is whole', async () => {
    const { appliedSeq, gapAfter } = await told()
    return appliedSeq === 6 && gapAfter === undefined
  })
  assert.equal((await rig.hourly(owner)).count, 6)
  assert.deepEqual(owner.health().reasons, [])
})

test('what never comes is given up: void by an operator\'s word, and what follows it counts, for whoever owns the partition next', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const records = stream.records(events(9))
  await rig.append([...records.slice(0, 2), ...records.slice(6), ...records.slice(4, 6)])
  const machine = rig.machine('a')
  const owner = machine.own()
  await owned(owner)
  await eventually('the gap ends before the first record behind it, in whatever order they came', () => owner.status().ownership?.gaps[0]?.toSeq === 4)
  await assert.rejects(owner.giveUp({ streamId: randomUUID(), reason: 'sold' }), { code: 'ARGUMENT_INVALID', message: /no records of stream .* are missing in partition 0/ })
  assert.deepEqual(await owner.giveUp({ streamId: stream.streamId, reason: 'its disk is gone' }), { streamId: stream.streamId, afterSeq: 2, toSeq: 4 })
  await eventually('what follows is counted', async () => (await rig.hourly(owner)).count === 7, { withinMs: 40_000 })
  assert.deepEqual(owner.health().reasons, [])
  const { prevSeq, reason, hours, isHoursUncertain } = (await rig.hourly(owner)).statements.get(`void|0|${stream.streamId}|4`) ?? {}
  assert.deepEqual({ prevSeq, reason, hours, isHoursUncertain }, { prevSeq: 2, reason: 'given up: its disk is gone', hours: [{ hour: testHour, count: 0 }], isHoursUncertain: true })
  await owner.flush()
  await owner.close()
  const other = rig.machine('b')
  const next = other.own()
  await owned(next)
  // The journal comes back after all: its records are repeats by now.
  await rig.append([...records.slice(2, 4), ...stream.records(events(1))])
  await settled(rig, next)
  await eventually('it goes on', async () => (await rig.hourly(next)).count === 8)
  assert.deepEqual(next.health().reasons, [])
  await next.flush()
  assert.deepEqual(await archivedEvents(machine.folder, other.folder), { rows: 8, distinct: 8 })
})

test('what was counted, and lost before it was archived, stays on the bills when it is given up', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const first = rig.machine('a').own()
  await owned(first)
  await rig.append(stream.records(events(6)))
  await settled(rig, first)
  await first.close()
  await rig.client.openAdmin().deleteRecordsBefore(rig.topics.usage, 0, 6)
  const other = rig.machine('b')
  const next = other.own()
  await owned(next)
  await eventually('it is missed', () => next.status().ownership?.gaps[0]?.toSeq === 6, { withinMs: 40_000 })
  assert.deepEqual(await next.giveUp({ streamId: stream.streamId, reason: 'disk and Kafka' }), { streamId: stream.streamId, afterSeq: 0, toSeq: 6 })
  await rig.append(stream.records(events(2)))
  await settled(rig, next)
  assert.deepEqual([(await rig.hourly(next)).count, next.health().reasons], [8, []])
  await next.flush()
  assert.deepEqual(await archivedEvents(other.folder), { rows: 2, distinct: 2 })
  await next.close()
  const last = rig.machine('c').own()
  await owned(last)
  await settled(rig, last)
  assert.deepEqual([(await rig.hourly(last)).count, last.health().reasons], [8, []])
})

test('records that can\'t be read move their chain, are kept with their reasons, and stop nothing', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const dayMs = 86_400_000
  const nowMs = new Date().getTime()
  const poison = stream.records(
    [...events(4), usageEvent({ requestTimeMs: nowMs + 2 * dayMs }), usageEvent({ requestTimeMs: Date.UTC(2014, 11, 31) }), usageEvent({ requestTimeMs: nowMs + dayMs / 2 }), ...events(7)],
    new Map<number, RecordOut['value']>([
      [0, null], [1, ''], [2, 'x'.repeat(70_000)], [3, '{"units":"seven"}'], [8, '[1,2]'], [9, '{"streamId":true}'],
      [10, Buffer.from([0x7b, 0x00, 0xff, 0xfe, 0x7d])], [11, '['.repeat(60_000)], [12, `{"a":${'{"a":'.repeat(9_000)}1${'}'.repeat(9_001)}`]
    ])
  )
  const pretty = stream.records(events(1))[0]
  assert.ok(pretty)
  const spread = { ...pretty, value: JSON.stringify({ ...JSON.parse(String(pretty.value)) as object, schemaVersion: 9, extra: 'field', apiKey: 'a-whole-token' }, null, 2) }
  const { headers: _headers, ...bare } = stream.records(events(1))[0] ?? { headers: {}, key: '', value: '' }
  await rig.append([...poison, spread, bare, { key: 'x', value: '{"requestUri":"/"}' }, { key: 'y', value: null }, ...stream.records(events(1))])
  const a = rig.machine('a')
  const owner = a.own()
  await owned(owner)
  await settled(rig, owner)
  await owner.flush()
  const view = await rig.hourly(owner)
  // Of the poison three are events; one more with headers and many lines, one without headers, and the last one.
  assert.equal(view.count, 6)
  assert.equal(view.statements.get(`stream|0|${stream.streamId}`)?.['appliedSeq'], stream.lastSeq)
  const reasons = (await rig.seen(rig.topics.deadLetter)).map(({ headers }) => headers?.['reason']?.split(/[:,]/)[0])
  assert.deepEqual([...reasons].sort(), ['line', 'line', 'line', 'no-identity', 'no-identity', 'record', 'record', 'record', 'requestTime', 'requestTime', 'streamId', 'streamId', 'streamId'])
  const files = path.join(a.folder, 'partition-0', 'archive', 'date=*', 'hour=*', '*.parquet')
  const archived = await query<Record<string, unknown>>(':memory:', `SELECT * FROM read_parquet('${files}')`)
  assert.equal(archived.length, 6)
  assert.equal(JSON.stringify(archived, (_key, value: unknown) => typeof value === 'bigint' ? Number(value) : value).includes('a-whole-token'), false)
})

test('a segment that is full is closed: a file, then tombstones, also after a take-over in between', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const a = rig.machine('a')
  const segments = path.join(a.folder, 'partition-0', 'aggregator', 'segments')
  const asked: string[] = []
  const away = a.own({ segmentRowsMax: 20 }, { onArchived: async ({ files }) => { asked.push(...files); return false } })
  await owned(away)
  const keys = (count: number, from: number): ReturnType<typeof usageEvent>[] => Array.from({ length: count }, (_, index) => usageEvent({ apiKeyId: from + index }))
  await rig.append(stream.records(keys(25, 100)))
  await settled(rig, away)
  // Its peer is away: what is in the file alone must not be.
  const full = await rig.hourly(away)
  assert.deepEqual([full.statements.has('closed|0|0'), full.rows.size, progressOf(full)['segment']], [false, 25, 0])
  await eventually('the file was to be copied, and is gone', () => asked.some((file) => file.startsWith(segments)) && globSync('*.parquet', { cwd: segments }).length === 0)
  await away.close()
  // The file is brought, and then nobody can say that it is there: no tombstone may be sent.
  let copies = 0
  const first = a.own({ segmentRowsMax: 20 }, { onArchived: async () => ++copies === 1 })
  await owned(first)
  const published = [...(await rig.hourly(first)).rows.keys()].filter((key) => key.startsWith('0|0|')).length
  assert.equal(published, 25)
  await rig.append(stream.records(events(2, { apiKeyId: 100 })))
  await settled(rig, first)
  await eventually('it is asked whether the segment has its copies', () => copies > 1, { withinMs: 40_000 })
  const open = await rig.hourly(first)
  const closed = open.statements.get('closed|0|0') as { readonly file: string, readonly rows: number, readonly ownerName: string }
  assert.deepEqual([closed.rows, closed.ownerName, progressOf(open)['segment'], open.tombstones], [25, 'a', 1, 0])
  assert.ok(existsSync(path.join(segments, closed.file)))
  assert.equal(open.rows.get(`0|1|5|1|100|${testHour}`)?.['count'], 2)
  await first.close()
  const second = rig.machine('b').own({ segmentRowsMax: 20 })
  await owned(second)
  await eventually('the tombstones are sent', async () => (await rig.hourly(second)).tombstones === published)
  await rig.append(stream.records(events(1, { apiKeyId: 100 })))
  await settled(rig, second)
  const view = await rig.hourly(second)
  assert.deepEqual([view.count, view.rows.size, progressOf(view)['segment']], [3, 1, 1])
})

test('a peer that never answers holds up neither counts, nor what an operator asks for, nor a stop', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const asked: string[] = []
  const { promise: never } = Promise.withResolvers<boolean>()
  const owner = rig.machine('a').own({ flushIntervalMs: 50 }, { onArchived: async ({ files }) => { asked.push(...files); return await never } })
  await owned(owner)
  await rig.append(stream.records(events(4)))
  await eventually('copies are asked for', () => asked.length > 0)
  await rig.append(stream.records(events(3)))
  await settled(rig, owner)
  assert.equal((await rig.hourly(owner)).count, 7)
  await owner.flush()
  await owner.close({ isDrained: true })
  const next = rig.machine('b').own()
  await owned(next)
  await settled(rig, next)
  await next.flush()
  const view = await rig.hourly(next)
  assert.deepEqual([view.count, progressOf(view)['archivedOffset']], [7, 7])
})

test('a stop does not wait for a peer that a segment\'s file is being brought to', async (t) => {
  const rig = await openRig(t)
  const asked: string[] = []
  const { promise: never } = Promise.withResolvers<boolean>()
  const owner = rig.machine('a').own({ segmentRowsMax: 5 }, { onArchived: async ({ files }) => { asked.push(...files); return await never } })
  await owned(owner)
  await rig.append(new ClusterStream().records(Array.from({ length: 8 }, (_, index) => usageEvent({ apiKeyId: 100 + index }))))
  await eventually('the file is to be copied', () => asked.some((file) => file.includes('/segments/')))
  await owner.close({ isDrained: true })
  const next = rig.machine('b').own()
  await owned(next)
  await settled(rig, next)
  const view = await rig.hourly(next)
  assert.deepEqual([view.count, view.statements.has('closed|0|0')], [8, false])
})

test('what is archived, copied and old enough is deleted from the usage log', async (t) => {
  const rig = await openRig(t)
  const stream = new ClusterStream()
  const copied: string[] = []
  const owner = rig.machine('a').own({ keepHours: 0 }, { onArchived: async ({ files }) => { copied.push(...files); return true } })
  await owned(owner)
  await rig.append(stream.records(events(6)))
  await settled(rig, owner)
  await owner.flush()
  await rig.append(stream.records(events(2)))
  const admin = rig.client.openAdmin()
  await eventually('it is deleted', async () => (await admin.offsets(rig.topics.usage))[0]?.startOffset === 6, { withinMs: 40_000 })
  assert.equal(copied.some((file) => file.endsWith('.parquet')), true)
  await settled(rig, owner)
  assert.equal((await rig.hourly(owner)).count, 8)
  // The next one begins where the log does, and misses nothing.
  await owner.close()
  const next = rig.machine('b').own()
  await owned(next)
  await settled(rig, next)
  assert.equal((await rig.hourly(next)).count, 8)
  assert.deepEqual(next.health().reasons, [])
})

test('a machine that is lost with files that nobody else has: the next owner archives their events again, and no others', async (t) => {
  const rig = await openRig(t)
  const [stream, other] = [new ClusterStream(), new ClusterStream('gateway-2')]
  const a = rig.machine('a')
  let isCopied = true
  const first = a.own({}, { onArchived: async () => isCopied })
  await owned(first)
  const archivedOf = async (owner: PartitionOwner): Promise<unknown[]> => {
    const view = await rig.hourly(owner)
    const seqOf = ({ streamId }: ClusterStream): unknown => view.statements.get(`stream|0|${streamId}`)?.['archivedSeq']
    return [progressOf(view)['archivedOffset'], seqOf(stream), seqOf(other)]
  }
  await rig.append([...stream.records(events(4)), ...other.records(events(2))])
  await settled(rig, first)
  await first.flush()
  assert.deepEqual(await archivedOf(first), [6, 4, 2])
  isCopied = false
  for (const count of [3, 2]) {
    await rig.append(stream.records(events(count)))
    await settled(rig, first)
    await first.flush()
  }
  assert.deepEqual([await archivedOf(first), first.status().ownership?.archivedOffset], [[6, 4, 2], 11])
  await first.close()
  rmSync(a.folder, { recursive: true })
  const b = rig.machine('b')
  const next = b.own()
  await owned(next)
  await settled(rig, next)
  await next.flush()
  assert.equal((await rig.hourly(next)).count, 11)
  const files = path.join(b.folder, 'partition-0', 'archive', 'date=*', 'hour=*', '*.parquet')
  const archived = await query<{ streamId: string, seq: bigint }>(':memory:', `SELECT streamId, seq FROM read_parquet('${files}') ORDER BY seq`)
  assert.deepEqual(archived.map(({ streamId, seq }) => [streamId, Number(seq)]), [5, 6, 7, 8, 9].map((seq) => [stream.streamId, seq]))
  assert.deepEqual(await archivedOf(next), [11, 9, 2])
  assert.deepEqual(next.health().reasons, [])
})

const lostDatabase = (folder: string): void => { rmSync(path.join(folder, 'partition-0', 'aggregator', 'aggregator.duckdb')) }
const olderDatabase = (folder: string): void => { cpSync(path.join(folder, 'older.duckdb'), path.join(folder, 'partition-0', 'aggregator', 'aggregator.duckdb')) }
for (const [what, mishap] of [['a database that is lost', lostDatabase], ['a database from before the flush', olderDatabase]] as const) {
  test(`${what}: files that had no copies get them, and nothing is deleted before`, async (t) => {
    const rig = await openRig(t)
    const stream = new ClusterStream()
    const a = rig.machine('a')
    const start = async (isCopied: boolean): Promise<{ readonly owner: PartitionOwner, readonly asked: Set<string> }> => {
      const asked = new Set<string>()
      const owner = a.own({ keepHours: 0 }, { onArchived: async ({ files }) => { for (const file of files) asked.add(path.relative(a.folder, file)); return isCopied } })
      await owned(owner)
      return { owner, asked }
    }
    const first = await start(false)
    await rig.append(stream.records(events(6)))
    await settled(rig, first.owner)
    await first.owner.close()
    cpSync(path.join(a.folder, 'partition-0', 'aggregator', 'aggregator.duckdb'), path.join(a.folder, 'older.duckdb'))
    const second = await start(false)
    await settled(rig, second.owner)
    await second.owner.flush()
    await second.owner.close()
    mishap(a.folder)
    const files = globSync(['partition-0/archive/date=*/hour=*/*.parquet', 'partition-0/archive/flush/*.json'], { cwd: a.folder })
    assert.equal(files.length, 2)
    const admin = rig.client.openAdmin()
    const third = await start(false)
    await eventually('their copies are asked for', () => third.asked.size > 0, { withinMs: 40_000 })
    await rig.append(stream.records(events(2)))
    await settled(rig, third.owner)
    await third.owner.flush()
    await third.owner.close()
    assert.equal((await admin.offsets(rig.topics.usage))[0]?.startOffset, 0)
    const fourth = await start(true)
    await eventually('it is deleted', async () => (await admin.offsets(rig.topics.usage))[0]?.startOffset === 8, { withinMs: 40_000 })
    assert.deepEqual(files.filter((file) => !fourth.asked.has(file)), [])
    assert.equal((await rig.hourly(fourth.owner)).count, 8)
  })
}

test('a thousand streams and their ids stay apart', async (t) => {
  const rig = await openRig(t)
  const streams = Array.from({ length: 50 }, () => new ClusterStream(`gateway-${randomUUID().slice(0, 4)}`))
  // Record by record in turns, as from many gateways.
  const rounds = Array.from({ length: 20 }, () => streams.flatMap((stream) => stream.records(events(1))))
  await rig.append(rounds.flat())
  const owner = rig.machine('a').own()
  await owned(owner)
  await settled(rig, owner)
  const view = await rig.hourly(owner)
  assert.equal(view.count, 1_000)
  assert.ok(streams.every(({ streamId }) => view.statements.get(`stream|0|${streamId}`)?.['appliedSeq'] === 20))
})
