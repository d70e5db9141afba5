// Which server of an upstream gets a request, which one is left out, and what is sent again.
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import type { UpstreamConfig } from '../../../src/config/schema.ts'
import { Targets } from '../../../src/gateway/targets.ts'
import type { Upstream, UpstreamCall, UpstreamFailure, UpstreamHandlers, UpstreamRequest } from '../../../src/gateway/upstream.ts'

interface Sent { readonly server: string, readonly request: UpstreamRequest, readonly handlers: UpstreamHandlers, isOver: boolean }

function open (servers: number, rules: Partial<UpstreamConfig> = {}) {
  const sent: Sent[] = []
  const clock = { ms: 0, nowMs: () => clock.ms, monotonicMs: () => clock.ms }
  const openOne = (config: UpstreamConfig): Upstream => ({
    config,
    openCalls: () => sent.filter(({ server, isOver }) => server === config.url && !isOver).length,
    forward: (request, handlers) => {
      const one: Sent = { server: config.url, request, handlers, isOver: false }
      sent.push(one)
      return { pause: () => {}, resume: () => {}, cancel: () => { one.isOver = true } }
    },
    close: async () => {}
  })
  const [url = '', ...otherUrls] = Array.from({ length: servers }, (_, index) => `s${index}`)
  const targets = new Targets({ url, otherUrls, failuresMax: 3, outMs: 1_000, retriesMax: 1, connectTimeoutMs: 1, responseTimeoutMs: 1, idleTimeoutMs: 1, keepAliveMs: 1, connectionsMax: 1, forwardHost: false, ...rules }, openOne, clock)
  const told: string[] = []
  const ask = (request: Partial<UpstreamRequest> = {}): UpstreamCall => targets.forward({ method: 'GET', path: '/', headers: [], body: null, bodyBytes: 0, ...request }, {
    onHead: (status) => { told.push(`head ${status}`) }, onData: () => {}, onEnd: () => { told.push('end') }, onFailure: (failure) => { told.push(failure) }, onError: () => {}
  })
  const last = (): Sent => sent.at(-1) as Sent
  const fail = (failure: UpstreamFailure = 'unreachable', one = last()): void => { one.isOver = true; one.handlers.onFailure(failure) }
  const succeed = (one = last()): void => { one.isOver = true; one.handlers.onHead(200, []); one.handlers.onEnd() }
  return { targets, sent, clock, told, ask, last, fail, succeed }
}

test('the server with the fewest in flight gets it, and equals take turns', () => {
  const { sent, ask, succeed } = open(3)
  for (let n = 0; n < 6; n++) ask()
  assert.deepEqual(['s0', 's1', 's2'].map((server) => sent.filter((one) => one.server === server).length), [2, 2, 2])
  const free = sent.find(({ server }) => server === 's1') as Sent
  succeed(free)
  ask()
  assert.equal(sent.at(-1)?.server, 's1')
})

test('a server that fails three times in a row is left out, then one request tries it, and twice as long the next time', () => {
  const { targets, sent, clock, ask, last, fail, succeed } = open(2, { retriesMax: 0 })
  const isOut = (): boolean => targets.targets.find(({ url }) => url === 's0')?.isOut === true
  const askUntil = (server: string): void => { do { if (sent.length > 0 && !last().isOver) succeed(); ask() } while (last().server !== server) }
  for (let n = 0; n < 2; n++) { askUntil('s0'); fail() }
  askUntil('s0')
  succeed()
  for (let n = 0; n < 3; n++) { assert.equal(isOut(), false); askUntil('s0'); fail('reset') }
  assert.ok(isOut())
  const servers = (asks: number): string[] => Array.from({ length: asks }, () => { ask(); const { server } = last(); return server })
  assert.deepEqual(new Set(servers(5)), new Set(['s1']))
  clock.ms = 1_000
  const tried = servers(6)
  assert.equal(tried.filter((server) => server === 's0').length, 1, 'one request tries it')
  fail('reset', sent.findLast(({ server }) => server === 's0'))
  clock.ms = 2_500
  assert.ok(!servers(5).includes('s0'), 'twice as long')
  clock.ms = 3_000
  assert.ok(servers(6).includes('s0'))
  succeed(sent.findLast(({ server }) => server === 's0'))
  assert.equal(isOut(), false)
})

test('a request that tries a server and is given up by its client lets another one try', () => {
  const { sent, clock, ask, last, fail } = open(2, { retriesMax: 0, failuresMax: 1 })
  ask()
  const out = last().server
  fail()
  clock.ms = 1_000
  const calls = new Map<Sent, UpstreamCall>()
  const askOnce = (): string => { const call = ask(); calls.set(last(), call); return last().server }
  while (askOnce() !== out);
  const trying = sent.findLast(({ server }) => server === out) as Sent
  assert.ok(!Array.from({ length: 5 }, askOnce).includes(out))
  calls.get(trying)?.cancel()
  assert.ok(Array.from({ length: 8 }, askOnce).includes(out))
})

test('a server that is too slow has failed, one whose client has left has not', () => {
  const { targets, ask } = open(1, { failuresMax: 1 })
  ask().cancel()
  assert.deepEqual(targets.targets, [{ url: 's0', isOut: false }])
  ask().cancel('timeout')
  assert.deepEqual(targets.targets, [{ url: 's0', isOut: true }])
})

test('when all are left out, requests go on to the one whose time is over first', () => {
  const { clock, ask, last, fail } = open(2, { retriesMax: 0, failuresMax: 1 })
  ask()
  const first = last().server
  fail()
  clock.ms = 10
  ask()
  assert.notEqual(last().server, first)
  fail()
  ask()
  assert.equal(last().server, first)
})

test('without a connection a request goes to another server, whatever its method; a failure is told when none is left', () => {
  const { targets, sent, told, ask, fail, succeed } = open(2)
  ask({ method: 'POST', body: Buffer.from('a'), bodyBytes: 1 })
  fail()
  assert.deepEqual([sent.length, new Set(sent.map(({ server }) => server)).size, sent[1]?.request.body, told], [2, 2, Buffer.from('a'), []])
  succeed()
  assert.deepEqual([told, targets.counts.retries], [['head 200', 'end'], 1])
  ask()
  fail()
  fail()
  assert.deepEqual([told.slice(2), sent.length], [['unreachable'], 4])
})

test('what may have been acted upon is repeated only where its method allows, on a new connection', () => {
  for (const [method, isRepeated] of [['GET', true], ['HEAD', true], ['PUT', true], ['DELETE', true], ['OPTIONS', true], ['TRACE', true], ['POST', false], ['PATCH', false], ['PROPFIND', false]] as const) {
    const { sent, told, ask, fail } = open(1)
    ask({ method })
    fail('reset')
    assert.deepEqual([sent.length, told], isRepeated ? [2, []] : [1, ['reset']], method)
    if (isRepeated) assert.equal(sent[1]?.request.needsNewConnection, true)
  }
})

for (const [what, request, failure, servers] of [
  ['a streamed body', { method: 'PUT', body: Readable.from(['a']), bodyBytes: 1 }, 'reset', 2],
  ['an answer that was no answer', {}, 'invalid', 2],
  ['a request that can\'t be sent', {}, 'refused', 2],
  ['the only server that doesn\'t take connections', {}, 'unreachable', 1]
] as const) {
  test(`not repeated: ${what}`, () => {
    const { sent, told, ask, fail } = open(servers)
    ask(request)
    fail(failure)
    assert.deepEqual([sent.length, told], [1, [failure]])
  })
}

test('not repeated: an answer that has begun, a request that was given up, and anything once all is closed', async () => {
  const { targets, sent, told, ask, last, fail } = open(2)
  ask()
  last().handlers.onHead(200, [])
  fail('reset')
  assert.deepEqual([sent.length, told], [1, ['head 200', 'reset']])
  ask().cancel()
  assert.equal(sent.length, 2)
  ask()
  await targets.close()
  fail('reset')
  assert.deepEqual([sent.length, told.slice(2)], [3, ['reset']])
})
