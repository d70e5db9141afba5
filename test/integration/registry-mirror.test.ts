// A gateway's copy of the registry in Redis, whatever becomes of Redis.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import { DatabaseSync } from 'node:sqlite'
import { digestOfSecret } from '../../src/domain/opaque-key.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { KeyDirectory } from '../../src/registry/port.ts'
import { openSqliteRegistry } from '../../src/registry/sqlite.ts'
import { eventually } from '../helpers/eventually.ts'
import { makeRedisRegistryRig } from '../helpers/redis-registry.ts'
import type { RedisRegistryRig, TestGateway } from '../helpers/redis-registry.ts'
import { toFirstVersion } from '../helpers/sqlite-registry.ts'
import { startRedis } from '../services/redis.ts'

const server = await startRedis({ after })
const coded = (code: string) => (error: unknown): boolean => (error as { code?: string }).code === code
const base = 'tollgate:{registry}:'

const stateOf = ({ nowMs }: RedisRegistryRig, directory: KeyDirectory, apiKeyId: number, issuedAtMs = nowMs()): string => directory.stateOf(apiKeyId, Math.floor(issuedAtMs / 1000), nowMs()).state

async function valueOf ({ mirror }: TestGateway, name: string): Promise<number> {
  return (await mirror.metrics()).filter((metric) => metric.name === name).flatMap(({ values }) => values).reduce((sum, { value }) => sum + value, 0)
}

function rowsOf ({ file }: TestGateway, sql: string): unknown[] {
  const database = new DatabaseSync(file, { readOnly: true })
  try { return database.prepare(sql).all() } finally { database.close() }
}

test('a revocation reaches every gateway within a second, by message and, where that is lost, by looking', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  for (let i = 0; i < 3; i++) await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  const told = await rig.startGateway({ sweepMs: 3_600_000 })
  const looking = await rig.startGateway()
  for (const { directory } of [told, looking]) assert.equal(stateOf(rig, directory, 1), 'active')
  await registry.revokeKey(1)
  for (const { directory } of [told, looking]) await eventually('it is revoked', () => stateOf(rig, directory, 1) === 'revoked', { withinMs: 1_000, everyMs: 5 })
  // No message: the version tells.
  await server.command('SET', `${base}revoked:2`, String(rig.nowMs()))
  await server.command('ZADD', `${base}changes`, String(await server.command('INCR', `${base}version`)), 'k2')
  await eventually('it is revoked', () => stateOf(rig, looking.directory, 2) === 'revoked', { withinMs: 1_000, everyMs: 5 })
  assert.equal(stateOf(rig, told.directory, 2), 'active')
  told.mirror.poke()
  await eventually('it is revoked', () => stateOf(rig, told.directory, 2) === 'revoked', { withinMs: 1_000, everyMs: 5 })
})

test('many changes by several administrators at a time: every number once, every gateway the same', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registries = await Promise.all([rig.openRegistry(), rig.openRegistry(), rig.openRegistry()])
  const gateway = await rig.startGateway()
  const members = await Promise.all(registries.flatMap((registry) => Array.from({ length: 20 }, (_, index) => registry.createMember({ name: `member ${index}` }))))
  assert.deepEqual(members.map(({ memberId }) => memberId).sort((a, b) => a - b), Array.from({ length: 60 }, (_, index) => index + 1))
  const keys = await Promise.all(members.flatMap(({ memberId }, index) => Array.from({ length: 10 }, async () => await registries[index % 3]?.createKey({ memberId, grade: 'GRADE_FREE' }))))
  assert.equal(new Set(keys.map((key) => key?.apiKeyId)).size, 600)
  await Promise.all(Array.from({ length: 100 }, async (_, index) => { await registries[index % 3]?.revokeKey(index * 3 + 1) }))
  rig.advanceMs(5_000)
  // The same key by all three at a time: none of the rotations is lost.
  const rotated = await Promise.all(registries.map((registry) => registry.rotateKey(599, { overlapMs: 60_000 })))
  assert.equal(new Set(rotated.map(({ rotatedAtMs }) => rotatedAtMs)).size, 3)
  const version = Number(await server.command('GET', `${base}version`))
  await eventually('the copy has all', () => (rowsOf(gateway, 'select version from mirror') as { version: number }[])[0]?.version === version)
  assert.deepEqual(rowsOf(gateway, 'select count(*) as n from member').concat(rowsOf(gateway, 'select count(*) as n from api_key'), rowsOf(gateway, 'select count(*) as n from revocation'), rowsOf(gateway, 'select count(*) as n from rotation')).map((row) => (row as { n: number }).n), [60, 600, 100, 1])
  // Once when nothing was there, and once when there was a registry.
  assert.equal(await valueOf(gateway, 'tollgate_registry_full_reads_total'), 2)
  const late = await rig.startGateway()
  for (const table of ['member', 'api_key', 'revocation', 'rotation']) assert.deepEqual(rowsOf(late, `select * from ${table}`), rowsOf(gateway, `select * from ${table}`), table)
})

test('an emptied Redis un-revokes nothing, gives no number away again, and what it had is set aside', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  const { createdAtMs } = await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  rig.advanceMs(10_000)
  await registry.rotateKey(1, { overlapMs: 0 })
  await registry.revokeKey(2)
  await registry.revokeKey(77)
  const gateway = await rig.startGateway()
  await server.flush()
  await eventually('our refusals are in Redis again', async () => await server.command('GET', `${base}revoked:77`) !== null)
  await eventually('the copy follows', () => rowsOf(gateway, 'select * from api_key').length === 0)
  assert.deepEqual([stateOf(rig, gateway.directory, 2), stateOf(rig, gateway.directory, 77), stateOf(rig, gateway.directory, 1, createdAtMs)], ['revoked', 'revoked', 'rotated'])
  // A new gateway knows it too.
  const late = await rig.startGateway()
  assert.deepEqual([stateOf(rig, late.directory, 2), stateOf(rig, late.directory, 77), stateOf(rig, late.directory, 1, createdAtMs)], ['revoked', 'revoked', 'rotated'])
  assert.deepEqual([(await registry.createMember({ name: 'Bela' })).memberId, (await registry.createKey({ memberId: 2, grade: 'GRADE_FREE' })).apiKeyId], [2, 3])
  const [file = ''] = readdirSync(gateway.folder).filter((name) => name.startsWith('registry-set-aside-'))
  const lines = readFileSync(path.join(gateway.folder, file), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as { kind?: string })
  assert.deepEqual(lines.map(({ kind }) => kind), [undefined, 'issued', 'issued', 'member', 'key', 'key', 'revoked', 'revoked', 'rotated', 'end'])
  await registry.importRecords(lines.slice(1, -1) as never)
  await eventually('the keys are back', () => stateOf(rig, late.directory, 1) === 'active' && stateOf(rig, gateway.directory, 1) === 'active')
  assert.deepEqual([stateOf(rig, gateway.directory, 2), stateOf(rig, gateway.directory, 1, createdAtMs)], ['revoked', 'rotated'])
})

test('an opaque key goes with Redis and comes back with it, and a copy of an older version learns its secrets', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE', secretDigest: digestOfSecret('one') })
  const gateway = await rig.startGateway()
  const claims = { apiKeyId: 1, memberId: 1, grade: 'GRADE_FREE', iatS: Math.floor(rig.nowMs() / 1000) }
  assert.deepEqual(gateway.directory.claimsOf(digestOfSecret('one')), claims)
  await gateway.stop()
  toFirstVersion(gateway.file)
  const again = await rig.startGateway({}, gateway.folder)
  assert.deepEqual(again.directory.claimsOf(digestOfSecret('one')), claims)
  const { records } = await registry.exportPage('keys 0')
  await server.flush()
  await eventually('it is gone', () => again.directory.claimsOf(digestOfSecret('one')) === 'unknown')
  // Another service's registry under the same numbers: the number alone opens nothing.
  await registry.createMember({ name: 'Somebody else', memberId: 1 })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE', apiKeyId: 1, secretDigest: digestOfSecret('another') })
  await eventually('it is there', () => again.directory.claimsOf(digestOfSecret('another')) !== 'unknown')
  assert.equal(again.directory.claimsOf(digestOfSecret('one')), 'unknown')
  assert.equal((await registry.importRecords(records)).problem?.code, 'KEY_EXISTS')
})

test('a Redis that has lost its last changes at a restart gets the revocations back', async (t) => {
  const lossy = await startRedis(t, { settings: ['--save', '3600 1'] })
  const rig = makeRedisRegistryRig(t, lossy.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await lossy.command('SAVE')
  const gateway = await rig.startGateway()
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.revokeKey(1)
  await eventually('it is revoked', () => stateOf(rig, gateway.directory, 1) === 'revoked')
  await lossy.kill()
  assert.equal(stateOf(rig, gateway.directory, 1), 'revoked')
  await lossy.start()
  await eventually('the revocation is in Redis again', async () => await lossy.command('GET', `${base}revoked:1`) !== null)
  assert.equal(stateOf(rig, gateway.directory, 1), 'revoked')
  await eventually('our registry is connected again', async () => (await registry.listKeys({})).length === 1)
  // The number of the key that was lost is not given to somebody else.
  assert.equal((await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })).apiKeyId, 3)
})

test('a gateway that knows its keys starts without Redis; one that never did does not', async (t) => {
  const away = await startRedis(t)
  const rig = makeRedisRegistryRig(t, away.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.revokeKey(9)
  const first = await rig.startGateway()
  await first.stop()
  await away.kill()
  const again = await rig.startGateway({}, first.folder)
  assert.deepEqual([stateOf(rig, again.directory, 1), stateOf(rig, again.directory, 9)], ['active', 'revoked'])
  await assert.rejects(rig.startGateway(), coded('REDIS_UNREACHABLE'))
  await again.stop()
  // The last contact is known over a restart: too long ago.
  rig.advanceMs(20_000)
  const stale = await rig.startGateway({ stalenessMsMax: 10_000 }, first.folder)
  assert.deepEqual([1, 9, 5].map((id) => stateOf(rig, stale.directory, id)), ['unchecked', 'revoked', 'unchecked'])
  const { isReady, reasons } = await stale.mirror.health()
  assert.ok(isReady && /keys count as unknown/.test(reasons[0] ?? ''))
  await away.start()
  await eventually('it was emptied, so the key is unknown', () => stateOf(rig, stale.directory, 1) === 'unknown')
  assert.equal(stateOf(rig, stale.directory, 9), 'revoked')
  assert.deepEqual((await stale.mirror.health()).reasons, [])
})

test('known keys go on while Redis is away, up to the staleness bound', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.revokeKey(2)
  const gateway = await rig.startGateway({ stalenessMsMax: 2_000 })
  assert.equal(stateOf(rig, gateway.directory, 1), 'active')
  const { untilMs } = gateway.directory.stateOf(1, 0, rig.nowMs())
  assert.ok(untilMs <= rig.nowMs() + 2_000, 'no longer than the contact holds')
  server.pause()
  t.after(() => { server.resume() })
  assert.equal(stateOf(rig, gateway.directory, 1), 'active')
  await eventually('its key counts as unknown', () => stateOf(rig, gateway.directory, 1) === 'unchecked')
  assert.equal(stateOf(rig, gateway.directory, 2), 'revoked')
  server.resume()
  await eventually('it is known again', () => stateOf(rig, gateway.directory, 1) === 'active')
})

test('someone else\'s data under our names: told by name, counted, and nothing else is lost', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  for (let i = 0; i < 4; i++) await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  const gateway = await rig.startGateway()
  const spoil = async (apiKeyId: number, ...commands: readonly (readonly string[])[]): Promise<void> => {
    for (const command of commands) await server.command(...command)
    await server.command('ZADD', `${base}changes`, String(await server.command('INCR', `${base}version`)), `k${apiKeyId}`)
  }
  await spoil(1, ['DEL', `${base}key:1`], ['SET', `${base}key:1`, 'a string'])
  await spoil(2, ['HSET', `${base}key:2`, 'createdAtMs', 'yesterday'])
  await spoil(3, ['HSET', `${base}key:3`, 'grade', 'GRADE_GOLD'])
  await spoil(50, ['SET', `${base}rotations:50`, '{"not": "ours"}'])
  await spoil(51, ['HSET', `${base}key:51`, 'memberId', '99', 'grade', 'GRADE_FREE', 'label', '', 'createdAtMs', '1'])
  await registry.revokeKey(4)
  await eventually('what is ours arrives', () => stateOf(rig, gateway.directory, 4) === 'revoked')
  assert.equal(await valueOf(gateway, 'tollgate_registry_foreign_total'), 5)
  assert.deepEqual([1, 2, 3].map((id) => stateOf(rig, gateway.directory, id)), ['active', 'active', 'active'], 'what was last known holds')
  for (const [id, name] of [[1, 'key:1'], [2, 'key:2'], [3, 'key:3'], [50, 'rotations:50']] as const) {
    await assert.rejects(registry.showKey(id), (error: Error) => coded('REGISTRY_FOREIGN')(error) && error.message.includes(`${base}${name}`), name)
  }
  await server.command('SET', `${base}member:7`, 'a string')
  await assert.rejects(registry.createMember({ name: 'Bela', memberId: 7 }), coded('REGISTRY_FOREIGN'))
  await server.command('SET', `${base}revoked:60`, 'long ago')
  await assert.rejects(registry.showKey(60), coded('REGISTRY_FOREIGN'))
  assert.equal((await registry.createMember({ name: 'Caro' })).memberId, 2)
})

test('names that everything hangs on: nothing is changed halfway, the copy goes on, and a new gateway says why it does not start', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const registry = await rig.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  const gateway = await rig.startGateway()
  for (const [name, value] of [['changes', 'a string'], ['version', 'many'], ['keys', 'a string'], ['key-id', 'text'], ['epoch', undefined]] as const) {
    const dump = String(await server.command('TYPE', `${base}${name}`))
    await server.command('RENAME', `${base}${name}`, 'kept')
    if (value === undefined) await server.command('LPUSH', `${base}${name}`, 'x')
    else await server.command('SET', `${base}${name}`, value)
    const before = await server.command('DBSIZE')
    await assert.rejects(registry.createKey({ memberId: 1, grade: 'GRADE_FREE' }), (error: Error) => coded('REGISTRY_FOREIGN')(error) && error.message.includes(`${base}${name}`), name)
    assert.equal(await server.command('DBSIZE'), before, `${name} (${dump}): nothing was added`)
    if (name === 'changes' || name === 'epoch') {
      await eventually('it is told', async () => (await gateway.mirror.metrics()).some((metric) => metric.name === 'tollgate_registry_failures_total' && metric.values.some(({ labels }) => labels['code'] === 'REGISTRY_FOREIGN')) || name === 'changes')
      await assert.rejects(rig.startGateway(), coded('REGISTRY_FOREIGN'), name)
    }
    assert.equal(stateOf(rig, gateway.directory, 1), 'active')
    await server.command('DEL', `${base}${name}`)
    await server.command('RENAME', 'kept', `${base}${name}`)
  }
  assert.equal((await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })).apiKeyId, 2)
})

test('wrong passwords and missing rights are named', async (t) => {
  const secured = await startRedis(t, { acl: ['user default off', 'user admin on >admin-password ~* &* +@all', 'user reader on >reader-password ~* &* +@read +@connection +@scripting'], tls: true })
  const rig = makeRedisRegistryRig(t, secured.options({ username: 'reader', password: 'reader-password' }))
  await assert.rejects(rig.openRegistry({ redis: secured.options({ username: 'reader', password: 'wrong' }) }), coded('REDIS_DENIED'))
  await assert.rejects(rig.openRegistry({ redis: secured.options({ username: 'nobody', password: 'wrong' }) }), coded('REDIS_DENIED'))
  await assert.rejects(rig.openRegistry({ redis: { ...secured.options(), tls: {} } }), coded('REDIS_UNREACHABLE'))
  const registry = await rig.openRegistry()
  await assert.rejects(registry.createMember({ name: 'Ada' }), coded('REDIS_DENIED'))
})

test('a gateway of one machine that is told to use Redis brings its refusals along, and loses nothing', async (t) => {
  await server.flush()
  const rig = makeRedisRegistryRig(t, server.options())
  const folder = rig.makeFolder()
  const alone = openSqliteRegistry({ file: path.join(folder, 'registry.sqlite'), refusalFile: path.join(folder, 'revocations.ndjson'), clock: systemClock })
  await alone.createMember({ name: 'Ada' })
  await alone.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await alone.revokeKey(1)
  await alone.close()
  const gateway = await rig.startGateway({}, folder)
  assert.equal(await server.command('GET', `${base}key-id`), '1')
  assert.notEqual(await server.command('GET', `${base}revoked:1`), null)
  assert.equal(readdirSync(folder).filter((name) => name.startsWith('registry-set-aside-')).length, 1)
  await gateway.stop()
  // And back: the file is a registry as any other, without what was set aside.
  const again = openSqliteRegistry({ file: gateway.file, refusalFile: path.join(folder, 'revocations.ndjson'), clock: systemClock })
  assert.deepEqual([(await again.createMember({ name: 'Bela' })).memberId, (await again.listKeys({})).length], [2, 0])
  await again.close()
  assert.ok(existsSync(gateway.file))
  rmSync(folder, { recursive: true })
})
