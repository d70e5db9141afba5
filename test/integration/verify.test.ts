// `verify` on real stores: one event removed, one doubled, one moved by an hour in each of them, by other code than the
// program's; it must name gateway and hour. And `rebuild`, which makes the rows again from the archive.
import assert from 'node:assert/strict'
import { globSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openConservation } from '../../src/aggregator/conservation.ts'
import { openOperations } from '../../src/aggregator/operations.ts'
import type { AggregatorOperations } from '../../src/aggregator/operations.ts'
import type { OpenedAggregator } from '../../src/aggregator/open.ts'
import type { VerifyReport } from '../../src/aggregator/verify.ts'
import type { Ledger } from '../../src/ledger/ledger-types.ts'
import { flushAll, foldAll, openTestAggregator, openTestLedger, query, silent, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { MemoryUsageLog, testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'

const hour = 3_600_000
const databaseFile = (folder: string): string => path.join(folder, 'aggregator', 'aggregator.duckdb')
const ledgerFile = (folder: string): string => path.join(folder, 'billing', 'ledger.duckdb')
const parquet = (folder: string): string[] => globSync('archive/date=*/hour=*/*.parquet', { cwd: folder }).map((file) => path.join(folder, file)).sort()

/** Two gateways, two hours, closed streams, three flushes, two closed segments and an open one, and the ledger behind it all. */
async function fill (t: TestContext): Promise<string> {
  const folder = temporaryFolder(t, 'verify')
  const log = new MemoryUsageLog()
  const opened = await openTestAggregator(folder, { segmentRowsMax: 3 })
  const ledger = await openTestLedger(folder)
  const [one, two] = [log.openStream('gateway-1'), log.openStream('gateway-2')]
  for (let flush = 0; flush < 2; flush++) {
    one.append([usageEvent(), usageEvent({ memberId: 2 }), usageEvent({ responseStatus: 503 })])
    two.append([usageEvent({ requestTimeMs: testTimeMs + 2 * hour, units: 3 }), usageEvent({ requestTimeMs: testTimeMs + 2 * hour, apiKeyId: 12 })])
    await takeAll(opened, log)
    await flushAll(opened, log)
  }
  two.append([usageEvent({ requestTimeMs: testTimeMs + 2 * hour, apiKeyId: 12 })])
  await takeAll(opened, log)
  await flushAll(opened, log)
  one.countOnly(testHour, 5)
  one.mark({ state: 'closed' })
  two.mark({ state: 'closed' })
  await takeAll(opened, log)
  await foldAll(opened, ledger)
  await ledger.close()
  opened.close()
  return folder
}

interface Stores { readonly opened: OpenedAggregator, readonly ledger: Ledger, readonly operations: AggregatorOperations, readonly verify: () => Promise<VerifyReport> }

async function openStores (t: TestContext, folder: string, { isFolded = false } = {}): Promise<Stores> {
  const opened = await openTestAggregator(folder, { segmentRowsMax: 3 })
  const ledger = await openTestLedger(folder)
  t.after(async () => {
    await ledger.close()
    opened.close()
  })
  if (isFolded) await foldAll(opened, ledger)
  const operations = openOperations({
    aggregator: opened.aggregator, exclusively: (work) => work(), flush: async () => { await opened.aggregator.flush() }, problems: opened.problems, log: silent, nowMs: () => testTimeMs
  })
  return { opened, ledger, operations, verify: async () => await operations.verify({ ledger: await ledger.totals() }) }
}

async function verifyFolder (t: TestContext, folder: string): Promise<VerifyReport> {
  return await (await openStores(t, folder)).verify()
}

/** Gateway, hour and status of what isn't right. */
const wrong = (report: VerifyReport): string[] => report.rows.filter(({ status }) => status !== 'ok').map(({ gatewayId, hour, status }) => `${gatewayId} +${hour - testHour} ${status}`)
const allProblems = (report: VerifyReport): string => JSON.stringify([report.problems, report.rows.map(({ problems }) => problems)])

test('stores that agree', async (t) => {
  const report = await verifyFolder(t, await fill(t))
  assert.deepEqual(wrong(report), [], allProblems(report))
  assert.deepEqual(report.problems, [])
  assert.equal(report.exitCode, 0)
  assert.deepEqual(report.rows.map(({ gatewayId, hour, answered, journaled, countedOnly, archived, billable, notBillable, ledgerCount }) => [gatewayId, hour - testHour, answered, journaled, countedOnly, archived, billable, notBillable, ledgerCount]), [
    ['gateway-1', 0, 11, 6, 5, 6, 4, 2, 4], ['gateway-2', 2, 5, 5, 0, 5, 5, 0, 5]
  ])
})

/** Rewrites the first archive file that holds the hour. */
async function rewriteArchive (folder: string, select: (from: string) => string): Promise<void> {
  const [file = ''] = parquet(folder)
  await query(':memory:', `COPY (${select(`read_parquet('${file}', hive_partitioning = false)`)}) TO '${file}.new' (FORMAT parquet)`)
  renameSync(`${file}.new`, file)
}

const openTable = async (folder: string): Promise<string> => (await query<{ name: string }>(databaseFile(folder), 'SELECT table_name AS name FROM duckdb_tables() WHERE starts_with(table_name, \'hourly_\')'))[0]?.name ?? ''
const closedSegment = (folder: string): string => globSync('aggregator/segments/*.parquet', { cwd: folder }).map((file) => path.join(folder, file)).sort()[0] ?? ''

const edits: readonly (readonly [store: string, what: string, edit: (folder: string) => Promise<void>, named: readonly string[]])[] = [
  ['the archive', 'one event removed', async (folder) => { await rewriteArchive(folder, (from) => `SELECT * FROM ${from} WHERE seq <> 2`) }, ['gateway-1 +0 difference']],
  ['the archive', 'one event doubled', async (folder) => { await rewriteArchive(folder, (from) => `SELECT * FROM ${from} UNION ALL SELECT * FROM ${from} WHERE seq = 2`) }, ['gateway-1 +0 difference']],
  ['the archive', 'one event moved by an hour', async (folder) => { await rewriteArchive(folder, (from) => `SELECT * REPLACE (CASE WHEN seq = 2 THEN requestTime + INTERVAL 1 HOUR ELSE requestTime END AS requestTime) FROM ${from}`) }, ['gateway-1 +0 difference', 'gateway-1 +1 difference']],
  ['the archive', 'a file removed', async (folder) => { rmSync(parquet(folder)[0] ?? '') }, ['gateway-1 +0 difference']],
  ['the archive', 'a file cut short', async (folder) => { writeFileSync(parquet(folder)[0] ?? '', readFileSync(parquet(folder)[0] ?? '').subarray(0, 100)) }, ['gateway-1 +0 difference']],
  ['the tallies', 'one event removed', async (folder) => { await query(databaseFile(folder), 'UPDATE tallies SET billable = billable - 1 WHERE gatewayId = \'gateway-2\'') }, ['gateway-2 +2 difference']],
  ['the tallies', 'one event doubled', async (folder) => { await query(databaseFile(folder), 'UPDATE tallies SET notBillable = notBillable + 1 WHERE gatewayId = \'gateway-1\'') }, ['gateway-1 +0 difference']],
  ['the tallies', 'moved by an hour', async (folder) => { await query(databaseFile(folder), 'UPDATE tallies SET hour = hour + 1 WHERE gatewayId = \'gateway-1\'') }, ['gateway-1 +0 difference', 'gateway-1 +1 difference']],
  ['the hourly rows', 'one event removed', async (folder) => { await query(databaseFile(folder), `UPDATE ${await openTable(folder)} SET count = count - 1 WHERE hour = ${testHour + 2} AND apiKeyId = 12`) }, ['gateway-2 +2 difference']],
  ['the hourly rows', 'one event doubled', async (folder) => { await query(databaseFile(folder), `UPDATE ${await openTable(folder)} SET count = count + 1 WHERE hour = ${testHour + 2} AND apiKeyId = 12`) }, ['gateway-2 +2 difference']],
  ['the hourly rows', 'moved by an hour', async (folder) => { await query(databaseFile(folder), `UPDATE ${await openTable(folder)} SET hour = hour - 2 WHERE hour = ${testHour + 2} AND apiKeyId = 12`) }, ['gateway-1 +0 difference', 'gateway-2 +2 difference']],
  ['the hourly rows', 'put to another member', async (folder) => { await query(databaseFile(folder), `UPDATE ${await openTable(folder)} SET memberId = 77 WHERE hour = ${testHour + 2} AND apiKeyId = 12`) }, ['gateway-2 +2 difference']],
  ['a closed segment', 'damaged', async (folder) => { writeFileSync(closedSegment(folder), 'x') }, ['gateway-1 +0 difference', 'gateway-2 +2 difference']],
  ['the ledger', 'one event removed', async (folder) => { await query(ledgerFile(folder), `UPDATE cold_1 SET count = count - 1 WHERE hour = ${testHour} AND memberId = 2`) }, ['gateway-1 +0 difference']],
  ['the ledger', 'one event doubled', async (folder) => { await query(ledgerFile(folder), `INSERT INTO cold_1 SELECT * FROM cold_1 WHERE hour = ${testHour} AND memberId = 2`) }, ['gateway-1 +0 difference']],
  ['the ledger', 'moved by an hour', async (folder) => { await query(ledgerFile(folder), `UPDATE cold_1 SET hour = hour + 2 WHERE hour = ${testHour} AND memberId = 2`) }, ['gateway-1 +0 difference', 'gateway-2 +2 difference']],
  ['the ledger', 'put to another key', async (folder) => { await query(ledgerFile(folder), `UPDATE cold_1 SET apiKeyId = 99 WHERE hour = ${testHour} AND memberId = 2`) }, ['gateway-1 +0 difference']],
  ['the ledger', 'a day changed', async (folder) => { await query(ledgerFile(folder), 'UPDATE cold_days_1 SET count = count + 1 WHERE memberId = 2') }, ['gateway-1 +0 difference']],
  ['the gateway\'s account', 'one answer removed', async (folder) => { await query(databaseFile(folder), 'UPDATE hour_marks SET answered = answered - 1 WHERE gatewayId = \'gateway-2\'') }, ['gateway-2 +2 difference']],
  ['the gateway\'s account', 'one event more journaled', async (folder) => { await query(databaseFile(folder), 'UPDATE hour_marks SET journaled = journaled + 1, answered = answered + 1 WHERE gatewayId = \'gateway-2\'') }, ['gateway-2 +2 difference']]
]
for (const [store, what, edit, named] of edits) {
  test(`${store}: ${what}`, async (t) => {
    const folder = await fill(t)
    await edit(folder)
    const report = await verifyFolder(t, folder)
    assert.deepEqual(wrong(report), named, allProblems(report))
    assert.equal(report.exitCode, 1)
  })
}

test('the metric of conservation: what gateways say against what is counted, but for what was acknowledged', async (t) => {
  const stores = await openStores(t, await fill(t))
  const { aggregator } = stores.opened
  const conservation = await openConservation(aggregator)
  t.after(() => { conservation.close() })
  const differencesAfter = async (sql: string): Promise<number> => {
    await aggregator.parts.writer.run(sql)
    return await conservation.differences()
  }
  assert.equal(await conservation.differences(), 0)
  assert.equal(await differencesAfter('UPDATE tallies SET billable = billable - 1 WHERE gatewayId = \'gateway-2\''), 1)
  assert.equal(await differencesAfter('UPDATE stream_marks SET state = \'open\', watermarkMs = 0 WHERE gatewayId = \'gateway-2\''), 0, 'an hour that may still change')
  assert.equal(await differencesAfter('UPDATE stream_marks SET state = \'closed\' WHERE gatewayId = \'gateway-2\''), 1)
  assert.equal(await differencesAfter('UPDATE hour_marks SET answered = answered + 1 WHERE gatewayId = \'gateway-1\''), 2)
  await stores.operations.acknowledge({ gatewayId: 'gateway-2', hour: testHour + 2, reason: 'it is known', ledger: await stores.ledger.totals() })
  assert.equal(await conservation.differences(), 1)
  assert.equal(await differencesAfter('UPDATE tallies SET billable = billable - 1 WHERE gatewayId = \'gateway-2\''), 2, 'other numbers than those that were acknowledged')
})

test('a seq that is missing in the archive is named, with files that are as they were written', async (t) => {
  const folder = await fill(t)
  await query(databaseFile(folder), 'DELETE FROM archive_files WHERE file IN (SELECT min(file) FROM archive_files); UPDATE tallies SET billable = billable - 2, notBillable = notBillable - 1 WHERE gatewayId = \'gateway-1\'')
  const report = await verifyFolder(t, folder)
  assert.match(allProblems(report), /seqs 1 to 3 are not in the archive/)
  assert.equal(report.exitCode, 1)
})

test('copies of events in two files are one event each, and told apart from a forgery', async (t) => {
  const folder = await fill(t)
  const [file = ''] = parquet(folder)
  const copy = `${path.basename(file, '.parquet')}-copy`
  const orphan = path.join(path.dirname(file), `${copy}.parquet`)
  writeFileSync(orphan, readFileSync(file))
  const stores = await openStores(t, folder, { isFolded: true })
  assert.deepEqual(stores.opened.problems, [])
  assert.deepEqual(wrong(await stores.verify()), [])
  const forged = await fill(t)
  const [original = ''] = parquet(forged)
  await query(':memory:', `COPY (SELECT * REPLACE (units + 1 AS units) FROM read_parquet('${original}', hive_partitioning = false)) TO '${path.join(path.dirname(original), 'forged.parquet')}' (FORMAT parquet)`)
  const report = await (await openStores(t, forged, { isFolded: true })).verify()
  assert.match(allProblems(report), /events of one identity in the archive differ/)
  assert.equal(report.exitCode, 1)
})

test('dead letters and voids exit 1 until they are acknowledged, and again when they change', async (t) => {
  const folder = temporaryFolder(t, 'verify')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  stream.append([usageEvent(), usageEvent()], new Map([[0, 'rubbish']]))
  stream.void([usageEvent({ requestTimeMs: testTimeMs + hour })])
  stream.void([usageEvent({ requestTimeMs: testTimeMs + 2 * hour })], { isHoursUncertain: true })
  stream.mark({ watermarkMs: testTimeMs + 9 * hour })
  const stores = await openStores(t, folder)
  await takeAll(stores.opened, log)
  await foldAll(stores.opened, stores.ledger)
  const report = await stores.verify()
  assert.deepEqual(wrong(report), ['gateway-1 +0 dead-letter', 'gateway-1 +1 void', 'gateway-1 +2 void'])
  assert.equal(report.exitCode, 1)
  const ledger = await stores.ledger.totals()
  for (const each of [0, 1, 2]) await stores.operations.acknowledge({ gatewayId: 'gateway-1', hour: testHour + each, reason: 'seen', ledger })
  await assert.rejects(stores.operations.acknowledge({ gatewayId: 'gateway-1', hour: testHour, reason: 'twice', ledger }), { code: 'NOTHING_TO_ACKNOWLEDGE' })
  await assert.rejects(stores.operations.acknowledge({ gatewayId: 'gateway-1', hour: testHour, reason: ' ', ledger }), { code: 'ARGUMENT_INVALID' })
  const after = await stores.verify()
  assert.deepEqual(after.rows.map(({ status }) => status), ['acknowledged', 'acknowledged', 'acknowledged'])
  assert.equal(after.exitCode, 0)
  stream.append([usageEvent(), usageEvent()], new Map([[0, 'rubbish']]))
  stream.mark()
  await takeAll(stores.opened, log)
  assert.deepEqual(wrong(await stores.verify()).slice(0, 1), ['gateway-1 +0 dead-letter'])
})

test('an hour that moves is open, and events behind the last mark change nothing', async (t) => {
  const folder = temporaryFolder(t, 'verify')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  const stores = await openStores(t, folder)
  stream.append([usageEvent(), usageEvent()])
  stream.mark({ watermarkMs: testTimeMs })
  stream.append([usageEvent()])
  await takeAll(stores.opened, log)
  await foldAll(stores.opened, stores.ledger)
  const report = await stores.verify()
  assert.deepEqual(report.rows.map(({ status, answered, archived, billable, ledgerCount }) => [status, answered, archived, billable, ledgerCount]), [['open', 2, 2, 2, 3]], allProblems(report))
  assert.equal(report.exitCode, 0)
})

test('what can\'t be checked exits 2', async (t) => {
  const stores = await openStores(t, await fill(t))
  assert.equal((await stores.operations.verify({})).exitCode, 2)
  const totals = await stores.ledger.totals()
  assert.equal((await stores.operations.verify({ ledger: { ...totals, positions: [{ historyId: 'other', term: 1, revision: 1 }] } })).exitCode, 2)
})

test('a ledger that is behind is open, not different', async (t) => {
  const folder = temporaryFolder(t, 'verify')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  const stores = await openStores(t, folder)
  stream.append([usageEvent()])
  await takeAll(stores.opened, log)
  await foldAll(stores.opened, stores.ledger)
  stream.append([usageEvent()])
  stream.mark({ state: 'closed' })
  await takeAll(stores.opened, log)
  const report = await stores.verify()
  assert.deepEqual(report.rows.map(({ status, ledgerCount }) => [status, ledgerCount]), [['open', 1]])
  assert.equal(report.exitCode, 0)
})

test('a stream that is held back is named', async (t) => {
  const stores = await openStores(t, await fill(t))
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  stream.append([usageEvent()])
  stream.append([usageEvent()])
  log.items.shift()
  await takeAll(stores.opened, log)
  const report = await stores.verify()
  assert.match(report.problems.join(), new RegExp(`stream ${stream.streamId} is held back`))
  assert.equal(report.exitCode, 1)
})

test('rebuild finds nothing where nothing is wrong, and the rows that are', async (t) => {
  const folder = await fill(t)
  const sound = await openStores(t, folder)
  const { differences: _none, ...report } = await sound.operations.rebuild({})
  assert.deepEqual(report, { refusedHours: [], rows: 4, differenceCount: 0, isApplied: false })
  const edited = await fill(t)
  await query(databaseFile(edited), `UPDATE ${await openTable(edited)} SET units = units + 1 WHERE apiKeyId = 12`)
  const found = await (await openStores(t, edited)).operations.rebuild({})
  assert.equal(found.differenceCount, 1)
  assert.deepEqual([found.differences[0]?.hour, found.differences[0]?.apiKeyId, found.differences[0]?.stored?.units, found.differences[0]?.rebuilt?.units], [testHour + 2, 12, 4n, 3n])
})

test('rebuild puts the rows right, and every ledger reads them again', async (t) => {
  const folder = await fill(t)
  await query(databaseFile(folder), `UPDATE ${await openTable(folder)} SET units = units + 1, memberId = 3 WHERE apiKeyId = 12; UPDATE tallies SET billable = 1, notBillable = 7`)
  writeFileSync(closedSegment(folder), 'x')
  const stores = await openStores(t, folder)
  assert.equal((await stores.verify()).exitCode, 1)
  const { term } = stores.opened.aggregator.state
  assert.equal((await stores.operations.rebuild({ apply: true })).isApplied, true)
  assert.ok(stores.opened.aggregator.state.term > term)
  assert.ok(await foldAll(stores.opened, stores.ledger) > 0)
  const report = await stores.verify()
  assert.deepEqual(wrong(report), [], allProblems(report))
  assert.deepEqual(report.problems, [])
  assert.equal((await stores.ledger.totals()).count, 9)
  assert.equal((await stores.operations.rebuild({})).differenceCount, 0)
})

test('rebuild refuses hours whose archive is incomplete, by name', async (t) => {
  const folder = await fill(t)
  rmSync(parquet(folder)[0] ?? '')
  const stores = await openStores(t, folder)
  assert.deepEqual((await stores.operations.rebuild({})).refusedHours, [testHour])
  const before = await stores.opened.aggregator.parts.writer.rows('SELECT * FROM meta')
  await assert.rejects(stores.operations.rebuild({ apply: true }), { code: 'REBUILD_REFUSED', message: new RegExp(new Date(testTimeMs).toISOString().slice(0, 13)) })
  assert.deepEqual(await stores.opened.aggregator.parts.writer.rows('SELECT * FROM meta'), before)
})

test('rebuild after a flush that nobody else has seen yet', async (t) => {
  const folder = temporaryFolder(t, 'verify')
  const log = new MemoryUsageLog()
  log.openStream().append([usageEvent(), usageEvent()])
  const stores = await openStores(t, folder)
  await takeAll(stores.opened, log)
  const report = await stores.operations.rebuild({ apply: true })
  assert.deepEqual([report.rows, report.differenceCount], [1, 0])
  await foldAll(stores.opened, stores.ledger)
  assert.equal((await stores.ledger.totals()).count, 2)
})

test('status tells where the aggregator stands', async (t) => {
  const { operations, opened } = await openStores(t, await fill(t))
  const status = operations.status()
  assert.equal(status.revision, opened.aggregator.state.revision)
  assert.deepEqual(status.watermarks, [{ gatewayId: 'gateway-1', watermarkMs: null }, { gatewayId: 'gateway-2', watermarkMs: null }])
  assert.deepEqual([status.gaps, status.archiveProblems, status.waitingEvents], [[], [], 0])
})
