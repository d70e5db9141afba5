// The admin API of a running program: a key that it makes opens the gateway, one that it revokes doesn't, and the audit log knows
// who asked, also for what was asked on the command line.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'

const adminToken = 'an-admin-token-of-more-than-32-characters'

test('a key from sign-up to its end', async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-admin-'))
  const upstream = await openEchoUpstream()
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url })
  writeFileSync(path.join(folder, 'admin.token'), adminToken, { mode: 0o600 })
  writeFileSync(files.configFile, readFileSync(files.configFile, 'utf8').replace('operator:\n', 'operator:\n  admins: [{ name: sign-up, role: write, tokenFile: admin.token }]\n'))
  const program = await startProgram(files)
  t.after(async () => {
    await program.stop()
    upstream.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const admin = async (where: string, body: object): Promise<Readonly<Record<string, unknown>>> => {
    const response = await fetch(`http://127.0.0.1:${files.ports.operator}/admin/v1${where}`, { method: 'POST', headers: { authorization: `Bearer ${adminToken}` }, body: JSON.stringify(body) })
    assert.ok(response.ok, `${where}: ${response.status}`)
    return await response.json() as Readonly<Record<string, unknown>>
  }
  const statusWith = async (token: unknown): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${files.ports.gateway}/api/things/1`, { headers: { 'x-api-key': String(token) } })
    await response.arrayBuffer()
    return response.status
  }
  const { memberId } = await admin('/members', { name: 'Ada' })
  const { apiKeyId, token } = await admin('/keys', { memberId, grade: 'GRADE_FREE' })
  assert.equal(await statusWith(token), 200)
  await admin(`/keys/${String(apiKeyId)}/revoke`, {})
  await eventually('the gateway refuses it', async () => await statusWith(token) === 401)
  const opaque = await admin('/keys', { memberId, grade: 'GRADE_FREE', type: 'opaque' })
  const opaqueToken = String(opaque['token'])
  assert.match(opaqueToken, /^tg_2_[0-9A-Za-z]{40}$/)
  await eventually('the gateway knows it', async () => await statusWith(opaqueToken) === 200)
  assert.equal(await statusWith(opaqueToken.replace('tg_2', 'tg_3')), 401)
  const rotated = await admin('/keys/2/rotate', { overlapMs: 0 })
  await eventually('the old secret has ended', async () => await statusWith(opaqueToken) === 401)
  assert.equal(await statusWith(rotated['token']), 200)
  await admin('/keys/2/revoke', {})
  await eventually('the gateway refuses it', async () => await statusWith(rotated['token']) === 401)
  await runJson(files, ['member', 'create', '--name', 'Bela'])
  const lines = readFileSync(path.join(files.state, 'audit.ndjson'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
  assert.deepEqual(lines.filter(({ command }) => command !== undefined).map(({ who, from, command }) => [who, from, command]), [
    ['sign-up', '127.0.0.1', 'member.create'], ['sign-up', '127.0.0.1', 'key.create'], ['sign-up', '127.0.0.1', 'key.revoke'],
    ['sign-up', '127.0.0.1', 'key.create'], ['sign-up', '127.0.0.1', 'key.rotate'], ['sign-up', '127.0.0.1', 'key.revoke'], ['local', 'socket', 'member.create']
  ])
  // Events, registry, log and audit log: no token and no secret of one is in any file of the program's.
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const bytes = readFileSync(path.join(file.parentPath, file.name))
    for (const each of [token, opaqueToken, rotated['token']]) assert.ok(!bytes.includes(String(each).slice(-40)), file.name)
  }
})
