// Certificates of the port that clients come to: changed without losing a connection, old ones refused, and asked of clients.
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { connect } from 'node:tls'
import type { ConnectionOptions, TLSSocket } from 'node:tls'
import { openAuthority } from '../helpers/certificates.ts'
import type { Authority } from '../helpers/certificates.ts'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { requestText } from '../helpers/raw-http.ts'

interface Served { readonly authority: Authority, readonly rig: Rig, readonly files: { readonly certificateFile: string, readonly keyFile: string, readonly clientCaFile?: string }, readonly use: (name: string) => Promise<void> }

async function serve (t: TestContext, { workers = 1, clientCa }: { readonly workers?: number, readonly clientCa?: Authority } = {}): Promise<Served> {
  const authority = openAuthority(t)
  for (const name of ['first', 'second']) authority.issue(name)
  const files = { certificateFile: path.join(authority.folder, 'served.pem'), keyFile: path.join(authority.folder, 'served.key'), ...(clientCa === undefined ? {} : { clientCaFile: path.join(authority.folder, 'clients.pem') }) }
  const put = (name: string): void => {
    copyFileSync(path.join(authority.folder, `${name}.pem`), files.certificateFile)
    copyFileSync(path.join(authority.folder, `${name}.key`), files.keyFile)
  }
  put('first')
  if (files.clientCaFile !== undefined && clientCa !== undefined) copyFileSync(clientCa.caFile, files.clientCaFile)
  const rig = await startRig(t, { workers, gateway: { listen: { host: '127.0.0.1', port: 0, tls: files } } })
  return { authority, rig, files, use: async (name) => { put(name); await rig.reload(rig.rules) } }
}

class Client {
  readonly socket: TLSSocket
  text = ''
  failure: string | undefined
  isClosed = false

  constructor ({ rig, authority }: Served, options: ConnectionOptions = {}) {
    this.socket = connect({ port: rig.port, host: '127.0.0.1', ca: authority.ca, ...options })
    this.socket.on('data', (chunk: Buffer) => { this.text += chunk.toString('latin1') })
    this.socket.on('error', (error: NodeJS.ErrnoException) => { this.failure = error.code ?? error.message })
    this.socket.on('close', () => { this.isClosed = true })
  }

  get subject (): unknown { return this.socket.getPeerCertificate().subject.CN }

  async ask (line: string, headers: Readonly<Record<string, string>> = {}, body = ''): Promise<string> {
    this.text = ''
    this.socket.write(requestText(line, headers, body))
    await eventually('an answer, or the end', () => {
      const [head = '', content] = this.text.split('\r\n\r\n')
      const length = /content-length: *(\d+)/i.exec(head)?.[1]
      return this.isClosed || (content !== undefined && length !== undefined && content.length >= Number(length))
    }, { everyMs: 2 })
    return this.text.split('\r\n\r\n')[1] ?? ''
  }

  async closed (): Promise<void> { await eventually('the end of the connection', () => this.isClosed, { everyMs: 5 }) }

  destroy (): void { this.socket.destroy() }
}

const connectionsOf = async (rig: Rig): Promise<number> => (await rig.gateway.metrics()).flat().filter(({ name }) => name === 'tollgate_gateway_connections').reduce((sum, { values }) => sum + Number(values[0]?.value), 0)

test('a new certificate for new connections; those that stand go on with theirs', async (t) => {
  const served = await serve(t)
  const { rig } = served
  const old = new Client(served)
  assert.match(await old.ask('GET /open/echo'), /"x-forwarded-proto":"https"/)
  assert.equal(old.subject, 'first')
  const held = new Client(served)
  held.socket.write(requestText('GET /open/held'))
  const { response } = await rig.upstream.nextHeld()
  await served.use('second')
  const young = new Client(served)
  await young.ask('GET /open/echo')
  assert.equal(young.subject, 'second')
  await old.ask('GET /open/echo')
  response.writeHead(200, { 'content-length': 4 }).end('held')
  await eventually('the held answer', () => held.text.endsWith('held'))
  assert.equal(await connectionsOf(rig), 3)
  for (const client of [old, held]) client.destroy()
  await eventually('the old ones have gone', async () => await connectionsOf(rig) === 1)
  assert.match(await young.ask('GET /open/echo'), /"url":"\/open\/echo"/)
  young.destroy()
  // Without a new certificate nothing is made anew.
  await rig.reload(rig.rules)
  assert.deepEqual(rig.deaths, [])
})

test('changed again and again while clients come: none is refused, on any worker', async (t) => {
  const served = await serve(t, { workers: 2 })
  const { rig } = served
  let isOver = false
  const subjects = new Map<unknown, number>()
  const come = async (): Promise<void> => {
    while (!isOver) {
      const client = new Client(served)
      const body = await client.ask('GET /open/echo')
      assert.match(body, /open\/echo/, client.failure)
      subjects.set(client.subject, (subjects.get(client.subject) ?? 0) + 1)
      client.destroy()
    }
  }
  const coming = Array.from({ length: 6 }, come)
  for (let round = 0; round < 40; round++) await served.use(round % 2 === 0 ? 'second' : 'first')
  await eventually('clients have seen both', async () => {
    if (subjects.size === 2) return true
    await served.use(subjects.has('first') ? 'second' : 'first')
    return false
  })
  isOver = true
  await Promise.all(coming)
  await eventually('no connection is left', async () => await connectionsOf(rig) === 0)
  assert.deepEqual(rig.deaths, [])
})

test('a certificate that can\'t be used is refused before anything is in force', async (t) => {
  const served = await serve(t)
  const { rig, authority, files } = served
  copyFileSync(path.join(authority.folder, 'second.pem'), files.certificateFile)
  await assert.rejects(rig.reload(rig.rules), { code: 'CONFIG_INVALID' })
  const client = new Client(served)
  await client.ask('GET /open/echo')
  assert.equal(client.subject, 'first')
  client.destroy()
})

const old: readonly (readonly [what: string, options: ConnectionOptions, isTaken: boolean])[] = [
  ['TLS 1.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }, false],
  ['a cipher without forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256' }, false],
  ['CBC', { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' }, false],
  ['TLS 1.2', { maxVersion: 'TLSv1.2' }, true],
  ['TLS 1.3', { minVersion: 'TLSv1.3' }, true]
]

for (const isMutual of [false, true]) {
  test(`what is spoken${isMutual ? ', where clients show a certificate' : ''}`, async (t) => {
    const clientCa = openAuthority(t, 'authority of clients')
    const own = clientCa.issue('client')
    const served = await serve(t, isMutual ? { clientCa } : {})
    for (const [what, options, isTaken] of old) {
      const client = new Client(served, { cert: readFileSync(own.certificateFile), key: readFileSync(own.keyFile), ...options })
      await client.ask('GET /open/echo')
      assert.equal(client.text.startsWith('HTTP/1.1 200'), isTaken, `${what}: ${client.failure}`)
      client.destroy()
    }
  })
}

for (const isMutual of [false, true]) {
  test(`the answer to a chunked request is the last one${isMutual ? ', where clients show a certificate' : ''}`, async (t) => {
    const clientCa = openAuthority(t, 'authority of clients')
    const own = clientCa.issue('client')
    const served = await serve(t, isMutual ? { clientCa } : {})
    const targets = ['/open/echo', '/open/chunked']
    for (const target of targets) {
      const client = new Client(served, { cert: readFileSync(own.certificateFile), key: readFileSync(own.keyFile) })
      await client.ask(`POST ${target}`, { 'Transfer-Encoding': 'chunked' }, '5\r\nabcde\r\n0\r\n\r\n')
      assert.match(client.text.split('\r\n\r\n')[0] ?? '', /\r\nConnection: close\b/)
      client.socket.write(requestText('GET /open/after'))
      await client.closed()
    }
    await eventually('no connection is left', async () => await connectionsOf(served.rig) === 0)
    assert.deepEqual(served.rig.upstream.seen.map(({ url }) => url), targets)
  })
}

test('clients must show a certificate of the authority: without one, or with another\'s, there is no connection', async (t) => {
  const [clientCa, otherCa] = [openAuthority(t, 'authority of clients'), openAuthority(t, 'another authority')]
  const [own, foreign] = [clientCa.issue('client'), otherCa.issue('client')]
  const served = await serve(t, { workers: 2, clientCa })
  const { rig, files } = served
  const showing = ({ certificateFile, keyFile }: { readonly certificateFile: string, readonly keyFile: string }): ConnectionOptions => ({ cert: readFileSync(certificateFile), key: readFileSync(keyFile) })
  for (const options of [{}, showing(foreign)]) {
    const client = new Client(served, options)
    await client.ask('GET /open/echo')
    assert.deepEqual([client.text, client.isClosed], ['', true])
  }
  const client = new Client(served, showing(own))
  const key = { 'X-API-KEY': rig.token() }
  assert.match(await client.ask('GET /api/echo', key), /"x-forwarded-for":"127\.0\.0\.1".*"x-forwarded-proto":"https"/)
  assert.equal((await client.ask('GET /api/big?bytes=3000000', key)).length, 3_000_000)
  assert.match(await client.ask('POST /api/echo', { ...key, 'Content-Length': '300000' }, 'x'.repeat(300_000)), /"method":"POST"/)
  assert.equal((await rig.journal.events(3))[0]?.event['clientIp'], '127.0.0.1')
  // What the PROXY head of a client says is not believed.
  const liar = new Client(served, showing(own))
  liar.socket.write(Buffer.from('0d0a0d0a000d0a515549540a2111000c0909090909090909000a000b', 'hex'))
  liar.socket.write(requestText('GET /api/echo', key))

  // An answer that is cut is cut here too.
  client.text = ''
  client.socket.write(requestText('GET /open/reset-body?length=100000'))
  await client.closed()
  assert.ok(client.text.length < 1_000)

  copyFileSync(otherCa.caFile, files.clientCaFile ?? assert.fail())
  const standing = new Client(served, showing(own))
  await standing.ask('GET /open/echo')
  await served.use('second')
  await standing.ask('GET /open/echo')
  assert.match(standing.text, /^HTTP\/1\.1 200/)
  const refused = new Client(served, showing(own))
  await refused.ask('GET /open/echo')
  const taken = new Client(served, showing(foreign))
  await taken.ask('GET /open/echo')
  assert.deepEqual([refused.text, taken.text.startsWith('HTTP/1.1 200'), taken.subject], ['', true, 'second'])
  // What was checked is served, whatever the files say by then.
  await rig.reload({ ...rig.rules, certificate: { certificate: readFileSync(path.join(served.authority.folder, 'first.pem'), 'utf8'), key: readFileSync(path.join(served.authority.folder, 'first.key'), 'utf8'), clientCa: readFileSync(clientCa.caFile, 'utf8') } })
  const checked = new Client(served, showing(own))
  await checked.ask('GET /open/echo')
  assert.deepEqual([checked.text.startsWith('HTTP/1.1 200'), checked.subject], [true, 'first'])
  assert.ok(!liar.text.includes('9.9.9.9') && !JSON.stringify(rig.journal.look()).includes('9.9.9.9'))
  for (const one of [standing, refused, taken, checked, liar]) one.destroy()
  await eventually('no connection is left', async () => await connectionsOf(rig) === 0)
  const socketFile = path.join(path.dirname(rig.registryFile), 'mutual-tls-0.sock')
  assert.ok(existsSync(socketFile))
  await rig.gateway.stop()
  assert.deepEqual([existsSync(socketFile), rig.deaths], [false, []])
})
