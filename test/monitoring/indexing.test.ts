// From Kafka by rsyslog into a real Elasticsearch, with the files that an operator is given: every event is one document,
// whoever was killed on the way, and what can't be stored is kept with its reason and stops nothing.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { eventFields } from '../../src/domain/event-fields.ts'
import { eventually } from '../helpers/eventually.ts'
import { streamOf } from '../helpers/topic-records.ts'
import { sendUsage, usageEventOf, usageLineOf, usageRecordOf } from '../helpers/usage-records.ts'
import { startElasticsearch } from '../services/elasticsearch.ts'
import { startKafka } from '../services/kafka.ts'
import { startRsyslog } from '../services/rsyslog.ts'

const topic = 'api-usage-trace'
const partitions = 4
const root = path.resolve(import.meta.dirname, '../..')

const kafka = await startKafka(undefined)
after(() => kafka.close())
const elasticsearch = await startElasticsearch({ after })
await kafka.makeTopics([{ name: topic, partitions, settings: {}, minimums: {}, mayHaveMorePartitions: false }])
await elasticsearch.ask('PUT', '/_index_template/api_usage_trace', JSON.parse(readFileSync(path.join(root, 'monitoring/elasticsearch/index-template.json'), 'utf8')))
const producer = kafka.independent().producer({ retry: { retries: 20 } })
await producer.connect()
after(() => producer.disconnect())

interface Found { readonly hits: { readonly total: { readonly value: number }, readonly hits: readonly { readonly _id: string, readonly _index: string, readonly _source: Readonly<Record<string, unknown>> }[] } }

async function count (): Promise<number> {
  await elasticsearch.ask('POST', '/api_usage_trace/_refresh')
  return (await elasticsearch.ask<{ readonly count: number }>('GET', '/api_usage_trace/_count')).count
}

test('10,000 events are 10,000 documents, though rsyslog, a broker and Elasticsearch are killed on the way', async (t) => {
  const rsyslog = startRsyslog(t, { brokers: kafka.brokers, topic, url: elasticsearch.url })
  const all = Array.from({ length: 10_000 }, (_, index) => usageRecordOf(index + 1, partitions))
  const seen: number[] = []
  const upTo = async (stored: number): Promise<void> => {
    await eventually(`${stored} documents are there`, async () => {
      assert.ok(rsyslog.isRunning(), readFileSync(rsyslog.logFile, 'utf8'))
      return await count() >= stored
    }, { withinMs: 120_000, everyMs: 200 })
    seen.push(await count())
  }
  // Killed while its queue holds what Kafka has been told of.
  await sendUsage(producer, topic, all.slice(0, 6_000))
  await upTo(500)
  await rsyslog.kill()
  assert.ok(await count() < 6_000, 'nothing was left to do when rsyslog was killed')
  rsyslog.start()
  await upTo(5_000)
  await elasticsearch.kill()
  await sendUsage(producer, topic, all.slice(6_000, 7_000))
  await rsyslog.kill()
  rsyslog.start()
  await elasticsearch.start()
  await sendUsage(producer, topic, all.slice(7_000, 8_000))
  await upTo(7_500)
  await kafka.kill(1)
  await kafka.start(1)
  await sendUsage(producer, topic, all.slice(8_000))
  await upTo(10_000)
  t.diagnostic(`note: documents at each look: ${seen.join(', ')}`)
  const ids: string[] = []
  for (let from = 0; from < 10_000; from += 2_500) {
    const found = await elasticsearch.ask<Found>('POST', '/api_usage_trace/_search', { size: 2_500, sort: ['seq'], query: { range: { seq: { gt: from, lte: from + 2_500 } } } })
    ids.push(...found.hits.hits.map(({ _id: id }) => id))
  }
  assert.deepEqual(ids, all.map((_, index) => `${streamOf(1)}-${index + 1}`))
  assert.equal(await count(), 10_000)
  assert.deepEqual(rsyslog.refused(), [])
})

test('a document is the event as it was sent, in the index of its day, and every field can be asked for by its type', async () => {
  const { hits } = await elasticsearch.ask<Found>('POST', '/api_usage_trace/_search', { query: { term: { seq: 4321 } } })
  const [{ _index: index = '', _source: source = {} } = {}] = hits.hits
  assert.deepEqual(source, JSON.parse(usageLineOf(4321)))
  assert.equal(index, `api_usage_trace-${new Date(usageEventOf(4321).requestTimeMs).toISOString().slice(0, 10).replaceAll('-', '.')}`)
  const mapping = await elasticsearch.ask<Record<string, { readonly mappings: { readonly properties: Readonly<Record<string, { readonly type: string }>> } }>>('GET', `/${index}/_mapping`)
  assert.deepEqual(Object.keys(mapping[index]?.mappings.properties ?? {}).sort(), [...Object.keys(eventFields), 'requestLocation'].sort())
  const near = await elasticsearch.ask<Found>('POST', '/api_usage_trace/_search', { query: { bool: { filter: [{ term: { clientIp: '203.0.113.0/24' } }, { range: { requestTime: { gte: '2026-01-15T12:00:00.000Z', lt: '2026-01-15T13:00:00.000Z' } } }] } } })
  assert.equal(near.hits.total.value, Array.from({ length: 10_000 }, (_, at) => usageEventOf(at + 1).requestTimeMs).filter((ms) => ms >= Date.UTC(2026, 0, 15, 12) && ms < Date.UTC(2026, 0, 15, 13)).length)
})

test('what is of a wrong type, or no event, goes to the dead letters; what comes behind it is stored', async (t) => {
  const rsyslog = startRsyslog(t, { brokers: kafka.brokers, topic, url: elasticsearch.url })
  const first = 20_000
  const change = (from: string, to: string) => (line: string): string => {
    assert.ok(line.includes(from), from)
    return line.replace(from, to)
  }
  const changes: readonly (readonly [reason: RegExp, change: (line: string) => string])[] = [
    [/refused with 400/, change('"responseStatus":200', '"responseStatus":"200"')],
    [/refused with 400/, change('"units":3', '"units":1.5')],
    [/refused with 400/, change('"clientIp":"203', '"clientIp":"nowhere')],
    [/refused with 400/, (line) => line.replace(/"responseTime":"[^"]+"/, '"responseTime":"yesterday"')],
    [/no identity or time/, (line) => line.replace(/"requestTime":"[^"]+"/, '"requestTime":"2026-13-01T00:00:00.000Z"')],
    [/no identity or time/, (line) => line.replace(/"streamId":"[^"]+",/, '"apiKey":"a.secret.token",')],
    [/unread/, () => 'this is "no" JSON'],
    [/unread/, (line) => line.slice(0, 100)]
  ]
  // Such whose status is 200 and whose units are 3.
  const seqs = Array.from({ length: 2_000 }, (_, index) => first + index).filter((seq) => usageEventOf(seq).responseStatus === 200 && usageEventOf(seq).units === 3)
  const bad = changes.map(([, spoil], index) => ({ ...usageRecordOf(seqs[index] ?? 0, partitions), value: spoil(usageLineOf(seqs[index] ?? 0)) }))
  const good = seqs.slice(changes.length, changes.length + 50)
  const voided = { partition: 0, key: 'gateway-1', value: JSON.stringify({ schemaVersion: 1, kind: 'void', gatewayId: 'gateway-1', streamId: streamOf(1), seq: first - 1, prevSeq: 1, from: 2, to: 3, reason: 'r', hours: [] }) }
  const before = await count()
  await sendUsage(producer, topic, [voided, ...bad.flatMap((record, index) => [record, usageRecordOf(good[index] ?? 0, partitions)]), ...good.slice(bad.length).map((seq) => usageRecordOf(seq, partitions))])
  await eventually('all good ones are there', async () => await count() === before + good.length, { withinMs: 60_000, everyMs: 200 })
  await eventually('all bad ones are kept', () => rsyslog.refused().length >= changes.length, { withinMs: 60_000 })
  const reasons = rsyslog.refused().map(({ reason }) => String(reason))
  assert.deepEqual(reasons.toSorted(), changes.map(([reason]) => reasons.find((each) => reason.test(each)) ?? String(reason)).toSorted())
  assert.ok(!JSON.stringify(rsyslog.refused()).includes('a.secret.token'))
  assert.equal(await count(), before + good.length)
})
