// A Redis server of a test's own: Debian's, on loopback, with nothing on disk unless the test wants it.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createClient } from 'redis'
import type { RedisOptions } from '../../src/platform/redis.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { pauseProcess } from '../helpers/pause-process.ts'

const server = '/usr/bin/redis-server'

export interface RedisServerOptions {
  readonly port?: number
  /** Of the default user. */
  readonly password?: string
  /** Lines of an ACL file's `user …`. The harness itself needs the default user, or `admin`. */
  readonly acl?: readonly string[]
  /** TLS alone, no plain port. */
  readonly tls?: boolean
  /** Kept over a restart: every write is synced. */
  readonly isDurable?: boolean
  readonly settings?: readonly string[]
}

export interface RedisServer {
  readonly host: string
  readonly port: number
  /** PEM of the authority that signed the certificate; with `tls`. */
  readonly ca: string | undefined
  /** What the program is told; the default user unless said otherwise. */
  readonly options: (changes?: Partial<RedisOptions>) => RedisOptions
  /** One command as the harness's user. */
  readonly command: (...words: readonly string[]) => Promise<unknown>
  readonly flush: () => Promise<void>
  /** Starts it again on the same port. */
  readonly start: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly kill: () => Promise<void>
  readonly pause: () => void
  readonly resume: () => void
}

/** Ends with the test, or with the file whose `after` hook is given. */
export async function startRedis (t: { readonly after: (end: () => Promise<void>) => void }, options: RedisServerOptions = {}): Promise<RedisServer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-redis-'))
  const port = options.port ?? (await freePorts(1))[0] ?? 0
  const ca = options.tls === true ? makeCertificates(folder) : undefined
  if (options.acl !== undefined) writeFileSync(path.join(folder, 'users.acl'), options.acl.map((line) => `${line}\n`).join(''))
  let child: ChildProcess | undefined
  const credentials = options.acl === undefined ? (options.password === undefined ? {} : { password: options.password }) : { username: 'admin', password: 'admin-password' }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = new Promise((resolve) => { ending.once('exit', resolve) })
    ending.kill('SIGCONT')
    ending.kill(signal)
    await ended
  }
  const command = async (...words: readonly string[]): Promise<unknown> => {
    const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false, ...(ca === undefined ? {} : { tls: true as const, ca }) }, ...credentials })
    client.on('error', () => {})
    await client.connect()
    try { return await client.sendCommand([...words]) } finally { await client.disconnect() }
  }
  const start = async (): Promise<void> => {
    assert.equal(child, undefined, 'it runs already')
    const started = spawn(server, serverArguments(folder, port, options), { stdio: ['ignore', 'pipe', 'pipe'] })
    child = started
    let output = ''
    for (const stream of [started.stdout, started.stderr]) stream.on('data', (bytes: Buffer) => { output += bytes.toString() })
    await eventually(`redis answers on ${port}`, async () => started.exitCode !== null || await command('PING') === 'PONG', { everyMs: 10 })
    assert.equal(started.exitCode, null, output)
  }
  const result: RedisServer = {
    host: '127.0.0.1',
    port,
    ca,
    options: (changes = {}) => ({ host: '127.0.0.1', port, keyPrefix: 'tollgate:', ...(options.password === undefined ? {} : { password: options.password }), ...(ca === undefined ? {} : { tls: { ca } }), ...changes }),
    command,
    flush: async () => { await command('FLUSHALL') },
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => { if (child?.pid !== undefined) pauseProcess(child.pid) },
    resume: () => { child?.kill('SIGCONT') }
  }
  t.after(async () => {
    await end('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  await start()
  return result
}

function serverArguments (folder: string, port: number, { password, acl, tls, isDurable, settings = [] }: RedisServerOptions): string[] {
  return [
    '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--loglevel', 'warning',
    ...(isDurable === true ? ['--appendonly', 'yes', '--appendfsync', 'always'] : []),
    ...(password === undefined ? [] : ['--requirepass', password]),
    ...(acl === undefined ? [] : ['--aclfile', path.join(folder, 'users.acl')]),
    ...(tls === true
      ? ['--port', '0', '--tls-port', String(port), '--tls-cert-file', path.join(folder, 'server.pem'), '--tls-key-file', path.join(folder, 'server.key'), '--tls-ca-cert-file', path.join(folder, 'ca.pem'), '--tls-auth-clients', 'no']
      : ['--port', String(port)]),
    ...settings
  ]
}

/** An authority, and a certificate of its own for 127.0.0.1. @returns the authority's PEM */
function makeCertificates (folder: string): string {
  const openssl = (...words: string[]): void => { execFileSync('openssl', words, { cwd: folder, stdio: 'ignore' }) }
  writeFileSync(path.join(folder, 'names.cnf'), 'subjectAltName = IP:127.0.0.1\n')
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=authority of a test')
  openssl('req', ...key, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=redis of a test')
  openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', 'server.pem', '-days', '2', '-extfile', 'names.cnf')
  return readFileSync(path.join(folder, 'ca.pem'), 'utf8')
}
