// Upstreams over TLS of their own authority, with a certificate of the gateway's, and the header that proves where a request
// came through.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { openAuthority } from '../helpers/certificates.ts'
import type { CertificateFiles } from '../helpers/certificates.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, json, requestText } from '../helpers/raw-http.ts'

interface Seen { readonly client: string | undefined, readonly headers: readonly string[] }

async function openSecure (t: TestContext, files: CertificateFiles, options: ServerOptions = {}): Promise<{ readonly url: string, readonly seen: Seen[] }> {
  const seen: Seen[] = []
  const server = createServer({ cert: readFileSync(files.certificateFile), key: readFileSync(files.keyFile), ...options }, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate() as { readonly subject?: { readonly CN?: string } }
    seen.push({ client: subject?.CN, headers: request.rawHeaders })
    response.writeHead(200, { 'content-length': 2 }).end('ok')
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.after(() => { server.close(); server.closeAllConnections() })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, seen }
}

async function ask (rig: Rig, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/echo', { 'X-API-KEY': rig.token(), ...headers }))
  const answer = await client.answer()
  client.destroy()
  return answer.status === 200 ? '200' : `${answer.status} ${String(json(answer)['code'])}`
}

test('an authority of one\'s own is believed, and no other; a reload takes another one, also from a file of the same name', async (t) => {
  const [own, other] = [openAuthority(t, 'own'), openAuthority(t, 'other')]
  const { url } = await openSecure(t, own.issue('upstream'))
  const rig = await startRig(t, { upstream: { url }, upstreamTls: { main: { ca: other.ca } } })
  assert.equal(await ask(rig), '502 G0008')
  await rig.reload({ ...rig.rules, upstreamTls: { main: { ca: own.ca } } })
  assert.equal(await ask(rig), '200')
  await rig.reload({ ...rig.rules, upstreamTls: {} })
  assert.equal(await ask(rig), '502 G0008')
})

test('a certificate of the gateway\'s own, where the upstream asks for one', async (t) => {
  const [own, other] = [openAuthority(t, 'own'), openAuthority(t, 'other')]
  const pem = ({ certificateFile, keyFile }: CertificateFiles): { readonly certificate: string, readonly key: string } => ({ certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8') })
  const { url, seen } = await openSecure(t, own.issue('upstream'), { requestCert: true, rejectUnauthorized: true, ca: own.ca })
  const rig = await startRig(t, { upstream: { url, retriesMax: 0 }, upstreamTls: { main: { ca: own.ca } } })
  assert.equal(await ask(rig), '502 G0008')
  await rig.reload({ ...rig.rules, upstreamTls: { main: { ca: own.ca, ...pem(other.issue('stranger')) } } })
  assert.equal(await ask(rig), '502 G0008')
  await rig.reload({ ...rig.rules, upstreamTls: { main: { ca: own.ca, ...pem(own.issue('gateway')) } } })
  assert.equal(await ask(rig), '200')
  assert.deepEqual(seen.map(({ client }) => client), ['gateway'])
})

test('the name that its certificate must have', async (t) => {
  const own = openAuthority(t)
  const { url } = await openSecure(t, own.issue('upstream'))
  const rig = await startRig(t, { upstream: { url }, upstreamTls: { main: { ca: own.ca, serverName: 'api.internal' } } })
  assert.equal(await ask(rig), '502 G0008')
  await rig.reload({ ...rig.rules, upstreamTls: { main: { ca: own.ca, serverName: 'localhost' } } })
  assert.equal(await ask(rig), '200')
})

test('the header that proves where a request came through: the gateway\'s value alone, whatever the client sends', async (t) => {
  const own = openAuthority(t)
  const secure = await openSecure(t, own.issue('upstream'))
  const value = 'what-only-the-two-know'
  for (const isTls of [false, true]) {
    const rig = await startRig(t, { upstream: { ...isTls ? { url: secure.url } : {}, secretHeader: { name: 'X-Gateway-Secret', value } }, ...isTls ? { upstreamTls: { main: { ca: own.ca } } } : {} })
    assert.equal(await ask(rig, { 'X-Gateway-Secret': 'mine', X_Gateway_Secret: 'mine', 'x-gateway_secret': 'mine', 'X-Gateway-Secrets': 'kept' }), '200')
    const headers = isTls ? secure.seen[0]?.headers : rig.upstream.seen[0]?.rawHeaders
    const named = (headers ?? []).flatMap((name, at) => at % 2 === 0 && /^x[-_]gateway/i.test(name) ? [[name.toLowerCase(), headers?.[at + 1]]] : [])
    assert.deepEqual(named.sort(), [['x-gateway-secret', value], ['x-gateway-secrets', 'kept']])
    // Neither the usage event nor the client sees it.
    assert.ok(!JSON.stringify(await rig.journal.events(1)).includes(value))
    await rig.reload({ ...rig.rules, gateway: { ...rig.rules.gateway, upstreams: { main: { ...rig.rules.gateway.upstreams['main'] as NonNullable<typeof rig.rules.gateway.upstreams['main']>, secretHeader: { name: 'X-Gateway-Secret', value: 'another-of-the-two' } } } } })
    await ask(rig)
    assert.ok((isTls ? secure.seen[1]?.headers : rig.upstream.seen[1]?.rawHeaders)?.includes('another-of-the-two'))
  }
})
