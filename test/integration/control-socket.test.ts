// Commands to a running program over its socket, and the same commands when none runs.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { askProgram } from '../../src/cli/control-client.ts'
import { openControlServer } from '../../src/cli/control-server.ts'
import type { ControlHandlers } from '../../src/cli/control-server.ts'
import { registryHandlers } from '../../src/cli/handlers/registry.ts'
import { TollgateError } from '../../src/domain/errors.ts'
import { verifyApiKeyToken, verifyMemberToken } from '../../src/domain/api-key.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { stateFiles } from '../../src/platform/state-files.ts'
import { lockState } from '../../src/platform/state-lock.ts'
import { openSqliteRegistry } from '../../src/registry/sqlite.ts'
import { apiSecret, makeCliFolder, memberSecret } from '../helpers/cli.ts'
import type { CliFolder } from '../helpers/cli.ts'

const log = openLogger({ level: 'silent', thread: 'test' })
const coded = (code: string, text = /./) => (error: unknown): boolean => (error as { code?: string }).code === code && text.test((error as Error).message)

async function openServer (t: TestContext, socketFile: string, handlers: ControlHandlers): Promise<void> {
  mkdirSync(path.dirname(socketFile), { recursive: true })
  const server = await openControlServer({ socketFile, handlers, log })
  t.after(() => server.close())
}

interface Raw { readonly status: number, readonly content: { readonly error?: { readonly code: string, readonly message: string } } }

function raw (socketPath: string, options: { readonly method?: string, readonly path: string, readonly body?: string | Buffer }): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: options.path, method: options.method ?? 'POST', agent: false }, (response: IncomingMessage) => {
      let text = ''
      response.on('data', (bytes: Buffer) => { text += bytes.toString() })
      response.once('end', () => { resolve({ status: response.statusCode ?? 0, content: JSON.parse(text) as Raw['content'] }) })
    })
    asked.once('error', reject)
    asked.end(options.body)
  })
}

/** A registry held open as the program would, with its control socket. */
async function openRunning (t: TestContext, cli: CliFolder): Promise<void> {
  const files = stateFiles(cli.state)
  const lock = lockState(cli.state)
  const registry = openSqliteRegistry({ file: files.registry, refusalFile: files.refusals, clock: systemClock })
  t.after(async () => { await registry.close(); lock.release() })
  await openServer(t, files.controlSocket, registryHandlers({ registry, signing: () => ({ kid: 'one', secret: apiSecret }), memberSecret: () => memberSecret, clock: systemClock }))
}

test('a command is answered, errors keep their codes, unknown commands are named', async (t) => {
  const { state } = makeCliFolder(t)
  const { controlSocket } = stateFiles(state)
  assert.deepEqual(await askProgram(controlSocket, 'echo', {}), { isRunning: false })
  await openServer(t, controlSocket, {
    echo: async (argument) => argument,
    nothing: async () => undefined,
    fail: async () => { throw new TollgateError('KEY_UNKNOWN', 'key 7 is not here') },
    break: async () => { throw new Error('ENOENT: /var/lib/secret') }
  })
  assert.deepEqual(await askProgram(controlSocket, 'echo', { a: [1, 'ü'] }), { isRunning: true, result: { a: [1, 'ü'] } })
  assert.deepEqual(await askProgram(controlSocket, 'nothing', undefined), { isRunning: true, result: null })
  await assert.rejects(askProgram(controlSocket, 'fail', {}), coded('KEY_UNKNOWN', /^key 7 is not here$/))
  await assert.rejects(askProgram(controlSocket, 'break', {}), coded('CONTROL_FAILED', /^internal error$/))
  await assert.rejects(askProgram(controlSocket, 'other', {}), coded('COMMAND_UNKNOWN'))
  await assert.rejects(askProgram(controlSocket, 'constructor', {}), coded('COMMAND_UNKNOWN'))
})

test('only its user can open the socket, and what is malformed gets a clear answer', async (t) => {
  const { state } = makeCliFolder(t)
  const { controlSocket } = stateFiles(state)
  await openServer(t, controlSocket, { echo: async (argument) => argument })
  assert.equal(statSync(controlSocket).mode & 0o777, 0o600)
  assert.equal((await raw(controlSocket, { path: '/v1/echo', body: '{"a":' })).content.error?.code, 'ARGUMENT_INVALID')
  assert.equal((await raw(controlSocket, { path: '/v1/echo', body: Buffer.alloc(65 * 1024, 0x20) })).content.error?.code, 'ARGUMENT_INVALID')
  assert.deepEqual((await raw(controlSocket, { method: 'GET', path: '/v1/echo' })).status, 404)
  assert.deepEqual((await raw(controlSocket, { path: '/v2/echo' })).status, 404)
  assert.deepEqual((await raw(controlSocket, { path: '/v1/../echo' })).status, 404)
})

test('a socket that nobody answers is replaced, one that is answered is not', async (t) => {
  const { state } = makeCliFolder(t)
  const { controlSocket } = stateFiles(state)
  mkdirSync(state)
  writeFileSync(controlSocket, 'left over')
  const first = await openControlServer({ socketFile: controlSocket, handlers: {}, log })
  await assert.rejects(openControlServer({ socketFile: controlSocket, handlers: {}, log }), coded('STATE_LOCKED'))
  await first.close()
  assert.ok(!existsSync(controlSocket))
  await assert.rejects(openControlServer({ socketFile: path.join(state, 'x'.repeat(120)), handlers: {}, log }), coded('STATE_PATH_TOO_LONG'))
  await assert.rejects(openControlServer({ socketFile: path.join(state, 'none', 'control.sock'), handlers: {}, log }), coded('STATE_UNWRITABLE'))
})

test('a program that ends in the middle of a command is said to have', async (t) => {
  const { state } = makeCliFolder(t)
  const { controlSocket } = stateFiles(state)
  mkdirSync(state)
  const server = createServer((asked) => { asked.socket.destroy() })
  await new Promise<void>((resolve) => { server.listen(controlSocket, resolve) })
  t.after(() => server.close())
  await assert.rejects(askProgram(controlSocket, 'echo', {}), coded('CONTROL_FAILED'))
})

test('members and keys go through the running program', async (t) => {
  const cli = makeCliFolder(t)
  await openRunning(t, cli)
  await cli.json('member', 'create', '--name', 'Ada')
  const key = await cli.json<{ apiKeyId: number, token: string }>('key', 'create', '--member', '1', '--grade', 'GRADE_PREMIUM', '--expires', '2099-01-01')
  const nowS = Date.now() / 1000
  const verified = verifyApiKeyToken(key.token, [{ kid: 'one', secret: apiSecret }], nowS)
  assert.ok('claims' in verified)
  assert.deepEqual({ ...verified.claims, iatS: 0 }, { apiKeyId: 1, memberId: 1, grade: 'GRADE_PREMIUM', iatS: 0, expS: Date.UTC(2099, 0, 1) / 1000 })
  assert.match(Buffer.from(key.token.split('.')[0] ?? '', 'base64url').toString(), /"kid":"one"/)
  const rotated = await cli.json<{ token: string }>('key', 'rotate', '1', '--overlap', '0')
  const again = verifyApiKeyToken(rotated.token, [{ kid: 'one', secret: apiSecret }], nowS)
  assert.ok('claims' in again && again.claims.iatS > verified.claims.iatS)
  const member = await cli.json<{ token: string, isKnown: boolean }>('member', 'token', '1', '--valid', '90s')
  const claims = verifyMemberToken(member.token, [{ secret: memberSecret }], nowS)
  assert.ok('claims' in claims && claims.claims.memberId === 1 && claims.claims.expS - claims.claims.iatS === 90)
  assert.equal(member.isKnown, true)
  const wrong = await cli.run('key', 'create', '--member', '9', '--grade', 'GRADE_FREE')
  assert.deepEqual([wrong.code, wrong.out, wrong.error.split(':')[0]], [1, '', 'MEMBER_UNKNOWN'])
})

test('without a running program a command works on the files, and leaves no lock behind', async (t) => {
  const cli = makeCliFolder(t)
  await cli.json('member', 'create', '--name', 'Ada')
  await cli.json('key', 'create', '--member', '1', '--grade', 'GRADE_FREE')
  await cli.json('key', 'revoke', '1')
  assert.deepEqual((await cli.json<{ keys: { state: string }[] }>('key', 'list')).keys.map(({ state }) => state), ['revoked'])
  lockState(cli.state).release()
})

test('no token and no secret is ever written to the state', async (t) => {
  const cli = makeCliFolder(t)
  await cli.json('member', 'create', '--name', 'Ada')
  const tokens = [
    (await cli.json<{ token: string }>('key', 'create', '--member', '1', '--grade', 'GRADE_FREE')).token,
    (await cli.json<{ token: string }>('key', 'rotate', '1')).token,
    (await cli.json<{ token: string }>('member', 'token', '1')).token
  ]
  for (const shown of ['list', 'show']) {
    const { out } = await cli.run('key', shown, ...shown === 'show' ? ['1'] : [], '--json')
    for (const token of tokens) assert.ok(!out.includes(token.slice(-20)))
  }
  for (const entry of readdirSync(cli.state, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const bytes = readFileSync(path.join(entry.parentPath, entry.name)).toString('latin1')
    for (const secret of [...tokens.map((token) => token.slice(-43)), apiSecret, memberSecret]) assert.ok(!bytes.includes(secret), entry.name)
  }
})
