// What the gateway relies on in an HTTP client towards upstreams, whichever takes the place.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { UpstreamConfig } from '../../src/config/schema.ts'
import type { Upstream, UpstreamCall, UpstreamFailure, UpstreamHandlers, UpstreamRequest } from '../../src/gateway/upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { freePorts } from '../helpers/free-ports.ts'
import { UpstreamSample } from '../helpers/upstream-sample.ts'

class Recorder implements UpstreamHandlers {
  status = 0
  headers: readonly string[] = []
  body = Buffer.alloc(0)
  isComplete = false
  failure: UpstreamFailure | undefined
  readonly errors: unknown[] = []
  calls = 0
  onHead (status: number, headers: readonly string[]): void { this.calls++; this.status = status; this.headers = headers }
  onData (chunk: Buffer): void { this.calls++; this.body = Buffer.concat([this.body, chunk]) }
  onEnd (): void { this.calls++; assert.ok(!this.isOver); this.isComplete = true }
  onFailure (failure: UpstreamFailure): void { this.calls++; assert.ok(!this.isOver); this.failure = failure }
  onError (error: unknown): void { this.errors.push(error) }
  get isOver (): boolean { return this.isComplete || this.failure !== undefined }
  async over (): Promise<this> {
    await eventually('the end of a call', () => this.isOver, { everyMs: 5 })
    assert.deepEqual(this.errors, [])
    return this
  }

  header (name: string): string[] { return this.headers.flatMap((text, at) => at % 2 === 1 && this.headers[at - 1] === name ? [text] : []) }
}

type Open = (config: UpstreamConfig) => Upstream

export function upstreamContract (name: string, open: Open): void {
  const openFor = (t: TestContext, url: string, config: Partial<UpstreamConfig> = {}): Upstream => {
    const upstream = open({ url, otherUrls: [], failuresMax: 3, outMs: 5000, retriesMax: 0, connectTimeoutMs: 500, responseTimeoutMs: 1000, idleTimeoutMs: 1000, keepAliveMs: 4000, connectionsMax: 10, forwardHost: false, ...config })
    t.after(() => upstream.close())
    return upstream
  }
  const sampleFor = async (t: TestContext): Promise<UpstreamSample> => {
    const sample = await new UpstreamSample().open()
    t.after(() => { sample.close() })
    return sample
  }
  /** A server that answers each request's first bytes with the next of `answers`; `end` closes behind it. */
  const rawServer = async (t: TestContext, answers: readonly string[], isEnding = false): Promise<{ readonly url: string, readonly sockets: Socket[] }> => {
    const sockets: Socket[] = []
    let next = 0
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('error', () => {})
      socket.on('data', () => {
        socket.write(Buffer.from(answers[next++ % answers.length] ?? '', 'latin1'))
        if (isEnding) socket.end()
      })
    })
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    t.after(() => { server.close(); for (const socket of sockets) socket.destroy() })
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets }
  }
  const ask = (upstream: Upstream, request: Partial<UpstreamRequest> = {}): { readonly seen: Recorder, readonly call: UpstreamCall } => {
    const seen = new Recorder()
    const call = upstream.forward({ method: 'GET', path: '/echo', headers: [], body: null, bodyBytes: 0, ...request }, seen)
    assert.equal(seen.calls, 0, 'called back inside forward')
    return { seen, call }
  }
  const get = async (upstream: Upstream, path: string): Promise<Recorder> => await ask(upstream, { path }).seen.over()

  test(`${name}: an answer, its headers in lower case and in order`, async (t) => {
    const { url } = await rawServer(t, ['HTTP/1.1 200 OK\r\nX-B: 1\r\nSet-Cookie: a=1\r\nSET-COOKIE: b=2\r\nX-A: k\xe9\r\nContent-Length: 2\r\n\r\nok'])
    const seen = await get(openFor(t, url), '/')
    assert.deepEqual([seen.status, seen.body.toString(), seen.header('set-cookie'), seen.header('x-a'), seen.header('x-b')], [200, 'ok', ['a=1', 'b=2'], ['k\xe9'], ['1']])
  })

  test(`${name}: what is sent`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url)
    await ask(upstream, { path: '/echo?a=b%20c', headers: ['x-one', '1', 'x-one', '2', 'x-byte', 'k\xe9'] }).seen.over()
    const [seen] = sample.seen
    assert.equal(seen?.url, '/echo?a=b%20c')
    assert.deepEqual([seen?.headers['x-one'], seen?.headers['x-byte'], seen?.headers.host], ['1, 2', 'k\xe9', new URL(sample.url).host])
    assert.deepEqual([seen?.headers['content-length'], seen?.headers['transfer-encoding']], [undefined, undefined])
  })

  test(`${name}: a loop that is held up for longer than connecting may take doesn't lose the connection`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url, { connectTimeoutMs: 50 })
    const { seen } = ask(upstream)
    // The name is an address: connecting has begun. It ends in the kernel meanwhile.
    await new Promise((resolve) => { setImmediate(resolve) })
    const untilMs = performance.now() + 300
    while (performance.now() < untilMs);
    assert.equal((await seen.over()).status, 200)
  })

  test(`${name}: an upstream by its name`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, `http://localhost:${sample.port}`)
    assert.deepEqual([(await get(upstream, '/echo')).status, sample.seen[0]?.headers.host], [200, `localhost:${sample.port}`])
  })

  for (const [what, body, bodyBytes, expected] of [
    ['bytes', () => Buffer.from('hello'), 5, { 'content-length': '5' }],
    ['a stream with a length', () => Readable.from([Buffer.from('hel'), Buffer.from('lo')]), 5, { 'content-length': '5' }],
    ['a stream without', () => Readable.from([Buffer.from('hel'), Buffer.from('lo')]), -1, { 'transfer-encoding': 'chunked' }],
    ['nothing', () => null, 0, { 'content-length': '0' }]
  ] as const) {
    test(`${name}: a request with ${what}`, async (t) => {
      const sample = await sampleFor(t)
      const upstream = openFor(t, sample.url)
      for (let time = 0; time < 2; time++) await ask(upstream, { method: 'POST', body: body(), bodyBytes }).seen.over()
      for (const seen of sample.seen) {
        assert.equal(seen.bodyBytes, what === 'nothing' ? 0 : 5)
        assert.deepEqual({ 'content-length': seen.headers['content-length'], 'transfer-encoding': seen.headers['transfer-encoding'] }, { 'content-length': undefined, 'transfer-encoding': undefined, ...expected })
      }
      assert.equal(upstream.openCalls(), 0)
    })
  }

  test(`${name}: a connection is used again, one request at a time`, async (t) => {
    const { url, sockets } = await rawServer(t, ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 'HTTP/1.1 204 No Content\r\n\r\n', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n'])
    const upstream = openFor(t, url)
    for (let time = 0; time < 6; time++) await get(upstream, '/')
    assert.equal(sockets.length, 1)
    await Promise.all([get(upstream, '/'), get(upstream, '/')])
    assert.equal(sockets.length, 2)
  })

  for (const [what, answer] of [
    ['that says so', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
    ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['with bytes behind it', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil']
  ] as const) {
    test(`${name}: a connection is not used again after an answer ${what}`, async (t) => {
      const { url, sockets } = await rawServer(t, [answer])
      const upstream = openFor(t, url)
      for (let time = 0; time < 3; time++) assert.equal((await get(upstream, '/')).body.toString(), 'ok')
      assert.equal(sockets.length, 3)
    })
  }

  test(`${name}: an answer that ends with its connection`, async (t) => {
    const { url } = await rawServer(t, ['HTTP/1.1 200 OK\r\n\r\nall of it'], true)
    assert.equal((await get(openFor(t, url), '/')).body.toString(), 'all of it')
  })

  test(`${name}: interim answers are passed over; HEAD, 204 and 304 have no body`, async (t) => {
    const { url } = await rawServer(t, ['HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'])
    const seen = await get(openFor(t, url), '/')
    assert.deepEqual([seen.status, seen.header('link')], [200, []])
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url)
    const head = await ask(upstream, { method: 'HEAD', path: '/status/200' }).seen.over()
    assert.deepEqual([head.status, head.header('content-length'), head.body.length], [200, ['4'], 0])
    assert.equal((await get(upstream, '/status/204')).status, 204)
    assert.equal((await get(upstream, '/status/304')).status, 304)
  })

  const bad: Readonly<Record<string, readonly [answer: string, failure: UpstreamFailure]>> = {
    'no HTTP': ['SSH-2.0-OpenSSH_9.2\r\n\r\n', 'invalid'],
    'two lengths': ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok', 'invalid'],
    'a length beside chunks': ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 'invalid'],
    'a NUL in a header': ['HTTP/1.1 200 OK\r\nX-A: a\0\r\nContent-Length: 2\r\n\r\nok', 'invalid'],
    'a bad chunk': ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok\r\n0\r\n\r\n', 'invalid'],
    'another protocol': ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 'invalid'],
    'a head without end': [`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(100_000)}`, 'invalid']
  }
  for (const [what, [answer, failure]] of Object.entries(bad)) {
    test(`${name}: ${what} is no answer`, async (t) => {
      const { url } = await rawServer(t, [answer])
      const upstream = openFor(t, url)
      const seen = await get(upstream, '/')
      assert.deepEqual([seen.failure === failure || (seen.failure === 'reset' && what === 'another protocol'), seen.isComplete, upstream.openCalls()], [true, false, 0])
    })
  }

  test(`${name}: failures`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url)
    assert.equal((await get(upstream, '/reset')).failure, 'reset')
    assert.equal((await get(upstream, '/end')).failure, 'reset')
    const part = await get(upstream, '/reset-body')
    assert.deepEqual([part.status, part.body.toString(), part.failure], [200, '0123456789', 'reset'])
    const [port] = await freePorts(1)
    assert.equal((await get(openFor(t, `http://127.0.0.1:${port}`), '/')).failure, 'unreachable')
    assert.equal((await get(openFor(t, 'http://no-such-host.invalid'), '/')).failure, 'unreachable')
    assert.equal((await get(upstream, '/echo')).status, 200)
    assert.equal(upstream.openCalls(), 0)
  })

  test(`${name}: a cancelled call is told nothing more; the upstream is`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url)
    const { seen, call } = ask(upstream, { path: '/held' })
    await sample.nextHeld()
    call.cancel()
    await eventually('the upstream sees it', () => sample.seen[0]?.isAborted)
    await eventually('nothing is open', () => upstream.openCalls() === 0)
    assert.equal(seen.calls, 0)
    call.cancel()
  })

  test(`${name}: calls beyond the connections wait; one that is cancelled meanwhile is never sent`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url, { connectionsMax: 1 })
    const first = ask(upstream, { path: '/held/1' })
    await sample.nextHeld()
    const second = ask(upstream, { path: '/second' })
    const third = ask(upstream, { path: '/third' })
    assert.equal(upstream.openCalls(), 3)
    second.call.cancel()
    sample.held[0]?.response.end('ok')
    await first.seen.over()
    assert.equal((await third.seen.over()).status, 200)
    assert.deepEqual(sample.seen.map(({ url }) => url), ['/held/1', '/third'])
    assert.equal(second.seen.calls, 0)
    await eventually('nothing is open', () => upstream.openCalls() === 0)
  })

  test(`${name}: a paused call holds the upstream back`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url)
    const totalBytes = 64 * 1024 * 1024
    const { seen, call } = ask(upstream, { path: `/big?bytes=${totalBytes}` })
    let taken = 0
    seen.onData = (chunk) => { taken += chunk.length }
    seen.onHead = () => { call.pause() }
    let before = -1
    await eventually('the upstream stands still', () => {
      const isStill = sample.writtenBytes === before && before > 0
      before = sample.writtenBytes
      return isStill
    }, { everyMs: 100 })
    assert.ok(sample.writtenBytes < totalBytes / 2)
    seen.onHead = () => {}
    call.resume()
    await seen.over()
    assert.equal(taken, totalBytes)
  })

  test(`${name}: an error of the caller's is given to the caller`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url)
    for (const method of ['onHead', 'onData', 'onEnd'] as const) {
      const { seen } = ask(upstream)
      seen[method] = () => { throw new Error(method) }
      await eventually('the error', () => seen.errors.length > 0)
      assert.equal((seen.errors[0] as Error).message, method)
    }
    assert.equal((await get(upstream, '/echo')).status, 200)
  })

  test(`${name}: closed, it ends what is open`, async (t) => {
    const sample = await sampleFor(t)
    const upstream = openFor(t, sample.url, { connectionsMax: 1 })
    const [open1, waiting] = [ask(upstream, { path: '/held' }), ask(upstream)]
    await sample.nextHeld()
    await upstream.close()
    assert.deepEqual([(await open1.seen.over()).failure, (await waiting.seen.over()).failure], ['reset', 'reset'])
  })
}
