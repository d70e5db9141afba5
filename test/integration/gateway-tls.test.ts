// TLS on both sides: clients that come over HTTPS, and upstreams that are reached over it.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { connect } from 'node:tls'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import { RawClient, json, requestText } from '../helpers/raw-http.ts'
import { testCertificate, testKey } from '../helpers/raw-http-certificate.ts'

function certificateFiles (t: TestContext): { readonly certificateFile: string, readonly keyFile: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-tls-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const files = { certificateFile: path.join(folder, 'certificate.pem'), keyFile: path.join(folder, 'key.pem') }
  writeFileSync(files.certificateFile, testCertificate)
  writeFileSync(files.keyFile, testKey)
  return files
}

async function secureUpstream (t: TestContext): Promise<string> {
  const server = createServer({ cert: testCertificate, key: testKey }, (request, response) => {
    response.writeHead(200, { 'content-length': 6 }).end(request.url === '/secure' ? 'secret' : 'open..')
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.after(() => { server.close(); server.closeAllConnections() })
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('clients over TLS: the upstream is told, and answers are held as without', async (t) => {
  const rig = await startRig(t, { gateway: { listen: { host: '127.0.0.1', port: 0, tls: certificateFiles(t) } }, isByHand: true })
  const socket = connect({ port: rig.port, host: '127.0.0.1', ca: testCertificate })
  let received = ''
  socket.on('data', (chunk: Buffer) => { received += chunk.toString('latin1') })
  socket.write(requestText('GET /api/echo', { 'X-API-KEY': rig.token() }))
  await rig.journal.events(1)
  assert.equal(received, '')
  rig.journal.settle()
  await eventually('the answer', () => received.includes('"x-forwarded-proto":"https"'))
  received = ''
  socket.write(requestText('GET /api/big?bytes=300000', { 'X-API-KEY': rig.token() }))
  await rig.journal.events(2)
  rig.journal.settle()
  await eventually('all of a long answer', () => received.split('\r\n\r\n')[1]?.length === 300_000)
  socket.destroy()
})

test('an upstream whose certificate nobody vouches for is not spoken to: G0008', async (t) => {
  const rig = await startRig(t, { upstream: { url: await secureUpstream(t) } })
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/secure', { 'X-API-KEY': rig.token() }))
  const answer = await client.answer()
  assert.deepEqual([answer.status, json(answer)['code']], [502, 'G0008'])
  client.destroy()
})

test('an upstream over TLS with a certificate that is vouched for', async (t) => {
  const url = await secureUpstream(t)
  const probe = `
    import { openUpstream } from ${JSON.stringify(new URL('../../src/gateway/open-upstream.ts', import.meta.url).href)}
    import { systemClock } from ${JSON.stringify(new URL('../../src/platform/clock.ts', import.meta.url).href)}
    const upstream = openUpstream({ url: ${JSON.stringify(url)}, otherUrls: [], failuresMax: 3, outMs: 5000, retriesMax: 1, connectTimeoutMs: 2000, responseTimeoutMs: 2000, idleTimeoutMs: 2000, keepAliveMs: 4000, connectionsMax: 2, forwardHost: false }, systemClock)
    let body = ''
    upstream.forward({ method: 'GET', path: '/secure', headers: [], body: null, bodyBytes: 0 }, {
      onHead () {}, onData: (chunk) => { body += chunk }, onFailure: (failure) => { console.log(failure); void upstream.close() }, onError () {},
      onEnd: () => { console.log(body); void upstream.close() }
    })`
  // Trust in further certificates is read when a process starts.
  const output = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, ['--input-type=module', '--eval', probe], { env: { ...process.env, NODE_EXTRA_CA_CERTS: certificateFiles(t).certificateFile } }, (error, stdout) => {
      if (error === null) resolve(stdout)
      else reject(new Error('the probe failed', { cause: error }))
    })
  })
  assert.equal(output.trim(), 'secret')
})

test('a certificate that can\'t be used is an error at the start', async (t) => {
  const files = certificateFiles(t)
  writeFileSync(files.keyFile, 'no key')
  await assert.rejects(startRig(t, { gateway: { listen: { host: '127.0.0.1', port: 0, tls: files } } }), { code: 'CONFIG_INVALID' })
})
