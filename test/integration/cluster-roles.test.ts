// A small cluster of programs, each role under a Kafka user of its own with the rights that docs/cluster.md lists and no
// others. Its requests end in bills; and two readers that share nothing with the program, kcat and kafkajs, find the same sums
// in the topic of events and in the topic of hourly counts.
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import { temporaryFolder } from '../helpers/aggregator-rig.ts'
import { archiveFolders, hourlyCount } from '../helpers/cluster-oracle.ts'
import { makeCluster, operatorToken } from '../helpers/cluster.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { allow, rightsOf } from '../helpers/kafka-rights.ts'
import type { KafkaRole } from '../helpers/kafka-rights.ts'
import { clusterSpecs } from '../helpers/owner-rig.ts'
import { kcatRecordsOf } from '../services/kcat.ts'
import type { KcatRecord } from '../services/kcat.ts'
import { startKafka } from '../services/kafka.ts'

const roles: readonly KafkaRole[] = ['gateway', 'aggregator', 'billing']
const partitions = 3
const kafka = await startKafka(undefined, { sasl: true, otherUsers: roles })
const administrator = openKafka(kafka.options('administrator'))
const upstream = await openEchoUpstream()
after(async () => {
  upstream.close()
  await administrator.close()
  await kafka.close()
})
await kafka.makeTopics(clusterSpecs('', partitions))
await administrator.openAdmin().createTransactionState()
await administrator.openAdmin().setSettings('__transaction_state', { 'flush.messages': '1' })
for (const role of roles) await allow(kafka, role, rightsOf(role, ''))

interface Key { readonly memberId: number, readonly apiKeyId: number, readonly token: string }

async function json<Result> (node: ClusterNode, argv: readonly string[]): Promise<Result> {
  const { code, stdout, stderr } = await node.command([...argv, '--json'])
  assert.equal(code, 0, `tollgate ${argv.join(' ')}: ${stderr}`)
  return JSON.parse(stdout) as Result
}

async function createKeys (gateway: ClusterNode): Promise<Key[]> {
  const keys: Key[] = []
  for (const name of ['one', 'two', 'three']) {
    const { memberId } = await json<{ memberId: number }>(gateway, ['member', 'create', '--name', name])
    keys.push({ memberId, ...await json<{ apiKeyId: number, token: string }>(gateway, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_PREMIUM']) })
  }
  return keys
}

const paths = ['/api/things/s200', '/api/things/s404', '/api/things/s500', '/api/unpriced/s200']
/** What is answered below 500 is billed, also where no price fits. */
const billable = new Set(['/api/things/s200', '/api/things/s404', '/api/unpriced/s200'])

/** @returns billable answers by key */
async function request (gateway: ClusterNode, keys: readonly Key[]): Promise<Map<number, number>> {
  const answered = new Map<number, number>()
  const send = async (path: string, key: Key | undefined): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${gateway.port}${path}`, { headers: key === undefined ? {} : { 'X-API-KEY': key.token } })
    await response.arrayBuffer()
    assert.equal(response.status, key === undefined ? 401 : Number(path.slice(-3)))
    if (key !== undefined && billable.has(path)) answered.set(key.apiKeyId, (answered.get(key.apiKeyId) ?? 0) + 1)
  }
  for (let round = 1; round <= 20; round++) {
    await Promise.all(paths.flatMap((path) => [...keys.slice(0, 1 + round % keys.length), undefined].map((key) => send(path, key))))
  }
  return answered
}

async function billed (billing: ClusterNode, keys: readonly Key[]): Promise<Map<number, number>> {
  const [startDate, endDate] = [Date.now() - 86_400_000, Date.now()].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const counts = new Map<number, number>()
  for (const { memberId } of keys) {
    const response = await fetch(`http://127.0.0.1:${billing.privatePort}/private/aggregation/v1/member/${memberId}/charge?startDate=${startDate}&endDate=${endDate}`, { headers: { authorization: `Bearer ${operatorToken}` } })
    const { result } = await response.json() as { readonly result: { readonly apiKeys: readonly { readonly apiKey: number, readonly totalCount: number }[] } }
    for (const { apiKey, totalCount } of result.apiKeys) counts.set(apiKey, totalCount)
  }
  return counts
}

function sorted (counts: ReadonlyMap<number, number>): [number, number][] { return [...counts].sort(([a], [b]) => a - b) }

interface EventRecord { readonly streamId: string, readonly seq: number, readonly apiKeyId?: number, readonly memberId?: number, readonly responseStatus: number, readonly errorCode?: string }

/** By the rules of the topic's documentation: an event is its stream's number, however often it stands there. */
function countEvents (records: readonly KcatRecord[]): Map<number, number> {
  const events = new Map(records.map(({ payload }) => JSON.parse(String(payload)) as EventRecord).map((event) => [`${event.streamId} ${event.seq}`, event]))
  const counts = new Map<number, number>()
  for (const { apiKeyId, memberId, responseStatus, errorCode } of events.values()) {
    if (apiKeyId !== undefined && memberId !== undefined && responseStatus < 500 && errorCode === undefined) counts.set(apiKeyId, (counts.get(apiKeyId) ?? 0) + 1)
  }
  return counts
}

/** The last record of each row; what is not a row has a name before its first bar. */
function countRows (records: readonly KcatRecord[]): Map<number, number> {
  const rows = new Map<string, { readonly apiKeyId: number, readonly count: number }>()
  for (const { key, payload } of records) if (key !== null && /^\d/.test(key) && payload !== null) rows.set(key, JSON.parse(payload) as { readonly apiKeyId: number, readonly count: number })
  const counts = new Map<number, number>()
  for (const { apiKeyId, count } of rows.values()) counts.set(apiKeyId, (counts.get(apiKeyId) ?? 0) + count)
  return counts
}

/** Each role takes a new configuration while it runs, and refuses one that can't be used. Only billing reads its operators' tokens. */
async function reloadEach (nodes: readonly ClusterNode[]): Promise<void> {
  for (const node of nodes) {
    const former = readFileSync(node.configFile, 'utf8')
    writeFileSync(node.configFile, `${former}nothing: known\n`)
    const refused = await node.command(['reload'])
    assert.match(`${refused.code} ${refused.stderr}`, /^1 CONFIG_INVALID: [^]*nothing: unknown key/)
    writeFileSync(node.configFile, former.replaceAll('{ name: test,', '{ name: renamed,').replace('  routes:', '  routes:\n    - { id: reloaded, path: "/reloaded/**", upstream: main, isPublic: true }'))
    const [answer] = await json<readonly { readonly changed: readonly string[] }[]>(node, ['reload'])
    assert.deepEqual(answer?.changed, ['gateway.routes', ...node.role === 'billing' ? ['billing.operatorTokens'] : [], 'operator.tokens'])
  }
}

interface Backup { readonly parts: readonly { readonly folder: string, readonly isRunning: boolean, readonly counts?: readonly { readonly partition: number }[] }[] }

/** Each role is backed up while it runs, goes on, stops, loses its state, and gets the old one back. */
async function restoreEach (nodes: readonly ClusterNode[], goOn: () => Promise<void>): Promise<void> {
  const backups = nodes.map((node) => path.join(node.folder, 'backup'))
  for (const [index, node] of nodes.entries()) {
    const { parts } = await json<Backup>(node, ['backup', backups[index] ?? ''])
    assert.deepEqual(parts.map(({ folder, isRunning, counts = [] }) => [folder, isRunning, counts.length]), [[`role-${node.role}`, true, node.role === 'aggregator' ? partitions : 0]])
  }
  await goOn()
  for (const node of nodes) assert.equal(await node.stop(), 0)
  for (const [index, node] of nodes.entries()) {
    rmSync(node.state, { recursive: true })
    const restored = await json<Backup & { readonly files: number }>(node, ['restore', backups[index] ?? ''])
    assert.ok(restored.files > 0)
  }
  await Promise.all(nodes.map((node) => node.start({ isReadyAwaited: false })))
  for (const node of nodes) await node.ready(90_000)
}

function add (to: Map<number, number>, more: ReadonlyMap<number, number>): void { for (const [key, count] of more) to.set(key, (to.get(key) ?? 0) + count) }

test('with its own rights each role does its work, and kcat and kafkajs read the sums of the bill', async (t) => {
  const made = await makeCluster({ folder: temporaryFolder(t, 'roles'), kafka, redis: undefined, gateways: 1, aggregators: 1, billings: 1, partitions, upstreamUrl: upstream.url, hasKafkaUsers: true })
  t.after(() => made.killAll())
  const [gateway, , billing] = made.nodes as [ClusterNode, ClusterNode, ClusterNode]
  for (const node of made.nodes) await node.start()
  const keys = await createKeys(gateway)
  const answered = await request(gateway, keys)
  assert.equal(answered.size, keys.length)
  await eventually('everything is billed', async () => { assert.deepEqual(sorted(await billed(billing, keys)), sorted(answered)); return true }, { withinMs: 60_000, everyMs: 250 })
  const verify = await billing.command(['verify', '--wait', '60'])
  assert.equal(verify.code, 0, `${verify.stdout}${verify.stderr}`)

  const askAndBill = async (): Promise<void> => {
    add(answered, await request(gateway, keys))
    await eventually('everything is billed again', async () => { assert.deepEqual(sorted(await billed(billing, keys)), sorted(answered)); return true }, { withinMs: 60_000, everyMs: 250 })
  }
  await restoreEach(made.nodes, askAndBill)
  await askAndBill()
  // What the only aggregator had archived since its backup went with its disk. It archives again what nobody was told of: without
  // a peer that is the last minute's. What is older is said; the bills are right.
  const { rows } = JSON.parse((await billing.command(['verify', '--wait', '60', '--json'])).stdout) as { readonly rows: readonly { readonly gatewayId: string, readonly hour: string, readonly status: string, readonly problems: readonly string[] }[] }
  const different = rows.filter(({ status }) => status === 'difference')
  assert.ok(rows.length > 0 && different.every(({ problems }) => problems.every((problem) => problem.includes('archive'))), JSON.stringify(rows))
  for (const { gatewayId, hour } of different) assert.equal((await billing.command(['verify', 'acknowledge', gatewayId, hour, '--reason', 'the disk of the archive died'])).code, 0)

  const events = await kcatRecordsOf(kafka, 'api-usage-trace')
  assert.ok(new Set(events.map(({ partition }) => partition)).size > 1, 'the events are in several partitions')
  assert.deepEqual(sorted(countEvents(events)), sorted(answered), 'kcat, the topic of events')
  assert.deepEqual(sorted(countRows(await kcatRecordsOf(kafka, 'hourly-api-usage'))), sorted(answered), 'kcat, the topic of hourly counts')
  assert.equal(await hourlyCount(kafka.independent('oracle'), 'hourly-api-usage', archiveFolders(made)), [...answered.values()].reduce((sum, count) => sum + count, 0), 'kafkajs, the topic of hourly counts')

  for (const topic of ['api-usage-trace', 'hourly-api-usage']) {
    await administrator.openPartitionProducer({ topic, partition: 0 }).send([{ key: '0|what', value: '{"made":"by something else"}' }])
    await eventually(`what ${topic} has of others is a dead letter`, async () => (await kcatRecordsOf(kafka, `${topic}.dead-letter`)).length === 1)
  }
  await reloadEach(made.nodes)
  assert.equal((await fetch(`http://127.0.0.1:${gateway.port}/reloaded/s200`)).status, 200)

  await gateway.stop()
  const retired = await billing.command(['gateway', 'retire', 'gateway-1', '--reason', 'the test is over'])
  assert.equal(retired.code, 0, `${retired.stdout}${retired.stderr}`)
  assert.deepEqual(sorted(await billed(billing, keys)), sorted(answered))
})
