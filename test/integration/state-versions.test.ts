// The state of an older version is opened, and what it was is kept beside it; that of a newer one is refused, file by file,
// with both versions and the way out, and nothing of it is changed.
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { copyName, keepCopy, openState, stateVersion, stateVersionName, storeVersions } from '../../src/platform/state-version.ts'
import { version } from '../../src/platform/version.ts'
import { flushAll, foldAll, openTestAggregator, openTestLedger, query, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { toFirstAggregatorVersion } from '../helpers/aggregator-version.ts'
import { makeCliFolder } from '../helpers/cli.ts'
import { MemoryUsageLog, usageEvent } from '../helpers/memory-usage-log.ts'
import { makeFirstVersionRegistry } from '../helpers/sqlite-registry.ts'

const versionFile = (state: string): string => path.join(state, stateVersionName)
const writtenBy = (found: number, program: string): string => `${JSON.stringify({ stateVersion: found, program })}\n`

test('a new state, and one from before there were versions, get this program\'s; it isn\'t written again', (t) => {
  const folder = temporaryFolder(t, 'state')
  writeFileSync(path.join(folder, 'audit.ndjson'), '')
  openState(folder).release()
  assert.deepEqual(JSON.parse(readFileSync(versionFile(folder), 'utf8')), { stateVersion, program: version })
  writeFileSync(versionFile(folder), writtenBy(stateVersion, '0.0.9'))
  openState(folder).release()
  assert.equal(readFileSync(versionFile(folder), 'utf8'), writtenBy(stateVersion, '0.0.9'))
})

test('commands refuse the state of a newer program, name file, versions and the kept copy, and touch nothing', async (t) => {
  const cli = makeCliFolder(t)
  await cli.run('member', 'create', '--name', 'Ada')
  keepCopy(versionFile(cli.state), stateVersion)
  writeFileSync(versionFile(cli.state), writtenBy(stateVersion + 1, '7.0.0'))
  const before = contents(cli.state)
  const refused = await cli.run('member', 'list')
  assert.equal(refused.code, 1)
  assert.match(refused.error, new RegExp(`^STATE_NEWER: ${versionFile(cli.state)}: Tollgate 7\\.0\\.0 has made this state version ${stateVersion + 1}; this program, ${version.replaceAll('.', '\\.')}, knows up to ${stateVersion}; kept from before: \\S+version\\.json\\.version-${stateVersion}\n`))
  assert.match(refused.error, /run that version, or put the copies in their places/)
  assert.deepEqual(contents(cli.state), before)
  // The remedy: what was kept, put back.
  writeFileSync(versionFile(cli.state), readFileSync(copyName(versionFile(cli.state), stateVersion)))
  assert.equal((await cli.run('member', 'list')).code, 0)
})

test('a damaged version is refused, and the lock is free again', (t) => {
  const folder = temporaryFolder(t, 'state')
  openState(folder).release()
  for (const text of ['', '{"stateVersion":"1","program":"x"}', '{"stateVersion":0,"program":"x"}', 'null']) {
    writeFileSync(versionFile(folder), text)
    assert.throws(() => openState(folder), { code: 'STATE_VERSION_UNKNOWN' })
  }
  writeFileSync(versionFile(folder), writtenBy(stateVersion, version))
  openState(folder).release()
})

test('only the last copy is kept, and it is whole or not there', (t) => {
  const folder = temporaryFolder(t, 'state')
  const file = path.join(folder, 'store')
  writeFileSync(file, 'one')
  writeFileSync(`${file}.wal`, 'its log')
  keepCopy(file, 1, ['', '.wal'])
  assert.deepEqual(readdirSync(folder).sort(), ['store', 'store.version-1', 'store.version-1.wal', 'store.wal'])
  writeFileSync(file, 'two')
  keepCopy(file, 2, ['', '.wal'])
  assert.deepEqual(readdirSync(folder).sort(), ['store', 'store.version-2', 'store.version-2.wal', 'store.wal'])
  assert.equal(readFileSync(copyName(file, 2), 'utf8'), 'two')
  // A copy that can't be made: what was there before stays.
  mkdirSync(path.join(folder, 'store.version-3.partial'))
  assert.throws(() => { keepCopy(file, 3) }, { code: 'STATE_UNWRITABLE', message: /store\.version-3 can't be made/ })
  assert.ok(existsSync(copyName(file, 2)))
})

test('the aggregator\'s counts of version 1 go on; version 1 is kept beside them; a newer version is refused by name', async (t) => {
  const folder = temporaryFolder(t, 'state')
  const file = path.join(folder, 'aggregator', 'aggregator.duckdb')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  const first = await openTestAggregator(folder)
  stream.append([usageEvent(), usageEvent({ apiKeyId: 12 })])
  await takeAll(first, log)
  await flushAll(first, log)
  first.close()
  await toFirstAggregatorVersion(file)
  const second = await openTestAggregator(folder)
  stream.append([usageEvent()])
  await takeAll(second, log)
  await flushAll(second, log)
  second.close()
  const kept = copyName(file, 1)
  assert.deepEqual(globSync('*.version-*', { cwd: path.dirname(file) }), [path.basename(kept)])
  assert.deepEqual([await versionIn(kept, 'databaseVersion'), await versionIn(file, 'databaseVersion')], [1, storeVersions.aggregator])
  const counted = async (of: string): Promise<unknown> => (await query<{ counted: bigint }>(of, 'SELECT sum(count)::BIGINT AS counted FROM hourly_0_0'))[0]?.counted
  assert.deepEqual([await counted(kept), await counted(file)], [2n, 3n])
  await query(file, 'UPDATE meta SET databaseVersion = 99')
  await assert.rejects(openTestAggregator(folder), { code: 'AGGREGATOR_NEWER', message: new RegExp(`^${file} has version 99, this program, .*, knows up to ${storeVersions.aggregator}; kept from before: ${kept}$`) })
  assert.equal(await versionIn(file, 'databaseVersion'), 99)
})

test('a ledger of version 1 is made again and kept; a newer one is refused, and made again when it is moved away', async (t) => {
  const folder = temporaryFolder(t, 'state')
  const file = path.join(folder, 'billing', 'ledger.duckdb')
  const log = new MemoryUsageLog()
  log.openStream().append([usageEvent(), usageEvent()])
  const aggregator = await openTestAggregator(folder)
  t.after(() => { aggregator.close() })
  await takeAll(aggregator, log)
  const folded = async (): Promise<number> => {
    const ledger = await openTestLedger(folder)
    await foldAll(aggregator, ledger)
    const { count } = await ledger.totals()
    await ledger.close()
    return count
  }
  assert.equal(await folded(), 2)
  const [{ fold } = { fold: 0 }] = await query<{ fold: number }>(file, 'SELECT fold FROM folds WHERE isCurrent')
  await query(file, `DROP TABLE cold_days_${fold}; UPDATE meta SET version = 1`)
  assert.equal(await folded(), 2)
  assert.deepEqual([await versionIn(copyName(file, 1), 'version'), await versionIn(file, 'version')], [1, storeVersions.ledger])
  await query(file, 'UPDATE meta SET version = 99')
  await assert.rejects(openTestLedger(folder), { code: 'LEDGER_NEWER', message: new RegExp(`^${file} has version 99`) })
  assert.equal(await versionIn(file, 'version'), 99)
})

test('a registry of the first version keeps what is in it and a copy of what it was; a newer one is refused by name', async (t) => {
  const made = await makeFirstVersionRegistry(t)
  const later = made.openRegistry()
  assert.equal((await later.listKeys({})).length, 1)
  await later.close()
  const versionOf = (file: string): unknown => {
    const aside = path.join(made.folder, 'looked-at.sqlite')
    copyFileSync(file, aside)
    const database = new DatabaseSync(aside)
    try { return [database.prepare('pragma user_version').get()?.['user_version'], database.prepare('select count(*) as members from member').get()?.['members']] } finally { database.close() }
  }
  assert.deepEqual([versionOf(copyName(made.file, 1)), versionOf(made.file)], [[1, 1], [storeVersions.registry, 1]])
  const database = new DatabaseSync(made.file)
  database.exec('pragma user_version = 99')
  database.close()
  assert.throws(() => made.openRegistry(), { code: 'REGISTRY_NEWER', message: new RegExp(`^${made.file} has version 99, this program, .*, knows up to ${storeVersions.registry}; kept from before: ${copyName(made.file, 1)}$`) })
})

test('a cluster\'s roles have a state of their own, each with its version', (t) => {
  const state = temporaryFolder(t, 'state')
  const roles = ['role-gateway', 'role-aggregator', 'role-billing'].map((role) => path.join(state, role))
  for (const role of roles) openState(role).release()
  writeFileSync(versionFile(roles[0] ?? ''), writtenBy(stateVersion + 1, '7.0.0'))
  assert.deepEqual(roles.map((role) => { try { openState(role).release(); return 'opened' } catch (error) { return (error as { readonly code: string }).code } }), ['STATE_NEWER', 'opened', 'opened'])
})

async function versionIn (file: string, column: string): Promise<unknown> {
  const [row] = await query<Record<string, unknown>>(file, `SELECT ${column} FROM meta`)
  return row?.[column]
}

/** Every file with its size and bytes, but for the lock's own. */
function contents (folder: string): readonly (readonly [string, string])[] {
  return globSync('**/*', { cwd: folder }).sort().filter((name) => !name.startsWith('lock') && statSync(path.join(folder, name)).isFile()).map((name) => [name, readFileSync(path.join(folder, name), 'hex')])
}
