// `verify` across a cluster's stores: gateways' accounts and counts on a real Kafka, archives of real aggregators over their
// operator listeners. What agrees is ok, what was lost, doubled or changed anywhere is named, what can't be seen is no proof.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterBilling } from '../../src/billing/cluster.ts'
import type { ClusterVerifyReport } from '../../src/billing/cluster-verify.ts'
import { encodeTally } from '../../src/hourly-log/kafka-record.ts'
import { query } from '../helpers/aggregator-rig.ts'
import { ClusterStores } from '../helpers/cluster-stores.ts'
import type { ClusterStream } from '../helpers/cluster-stores.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'
import { rowRecord, saidRecords } from '../helpers/topic-records.ts'
import { startKafka } from '../services/kafka.ts'

const kafka = await startKafka(undefined)
after(() => kafka.close())

const hourMs = 3_600_000
const owners = ['one', 'two'] as const

async function makeStores (t: TestContext): Promise<ClusterStores> {
  const stores = new ClusterStores(t, kafka, 2)
  await stores.billing.makeTopics()
  return stores
}

/** Partition 0 belongs to one, partition 1 to two. */
async function countAll (stores: ClusterStores): Promise<void> {
  for (const [partition, owner] of owners.entries()) await stores.count(owner, partition)
}

async function openBilling (stores: ClusterStores, { copies = 1, served = owners } = {}): Promise<ClusterBilling> {
  const aggregators = await Promise.all(served.map((owner) => stores.serve(owner)))
  const billing = await stores.billing.open({ aggregators, archiveCopies: copies })
  await eventually('billing is ready', () => billing.health().isReady)
  return billing
}

/** Everything published so far has been folded. */
async function verify (billing: ClusterBilling, isThere: (report: ClusterVerifyReport) => boolean = () => true): Promise<ClusterVerifyReport> {
  let report: ClusterVerifyReport | undefined
  await eventually('the ledger has it', async () => {
    report = await billing.verify.verify({ waitS: 0 })
    return isThere(report)
  })
  return report as ClusterVerifyReport
}

const wrong = (report: ClusterVerifyReport): string[] => report.rows.filter(({ status }) => status !== 'ok').map(({ gatewayId, hour, status }) => `${gatewayId} +${hour - testHour} ${status}`)
const allProblems = (report: ClusterVerifyReport): string => JSON.stringify([report.problems, report.unchecked, report.rows.map(({ problems }) => problems)])
const archiveFiles = (stores: ClusterStores, owner: string): string[] => globSync('partition-*/archive/date=*/hour=*/*.parquet', { cwd: stores.stateOf(owner) }).sort().map((file) => path.join(stores.stateOf(owner), file))

/** Two gateways, two partitions at two aggregators, three hours, closed streams. */
async function fill (t: TestContext): Promise<{ readonly stores: ClusterStores, readonly streams: readonly ClusterStream[] }> {
  const stores = await makeStores(t)
  const [one, two] = [stores.stream('gateway-1'), stores.stream('gateway-2')]
  for (let round = 0; round < 2; round++) {
    one.append(0, [usageEvent(), usageEvent({ memberId: 2, units: 3 })])
    one.append(1, [usageEvent({ apiKeyId: 12, responseStatus: 503 }), usageEvent({ apiKeyId: 12, requestTimeMs: testTimeMs + hourMs })])
    two.append(0, [usageEvent({ requestTimeMs: testTimeMs + 2 * hourMs })])
    two.append(1, [usageEvent({ apiKeyId: 12 })])
    one.append(0, [usageEvent()])
    await countAll(stores)
    for (const [partition, owner] of owners.entries()) await stores.flush(owner, partition)
  }
  two.account(testHour, { answered: 5, countedOnly: 5 })
  await stores.billing.say([...one.said(testTimeMs + 2 * hourMs, 'closed'), ...two.said(testTimeMs + 2 * hourMs, 'closed')])
  return { stores, streams: [one, two] }
}

/** A new owner that has lost everything reads partition 0 again from its beginning, and archives it again. */
async function archiveAgain (stores: ClusterStores): Promise<void> {
  stores.logs[0]?.rewind()
  await stores.count('two', 0)
  await stores.flush('two', 0)
}

test('stores that agree', async (t) => {
  const { stores } = await fill(t)
  const billing = await openBilling(stores)
  const report = await verify(billing)
  assert.deepEqual(wrong(report), [], allProblems(report))
  assert.equal(report.exitCode, 0, allProblems(report))
  assert.deepEqual(report.warnings, [])
  assert.deepEqual(report.rows.map(({ gatewayId, hour, answered, journaled, countedOnly, archived, billable, notBillable, ledgerCount }) => [gatewayId, hour - testHour, answered, journaled, countedOnly, archived, billable, notBillable, ledgerCount]), [
    ['gateway-1', 0, 8, 8, 0, 8, 6, 2, 8], ['gateway-2', 0, 7, 2, 5, 2, 2, 0, 8], ['gateway-1', 1, 2, 2, 0, 2, 2, 0, 2], ['gateway-2', 2, 2, 2, 0, 2, 2, 0, 2]
  ])
  assert.deepEqual(globSync('one/verify/*', { cwd: stores.billing.folder }), [], 'the temporary folder is empty')
  await eventually('the hours are complete', () => billing.completeness.report.completeBeforeHour > testHour + 2)
})

type Edit = (stores: ClusterStores, streams: readonly ClusterStream[]) => Promise<void> | void
/** Rewrites the files that hold the row, and their names in the records, so that only the content tells. */
const rewrite = (owner: string, select: (from: string) => string): Edit => async (stores) => {
  const [file = ''] = archiveFiles(stores, owner)
  await query(':memory:', `COPY (${select(`read_parquet('${file}', hive_partitioning = false)`)}) TO '${file}.new' (FORMAT parquet)`)
  renameSync(`${file}.new`, file)
}
const edits: readonly (readonly [what: string, edit: Edit, named: readonly string[], problem: RegExp])[] = [
  ['an archive file is gone', (stores) => { rmSync(archiveFiles(stores, 'one')[0] ?? '') }, ['gateway-1 +0 difference', 'gateway-2 +0 difference'], /archive file date=.* of partition 0: .* doesn't have it/],
  ['an archive file has changed', rewrite('one', (from) => `SELECT * FROM ${from} WHERE seq <> 2`), ['gateway-1 +0 difference', 'gateway-2 +0 difference'], /has another file of this name/],
  ['the record of a flush is gone', (stores) => { rmSync(globSync('partition-0/archive/flush/*.json', { cwd: stores.stateOf('one') }).sort().map((file) => path.join(stores.stateOf('one'), file))[0] ?? '') }, ['gateway-1 +0 difference', 'gateway-2 +0 difference', 'gateway-2 +2 difference'], /stream .*: seqs 1 to 5 are not in the archive/],
  ['a tally was changed', async (stores, [one]) => { await stores.billing.publish(0, [encodeTally(0, { streamId: one?.streamId ?? '', hour: testHour }, { gatewayId: 'gateway-1', billable: 5, notBillable: 0, deadLettered: 0, voided: 0 })]) }, ['gateway-1 +0 difference'], /archived, billable and not billable/],
  ['an hourly row was changed', async (stores) => { await stores.billing.publish(0, [rowRecord({ count: 9, hour: testHour })]) }, ['gateway-1 +0 difference', 'gateway-2 +0 difference'], /hourly rows and the archive/],
  ['an hourly row stands under another member', async (stores) => { await stores.billing.publish(0, [rowRecord({ memberId: 77, count: 2, units: 6, requestBytes: 20, responseBytes: 200, hour: testHour }), rowRecord({ memberId: 2, count: 0, hour: testHour })]) }, ['gateway-1 +0 difference', 'gateway-2 +0 difference'], /different members, keys or endpoints/],
  ['a gateway answered one more', async (stores, [one]) => { one?.account(testHour, { answered: 1 }); await stores.billing.say(one?.said(testTimeMs + 2 * hourMs, 'closed') ?? []) }, ['gateway-1 +0 difference'], /answered and recovered, journaled and counted only: 9 and 8/],
  ['a gateway journaled one more', async (stores, [one]) => { one?.account(testHour + 1, { answered: 1, journaled: 1 }); await stores.billing.say(one?.said(testTimeMs + 2 * hourMs, 'closed') ?? []) }, ['gateway-1 +1 difference'], /journaled, archived and dead-lettered and void: 3 and 2/]
]
for (const [what, edit, named, problem] of edits) {
  test(what, async (t) => {
    const { stores, streams } = await fill(t)
    await edit(stores, streams)
    const report = await verify(await openBilling(stores))
    assert.deepEqual(wrong(report), named, allProblems(report))
    assert.match(allProblems(report), problem)
    assert.equal(report.exitCode, 1)
  })
}

test('events that two owners have archived count once, and a forged one is told apart', async (t) => {
  const { stores } = await fill(t)
  await archiveAgain(stores)
  const billing = await openBilling(stores)
  const report = await verify(billing)
  assert.deepEqual(wrong(report), [], allProblems(report))
  assert.equal(report.exitCode, 0, allProblems(report))
  const [file = ''] = archiveFiles(stores, 'two').filter((each) => each.includes('partition-0'))
  const folder = path.join(stores.stateOf('two'), 'partition-0', 'archive')
  const name = path.relative(folder, file)
  const record = globSync('flush/*.json', { cwd: folder }).map((each) => path.join(folder, each)).find((each) => readFileSync(each, 'utf8').includes(name)) ?? ''
  await rewrite('two', (from) => `SELECT * REPLACE (units + 1 AS units) FROM ${from}`)(stores, [])
  const hash = (content: Buffer | string): string => createHash('sha256').update(content).digest('hex')
  const [text = ''] = readFileSync(record, 'utf8').split('\n')
  const parsed = JSON.parse(text) as { files: { file: string, sha256: string, bytes: number }[] }
  const changed = archiveFiles(stores, 'two')[0] ?? ''
  for (const each of parsed.files) if (each.file === path.relative(folder, changed)) Object.assign(each, { sha256: hash(readFileSync(changed)), bytes: readFileSync(changed).length })
  writeFileSync(record, `${JSON.stringify(parsed)}\n${hash(JSON.stringify(parsed))}\n`)
  const forged = await verify(billing)
  assert.match(allProblems(forged), /events of one identity in the archive differ/)
  assert.equal(forged.exitCode, 1)
})

test('two owners that have archived the same under two names', async (t) => {
  const stores = await makeStores(t)
  const stream = stores.stream()
  for (let hour = 0; hour < 8; hour++) stream.append(0, [usageEvent({ requestTimeMs: testTimeMs + hour * hourMs })])
  for (const owner of owners) {
    stores.logs[0]?.rewind()
    await stores.count(owner, 0)
    await stores.flush(owner, 0)
  }
  await stores.billing.say(stream.said(testTimeMs + 8 * hourMs, 'closed'))
  const contents = owners.map((owner) => archiveFiles(stores, owner).map((file) => createHash('sha256').update(readFileSync(file)).digest('hex')).sort())
  assert.equal(contents[0]?.length, 8)
  assert.deepEqual(contents[0], contents[1], 'byte for byte')
  const report = await verify(await openBilling(stores), ({ rows }) => rows.length === 8)
  assert.deepEqual([report.exitCode, wrong(report)], [0, []], allProblems(report))
})

test('a copy on another machine is as good; hours with fewer copies are named and no difference', async (t) => {
  const { stores } = await fill(t)
  cpSync(path.join(stores.stateOf('one'), 'partition-0', 'archive'), path.join(stores.stateOf('two'), 'copies', 'one', 'partition-0', 'archive'), { recursive: true })
  const billing = await openBilling(stores, { copies: 2 })
  await eventually('the hours are complete', () => billing.completeness.report.completeBeforeHour > testHour + 2)
  const report = await verify(billing)
  assert.equal(report.exitCode, 0, allProblems(report))
  assert.deepEqual(report.warnings.map((warning) => warning.replace(/^hour \S+: /, '')), ['2 archive files have fewer than 2 copies', '2 archive files have fewer than 2 copies'])
  for (const file of archiveFiles(stores, 'one')) rmSync(file)
  const rescued = await verify(billing)
  assert.equal(rescued.exitCode, 0, allProblems(rescued))
})

test('an aggregator that can\'t be asked: no proof, and no difference', async (t) => {
  const { stores } = await fill(t)
  const one = await stores.serve('one')
  const billing = await stores.billing.open({ aggregators: [one, { url: 'http://127.0.0.1:9', token: one.token }] })
  await eventually('billing is ready', () => billing.health().isReady)
  const report = await verify(billing)
  assert.equal(report.exitCode, 2)
  assert.match(report.unchecked.join(), /http:\/\/127\.0\.0\.1:9: /)
  assert.deepEqual(report.problems, [])
  assert.ok(report.rows.every(({ status }) => status === 'open'))
  await assert.rejects(billing.verify.acknowledge({ gatewayId: 'gateway-1', hour: testHour, reason: 'seen' }), { code: 'NOTHING_TO_ACKNOWLEDGE', message: /nobody can know yet.*http:\/\/127\.0\.0\.1:9: / })
  const denied = await stores.billing.open({ name: 'denied', aggregators: [{ url: one.url, token: 'x'.repeat(32) }] })
  await eventually('billing is ready', () => denied.health().isReady)
  assert.match((await verify(denied)).unchecked.join(), /answers \/files with 401/)
  const none = await stores.billing.open({ name: 'none' })
  await eventually('billing is ready', () => none.health().isReady)
  assert.match((await verify(none)).unchecked.join(), /`aggregators` is empty/)
})

test('an hour that goes on is compared to the last digit at a mark, and is open behind it', async (t) => {
  const stores = await makeStores(t)
  const stream = stores.stream()
  stream.append(0, [usageEvent(), usageEvent()])
  stream.append(1, [usageEvent({ apiKeyId: 12 })])
  await countAll(stores)
  await stores.billing.say(stream.said(testTimeMs + 1))
  const billing = await openBilling(stores)
  const open = await verify(billing)
  assert.deepEqual([wrong(open), open.exitCode], [['gateway-1 +0 open'], 0], allProblems(open))
  await stores.billing.publish(0, [encodeTally(0, { streamId: stream.streamId, hour: testHour }, { gatewayId: 'gateway-1', billable: 1, notBillable: 0, deadLettered: 0, voided: 0 })])
  const different = await verify(billing, ({ exitCode }) => exitCode === 1)
  assert.deepEqual(wrong(different), ['gateway-1 +0 difference'])
  stream.append(1, [usageEvent({ apiKeyId: 12 })])
  await stores.count('two', 1)
  const behind = await verify(billing, ({ rows }) => rows[0]?.archived === 4)
  assert.match(behind.rows[0]?.problems.join() ?? '', /archived, billable and not billable/)
})

test('dead letters and voids exit 1 until they are acknowledged, and again when they change', async (t) => {
  const stores = await makeStores(t)
  const stream = stores.stream()
  stream.append(0, [usageEvent(), usageEvent()], new Map([[1, '{"broken']]))
  stream.lose(1, [usageEvent()])
  stream.lose(1, [usageEvent({ requestTimeMs: testTimeMs + hourMs })], { isHoursUncertain: true })
  await countAll(stores)
  await stores.billing.say(stream.said(testTimeMs + 3 * hourMs, 'closed'))
  const billing = await openBilling(stores)
  const report = await verify(billing)
  assert.deepEqual(wrong(report), ['gateway-1 +0 dead-letter', 'gateway-1 +1 void'], allProblems(report))
  assert.equal(report.exitCode, 1)
  for (const hour of [testHour, testHour + 1]) await billing.verify.acknowledge({ gatewayId: 'gateway-1', hour, reason: 'seen' })
  assert.equal((await verify(billing)).exitCode, 0)
  await assert.rejects(billing.verify.acknowledge({ gatewayId: 'gateway-1', hour: testHour, reason: 'seen' }), { code: 'NOTHING_TO_ACKNOWLEDGE' })
  await assert.rejects(billing.verify.acknowledge({ gatewayId: 'gateway-1', hour: testHour, reason: ' ' }), { code: 'ARGUMENT_INVALID' })
})

test('what an operator has given up is named until it is acknowledged, counted before or not', async (t) => {
  const stores = await makeStores(t)
  const [sound, counted, uncounted] = ['gateway-1', 'gateway-2', 'gateway-3'].map((gatewayId) => stores.stream(gatewayId)) as [ClusterStream, ClusterStream, ClusterStream]
  sound.append(1, [usageEvent({ apiKeyId: 12 })])
  counted.append(0, [usageEvent(), usageEvent()])
  await countAll(stores)
  await stores.loseUnarchived('one', 0)
  const later = { requestTimeMs: testTimeMs + hourMs }
  uncounted.miss(0, [usageEvent(later)])
  uncounted.append(0, [usageEvent(later), usageEvent(later)])
  await stores.count('one', 0)
  for (const stream of [counted, uncounted]) await stores.giveUp('one', 0, stream)
  await stores.billing.say([sound, counted, uncounted].flatMap((stream) => stream.said(testTimeMs + 3 * hourMs, 'closed')))
  const billing = await openBilling(stores)
  const report = await verify(billing)
  assert.deepEqual(report.rows.map(({ gatewayId, hour, status, answered, archived, billable }) => [gatewayId, hour - testHour, status, answered, archived, billable]), [
    ['gateway-1', 0, 'difference', 1, 1, 1], ['gateway-2', 0, 'difference', 2, 0, 2], ['gateway-3', 1, 'void', 3, 2, 2]
  ], allProblems(report))
  assert.match(report.rows[0]?.problems.join() ?? '', /^hourly rows and the archive: count 3 and 1,/, 'of the hour, not of the gateway')
  assert.match(report.rows[1]?.problems.join() ?? '', /archived, billable and not billable: 0 and 2/)
  assert.match(report.rows[2]?.problems.join() ?? '', /^a void took an unknown number of events: 1 by the gateway's account$/)
  assert.equal(report.exitCode, 1)
  for (const { gatewayId, hour } of report.rows) await billing.verify.acknowledge({ gatewayId, hour, reason: 'its disk is gone' })
  const acknowledged = await verify(billing)
  assert.equal(acknowledged.exitCode, 0, allProblems(acknowledged))
})

test('rebuild makes the hourly rows again from all archives, each event once, and names what differs', async (t) => {
  const { stores } = await fill(t)
  await archiveAgain(stores)
  const billing = await openBilling(stores)
  const rebuild = async (): Promise<unknown> => {
    const { rows, refusedHours, differences } = await billing.verify.rebuild()
    return [rows, refusedHours.map((hour) => hour - testHour), differences.map(({ hour, memberId, stored, rebuilt }) => [hour - testHour, memberId, Number(stored?.count ?? 0), Number(rebuilt?.count ?? 0)])]
  }
  assert.deepEqual(await rebuild(), [5, [], []])
  await stores.billing.publish(0, [rowRecord({ memberId: 77, count: 2, units: 6, requestBytes: 20, responseBytes: 200, hour: testHour }), rowRecord({ memberId: 2, count: 0, hour: testHour })])
  await eventually('the ledger has the change', async () => JSON.stringify(await rebuild()) !== JSON.stringify([5, [], []]))
  assert.deepEqual(await rebuild(), [5, [], [[0, 2, 0, 2], [0, 77, 2, 0]]])
  assert.deepEqual(globSync('one/{verify,rebuild}/*', { cwd: stores.billing.folder }), [], 'temporary folders are empty')
})

test('rebuild names hours that can\'t be made again, and is refused where a part of the archive can\'t be seen', async (t) => {
  const { stores } = await fill(t)
  const billing = await openBilling(stores)
  rmSync(archiveFiles(stores, 'one')[0] ?? '')
  const { refusedHours, differences } = await billing.verify.rebuild()
  assert.deepEqual([refusedHours, differences], [[testHour], []])
  const [port = 0] = await freePorts(1)
  const one = await stores.serve('one')
  const other = await stores.billing.open({ aggregators: [one, { url: `http://127.0.0.1:${port}`, token: one.token }] })
  await eventually('it is ready', () => other.health().isReady)
  await assert.rejects(other.verify.rebuild(), { code: 'REBUILD_REFUSED', message: /a part of the archive can't be seen: .*ECONNREFUSED/ })
})

test('waiting: until a newer mark is counted, and no longer than asked', async (t) => {
  const stores = await makeStores(t)
  const stream = stores.stream()
  stream.append(0, [usageEvent()])
  await stores.count('one', 0)
  await stores.billing.say(stream.said(testTimeMs + 1))
  const billing = await openBilling(stores)
  const late = await billing.verify.verify({ waitS: 1 })
  assert.equal(late.exitCode, 2)
  assert.match(late.unchecked.join(), /not everything that was answered was counted within 1 s/)
  stream.append(1, [usageEvent({ apiKeyId: 12 })])
  const waiting = billing.verify.verify({ waitS: 60 })
  // Nothing more to say, mark after mark: as a gateway whose clock is an hour behind would.
  for (let mark = 0; mark < 4; mark++) await stores.billing.say(stream.said(testTimeMs + 2))
  await stores.count('two', 1)
  const report = await waiting
  assert.deepEqual([report.exitCode, report.rows[0]?.archived, report.rows[0]?.answered], [0, 2, 2], allProblems(report))
})

test('waiting: until the archive can be seen whole', async (t) => {
  const { stores } = await fill(t)
  const [port = 0] = await freePorts(1)
  const one = await stores.serve('one')
  const billing = await stores.billing.open({ aggregators: [one, { url: `http://127.0.0.1:${port}`, token: one.token }] })
  await eventually('billing is ready', () => billing.health().isReady)
  await verify(billing, ({ exitCode, rows }) => exitCode === 2 && rows.length > 0)
  const waiting = billing.verify.verify({ waitS: 60 })
  // As long as a report takes, so that the first one finds nobody there.
  await sleep(2_000)
  await stores.serve('two', port)
  const report = await waiting
  assert.equal(report.exitCode, 0, allProblems(report))
})

test('a stream that is counted and has never said hello is named', async (t) => {
  const stores = await makeStores(t)
  const [known, unknown] = [stores.stream(), stores.stream('gateway-9')]
  known.append(0, [usageEvent()])
  unknown.append(0, [usageEvent()])
  await stores.count('one', 0)
  await stores.billing.say([...known.said(testTimeMs + 2 * hourMs), ...saidRecords({ gatewayId: 'gateway-3', streamId: '00000000-0000-4000-8000-000000000003', watermarkMs: 1 })])
  const report = await verify(await openBilling(stores))
  assert.match(report.problems.join(), /gateway-9: stream .* has never said hello/)
  assert.equal(report.exitCode, 1)
})
