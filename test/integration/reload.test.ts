// The running program reads its configuration anew: on a signal, over the admin API, on the command line. All of it or nothing.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { appendFileSync, chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { signApiKeyToken } from '../../src/domain/api-key.ts'
import { openAuthority } from '../helpers/certificates.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { defaultPrices, runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'
import { RememberingClient } from '../helpers/remembering-client.ts'

const adminToken = 'a-writing-token-of-more-than-32-characters'
const admins = `  admins: [{ name: ops, role: write, token: ${adminToken} }, { name: eye, token: a-reading-token-of-more-than-32-characters }]\n`

interface Running { readonly files: ProgramFiles, readonly program: Program, readonly edit: (change: (text: string) => string) => void, readonly original: string }

async function start (t: TestContext, change: (text: string) => string = (text) => text): Promise<Running> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-reload-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const upstream = await openEchoUpstream()
  t.after(() => { upstream.close() })
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url, extra: admins })
  writeFileSync(files.configFile, change(readFileSync(files.configFile, 'utf8')))
  const program = await startProgram(files)
  t.after(() => program.kill())
  const original = readFileSync(files.configFile, 'utf8')
  return { files, program, original, edit: (change) => { writeFileSync(files.configFile, change(original)) } }
}

async function post ({ files }: Running, token = adminToken): Promise<{ readonly status: number, readonly content: Readonly<Record<string, unknown>> }> {
  const response = await fetch(`http://127.0.0.1:${files.ports.operator}/admin/v1/reload`, { method: 'POST', headers: { authorization: `Bearer ${token}` } })
  return { status: response.status, content: await response.json() as Record<string, unknown> }
}

async function reloads ({ files }: Running): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`http://127.0.0.1:${files.ports.operator}/metrics`)).text()
  return Object.fromEntries([...text.matchAll(/^tollgate_reloads_total\{result="(\w+)"\} (\d+)$/gm)].map(([, result = '', value]) => [result, Number(value)]))
}

function logged ({ files }: Running): Readonly<Record<string, unknown>>[] {
  return readFileSync(files.logFile, 'utf8').split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>)
}

const statusOf = async ({ files }: Running, where: string, headers: Readonly<Record<string, string>> = {}): Promise<number> => {
  const response = await fetch(`http://127.0.0.1:${files.ports.gateway}${where}`, { headers })
  await response.arrayBuffer()
  return response.status
}

test('by command, by request and by signal: what took effect, what waits for a restart, who asked', async (t) => {
  const running = await start(t)
  const { files, program, edit } = running
  assert.equal(await statusOf(running, '/new/s200'), 404)
  edit((text) => text.replace('  routes:', '  routes:\n    - { id: new, path: "/new/**", upstream: main, isPublic: true }').replace('gatewayId: test-gateway', 'gatewayId: another-name').concat('journal: { commitBytesMax: 2MiB }\n'))
  const [answer] = await runJson<{ changed: string[], needsRestart: string[], warnings: string[] }[]>(files, ['reload'])
  assert.deepEqual([answer?.changed, answer?.needsRestart], [['gateway.routes'], ['gatewayId', 'journal.commitBytesMax']])
  assert.equal(await statusOf(running, '/new/s200'), 200)

  edit((text) => text.replace('  routes:', '  routes:\n    - { id: new, path: "/new/**", upstream: main, isPublic: true }').replace('name: eye, token', 'name: eye, role: write, token'))
  assert.equal((await post(running, 'a-reading-token-of-more-than-32-characters')).status, 403)
  assert.deepEqual((await post(running)).content['changed'], ['operator.admins'])
  assert.equal((await post(running, 'a-reading-token-of-more-than-32-characters')).status, 200)

  edit((text) => text)
  appendFileSync(path.join(files.folder, 'prices.yaml'), '  - { id: 13, group: 1, method: DELETE, path: "/api/things/{thing}" }\n')
  program.process.kill('SIGHUP')
  await eventually('the signal is heeded', async () => (await reloads(running))['applied'] === 4)
  await eventually('the log says what took effect', () => isDeepStrictEqual(logged(running).findLast(({ changed }) => changed !== undefined)?.['changed'], ['gateway.routes', 'operator.admins', 'billing.priceBookFile']))
  assert.equal(await statusOf(running, '/new/s200'), 404)
  assert.equal((await post(running, 'a-reading-token-of-more-than-32-characters')).status, 403)

  const audit = readFileSync(path.join(files.state, 'audit.ndjson'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  assert.deepEqual(audit.filter(({ command }) => command !== undefined).map(({ who, from, command }) => [who, from, command]), [
    ['local', 'socket', 'reload'], ['ops', '127.0.0.1', 'reload'], ['eye', '127.0.0.1', 'reload'], ['local', 'signal', 'reload']
  ])
  assert.deepEqual(audit.filter(({ done }) => done !== undefined).map(({ done }) => (done as Record<string, unknown>)['changed']), [
    ['gateway.routes'], ['operator.admins'], [], ['gateway.routes', 'operator.admins', 'billing.priceBookFile']
  ])
  // The name that a restart is needed for has not changed.
  assert.equal(await program.stop(), 0)
  assert.match(await runCommand(files, ['reload']).then(({ code, stderr }) => `${code} ${stderr}`), /^1 NOT_RUNNING/)
})

const mistakes: readonly (readonly [what: string, change: (running: Running) => void, where: RegExp])[] = [
  ['no YAML', ({ edit }) => { edit((text) => `${text}\n]`) }, /tollgate\.yaml:\d+: /],
  ['an unknown key', ({ edit }) => { edit((text) => text.replace('  routes:', '  rutes: []\n  routes:')) }, /tollgate\.yaml:\d+: gateway\.rutes: .*did you mean/i],
  ['two mistakes at once', ({ edit }) => { edit((text) => text.replace('path: "/open/**", upstream: main', 'path: "/open/**", upstream: mian').concat('log: { level: loud }\n')) }, /log\.level[^]*gateway\.routes\[2\]\.upstream/],
  ['no file', ({ files }) => { rmSync(files.configFile) }, /tollgate\.yaml: can't be read: ENOENT/],
  ['a price book with a mistake', ({ files }) => { writeFileSync(path.join(files.folder, 'prices.yaml'), defaultPrices.replace('group: 2', 'group: 9')) }, /prices\.yaml:\d+: endpoints\[1\]/],
  ['a secret that is open to all', ({ files }) => { chmodSync(path.join(files.folder, 'api.secret'), 0o644) }, /tollgate\.yaml:\d+: auth\.secrets\[0\]\.secretFile: .*open to other users/],
  ['a secret that is too short', ({ files }) => { writeFileSync(path.join(files.folder, 'member.secret'), 'short') }, /billing\.memberSecretFile/]
]

test('a file that can\'t be used changes nothing, and every mistake is told', async (t) => {
  const running = await start(t)
  const { files, edit } = running
  const key = { 'X-API-KEY': signApiKeyToken({ apiKeyId: 1, memberId: 1, grade: 'GRADE_FREE', iatS: 1_700_000_000 }, { kid: 'one', secret: files.apiSecret }) }
  for (const [index, [what, change, where]] of mistakes.entries()) {
    // What is sound in the file must not take effect either.
    edit((text) => text.replace('    - { id: open, path: "/open/**", upstream: main, isPublic: true }', '    - { id: closed, path: "/closed/**", upstream: main, isPublic: true }\n    - { id: open, path: "/open/**", upstream: main, isPublic: true }'))
    const sound = readFileSync(files.configFile, 'utf8')
    change({ ...running, edit: (more) => { writeFileSync(files.configFile, more(sound)) } })
    const { status, content } = await post(running)
    assert.deepEqual([status, content['code']], [422, 'CONFIG_INVALID'], what)
    assert.match(String(content['message']), where, what)
    assert.ok((content['problems'] as Record<string, unknown>[]).every(({ message, remedy }) => typeof message === 'string' && typeof remedy === 'string'), what)
    await eventually(`${what} is in the log`, () => isDeepStrictEqual(logged(running).findLast(({ problems }) => problems !== undefined)?.['problems'], content['problems']))
    assert.deepEqual(await reloads(running), { applied: 0, refused: index + 1, failed: 0 }, what)
    assert.deepEqual([await statusOf(running, '/closed/s200'), await statusOf(running, '/open/s200'), await statusOf(running, '/api/things/s200', key)], [404, 200, 200], what)
    // As it was.
    writeFileSync(path.join(files.folder, 'prices.yaml'), defaultPrices)
    writeFileSync(path.join(files.folder, 'api.secret'), files.apiSecret)
    chmodSync(path.join(files.folder, 'api.secret'), 0o600)
    writeFileSync(path.join(files.folder, 'member.secret'), files.memberSecret)
  }
  edit((text) => text.replace('  routes:', '  rutes: []\n  routes:'))
  const { code, stderr } = await runCommand(files, ['reload'])
  assert.match(`${code} ${stderr}`, /^1 CONFIG_INVALID: [^]*tollgate\.yaml:\d+: gateway\.rutes: unknown key/)
  edit((text) => text)
  assert.deepEqual((await post(running)).content['changed'], [])
  assert.deepEqual(await reloads(running), { applied: 1, refused: mistakes.length + 1, failed: 0 })
})

test('certificates: what can\'t be used is refused, their end is a metric, and config check says what is wrong', async (t) => {
  const authority = openAuthority(t)
  for (const [name, days] of [['good', 90], ['better', 20], ['near', 3], ['expired', -1]] as const) authority.issue(name, days)
  const [served, key] = [path.join(authority.folder, 'served.pem'), path.join(authority.folder, 'served.key')]
  const put = (certificate: string, ofKey = certificate): void => {
    copyFileSync(path.join(authority.folder, `${certificate}.pem`), served)
    copyFileSync(path.join(authority.folder, `${ofKey}.key`), key)
  }
  put('good')
  const running = await start(t, (text) => text.replace(/(gateway:\n  listen: \{ host: 127\.0\.0\.1, port: \d+)/, `$1, tls: { certificateFile: ${served}, keyFile: ${key} }`))
  const { files } = running
  const check = async (): Promise<string> => await runCommand(files, ['config', 'check']).then(({ code, stdout, stderr }) => `${code} ${stdout}${stderr}`)
  const endsAt = async (): Promise<number> => Number(/^tollgate_certificate_not_after_seconds\{listener="gateway"\} (\d+)$/m.exec(await (await fetch(`http://127.0.0.1:${files.ports.operator}/metrics`)).text())?.[1])
  const endOf = (name: string): number => new X509Certificate(readFileSync(path.join(authority.folder, `${name}.pem`))).validToDate.getTime() / 1000
  assert.equal(await endsAt(), endOf('good'))

  const wrong: readonly (readonly [change: () => void, message: RegExp])[] = [
    [() => { put('better', 'good') }, /tollgate\.yaml:\d+: gateway\.listen\.tls\.keyFile: the key in .* doesn't belong to the certificate/],
    [() => { put('better'); writeFileSync(key, 'none') }, /gateway\.listen\.tls\.keyFile: .* holds no private key/],
    [() => { put('better'); writeFileSync(served, 'none') }, /gateway\.listen\.tls\.certificateFile: .* holds no certificate/],
    [() => { put('better'); rmSync(served) }, /gateway\.listen\.tls\.certificateFile: .* can't be read: ENOENT/],
    [() => { put('better'); chmodSync(key, 0o644) }, /gateway\.listen\.tls\.keyFile: .* is open to other users/]
  ]
  for (const [change, message] of wrong) {
    change()
    const { status, content } = await post(running)
    assert.equal(status, 422)
    assert.match(String(content['message']), message)
    assert.match(await check(), message)
    assert.equal(await endsAt(), endOf('good'))
    rmSync(key, { force: true })
  }
  put('expired')
  const expired = await post(running)
  assert.match(`${expired.status} ${String(expired.content['message'])}`, /^422 .*[^]*gateway\.listen\.tls\.certificateFile: the certificate has expired at /)
  assert.match(await check(), /^0 [^]*warning: the certificate of gateway\.listen has expired at /)

  put('near')
  const near = await post(running)
  assert.deepEqual([near.status, near.content['changed']], [200, ['gateway.listen.tls.certificateFile']])
  assert.match(String(near.content['warnings']), /expires at .*: renew it, and run `tollgate reload`/)
  assert.equal(await endsAt(), endOf('near'))
})

test('reloads without end under load: every answer is whole, and billed once', async (t) => {
  const running = await start(t)
  const { files, program, edit, original } = running
  const other = await openEchoUpstream()
  t.after(() => { other.close() })
  const url = /url: "([^"]+)"/.exec(original)?.[1] ?? assert.fail()
  const token = signApiKeyToken({ apiKeyId: 5, memberId: 3, grade: 'GRADE_PREMIUM', iatS: 1_700_000_000 }, { kid: 'one', secret: files.apiSecret })
  const clients = Array.from({ length: 6 }, () => new RememberingClient({
    port: files.ports.gateway,
    pauseMs: 0,
    next: (traceId) => ({ key: 'GET', head: `GET /api/things/s200 HTTP/1.1\r\nHost: test\r\nX-API-KEY: ${token}\r\nX-TRACE-ID: ${traceId}\r\n\r\n` })
  }))
  const serving = clients.map((client) => client.run())
  const rounds = 60
  for (let round = 0; round < rounds; round++) {
    if (round % 4 === 3) writeFileSync(files.configFile, 'broken: [')
    else edit((text) => round % 2 === 0 ? text.replace(url, other.url).replace('GRADE_FREE: { ratePerS: 1000000', `GRADE_FREE: { ratePerS: ${1_000 + round}`) : text)
    writeFileSync(path.join(files.folder, 'prices.yaml'), round % 3 === 0 ? defaultPrices.replace('{thing}', '{other}') : defaultPrices)
    assert.equal((await post(running)).status, round % 4 === 3 ? 422 : 200)
  }
  for (const client of clients) client.stop()
  await Promise.all(serving)
  const memories = clients.flatMap((client) => client.memories)
  assert.deepEqual([...new Set(memories.map(({ outcome, status }) => `${outcome} ${status}`))], ['complete 200'])
  assert.ok(memories.length > rounds, `only ${memories.length} requests`)
  edit((text) => text)
  await post(running)
  const today = new Date().toISOString().slice(0, 10)
  const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10)
  await eventually('all of it is counted', async () => (await runCommand(files, ['verify', '--wait', '20'])).code === 0)
  const bill = await runJson<{ total: { count: number }, unpriced: { count: number } }>(files, ['bill', '--member', '3', '--from', yesterday, '--to', today])
  assert.deepEqual([bill.total.count, bill.unpriced.count], [memories.length, 0])
  assert.deepEqual(logged(running).filter(({ level }) => level === 'error').filter(({ problems }) => problems === undefined), [])
  assert.equal(await program.stop(), 0)
})
