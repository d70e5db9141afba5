// What a hostile or careless client can send, byte by byte. Each connection's bytes are chosen so that a server that reads
// them another way would run a request that is hidden in them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'

const hidden = requestText('GET /api/hidden')

function urls (rig: Rig): string[] { return rig.upstream.seen.map(({ url }) => url) }

/** Sends and waits until the gateway has closed the connection; what came back until then. */
async function sentUntilClosed (rig: Rig, bytes: string): Promise<string> {
  const client = new RawClient(rig.port)
  client.send(bytes)
  await client.closed()
  return client.received().toString('latin1')
}

/** The gateway still answers. */
async function isAlive (rig: Rig): Promise<void> {
  const client = new RawClient(rig.port)
  client.send(requestText('GET /open/echo'))
  assert.equal((await client.answer()).status, 200)
  client.destroy()
  assert.deepEqual(rig.deaths, [])
}

test('a request behind another one, before that is answered, closes the connection and never runs', async (t) => {
  const rig = await startRig(t)
  assert.equal(await sentUntilClosed(rig, requestText('GET /open/echo?first') + hidden), '')
  // Also behind an answer that the gateway makes by itself.
  assert.equal(await sentUntilClosed(rig, requestText('GET /nowhere') + hidden), '')
  assert.equal(await sentUntilClosed(rig, requestText('GET /api/x') + requestText('GET /api/hidden', { 'X-API-KEY': rig.token() })), '')
  assert.ok(!urls(rig).some((url) => url.includes('hidden')))
  await isAlive(rig)
})

const broken: Readonly<Record<string, string>> = {
  'two lengths': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`,
  'the same length twice': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab${hidden}`,
  'an empty length': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n${hidden}`,
  'a list of lengths': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nabcde${hidden}`,
  'a signed length': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nabcde${hidden}`,
  'a negative length': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n${hidden}`,
  'a hexadecimal length': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nabcde${hidden}`,
  'a length of 20 digits': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 00000000000000000005\r\n\r\nabcde${hidden}`,
  'length and chunks': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  'chunks twice': `POST /open/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
  'another encoding': `POST /open/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${hidden}`,
  'two encodings': `POST /open/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${hidden}`,
  'a space before the colon': `POST /open/echo HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nabcde${hidden}`,
  'a folded header': `POST /open/echo HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n Content-Length: 5\r\n\r\nabcde${hidden}`,
  'no host': `GET /open/echo HTTP/1.1\r\n\r\n${hidden}`,
  'two hosts': `GET /open/echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${hidden}`,
  'another version': `GET /open/echo HTTP/1.0\r\nHost: x\r\n\r\n${hidden}`,
  'a whole address': `GET http://elsewhere.test/open/echo HTTP/1.1\r\nHost: x\r\n\r\n${hidden}`
}

test('a request whose end is in doubt is not run, and neither is what follows it', async (t) => {
  const rig = await startRig(t)
  for (const [what, bytes] of Object.entries(broken)) {
    const received = await sentUntilClosed(rig, bytes)
    assert.match(received, /^(?:HTTP\/1\.1 (?:400|505) [^]*)?$/, what)
    assert.deepEqual(urls(rig), [], what)
  }
  await isAlive(rig)
  assert.deepEqual(rig.journal.look(), [])
})

test('malformed requests get G0011 and a closed connection, and are not metered', async (t) => {
  const rig = await startRig(t)
  const malformed: Readonly<Record<string, string>> = {
    'a method in small letters': requestText('get /open/echo'),
    'a method that is none': requestText('G(ET /open/echo'),
    'dots in the path': requestText('GET /open/../api/echo'),
    'encoded dots': requestText('GET /open/%2e%2e/api/echo'),
    'an encoded slash that makes dots': requestText('GET /open/..%2fapi/echo'),
    'a backslash': requestText('GET /open\\echo'),
    'a byte beyond ASCII in the path': requestText('GET /open/\xe9'),
    'a byte beyond ASCII in the query': requestText('GET /open/echo?\xe9'),
    'half a percent-encoding': requestText('GET /open/%4'),
    'bytes that are no text in a header': requestText('GET /open/echo', { 'X-A': 'a\xff\xfeb' })
  }
  for (const [what, bytes] of Object.entries(malformed)) {
    const client = new RawClient(rig.port)
    client.send(bytes)
    const answer = await client.answer()
    assert.deepEqual([answer.status, json(answer)['code']], [400, 'G0011'], what)
    assert.equal(header(answer, 'connection'), 'close', what)
    await client.closed()
  }
  assert.deepEqual(urls(rig), [])
  assert.deepEqual(rig.journal.look(), [])
  await isAlive(rig)
})

test('a change of protocol is refused with G0014; h2c, which may be ignored, is', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/echo', { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version': '13', 'X-API-KEY': rig.token() }))
  const answer = await client.answer()
  assert.deepEqual([answer.status, json(answer)['code'], json(answer)['message']], [501, 'G0014', 'protocol upgrade not supported'])
  await client.closed()
  assert.deepEqual(rig.journal.look(), [])

  const java = new RawClient(rig.port)
  java.send(requestText('GET /open/echo', { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA' }))
  const echoed = json(await java.answer())['headers'] as Record<string, string>
  assert.deepEqual([echoed['upgrade'], echoed['http2-settings'], echoed['connection']], [undefined, undefined, undefined])
  java.destroy()
})

test('answers without a body have none, and the connection goes on', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  const key = { 'X-API-KEY': rig.token() }
  client.send(requestText('HEAD /api/status/200', key))
  const head = await client.answer({ isHead: true })
  assert.deepEqual([head.status, header(head, 'content-length'), head.restBytes], [200, '4', 0])
  client.send(requestText('GET /api/status/204', key))
  const none = await client.answer()
  assert.deepEqual([none.status, header(none, 'content-length'), header(none, 'transfer-encoding')], [204, undefined, undefined])
  client.send(requestText('GET /api/status/304', key))
  assert.equal((await client.answer()).status, 304)
  client.send(requestText('HEAD /nowhere'))
  const refused = await client.answer({ isHead: true })
  assert.deepEqual([refused.status, refused.restBytes], [404, 0])
  client.send(requestText('HEAD /api/chunked', key))
  assert.equal((await client.answer({ isHead: true })).status, 200)
  client.send(requestText('GET /open/status/200'))
  assert.equal((await client.answer()).body.toString(), 'text')
  client.destroy()
})

test('what an upstream puts into its headers can not split the answer', async (t) => {
  const rig = await startRig(t)
  const answerWith = async (headers: string): Promise<RawAnswer> => {
    const client = new RawClient(rig.port)
    client.send(requestText(`GET /open/raw?end&text=${encodeURIComponent(`HTTP/1.1 200 OK\r\n${headers}Content-Length: 2\r\n\r\nok`)}`))
    const answer = await client.answer()
    client.destroy()
    return answer
  }
  const statusOf = async (headers: string): Promise<number> => (await answerWith(headers)).status
  assert.equal(await statusOf('X-Evil: a\0b\r\n'), 502)
  assert.equal(await statusOf('X-Evil: a\rSet-Cookie: b\r\n'), 502)
  assert.equal(await statusOf('X-Evil: a\x7fb\r\n'), 502)
  assert.equal(await statusOf('X Evil: a\r\n'), 502)
  const fine = await answerWith('X-Fine: a\xe9b\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX-TRACE-ID: mine\r\nKeep-Alive: timeout=5\r\n')
  assert.deepEqual(fine.headers.filter(([name]) => name === 'set-cookie').map(([, value]) => value), ['a=1', 'b=2'])
  assert.equal(header(fine, 'x-fine'), 'a\xe9b')
  assert.deepEqual([header(fine, 'x-hop'), header(fine, 'keep-alive'), header(fine, 'connection')], [undefined, undefined, undefined])
  assert.equal(fine.headers.filter(([name]) => /^(?:date|x-trace-id)$/i.test(name)).length, 2)
  await isAlive(rig)
})

test('the length of a head is bounded', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  client.send(requestText('GET /open/echo', { 'X-Long': 'x'.repeat(12_000) }))
  assert.equal((await client.answer()).status, 200)
  client.destroy()
  assert.match(await sentUntilClosed(rig, requestText('GET /open/echo', { 'X-Long': 'x'.repeat(40_000) })), /^HTTP\/1\.1 431 /)
  await isAlive(rig)
})

test('a route may want shorter heads than the gateway, and fewer headers', async (t) => {
  const rig = await startRig(t, { routes: [{ id: 'small', path: '/small/**', headerBytesMax: 1024, headersMax: 6 }, { id: 'open', path: '/open/**', isPublic: true, headersMax: 2 }] })
  const statusOf = async (target: string, headers: Readonly<Record<string, string>>): Promise<unknown> => {
    const client = new RawClient(rig.port)
    client.send(requestText(`GET ${target}`, headers))
    const answer = await client.answer()
    if (answer.status !== 200) await client.closed()
    client.destroy()
    return answer.status === 431 ? [431, json(answer)['code'], json(answer)['message']] : answer.status
  }
  const key = { 'X-API-KEY': rig.token() }
  const rest = 1024 - Buffer.byteLength(requestText('GET /small/echo', { ...key, 'X-Long': '' })) + '\r\n'.length
  assert.equal(await statusOf('/small/echo', { ...key, 'X-Long': 'x'.repeat(rest) }), 200)
  assert.deepEqual(await statusOf('/small/echo', { ...key, 'X-Long': 'x'.repeat(rest + 1) }), [431, 'G0011', 'request head too large'])
  assert.equal(await statusOf('/small/echo', { ...key, a: '1', b: '2', c: '3', d: '4' }), 200)
  assert.deepEqual(await statusOf('/small/echo', { ...key, a: '1', b: '2', c: '3', d: '4', e: '5' }), [431, 'G0011', 'too many request headers'])
  assert.deepEqual(await statusOf('/open/echo', { a: '1', b: '2' }), [431, 'G0011', 'too many request headers'])
  const events = await rig.journal.events(4)
  assert.deepEqual(events.map(({ event, isRefusal }) => [event['responseStatus'], event['errorCode'], isRefusal]), [[200, undefined, false], [431, 'G0011', true], [200, undefined, false], [431, 'G0011', true]])
  assert.equal(rig.upstream.seen.length, 2)
})

test('tokens that are no good get G0002, whatever is in them', async (t) => {
  const rig = await startRig(t)
  const good = rig.token()
  const [head = '', payload = '', signature = ''] = good.split('.')
  const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const tokens: Readonly<Record<string, string>> = {
    'no signature': `${head}.${payload}.`,
    'alg none': `${base64({ alg: 'none', typ: 'JWT' })}.${payload}.${signature}`,
    RS256: `${base64({ alg: 'RS256', typ: 'JWT', kid: 'one' })}.${payload}.${signature}`,
    'another payload': `${head}.${base64({ APIKEY_ID: 1, MEMBER_ID: 1, GRADE_TYPE: 'GRADE_PREMIUM', iat: 1 })}.${signature}`,
    'no token at all': 'hello',
    expired: rig.token({ expS: 1000 }),
    'not yet valid': rig.token({ nbfS: 4_000_000_000 }),
    'twice': `${good}, ${good}`,
    long: `${'x'.repeat(9000)}`,
    'beyond ASCII': 'a\xc3\xa9b.c.d'
  }
  const client = new RawClient(rig.port)
  for (const [what, token] of Object.entries(tokens)) {
    client.send(requestText('GET /api/echo', { 'X-API-KEY': token }))
    const answer = await client.answer()
    assert.deepEqual([answer.status, json(answer)['code']], [401, 'G0002'], what)
    assert.ok(!answer.body.toString().includes(token.slice(0, 20)), what)
  }
  client.send(requestText('GET /api/echo'))
  assert.equal(json(await client.answer())['code'], 'G0001')
  client.send(requestText('GET /api/echo', { 'X-API-KEY': good }))
  assert.equal((await client.answer()).status, 200)
  assert.equal(rig.upstream.seen.length, 1)
  client.destroy()
})
