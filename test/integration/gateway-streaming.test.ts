// Long bodies both ways: passed on as they come, in bounded memory, however slow the other side is.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { eventually } from '../helpers/eventually.ts'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, json, requestText } from '../helpers/raw-http.ts'

const mebibyte = 1024 * 1024
/** Longer than what memory may grow by, garbage of all three processes' parts included: they share this one. */
const longestBytes = 500 * mebibyte
const growthBytesMax = 300 * mebibyte
/** What may be on the way of a body that nobody takes: on two connections, each with a receive buffer of up to 32 MiB (net.ipv4.tcp_rmem). */
const onTheWayBytesMax = 96 * mebibyte

/** Reads and forgets a body, keeping its length: what is measured is the gateway's memory, not the test's. */
class Drain {
  bytes = 0
  head = ''
  #tail = Buffer.alloc(0)
  readonly client: RawClient

  constructor (client: RawClient) {
    this.client = client
    client.socket.removeAllListeners('data')
    client.socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length
      if (this.head === '') this.head = chunk.toString('latin1').split('\r\n\r\n')[0] ?? ''
      this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-8)
    })
  }

  get tail (): string { return this.#tail.toString('latin1') }
}

function rssBytes (): number { return process.memoryUsage.rss() }

/** Resolves with the value once it has stopped growing. */
async function standstill (what: string, value: () => number): Promise<number> {
  let last = -1
  let same = 0
  return await eventually(`${what} stands still`, () => {
    same = value() === last ? same + 1 : 0
    last = value()
    return same >= 10 && last > 0 ? last : undefined
  }, { everyMs: 30 })
}

for (const [what, query] of [['with a length', ''], ['chunked', '&chunked']] as const) {
  test(`a slow reader holds the upstream back, and gets all of ${longestBytes / mebibyte} MiB (${what})`, async (t) => {
    const rig = await startRig(t)
    const client = new RawClient(rig.port)
    const drain = new Drain(client)
    client.socket.pause()
    const beforeBytes = rssBytes()
    client.send(requestText(`GET /api/big?bytes=${longestBytes}${query}`, { 'X-API-KEY': rig.token() }))
    const writtenBytes = await standstill('the upstream', () => rig.upstream.writtenBytes)
    assert.ok(writtenBytes < onTheWayBytesMax, `${writtenBytes} bytes were taken from the upstream while the client read nothing`)
    client.socket.resume()
    let highestBytes = 0
    const events = await eventually('the event', () => {
      highestBytes = Math.max(highestBytes, rssBytes())
      return rig.journal.look().length > 0 ? rig.journal.offered : undefined
    }, { withinMs: 60_000 })
    assert.equal(events[0]?.event['responseBytes'], longestBytes)
    await eventually('the whole body', () => query === '' ? drain.bytes === drain.head.length + 4 + longestBytes : drain.tail.endsWith('0\r\n\r\n'))
    assert.ok(highestBytes - beforeBytes < growthBytesMax, `memory grew by ${Math.round((highestBytes - beforeBytes) / mebibyte)} MiB`)
    await eventually('the answer is counted', () => rig.journal.counts().answered === 1)
    client.destroy()
  })
}

test('an upstream that does not read holds the client back', async (t) => {
  const totalBytes = 150 * mebibyte
  const rig = await startRig(t, { gateway: { requestBytesMax: totalBytes }, upstream: { idleTimeoutMs: 1500 } })
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/stalled', { 'X-API-KEY': rig.token(), 'Content-Length': String(totalBytes) }))
  // As fast as a network of 1 Gbit/s: the server is deaf to a pause as long as each of its reads is full.
  const piece = Buffer.alloc(128 * 1024)
  let [givenBytes, takenBytes] = [0, 0]
  const sender = setInterval(() => {
    if (givenBytes === totalBytes) return
    givenBytes += piece.length
    client.socket.write(piece, (error) => { if ((error ?? undefined) === undefined) takenBytes += piece.length })
  }, 1)
  t.after(() => { clearInterval(sender) })
  const answer = await client.answer({ withinMs: 60_000 })
  // A pause must not last: a client that leaves would not be noticed meanwhile.
  assert.deepEqual([answer.status, json(answer)['code']], [504, 'G0009'])
  assert.ok(takenBytes < onTheWayBytesMax, `${takenBytes} bytes were taken from the client while the upstream read nothing`)
  const [offered] = await rig.journal.events(1)
  assert.equal(offered?.event['errorCode'], 'G0009')
  client.destroy()
})

test('a client that sends faster than it can be paused is given up before memory is', async (t) => {
  const totalBytes = 400 * mebibyte
  const rig = await startRig(t, { gateway: { requestBytesMax: totalBytes }, upstream: { idleTimeoutMs: 1500 } })
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/stalled', { 'X-API-KEY': rig.token(), 'Content-Length': String(totalBytes) }))
  const piece = Buffer.alloc(mebibyte)
  for (let sent = 0; sent < totalBytes; sent += piece.length) client.socket.write(piece)
  const [offered] = await rig.journal.events(1)
  // Which of the two depends on how well the sender keeps up.
  assert.ok([413, 504].includes(Number(offered?.event['responseStatus'])))
  assert.ok(Number(offered?.event['requestBytes']) < onTheWayBytesMax + 64 * mebibyte)
  await client.closed()
})

async function upload (rig: Rig, totalBytes: number, isChunked: boolean): Promise<void> {
  const client = new RawClient(rig.port)
  const digest = createHash('sha256')
  client.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), ...(isChunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(totalBytes) }) }))
  for (let sent = 0; sent < totalBytes;) {
    const piece = Buffer.alloc(Math.min(256 * 1024, totalBytes - sent), String(sent % 9973))
    digest.update(piece)
    sent += piece.length
    const framed = isChunked ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]) : piece
    if (!client.socket.write(framed)) await new Promise((resolve) => { client.socket.once('drain', resolve) })
  }
  if (isChunked) client.send('0\r\n\r\n')
  const answer = await client.answer({ withinMs: 60_000 })
  assert.equal(answer.status, 200)
  const seen = rig.upstream.seen.at(-1)
  assert.deepEqual([seen?.bodyBytes, seen?.bodySha256], [totalBytes, digest.digest('hex')])
  const sentHeaders = json(answer)['headers'] as Record<string, string>
  if (!isChunked) assert.equal(sentHeaders['content-length'], String(totalBytes))
  client.destroy()
}

for (const [what, isChunked] of [['with a length', false], ['chunked', true]] as const) {
  test(`request bodies of all sizes arrive as they were sent (${what})`, async (t) => {
    const rig = await startRig(t, { gateway: { requestBytesMax: 32 * mebibyte } })
    // One longer than bodiesAheadBytesMax might be given up: see the test above.
    const sizes = [1, 1000, 64 * 1024, 64 * 1024 + 1, 300_000, 31 * mebibyte]
    for (const size of sizes) await upload(rig, size, isChunked)
    const offered = await rig.journal.events(sizes.length)
    assert.deepEqual(offered.map(({ event }) => event['requestBytes']), sizes)
  })
}

test('a client that leaves in the middle of its request: the upstream is told, 499', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/held', { 'X-API-KEY': rig.token(), 'Content-Length': '1000000' }))
  client.send(Buffer.alloc(200_000))
  await rig.upstream.nextHeld()
  client.reset()
  const [offered] = await rig.journal.events(1)
  assert.deepEqual([offered?.event['responseStatus'], offered?.event['upstreamLatencyMs']], [499, undefined])
  await eventually('the upstream sees that it is over', () => rig.upstream.seen[0]?.isAborted === true)
})

test('an upstream that answers before it has read the request: the answer arrives, and the connection ends', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/early', { 'X-API-KEY': rig.token(), 'Content-Length': '1000000' }))
  client.send(Buffer.alloc(100_000))
  const answer = await client.answer()
  assert.deepEqual([answer.status, answer.body.toString(), header(answer, 'connection')], [200, 'early', 'close'])
  await client.closed()
  const [offered] = await rig.journal.events(1)
  assert.deepEqual([offered?.event['responseStatus'], offered?.event['errorCode']], [200, undefined])
})

test('an answer that is relayed to a chunked request is framed as it should be, and says that the connection ends', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/big?chunked&bytes=200000', { 'X-API-KEY': rig.token(), 'Transfer-Encoding': 'chunked' }, '5\r\nabcde\r\n0\r\n\r\n'))
  const answer = await client.answer()
  assert.deepEqual([answer.status, answer.body.length, answer.restBytes, header(answer, 'connection')], [200, 200_000, 0, 'close'])
  client.destroy()
})

test('a gateway that stops finishes an answer of unknown length as it should be framed', async (t) => {
  const rig = await startRig(t, { gateway: { stopTimeoutMs: 20_000 } })
  const client = new RawClient(rig.port)
  client.send(requestText('GET /api/big?chunked&bytes=20000000', { 'X-API-KEY': rig.token() }))
  await eventually('the answer begins', () => client.received().length > 0, { everyMs: 1 })
  client.socket.pause()
  const stopping = rig.gateway.stop()
  await eventually('the gateway takes no more connections', async () => {
    const other = new RawClient(rig.port)
    try { await other.closed(200) } catch { return false } finally { other.destroy() }
    return true
  })
  client.socket.resume()
  const answer = await client.answer()
  assert.deepEqual([answer.status, answer.body.length, answer.restBytes], [200, 20_000_000, 0])
  client.destroy()
  await stopping
})

test('answers of unknown length lose nothing on their way to clients that read by fits and starts', async (t) => {
  const rig = await startRig(t)
  const totalBytes = 40_000_000
  await Promise.all(Array.from({ length: 12 }, async (_, at) => {
    const client = new RawClient(rig.port)
    const fits = setInterval(() => { if (client.socket.isPaused()) client.socket.resume(); else client.socket.pause() }, 20 + 7 * at)
    t.after(() => { clearInterval(fits) })
    client.send(requestText(`GET /api/big?chunked&bytes=${totalBytes}`, { 'X-API-KEY': rig.token() }))
    const answer = await client.answer({ withinMs: 60_000 })
    assert.deepEqual([answer.status, answer.body.length, answer.restBytes], [200, totalBytes, 0])
    client.destroy()
  }))
})

/** Lengths of the bodies of answers that follow one another, the last as far as it has come. */
function bodyLengths (bytes: Buffer): number[] {
  const lengths: number[] = []
  for (let at = 0; at < bytes.length;) {
    const start = bytes.indexOf('\r\n\r\n', at) + 4
    const head = bytes.toString('latin1', at, start)
    assert.match(head, /^HTTP\/1\.1 200 OK\r\n/)
    const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1])
    lengths.push(Math.min(length, bytes.length - start))
    at = start + length
  }
  return lengths
}

for (const bodyBytes of [60_000, 10_000]) {
  test(`a client that asks on without reading gets every answer whole, and is not buffered without end (${bodyBytes} bytes)`, async (t) => {
    const rig = await startRig(t)
    const client = new RawClient(rig.port)
    client.socket.pause()
    let asked = 0
    const isAnswered = (): boolean => rig.journal.counts().answered === asked
    // The next one when the last is answered: the server closes a connection with two requests unanswered.
    for (let isTaken = true; isTaken && asked * bodyBytes < 2 * onTheWayBytesMax;) {
      client.send(requestText(`GET /api/big?bytes=${bodyBytes}`, { 'X-API-KEY': rig.token() }))
      asked++
      await rig.journal.events(asked)
      isTaken = await eventually('the answer is with the kernel', isAnswered, { withinMs: 1_000, everyMs: 1 }).catch(() => false)
    }
    assert.ok(asked > 1 && asked * bodyBytes < onTheWayBytesMax, `${asked} answers, and more are taken`)
    client.socket.resume()
    await eventually('all of them are here', () => bodyLengths(client.received()).reduce((sum, length) => sum + length, 0) === asked * bodyBytes, { everyMs: 250 })
    assert.deepEqual(bodyLengths(client.received()), Array.from({ length: asked }, () => bodyBytes))
    await eventually('all of them are answered', isAnswered)
    client.destroy()
  })
}

test('a body that grows beyond the limit is refused with 413, and the upstream is told', async (t) => {
  const rig = await startRig(t, { gateway: { requestBytesMax: 500_000 } })
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/held', { 'X-API-KEY': rig.token(), 'Transfer-Encoding': 'chunked' }))
  const piece = Buffer.concat([Buffer.from(`${(100_000).toString(16)}\r\n`), Buffer.alloc(100_000), Buffer.from('\r\n')])
  for (let sent = 0; sent < 3; sent++) client.send(piece)
  // Only an upstream that has heard of the request can be told.
  await eventually('the upstream has the request', () => rig.upstream.seen.length === 1)
  for (let sent = 0; sent < 3; sent++) client.send(piece)
  const answer = await client.answer()
  assert.deepEqual([answer.status, json(answer)['code']], [413, 'G0011'])
  const [offered] = await rig.journal.events(1)
  assert.deepEqual([offered?.event['errorCode'], offered?.isRefusal], ['G0011', true])
  await eventually('the upstream sees that it is over', () => rig.upstream.seen[0]?.isAborted === true)
})

test('100-continue is answered, and the body then taken', async (t) => {
  const rig = await startRig(t)
  const client = new RawClient(rig.port)
  client.send(requestText('POST /api/echo', { 'X-API-KEY': rig.token(), 'Content-Length': '5', Expect: '100-continue' }))
  await eventually('100 Continue', () => client.received().toString('latin1').startsWith('HTTP/1.1 100 Continue\r\n\r\n'))
  client.send('hello')
  const answer = await client.answer()
  assert.equal(answer.status, 200)
  assert.equal((json(answer)['headers'] as Record<string, string>)['expect'], undefined)
  client.destroy()
})
