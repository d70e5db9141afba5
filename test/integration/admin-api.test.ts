// The admin API over the operator's real listener, on a real registry: what each operation does, who may, what is refused, and
// that every change is in the audit log before it is made.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { AuditLog } from '../../src/cli/audit.ts'
import { registryHandlers } from '../../src/cli/handlers/registry.ts'
import { adminOperations } from '../../src/compose/admin-operations.ts'
import { adminRoutes } from '../../src/compose/admin-routes.ts'
import { verifyApiKeyToken } from '../../src/domain/api-key.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { openOperatorListener } from '../../src/platform/operator-http.ts'
import { openSqliteRegistry } from '../../src/registry/sqlite.ts'

const signing = { kid: 'one', secret: 'a-secret-of-the-tests-with-enough-characters' }
const writer = 'a-writing-token-of-more-than-32-characters'
const reader = 'a-reading-token-of-more-than-32-characters'
const log = openLogger({ level: 'silent', thread: 'test' })

type Json = Readonly<Record<string, unknown>>
interface Answer { readonly status: number, readonly content: Json }

async function open (t: TestContext) {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-admin-'))
  const auditFile = path.join(folder, 'state', 'audit.ndjson')
  const registry = openSqliteRegistry({ file: path.join(folder, 'registry.sqlite'), refusalFile: path.join(folder, 'revocations.ndjson'), clock: systemClock })
  const routes = adminRoutes({
    handlers: { ...registryHandlers({ registry, signing: () => signing, memberSecret: () => 'a-member-secret-with-enough-characters', clock: systemClock }), reload: async () => ({ changed: [], needsRestart: [], warnings: [] }) },
    admins: () => [{ name: 'support', token: reader, role: 'read' }, { name: 'sign-up', token: writer, role: 'write' }], audit: new AuditLog(auditFile, systemClock), log
  })
  const server = await openOperatorListener({ host: '127.0.0.1', port: 0, sources: () => [], routes: () => routes, phase: () => 'serving', log })
  t.after(async () => {
    server.close()
    server.closeAllConnections()
    await registry.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/admin/v1`
  const ask = async (method: string, where: string, { body, token = writer }: { readonly body?: unknown, readonly token?: string } = {}): Promise<Answer> => {
    const response = await fetch(base + where, { method, headers: token === '' ? {} : { authorization: `Bearer ${token}` }, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }) })
    return { status: response.status, content: await response.json() as Json }
  }
  const audited = (): Json[] => existsSync(auditFile) ? readFileSync(auditFile, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Json) : []
  return { ask, audited, auditFile, registry }
}

test('a member, a key, its token, its end', async (t) => {
  const { ask } = await open(t)
  const member = await ask('POST', '/members', { body: { name: 'Ada' } })
  assert.deepEqual([member.status, member.content['memberId'], member.content['name']], [201, 1, 'Ada'])
  const key = await ask('POST', '/keys', { body: { memberId: 1, grade: 'GRADE_CLASSIC', label: 'first', expiresAt: '2099-01-31T12:00:00.000Z' } })
  assert.deepEqual([key.status, key.content['apiKeyId'], key.content['expiresAt']], [201, 1, '2099-01-31T12:00:00.000Z'])
  const verified = verifyApiKeyToken(String(key.content['token']), [signing], Date.now() / 1000)
  assert.deepEqual('problem' in verified ? verified : [verified.claims.apiKeyId, verified.claims.memberId, verified.claims.grade], [1, 1, 'GRADE_CLASSIC'])
  const shown = await ask('GET', '/keys/1', { token: reader })
  assert.deepEqual([shown.status, shown.content['state'], shown.content['token']], [200, 'active', undefined])
  const rotated = await ask('POST', '/keys/1/rotate', { body: { overlapMs: 0 } })
  assert.equal(rotated.status, 200)
  assert.notEqual(rotated.content['token'], key.content['token'])
  assert.deepEqual((await ask('POST', '/keys/1/revoke')).content, { apiKeyId: 1, isKnown: true })
  assert.equal((await ask('GET', '/keys/1')).content['state'], 'revoked')
  assert.equal((await ask('POST', '/keys/1/rotate')).status, 409)
  const token = await ask('POST', '/members/1/token', { body: { validS: 60 } })
  assert.deepEqual([token.status, token.content['isKnown'], typeof token.content['token']], [201, true, 'string'])
})

test('lists come in pages', async (t) => {
  const { ask } = await open(t)
  for (const name of ['a', 'b', 'c']) await ask('POST', '/members', { body: { name } })
  for (const memberId of [1, 2, 2]) await ask('POST', '/keys', { body: { memberId, grade: 'GRADE_FREE' } })
  const names = (answer: Answer): unknown[] => (answer.content['members'] as Json[]).map(({ name }) => name)
  const first = await ask('GET', '/members?limit=2')
  assert.deepEqual([names(first), first.content['nextAfter']], [['a', 'b'], 2])
  assert.deepEqual(names(await ask('GET', '/members?limit=2&after=2')), ['c'])
  const keys = await ask('GET', '/keys?member=2')
  assert.deepEqual((keys.content['keys'] as Json[]).map(({ apiKeyId }) => apiKeyId), [2, 3])
})

test('who may not, may not', async (t) => {
  const { ask, audited, registry } = await open(t)
  for (const token of ['', 'x', `${writer}x`, reader.toUpperCase()]) assert.equal((await ask('GET', '/members', { token })).status, 401, token)
  for (const { method, path: where, isChange } of adminOperations.filter(({ command }) => command !== 'gateway.list')) {
    const { status, content } = await ask(method, where.replace('{id}', '1'), { token: reader, ...(method === 'POST' ? { body: { name: 'x' } } : {}) })
    assert.equal(status === 403, isChange, `${method} ${where}: ${status}`)
    if (isChange) assert.equal(content['code'], 'ADMIN_DENIED')
  }
  assert.deepEqual([await registry.listMembers(), audited()], [[], []])
})

const refused: readonly (readonly [what: string, method: string, where: string, body: unknown, status: number])[] = [
  ['no JSON', 'POST', '/members', '{', 400],
  ['no object', 'POST', '/members', '[1]', 400],
  ['a field that is not known', 'POST', '/members', { name: 'x', admin: true }, 400],
  ['a field that is missing', 'POST', '/members', {}, 400],
  ['a field of another type', 'POST', '/members', { name: 7 }, 400],
  ['a name of controls', 'POST', '/members', { name: 'a\nb' }, 400],
  ['a body of a megabyte', 'POST', '/members', { name: 'x'.repeat(1_000_000) }, 400],
  ['a grade that is none', 'POST', '/keys', { memberId: 1, grade: 'GRADE_GOLD' }, 400],
  ['a member that is none', 'POST', '/keys', { memberId: 99, grade: 'GRADE_FREE' }, 404],
  ['an instant that is none', 'POST', '/keys', { memberId: 1, grade: 'GRADE_FREE', expiresAt: 'tomorrow' }, 400],
  ['an instant that is over', 'POST', '/keys', { memberId: 1, grade: 'GRADE_FREE', expiresAt: '2001-01-01T00:00:00.000Z' }, 400],
  ['a number that is taken', 'POST', '/members', { name: 'x', memberId: 1 }, 409],
  ['a number with a sign', 'GET', '/keys/-1', undefined, 400],
  ['a number that is SQL', 'GET', `/keys/${encodeURIComponent('1 OR 1=1')}`, undefined, 400],
  ['a number beyond all bounds', 'GET', '/keys/99999999999999999999', undefined, 400],
  ['a key that is not there', 'GET', '/keys/77', undefined, 404],
  ['SQL in the query', 'GET', `/members?after=${encodeURIComponent('0; DROP TABLE members')}`, undefined, 400],
  ['a parameter that is not known', 'GET', '/members?offset=1', undefined, 400],
  ['a method that is not known', 'DELETE', '/keys/1', undefined, 405],
  ['a body that is null', 'POST', '/keys/1/revoke', 'null', 400],
  ['more at a time than there may be', 'GET', '/keys?limit=1001', undefined, 400],
  ['an instant without a zone', 'POST', '/keys', { memberId: 1, grade: 'GRADE_FREE', expiresAt: '2099-01-01T00:00:00' }, 400],
  ['a token for too long', 'POST', '/members/1/token', { validS: 9_000_000_000 }, 400],
  ['a path that is not known', 'GET', '/nothing', undefined, 404],
  ['a path below a known one', 'GET', '/keys/1/2/3', undefined, 404]
]

test('what can\'t be done is refused with its reason, and changes nothing', async (t) => {
  const { ask, registry } = await open(t)
  await ask('POST', '/members', { body: { name: 'Ada' } })
  for (const [what, method, where, body, status] of refused) {
    const answer = await ask(method, where, body === undefined ? {} : { body })
    assert.equal(answer.status, status, `${what}: ${JSON.stringify(answer.content)}`)
    assert.deepEqual([typeof answer.content['code'], typeof answer.content['message']], ['string', 'string'], what)
  }
  assert.deepEqual([(await registry.listMembers()).length, (await registry.listKeys({})).length], [1, 0])
})

test('every change is written down, before and after, and never a token', async (t) => {
  const { ask, audited, auditFile } = await open(t)
  await ask('POST', '/members', { body: { name: 'Ada' } })
  await ask('POST', '/keys', { body: { memberId: 1, grade: 'GRADE_FREE' } })
  await ask('POST', '/keys', { body: { memberId: 99, grade: 'GRADE_FREE' } })
  await ask('GET', '/keys')
  const lines = audited()
  assert.deepEqual(lines.map(({ who, command, argument, done, failed }) => ({ who, command, argument, done, failed })), [
    { who: 'sign-up', command: 'member.create', argument: { name: 'Ada' }, done: undefined, failed: undefined },
    { who: undefined, command: undefined, argument: undefined, done: { memberId: 1 }, failed: undefined },
    { who: 'sign-up', command: 'key.create', argument: { memberId: 1, grade: 'GRADE_FREE' }, done: undefined, failed: undefined },
    { who: undefined, command: undefined, argument: undefined, done: { memberId: 1, apiKeyId: 1 }, failed: undefined },
    { who: 'sign-up', command: 'key.create', argument: { memberId: 99, grade: 'GRADE_FREE' }, done: undefined, failed: undefined },
    { who: undefined, command: undefined, argument: undefined, done: undefined, failed: 'MEMBER_UNKNOWN' }
  ])
  assert.deepEqual(lines.map(({ from }) => from), ['127.0.0.1', undefined, '127.0.0.1', undefined, '127.0.0.1', undefined])
  for (const at of [0, 2, 4]) assert.equal(lines[at]?.['id'], lines[at + 1]?.['id'])
  assert.ok(!/eyJ/.test(readFileSync(auditFile, 'utf8')))
  assert.equal(statSync(auditFile).mode & 0o777, 0o600)
})

test('a change that can\'t be written down is not made', async (t) => {
  const { ask, auditFile, registry } = await open(t)
  mkdirSync(auditFile, { recursive: true })
  const { status, content } = await ask('POST', '/members', { body: { name: 'Ada' } })
  assert.deepEqual([status, content['code']], [503, 'STATE_UNWRITABLE'])
  assert.deepEqual(await registry.listMembers(), [])
  assert.equal((await ask('GET', '/members')).status, 200)
})

test('a line that was cut short swallows no other, and a long file makes way for another', async (t) => {
  const { ask, auditFile } = await open(t)
  mkdirSync(path.dirname(auditFile), { recursive: true })
  writeFileSync(auditFile, '{"at":"2026-01-15T12:00:0')
  await ask('POST', '/members', { body: { name: 'Ada' } })
  assert.equal(readFileSync(auditFile, 'utf8').split('\n').length, 4)
  writeFileSync(auditFile, `${'x'.repeat(17 * 2 ** 20)}\n`)
  await ask('POST', '/members', { body: { name: 'Bela' } })
  const files = readdirSync(path.dirname(auditFile))
  assert.deepEqual([files.length, files.filter((file) => /^audit-\d{8}T\d{9}Z\.ndjson$/.test(file)).length], [2, 1])
  const old = path.join(path.dirname(auditFile), files.find((file) => file !== 'audit.ndjson') ?? '')
  const text = readFileSync(old, 'utf8') + readFileSync(auditFile, 'utf8')
  assert.ok(text.includes('"name":"Bela"') && text.includes('"done":{"memberId":2}'))
})

test('the OpenAPI document has every operation that is answered, and only those', async (t) => {
  const { ask } = await open(t)
  const { status, content } = await ask('GET', '/openapi.json', { token: reader })
  assert.equal(status, 200)
  const documented = Object.entries(content['paths'] as Json).flatMap(([where, methods]) => Object.keys(methods as Json).map((method) => `${method.toUpperCase()} ${where}`))
  // No gateways: this program knows none.
  assert.deepEqual(documented.sort(), adminOperations.filter(({ command }) => command !== 'gateway.list').map(({ method, path: where }) => `${method} /admin/v1${where}`).sort())
  const page = readFileSync(new URL('../../docs/admin.md', import.meta.url), 'utf8')
  for (const { method, path: where } of adminOperations) assert.ok(page.includes(`\`${method} /admin/v1${where}\``), `docs/admin.md: ${method} ${where}`)
})
