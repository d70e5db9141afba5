// Every case of the corpus against a real gateway: its verdict, what the upstream has seen of it, and that the next request is
// answered with its own answer, on the same connection where that goes on, and on another.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, header, requestText } from '../helpers/raw-http.ts'
import type { RawAnswer } from '../helpers/raw-http.ts'
import { RawUpstream } from './raw-upstream.ts'
import type { SeenRequest } from './raw-upstream.ts'
import { corpus, hiddenTarget } from './request-corpus.ts'
import type { Case } from './request-corpus.ts'

/** How long silence lasts before it counts as one. An answer takes a few milliseconds. */
const silenceMs = 400
const casesMin = 150

let rig: Rig
let upstream: RawUpstream
const closers: (() => unknown)[] = []
let serial = 0

before(async () => {
  upstream = await new RawUpstream().open()
  rig = await startRig({ after: (close: () => unknown) => { closers.push(close) } }, { upstream: { url: upstream.url } })
})
after(async () => {
  for (const close of closers) await close()
  upstream.close()
})

function verdictOf (answer: RawAnswer, isHead: boolean): string {
  const isOpen = header(answer, 'connection') !== 'close'
  if (header(answer, 'x-trace-id') === undefined) return `an answer ${answer.status} without a trace id`
  if (answer.status === 200) return 'forwarded'
  if (!isHead && !/^\{"code":"G\d{4}",/.test(answer.body.toString())) return `an answer ${answer.status} that isn't the gateway's`
  return `refused ${answer.status}${isOpen ? ', open' : ''}`
}

async function send (client: RawClient, bytes: Case['bytes']): Promise<void> {
  const pieces = typeof bytes === 'string' ? [bytes] : bytes
  for (const piece of pieces) {
    client.send(piece)
    if (pieces.length > 1) await sleep(1)
  }
}

async function judge (client: RawClient, isHead: boolean): Promise<{ readonly verdict: string, readonly answer?: RawAnswer }> {
  for (let waitedMs = 0; waitedMs < silenceMs; waitedMs++) {
    const answer = client.peek(isHead)
    if (answer?.isComplete === true) return { verdict: verdictOf(answer, isHead), answer: await client.answer({ isHead }) }
    if (client.isClosed) return { verdict: /^HTTP\/1\.1 (\d{3}) /.exec(client.received().toString('latin1'))?.[1]?.replace(/^/, 'server ') ?? (client.received().length === 0 ? 'closed' : 'something else') }
    await sleep(1)
  }
  return { verdict: client.received().length === 0 ? 'waits' : 'half an answer' }
}

/** @returns what is wrong with how `client` is answered; undefined for nothing */
async function ask (client: RawClient, target: string): Promise<string | undefined> {
  client.send(requestText(`GET ${target}`))
  const answer = await client.answer().catch((error: unknown) => (error as Error).message)
  if (typeof answer === 'string') return answer
  return answer.status === 200 && answer.body.toString() === target ? undefined : `${answer.status} ${answer.body.toString()}`
}

function textOf ({ headers }: SeenRequest): string { return headers.map(([name, value]) => `${name.toLowerCase()}: ${value}\n`).join('') }

function wrongAtUpstream ({ verdict, sees = {}, mayReach }: Case, seen: readonly SeenRequest[]): string[] {
  if (mayReach === true && seen.length === 1 && seen[0]?.target === '/open/x') return []
  if (verdict !== 'forwarded') return seen.map(({ method, target }) => `the upstream has seen ${method} ${target}`)
  const [request] = seen
  if (request === undefined || seen.length > 1) return [`the upstream has seen ${seen.length} requests`]
  const { method = 'GET', target = '/open/x', body = '', has = [], hasNot = [] } = sees
  const text = textOf(request)
  return [
    ...[[request.method, method], [request.target, target], [request.body, body]].filter(([is, should]) => is !== should).map(([is, should]) => `the upstream has seen ${JSON.stringify(is)}, not ${JSON.stringify(should)}`),
    ...has.filter((part) => !text.includes(`${part}\n`)).map((part) => `the upstream has not seen ${part}`),
    ...hasNot.filter((part) => text.includes(part)).map((part) => `the upstream has seen ${part}`)
  ]
}

/** As the server below takes it: its connection ends with the answer. */
function isChunked ({ bytes }: Case): boolean { return /^transfer-encoding:[ \t]*chunked[ \t]*\r$/im.test(([bytes].flat().join('').split('\r\n\r\n')[0] ?? '').split('\r\n:')[0] + '\r') }

async function problemsOf (one: Case): Promise<string[]> {
  const from = upstream.seen.length
  const isHead = String(one.bytes).startsWith('HEAD ')
  const client = new RawClient(rig.port)
  const problems: string[] = []
  try {
    await send(client, one.bytes)
    const { verdict, answer } = await judge(client, isHead)
    if (verdict !== one.verdict) problems.push(`${verdict}, not ${one.verdict}`)
    problems.push(...wrongAtUpstream(one, upstream.seen.slice(from)))
    const isOpen = ((verdict === 'forwarded' && !isChunked(one)) || verdict.endsWith(', open')) && one.isSpent !== true
    if (verdict === 'forwarded' && isChunked(one) !== (header(answer as RawAnswer, 'connection') === 'close')) problems.push(`the connection ${isChunked(one) ? 'goes on' : 'ends'}`)
    if (isOpen) problems.push(...[await ask(client, `/open/same-${++serial}`)].filter((problem) => problem !== undefined).map((problem) => `the next request: ${problem}`))
    else if (verdict !== 'waits' && one.isSpent !== true) await client.closed().catch(() => { problems.push('the connection goes on') })
  } finally {
    client.destroy()
  }
  const other = new RawClient(rig.port)
  problems.push(...[await ask(other, `/open/other-${++serial}`)].filter((problem) => problem !== undefined).map((problem) => `another client's request: ${problem}`))
  other.destroy()
  return problems
}

for (const [chapter, cases] of Object.entries(corpus)) {
  test(`${chapter}: ${cases.length} cases`, async () => {
    const problems: string[] = []
    for (const one of cases) problems.push(...(await problemsOf(one)).map((problem) => `${one.name}: ${problem}`))
    assert.deepEqual(problems, [])
    assert.deepEqual(upstream.problems, [])
    assert.deepEqual(upstream.seen.filter(({ target }) => target === hiddenTarget), [])
    assert.deepEqual(rig.deaths, [])
  })
}

test('what the cases hide would be seen if it were run', async () => {
  const client = new RawClient(rig.port)
  assert.equal(await ask(client, hiddenTarget), undefined)
  client.destroy()
  assert.equal(upstream.seen.pop()?.target, hiddenTarget)
})

test('the corpus is as large as it is said to be, and no two cases are one', () => {
  const names = Object.entries(corpus).flatMap(([chapter, cases]) => cases.map(({ name }) => `${chapter}: ${name}`))
  assert.ok(names.length >= casesMin, String(names.length))
  assert.equal(new Set(names).size, names.length)
  assert.equal(new Set(Object.values(corpus).flat().map(({ bytes }) => JSON.stringify(bytes))).size, names.length)
  assert.ok(readFileSync(new URL('../../docs/http.md', import.meta.url), 'utf8').includes(`${names.length} requests`), `docs/http.md doesn't say that there are ${names.length} requests`)
})
