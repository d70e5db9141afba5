// The light path to a server that has ingest processors: from Kafka by rsyslog through the location pipeline into a real
// OpenSearch, whose database of places is of 2019. Elasticsearch's own, which the pipeline is written for, can't be had for tests.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { streamOf } from '../helpers/topic-records.ts'
import { sendUsage, usageLineOf, usageRecordOf } from '../helpers/usage-records.ts'
import { searchServers } from '../services/elasticsearch/files.ts'
import { startElasticsearch } from '../services/elasticsearch.ts'
import { startKafka } from '../services/kafka.ts'
import { startRsyslog } from '../services/rsyslog.ts'

const topic = 'api-usage-trace'
const partitions = 4
const pipeline = 'api_usage_trace-location'
const root = path.resolve(import.meta.dirname, '../..')
const json = (name: string): unknown => JSON.parse(readFileSync(path.join(root, 'monitoring/elasticsearch', name), 'utf8'))

interface Box { readonly top: number, readonly left: number, readonly bottom: number, readonly right: number }
/** Addresses of institutions that stay where they are; of the last two nobody has a place. */
const clients: readonly (readonly [address: string, place: Box | undefined])[] = [
  ['133.11.0.1', { top: 37, left: 138, bottom: 34, right: 142 }],
  ['193.0.6.139', { top: 54, left: 3, bottom: 50, right: 8 }],
  ['18.7.21.70', { top: 50, left: -125, bottom: 24, right: -66 }],
  ['203.0.113.7', undefined],
  ['10.1.2.3', undefined]
]
const clientOf = (seq: number): typeof clients[number] => clients[seq % clients.length] as typeof clients[number]
const eventCount = 2_000

const kafka = await startKafka(undefined)
after(() => kafka.close())
const server = await startElasticsearch({ after }, { server: 'opensearch' })
await kafka.makeTopics([{ name: topic, partitions, settings: {}, minimums: {}, mayHaveMorePartitions: false }])
await server.ask('PUT', '/_index_template/api_usage_trace', json('index-template.json'))
await server.ask('PUT', `/_ingest/pipeline/${pipeline}`, json('location-pipeline.json'))
const producer = kafka.independent().producer({ retry: { retries: 20 } })
await producer.connect()
after(() => producer.disconnect())

interface Found { readonly hits: { readonly total: { readonly value: number }, readonly hits: readonly { readonly _source: Readonly<Record<string, unknown>> }[] } }

const search = async (body: unknown): Promise<Found> => await server.ask<Found>('POST', '/api_usage_trace/_search', { track_total_hits: true, ...body as object })
const eventOf = (seq: number): string => usageLineOf(seq).replace(/"clientIp":"[^"]+"/, `"clientIp":"${clientOf(seq)[0]}"`)

test('each event is one document, with its place where its address has one and without where not', async (t) => {
  t.diagnostic(`note: OpenSearch ${searchServers.opensearch.version} on Java ${server.javaVersion}`)
  const rsyslog = startRsyslog(t, { brokers: kafka.brokers, topic, url: server.url, pipeline })
  await sendUsage(producer, topic, Array.from({ length: eventCount }, (_, index) => ({ ...usageRecordOf(index + 1, partitions), value: eventOf(index + 1) })))
  await eventually('all events are there', async () => {
    await server.ask('POST', '/api_usage_trace/_refresh')
    return (await search({ size: 0 })).hits.total.value >= eventCount
  }, { withinMs: 120_000, everyMs: 500 })
  assert.deepEqual(rsyslog.refused(), [])
  const { hits } = await search({ size: eventCount, sort: ['seq'] })
  assert.equal(hits.total.value, eventCount)
  for (const [index, { _source: { requestLocation, ...event } }] of hits.hits.entries()) {
    assert.deepEqual(event, JSON.parse(eventOf(index + 1)), 'nothing but the place is added')
    assert.equal(requestLocation !== undefined, clientOf(index + 1)[1] !== undefined, `${clientOf(index + 1)[0]}: ${JSON.stringify(requestLocation)}`)
  }
  assert.equal(hits.hits[0]?._source['streamId'], streamOf(1))
})

test('the map of callers asks for places: each box has the events of its address, and tiles add up to all that have one', async () => {
  const inBox = async (box: Box): Promise<number> => (await search({
    size: 0, query: { geo_bounding_box: { requestLocation: { top_left: { lat: box.top, lon: box.left }, bottom_right: { lat: box.bottom, lon: box.right } } } }
  })).hits.total.value
  const seqs = Array.from({ length: eventCount }, (_, index) => index + 1)
  for (const [address, box] of clients) {
    if (box !== undefined) assert.equal(await inBox(box), seqs.filter((seq) => clientOf(seq)[0] === address).length, address)
  }
  const { aggregations } = await server.ask<{ readonly aggregations: { readonly tiles: { readonly buckets: readonly { readonly doc_count: number }[] } } }>('POST', '/api_usage_trace/_search', {
    size: 0, aggs: { tiles: { geotile_grid: { field: 'requestLocation', precision: 6 } } }
  })
  const placed = clients.filter(([, box]) => box !== undefined).length
  assert.equal(aggregations.tiles.buckets.length, placed)
  assert.equal(aggregations.tiles.buckets.reduce((sum, { doc_count: count }) => sum + count, 0), seqs.filter((seq) => clientOf(seq)[1] !== undefined).length)
})
