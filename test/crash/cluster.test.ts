// A cluster of real processes - three brokers, Redis, two gateways, two aggregators, two billing servers - under load and
// faults, one after another (in pairs too in the long form). The oracle has three values: a complete answer is billed
// once, a cut one at most once, one never sent never; and every store agrees, as does the topic of hourly counts read by another client.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCluster } from '../helpers/cluster.ts'
import type { Cluster, ClusterNode } from '../helpers/cluster.ts'
import { openLinks } from '../helpers/cluster-links.ts'
import { archiveFolders, billedCount, hourlyCount, judge } from '../helpers/cluster-oracle.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { archivedByTrace } from '../helpers/oracle-archive.ts'
import type { CommandResult } from '../helpers/program.ts'
import { RememberingClient } from '../helpers/remembering-client.ts'
import { shiftedClockEnvironment } from '../helpers/shifted-clock.ts'
import { mountSmallDisk } from '../helpers/small-disk.ts'
import type { SmallDisk } from '../helpers/small-disk.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { startKafka } from '../services/kafka.ts'
import { startRedis } from '../services/redis.ts'
import { clockFileOf, oneOf } from './cluster-fault.ts'
import type { Fault, FaultContext } from './cluster-fault.ts'
import { faults } from './cluster-faults.ts'

const isLong = process.env['TOLLGATE_LONG'] === 'soak'
const firstSeed = Number(process.env['TOLLGATE_SEED'] ?? Date.now() % 1_000_000)
const only = process.env['TOLLGATE_FAULT']
/** The long form is ten clusters, one after another: each is judged by itself, and what clients remember fits into memory. */
const rounds = Number(process.env['TOLLGATE_ROUNDS'] ?? (isLong ? 10 : 1))
const faultsPerRound = Number(process.env['TOLLGATE_FAULTS'] ?? (isLong ? 100 : 62))
/** In the long form the others have a second one beside them, where they may. */
const singleEvery = 10
const clientsPerGateway = isLong ? 24 : 6
const keyCount = 24
/** A cluster that doesn't work again within this is a fault of its own. */
const recoveryMsMax = 120_000

function planFaults ({ random, disks }: FaultContext): Fault[] {
  const known = faults.filter(({ name }) => name.includes(only ?? '') && (disks.size > 0 || !name.startsWith('the disk of')))
  // One of each kind first, so that a short run has seen them all.
  const turns = Math.max(...known.map(({ timesMin }) => timesMin))
  const plan = Array.from({ length: turns }, (_, turn) => known.filter(({ timesMin }) => turn < timesMin)).flat().slice(0, faultsPerRound)
  while (plan.length < faultsPerRound) plan.push(known[Math.floor(random() * known.length)] as Fault)
  return plan.map((fault) => ({ fault, order: random() })).sort((a, b) => a.order - b.order).map(({ fault }) => fault)
}

const requestHead = (line: string, token: string | undefined, traceId: string): string =>
  `${line} HTTP/1.1\r\nHost: test\r\n${token === undefined ? '' : `X-API-KEY: ${token}\r\n`}X-TRACE-ID: ${traceId}\r\n\r\n`

const mixedPaths = ['/api/things/s200', '/api/things/s200', '/api/things/s200', '/api/things/s404', '/api/things/s500', '/api/other/s200']

function openClients (gateways: readonly ClusterNode[], tokens: readonly string[], random: () => number, paths: readonly string[] = mixedPaths): RememberingClient[] {
  return gateways.flatMap((gateway) => Array.from({ length: clientsPerGateway }, () => new RememberingClient({
    port: gateway.port,
    pauseMs: isLong ? 1 : 10,
    next: (traceId) => {
      const line = `GET ${paths[Math.floor(random() * paths.length)] ?? ''}`
      const token = random() < 0.03 ? undefined : tokens[Math.floor(random() * tokens.length)]
      return { key: token === undefined ? 'none' : line, head: requestHead(line, token, traceId) }
    }
  })))
}

async function createKeys (gateway: ClusterNode): Promise<{ readonly memberId: number, readonly tokens: string[] }> {
  const json = async <Result>(argv: readonly string[]): Promise<Result> => {
    const { code, stdout, stderr } = await gateway.command([...argv, '--json'])
    assert.equal(code, 0, stderr)
    return JSON.parse(stdout) as Result
  }
  const { memberId } = await json<{ memberId: number }>(['member', 'create', '--name', 'faults'])
  const tokens: string[] = []
  for (let i = 0; i < keyCount; i++) tokens.push((await json<{ token: string }>(['key', 'create', '--member', String(memberId), '--grade', 'GRADE_PREMIUM'])).token)
  return { memberId, tokens }
}

const diskMebibytes = 512

function mountDisks (nodes: readonly ClusterNode[]): Map<ClusterNode, SmallDisk> {
  const disks = new Map<ClusterNode, SmallDisk>()
  for (const node of nodes) {
    const disk = mountSmallDisk(path.join(node.folder, 'state'), diskMebibytes)
    if (disk !== undefined) disks.set(node, disk)
  }
  return disks
}

/** Everything that should run runs, and says that it works. */
async function awaitAllReady ({ nodes }: Cluster): Promise<void> {
  for (const node of nodes) await node.ready(recoveryMsMax)
}

async function startAll ({ nodes }: Cluster): Promise<void> {
  await Promise.all(nodes.map((node) => node.start({ isReadyAwaited: false })))
}

/** What a gateway answered after its last mark it can't say once it is dead and retired: that, and nothing else, is left to an operator. */
async function verifyAndAcknowledge (billing: ClusterNode, retired: ClusterNode): Promise<CommandResult> {
  const verify = async (): Promise<CommandResult> => await billing.command(['verify', '--wait', '120'])
  const first = await verify()
  const named = [...first.stdout.matchAll(/^difference: (\S+) (\d{4}-\d\d-\d\dT\d\d):/gm)]
  if (first.code !== 1 || named.some(([, gateway]) => gateway !== retired.name)) return first
  for (const hour of new Set(named.map(([, , hour]) => hour as string))) {
    const { code, stderr } = await billing.command(['verify', 'acknowledge', retired.name, hour, '--reason', 'it was sold'])
    assert.equal(code, 0, `${hour} of ${retired.name} can't be acknowledged: ${stderr}\nverify had said: ${first.stdout}`)
  }
  const second = await verify()
  return second.code === 0 ? second : { ...second, stderr: `${second.stderr}\nbefore it was acknowledged: ${first.stdout}` }
}

interface Run { readonly byName: Map<string, number>, readonly slow: string[], faults: number }

async function runFaults (context: FaultContext, clients: readonly RememberingClient[]): Promise<Run> {
  const run: Run = { byName: new Map(), slow: [], faults: 0 }
  const plan = planFaults(context)
  for (const [index, fault] of plan.entries()) {
    const before = clients.reduce((sum, { memories }) => sum + memories.length, 0)
    const partners = isLong && index % singleEvery !== 0 && fault.touches !== 'alone' ? plan.filter(({ touches }) => touches !== 'alone' && touches !== fault.touches) : []
    const together = partners.length === 0 ? [fault] : [fault, oneOf(context.random, partners)]
    await Promise.all(together.map(async (one) => {
      await one.run(context)
      run.byName.set(one.name, (run.byName.get(one.name) ?? 0) + 1)
      run.faults++
    }))
    await awaitAllReady(context.cluster).catch((error: unknown) => { throw new Error(`after "${together.map(({ name }) => name).join('" and "')}" (fault ${index + 1}): ${(error as Error).message}`) })
    const requests = clients.reduce((sum, { memories }) => sum + memories.length, 0) - before
    if (requests === 0) run.slow.push(fault.name)
    if (process.env['TOLLGATE_TEST_OUTPUT'] === '1') process.stdout.write(`${new Date().toISOString()} ${index + 1}/${plan.length} ${together.map(({ name }) => name).join(' and ')}: ${requests} requests\n`)
  }
  return run
}

interface Totals { faults: number, complete: number }

async function runRound (t: TestContext, seed: number): Promise<Totals> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-cluster-'))
  const random = seededRandom(seed)
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const redis = await startRedis(t)
  const names = ['gateway-1', 'gateway-2', 'gateway-3', 'aggregator-1', 'aggregator-2', 'aggregator-3', 'billing-1', 'billing-2']
  const links = await openLinks({
    names,
    aggregators: names.filter((name) => name.startsWith('aggregator')),
    brokers: 3,
    redisPort: () => redis.port,
    operatorPortOf: (name) => made.nodes.find((node) => node.name === name)?.operatorPort ?? 0
  })
  t.after(links.close)
  const kafka = await startKafka(t, { brokers: 3, links: links.brokerLinks })
  const made: Cluster = await makeCluster({
    folder,
    kafka,
    redis,
    gateways: 3,
    aggregators: 3,
    billings: 2,
    partitions: 4,
    upstreamUrl: upstream.url,
    brokersOf: (name) => links.of(name).brokers,
    redisPortOf: (name) => links.of(name).redisPort,
    aggregatorPortOf: (name, aggregator) => links.of(name).aggregatorPortOf(aggregator),
    extra: `log: { level: info }
journal: { bytesMax: 256MiB, segmentBytes: 1MiB }
aggregator: { batchIntervalMs: 50, publishIntervalMs: 200, memoryBytesMax: 512MiB }
archive: { flushIntervalMs: 1000 }
hourlyLog: { segmentRowsMax: 30 }
completeness: { graceMs: 1000 }
`
  })
  const spare = made.aggregators[2] as ClusterNode
  const clone = made.gateways[2] as ClusterNode
  const cluster: Cluster = { ...made, gateways: made.gateways.slice(0, 2), aggregators: made.aggregators.slice(0, 2), nodes: made.nodes.filter((node) => node !== spare && node !== clone) }
  const disks = mountDisks([cluster.gateways[1], cluster.aggregators[1]] as ClusterNode[])
  t.after(async () => {
    await made.killAll()
    for (const disk of disks.values()) disk.unmount()
  })
  for (const gateway of cluster.gateways) gateway.environment = shiftedClockEnvironment(clockFileOf(gateway))
  await startAll(cluster)
  await awaitAllReady(cluster)
  const { memberId, tokens } = await createKeys(cluster.gateways[0] as ClusterNode)
  const clients = openClients(cluster.gateways, tokens, random)
  const running = clients.map((client) => client.run())
  const late: RememberingClient[] = []
  const callWhile: FaultContext['callWhile'] = async (gateway, work, { path: called } = { path: '/api/things/s200' }) => {
    const more = openClients([gateway], tokens, random, [called])
    late.push(...more)
    const calling = more.map((client) => client.run())
    await work()
    for (const client of more) client.stop()
    await Promise.all(calling)
  }
  // Also after a failure: a client that goes on calling would keep the process alive.
  t.after(() => { for (const client of [...clients, ...late]) client.stop() })
  const run = await runFaults({ cluster, kafka, redis, links, random, spare, clone, disks, callWhile }, clients)
  await sleep(1_000)
  for (const client of clients) client.stop()
  await Promise.all(running)

  // Its archive is part of the proof.
  await spare.start()
  const verify = await verifyAndAcknowledge(cluster.billings[0] as ClusterNode, clone)
  const verdict = judge([...clients, ...late].flatMap(({ memories }) => memories), await archivedByTrace(archiveFolders(made)))
  t.diagnostic(`note: seed ${seed}: ${run.faults} faults of ${run.byName.size} kinds, ${verdict.complete} complete answers, ${verdict.cut} cut, ${verdict.unsent} unsent${disks.size === 0 ? '; no full disks: this user may not mount any' : ''}`)
  assert.deepEqual(verdict.wrong, [])
  if (verify.code !== 0) assert.fail(`verify ended with ${verify.code}: ${verify.stdout}${verify.stderr}\n${await made.describe()}`)
  for (const billing of cluster.billings) {
    await eventually(`${billing.name} has the same bill`, async () => await billedCount(billing, [memberId]) === verdict.billable, { withinMs: 60_000, everyMs: 500 })
  }
  assert.equal(await hourlyCount(kafka.independent('oracle'), 'hourly-api-usage', archiveFolders(made)), verdict.billable, 'another client reads the same sum from the hourly topic')
  assert.ok(verdict.complete >= (only === undefined ? 10_000 : 100), `only ${verdict.complete} complete answers`)
  assert.ok(verdict.cut > 0 || only !== undefined, 'no answer was cut: the faults came too late')
  assert.deepEqual(run.slow.filter((name) => !name.includes('gateway') && !name.includes('node')), [], 'traffic went on')
  await made.stopAll()
  for (const disk of disks.values()) disk.unmount()
  disks.clear()
  rmSync(folder, { recursive: true })
  return { faults: run.faults, complete: verdict.complete }
}

const totals: Totals = { faults: 0, complete: 0 }
for (let round = 0; round < rounds; round++) {
  const seed = firstSeed + round
  test(`a cluster under ${faultsPerRound} faults, seed ${seed}`, async (t) => {
    const { faults: suffered, complete } = await runRound(t, seed)
    totals.faults += suffered
    totals.complete += complete
  })
}
if (isLong) {
  test('the long form as a whole', (t) => {
    t.diagnostic(`note: seeds ${firstSeed} to ${firstSeed + rounds - 1}: ${totals.faults} faults, ${totals.complete} complete answers`)
    if (rounds >= 10) assert.ok(totals.faults >= 1_000 && totals.complete >= 10_000_000, 'at least 1,000 faults and 10,000,000 complete answers')
  })
}
