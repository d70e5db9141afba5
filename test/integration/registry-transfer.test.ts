// `tollgate registry export|import`: from one machine to a cluster and back, and files that are not what they should be.
import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { makeCliFolder } from '../helpers/cli.ts'
import type { CliFolder } from '../helpers/cli.ts'
import { startRedis } from '../services/redis.ts'

const server = await startRedis({ after })

/** One machine with a member, three keys, a rotation and two revocations. */
async function machine (t: TestContext): Promise<CliFolder & { readonly file: string, readonly lines: () => string[] }> {
  const cli = makeCliFolder(t)
  await cli.json('member', 'create', '--name', 'Ada "the first" \u00e9')
  for (let i = 0; i < 3; i++) await cli.json('key', 'create', '--member', '1', '--grade', 'GRADE_FREE', '--label', `phone ${i}`, '--expires', '2099-01-31')
  await cli.json('key', 'rotate', '1', '--overlap', '1h')
  await cli.json('key', 'revoke', '2')
  await cli.json('key', 'revoke', '77')
  const file = path.join(cli.folder, 'registry.ndjson')
  assert.deepEqual(await cli.json('registry', 'export', file), { file, records: 9 })
  return { ...cli, file, lines: () => readFileSync(file, 'utf8').trim().split('\n') }
}

const cluster = (t: TestContext): CliFolder => makeCliFolder(t, `redis: { port: ${server.port} }\n`)
const withoutTime = (lines: readonly string[]): readonly string[] => lines.slice(1)

test('one machine, a cluster, and one machine again: the same registry', async (t) => {
  await server.flush()
  const one = await machine(t)
  assert.equal(statSync(one.file).mode & 0o777, 0o600)
  const many = cluster(t)
  assert.deepEqual(await many.json('registry', 'import', one.file), { file: one.file, added: 9, same: 0 })
  assert.deepEqual(await many.json('registry', 'import', one.file), { file: one.file, added: 0, same: 9 })
  assert.deepEqual(await many.json('key', 'list'), await one.json('key', 'list'))
  const back = path.join(many.folder, 'back.ndjson')
  await many.json('registry', 'export', back)
  assert.deepEqual(withoutTime(readFileSync(back, 'utf8').trim().split('\n')), withoutTime(one.lines()))
  const other = makeCliFolder(t)
  assert.deepEqual(await other.json('registry', 'import', back), { file: back, added: 9, same: 0 })
  assert.deepEqual(await other.json('registry', 'import', back), { file: back, added: 0, same: 9 })
  assert.deepEqual(await other.json('key', 'list'), await one.json('key', 'list'))
  for (const cli of [many, other]) {
    assert.equal((await cli.json<{ memberId: number }>('member', 'create', '--name', 'Bela')).memberId, 2)
    assert.equal((await cli.json<{ apiKeyId: number }>('key', 'create', '--member', '2', '--grade', 'GRADE_FREE')).apiKeyId, 4)
  }
})

test('an older file brings no revoked key back', async (t) => {
  await server.flush()
  const one = await machine(t)
  for (const cli of [one, cluster(t)]) {
    await cli.json('registry', 'import', one.file)
    await cli.json('key', 'revoke', '1')
    const { added } = await cli.json<{ added: number }>('registry', 'import', one.file)
    assert.equal(added, 0)
    assert.equal((await cli.json<{ state: string }>('key', 'show', '1')).state, 'revoked')
  }
})

test('no token and no secret is in the file', async (t) => {
  const one = await machine(t)
  assert.doesNotMatch(one.lines().join('\n'), /eyJ|secret|token/i)
})

test('files that are not what they should be are refused with their line, and nothing of them is added', async (t) => {
  await server.flush()
  const one = await machine(t)
  const good = one.lines()
  const many = cluster(t)
  const changed = (at: number, from: string, to: string): string[] => good.map((line, index) => index === at ? line.replace(from, to) : line)
  const wrong: Readonly<Record<string, readonly [lines: readonly string[], message: RegExp]>> = {
    empty: [[], /is empty/],
    'no registry': [['{"hello":"world"}'], /line 1: is not the first line of an exported registry/],
    'a newer version': [changed(0, '"version":1', '"version":2'), /line 1: has version 2/],
    'cut off': [good.slice(0, 5), /ends at line 5 without its last line/],
    'a line missing': [good.filter((_, index) => index !== 3), /line 10: says that there are 9 records, there are 8/],
    'half a line': [[...good.slice(0, 4), (good[4] ?? '').slice(0, 20), ...good.slice(5)], /line 5: is no JSON/],
    'an unknown kind': [changed(4, '"kind":"key"', '"kind":"kez"'), /line 5: has the unknown kind "kez"/],
    'an unknown grade': [changed(4, 'GRADE_FREE', 'GRADE_GOLD'), /line 5: has no good grade/],
    'a field missing': [changed(4, '"memberId":1,', ''), /line 5: has no memberId/],
    'a field too many': [changed(4, '"memberId":1,', '"memberId":1,"token":"x",'), /line 5: has the unknown field "token"/],
    'a number that is none': [changed(4, '"apiKeyId":1', '"apiKeyId":-1'), /line 5: has no good apiKeyId/],
    'something behind the end': [[...good, good[4] ?? ''], /line 12: stands behind the end/],
    'a long line': [[...good.slice(0, 4), ' '.repeat(9_000), ...good.slice(4)], /line 5: has more than 8192 characters/]
  }
  for (const [what, [lines, message]] of Object.entries(wrong)) {
    const file = path.join(many.folder, 'wrong.ndjson')
    writeFileSync(file, lines.map((line) => `${line}\n`).join(''))
    const { code, error } = await many.run('registry', 'import', file)
    assert.equal(code, 1, what)
    assert.match(error, /^REGISTRY_FILE_INVALID: /, what)
    assert.match(error, message, what)
  }
  assert.deepEqual(await many.json('member', 'list'), { members: [] })
  const missing = await many.run('registry', 'import', path.join(many.folder, 'nowhere'))
  assert.match(missing.error, /REGISTRY_FILE_INVALID: .*nowhere can't be read: ENOENT/)
  const nowhere = await one.run('registry', 'export', path.join(one.folder, 'api.secret', 'x'))
  assert.deepEqual([nowhere.code, nowhere.error.startsWith('REGISTRY_FILE_INVALID: ')], [1, true])
})

test('a member or key that is here as another one stops the import with its line', async (t) => {
  await server.flush()
  const one = await machine(t)
  for (const cli of [cluster(t), makeCliFolder(t)]) {
    await cli.json('member', 'create', '--name', 'Somebody else')
    const { code, error } = await cli.run('registry', 'import', one.file)
    assert.equal(code, 1)
    assert.match(error, /^MEMBER_EXISTS: .*registry\.ndjson: line 4: member 1 is here as another one/)
    assert.deepEqual(await cli.json('key', 'list'), { keys: [] })
  }
  const orphan = makeCliFolder(t)
  const file = path.join(orphan.folder, 'orphan.ndjson')
  writeFileSync(file, [...one.lines().filter((line) => !line.includes('"kind":"member"')).slice(0, -1), '{"kind":"end","records":8}'].map((line) => `${line}\n`).join(''))
  appendFileSync(file, '')
  assert.match((await orphan.run('registry', 'import', file)).error, /^MEMBER_UNKNOWN: .*line 4: key 1 belongs to member 1/)
})

test('a large registry goes in batches, and says how far it is', async (t) => {
  await server.flush()
  const file = path.join(makeCliFolder(t).folder, 'large.ndjson')
  const keys = 12_000
  const records = [
    '{"kind":"member","memberId":1,"name":"Ada","createdAtMs":1}',
    ...Array.from({ length: keys }, (_, index) => `{"kind":"key","apiKeyId":${index + 1},"memberId":1,"grade":"GRADE_FREE","label":"","createdAtMs":1}`)
  ]
  writeFileSync(file, ['{"tollgate":"registry","version":1}', ...records, `{"kind":"end","records":${records.length}}`].map((line) => `${line}\n`).join(''))
  for (const cli of [cluster(t), makeCliFolder(t)]) {
    const { code, out, error } = await cli.run('registry', 'import', file)
    assert.deepEqual([code, out], [0, `${keys + 1} records added, 0 were here already\n`])
    assert.match(error, /^10\d\d\d records read\n$/)
    const exported = path.join(cli.folder, 'exported.ndjson')
    assert.equal((await cli.run('registry', 'export', exported)).out, `${keys + 3} records in ${exported}\n`)
  }
})
