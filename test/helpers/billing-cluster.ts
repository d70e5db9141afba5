// A billing server's parts on a real Kafka whose topics a test writes, and aggregators that are nothing but folders of files
// behind HTTP.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { AggregatorAddress } from '../../src/billing/aggregator-files.ts'
import { openClusterBilling } from '../../src/billing/cluster.ts'
import type { ClusterBilling } from '../../src/billing/cluster.ts'
import type { ClusterBillingOptions } from '../../src/billing/cluster-options.ts'
import { encodeClosed, encodeTombstone } from '../../src/hourly-log/kafka-record.ts'
import { hourlyTopicSpecs, hourlyTopics, ownerTransactionalId } from '../../src/hourly-log/kafka-topics.ts'
import { openKafka } from '../../src/kafka/client.ts'
import type { KafkaClient, RecordOut } from '../../src/kafka/port.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Clock } from '../../src/platform/clock.ts'
import { usageTopicSpecs, usageTopics } from '../../src/usage-log/kafka-topics.ts'
import type { RunningKafka } from '../services/kafka.ts'
import { uniquePrefix } from '../services/kafka.ts'
import { query, silent, temporaryFolder } from './aggregator-rig.ts'
import { book, memberSecret, operatorToken } from './billing-ledger.ts'
import { rowKey } from './topic-records.ts'
import type { RowGiven } from './topic-records.ts'

/** An aggregator as billing sees it: files by path, and what a flush does. */
export interface FileServer {
  readonly address: AggregatorAddress
  readonly files: Map<string, Buffer | string>
  /** Called for each POST. */
  onPost: (path: string) => void | Promise<void>
  /** Requests, as `METHOD path`. */
  readonly asked: string[]
  isAway: boolean
}

const token = 'a-token-of-an-aggregator-with-enough-characters'

export async function startFileServer (t: TestContext): Promise<FileServer> {
  const files = new Map<string, Buffer | string>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    const answer = (status: number, body: Buffer | string = ''): void => { response.writeHead(status).end(body) }
    const url = decodeURIComponent(request.url ?? '')
    if (state.isAway) { request.socket.destroy(); return }
    asked.push(`${request.method} ${url}`)
    if (request.headers.authorization !== `Bearer ${token}`) { answer(401); return }
    if (request.method === 'POST') { void Promise.resolve(state.onPost(url)).then(() => { answer(204) }, () => { answer(500) }); return }
    const content = files.get(url)
    if (content === undefined) answer(404)
    else answer(200, content)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.after(() => { server.close(); server.closeAllConnections() })
  const state: FileServer = { address: { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, token }, files, asked, onPost: () => {}, isAway: false }
  return state
}

export class BillingWorld {
  readonly prefix = uniquePrefix()
  readonly client: KafkaClient
  readonly folder: string
  readonly partitions: number
  readonly #t: TestContext
  readonly #kafka: RunningKafka

  constructor (t: TestContext, kafka: RunningKafka, partitions: number) {
    this.#t = t
    this.#kafka = kafka
    this.partitions = partitions
    this.folder = temporaryFolder(t, 'billing')
    this.client = openKafka(kafka.options('test-writer'))
    t.after(() => this.client.close())
  }

  async makeTopics (partitions = this.partitions): Promise<void> {
    const options = { prefix: this.prefix, partitions, minInsyncReplicas: 1 }
    await this.#kafka.makeTopics([...hourlyTopicSpecs(options), ...usageTopicSpecs(options)])
  }

  /** Deletes the hourly topic and makes it again. */
  async remakeHourlyTopic (): Promise<void> {
    const { hourly } = hourlyTopics(this.prefix)
    const admin = this.#kafka.independent().admin()
    await admin.connect()
    try { await admin.deleteTopics({ topics: [hourly] }) } finally { await admin.disconnect() }
    await this.#kafka.makeTopics(hourlyTopicSpecs({ prefix: this.prefix, partitions: this.partitions, minInsyncReplicas: 1 }).filter(({ name }) => name === hourly))
  }

  /** As the partition's owner does: one transaction. */
  async publish (partition: number, records: readonly RecordOut[]): Promise<void> {
    const publisher = await this.client.openTransactionalPublisher({ transactionalId: ownerTransactionalId(this.prefix, partition), transactionTimeoutMs: 10_000 })
    try { await publisher.publish([{ topic: hourlyTopics(this.prefix).hourly, partition, records }]) } finally { await publisher.close() }
  }

  async say (records: readonly RecordOut[]): Promise<void> {
    const producer = this.client.openPartitionProducer({ topic: usageTopics(this.prefix).gatewayProgress, partition: 0 })
    try { await producer.send(records) } finally { await producer.close() }
  }

  async open ({ name = 'one', aggregators = [], clock = systemClock, ...given }: Partial<ClusterBillingOptions> & { readonly name?: string, readonly clock?: Clock } = {}): Promise<ClusterBilling> {
    const billing = await openClusterBilling({ options: this.options({ name, aggregators, ...given }), log: silent, clock })
    this.#t.after(async () => { await billing.close() })
    return billing
  }

  options ({ name = 'one', ports = [0, 0], ...given }: Partial<ClusterBillingOptions> & { readonly name?: string, readonly ports?: readonly number[] } = {}): ClusterBillingOptions {
    const [member = 0, operator = 0] = ports
    return {
      rules: { listen: { host: '127.0.0.1', port: member }, privateListen: { host: '127.0.0.1', port: operator }, priceBook: book.document, memberSecret, operatorTokens: [{ name: 'test', token: operatorToken }], rangeDaysMax: 60 },
      ledger: { folder: path.join(this.folder, name), memoryBytesMax: 128 * 2 ** 20, threads: 1, graceMs: 0 },
      kafka: this.#kafka.options(`billing-${name}`),
      topicPrefix: this.prefix,
      partitions: this.partitions,
      aggregators: [],
      archiveCopies: 1,
      ...given
    }
  }

  /** A closed segment's file on `servers`. @returns its `closed` record and the tombstones of its rows */
  async closeSegment (servers: readonly FileServer[], { partition, segment, rows }: { readonly partition: number, readonly segment: number, readonly rows: readonly RowGiven[] }): Promise<readonly [closed: RecordOut, ...tombstones: RecordOut[]]> {
    const name = `partition=${partition}-segment=${segment}-${this.prefix}.parquet`
    const file = path.join(this.folder, name)
    mkdirSync(this.folder, { recursive: true })
    const values = rows.map((given) => {
      const { apiEndpointId, memberId, apiKeyId, hour } = rowKey(given)
      const { count = 1, units = count, errorCount = 0, requestBytes = 0, responseBytes = 0 } = given
      return `(${partition}::INTEGER, ${segment}::INTEGER, ${apiEndpointId}::BIGINT, ${memberId}::BIGINT, ${apiKeyId}::BIGINT, ${hour}::INTEGER, ${count}::BIGINT, ${units}::BIGINT, ${requestBytes}::BIGINT, ${responseBytes}::BIGINT, ${errorCount}::BIGINT, 1::BIGINT)`
    })
    await query(':memory:', `COPY (SELECT * FROM (VALUES ${values.join(', ')}) t(sourcePartition, segment, apiEndpointId, memberId, apiKeyId, hour, count, units, requestBytes, responseBytes, errorCount, revision)) TO '${file}' (FORMAT parquet)`)
    const content = readFileSync(file)
    for (const { files } of servers) files.set(`/files/partition-${partition}/segment/${name}`, content)
    const closed = encodeClosed(partition, segment, { file: name, sha256: createHash('sha256').update(content).digest('hex'), rows: rows.length, bytes: content.length, ownerName: 'one' })
    return [closed, ...rows.map((given) => encodeTombstone(rowKey({ ...given, partition, segment })))]
  }
}
