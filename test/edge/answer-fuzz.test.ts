// A fuzz of the answers' side: answers with mistakes in them, cut at random places, are read by the gateway's parser and by its
// client on a real connection as an independent reader reads them whole, or refused where that refuses them.
//
// TOLLGATE_SEED repeats a run, TOLLGATE_FUZZ_S says how long it goes on.
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import process from 'node:process'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ResponseError, ResponseParser } from '../../src/gateway/response-parser.ts'
import { openPlainUpstream } from '../../src/gateway/upstream-plain.ts'
import type { UpstreamFailure } from '../../src/gateway/upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { seededRandom } from '../helpers/seeded-random.ts'
import { makeAnswer } from '../property/gateway-response-scenario.ts'
import { readAnswerStrictly } from './fuzz/answer-reader.ts'
import type { AnswerReading } from './fuzz/answer-reader.ts'

const isLong = process.env['TOLLGATE_LONG'] === 'fuzz'
const seed = Number(process.env['TOLLGATE_SEED'] ?? Date.now() % 1_000_000)
const forS = Number(process.env['TOLLGATE_FUZZ_S'] ?? (isLong ? 60 * 60 : 10)) / 2
const casesMin = 500

interface Case { readonly bytes: string, readonly isHead: boolean, readonly cuts: readonly number[] }

const lines = ['Content-Length: 0', 'Content-Length: 5', 'content-length: 5, 5', 'Content-Length: +5', 'Content-Length:', 'Transfer-Encoding: chunked', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding:', 'Connection: close', 'Connection: keep-alive, Close', 'X-A: a\rb', 'X-A: a\nb', ' folded', 'X A: b', ': a', 'X-A : b', 'X-A: \0', 'no colon', 'Keep-Alive: timeout=0']

function makeCase (index: number): Case {
  const random = seededRandom(Math.imul(seed, 1_000_003) + index)
  const upTo = (max: number): number => Math.floor(random() * (max + 1))
  const pick = <Item> (items: readonly Item[]): Item => items[upTo(items.length - 1)] as Item
  const answer = makeAnswer(random)
  let bytes = answer.bytes.toString('latin1')
  if (random() < 0.3) bytes = bytes.replace('\r\n', `\r\n${pick(lines)}\r\n`)
  for (let count = upTo(3) - 1; count > 0; count--) {
    const at = Math.floor(random() ** 2 * bytes.length)
    const put = pick(['', '\r', '\n', '\r\n', '\r\n\r\n', '\0', ' ', '\t', ':', '0', '5', 'f', ';', '\xff', 'HTTP/1.1 200 OK\r\n\r\n', String.fromCharCode(upTo(255)), bytes.slice(at, at + upTo(30)).repeat(2)])
    bytes = bytes.slice(0, at) + put + bytes.slice(random() < 0.5 ? at + 1 + upTo(pick([0, 0, 20])) : at)
  }
  if (random() < 0.1) bytes = bytes.slice(0, upTo(bytes.length))
  const cuts = [...new Set([...Array.from({ length: pick([0, 1, 3, 20]) }, () => upTo(bytes.length)), bytes.length])].sort((a, b) => a - b)
  return { bytes, isHead: answer.isHead, cuts }
}

interface Heard { status: number | undefined, headers: readonly string[], body: string, isEnded: boolean, isReusable: boolean, isWrong: boolean }

const nothing = (): Heard => ({ status: undefined, headers: [], body: '', isEnded: false, isReusable: false, isWrong: false })

function parsed ({ bytes, isHead, cuts }: Case): Heard {
  const heard = nothing()
  const parser = new ResponseParser({
    onHead: (status, headers) => { assert.equal(heard.status, undefined, 'two heads'); Object.assign(heard, { status, headers }) },
    onBody: (part) => { assert.ok(!heard.isEnded && heard.status !== undefined, 'a body out of place'); heard.body += part.toString('latin1') },
    onEnd: (isReusable) => { assert.ok(!heard.isEnded, 'two ends'); Object.assign(heard, { isEnded: true, isReusable }) }
  })
  parser.begin(isHead)
  try {
    let at = 0
    for (const cut of cuts) {
      if (cut > at) parser.push(Buffer.from(bytes.slice(at, cut), 'latin1'))
      at = cut
      // What follows belongs to nobody: the client ends such a connection.
      if (heard.isEnded) { heard.isReusable &&= at === bytes.length; break }
    }
    if (!heard.isEnded) parser.end()
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error
    heard.isWrong = true
  }
  return heard
}

/** @param isWire how good a connection is afterwards isn't told by the client */
function assertAgree (heard: Heard, reading: AnswerReading, isWire = false): void {
  if ('wrong' in reading) {
    assert.deepEqual([heard.isWrong, heard.isEnded], [true, false], 'taken, but it is wrong')
    const { body = '', status } = reading.wrong
    if (heard.status !== undefined) assert.equal(heard.status, status)
    assert.ok(body.startsWith(heard.body) || heard.body.startsWith(body), 'another beginning of the body')
    return
  }
  const { status, headers, body, isReusable } = reading.answer
  assert.deepEqual({ ...heard, isReusable: isWire ? isReusable : heard.isReusable }, { status, headers, body, isEnded: true, isReusable, isWrong: false })
}

function failing (index: number, { bytes, cuts, isHead }: Case, cause: unknown): Error { return new Error(`TOLLGATE_SEED=${seed}, case ${index}${isHead ? ', to HEAD' : ''}: ${JSON.stringify(bytes.slice(0, 3_000))} cut at ${cuts.join()}`, { cause }) }

const countText = (counts: { readonly good: number, readonly wrong: number }): string => `seed ${seed}: ${counts.good} good answers, ${counts.wrong} wrong ones`

test(`answers with mistakes, cut anywhere, through the parser for ${forS} s, seed ${seed}`, async (t) => {
  const counts = { good: 0, wrong: 0 }
  const endMs = performance.now() + forS * 1000
  for (let index = 0; performance.now() < endMs; index++) {
    const one = makeCase(index)
    const reading = readAnswerStrictly(one.bytes, one.isHead)
    try { assertAgree(parsed(one), reading) } catch (error) { throw failing(index, one, error) }
    counts['wrong' in reading ? 'wrong' : 'good']++
    if (index % 1_000 === 0) await turn()
  }
  t.diagnostic(`note: ${countText(counts)}`)
  assert.ok(counts.good >= casesMin && counts.wrong >= casesMin, countText(counts))
})

/** A server that sends a case's pieces for each request, closes, and keeps nothing. */
async function serve (t: { readonly after: (close: () => void) => void }, caseOf: (target: string) => Case): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => { sockets.delete(socket) })
    socket.once('data', (request) => { void sendPieces(socket, caseOf(/^\S+ (\S+)/.exec(request.toString('latin1'))?.[1] ?? '')) })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.after(() => { server.close(); for (const socket of sockets) socket.destroy() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function sendPieces (socket: Socket, { bytes, cuts }: Case): Promise<void> {
  socket.setNoDelay(true)
  let at = 0
  for (const cut of cuts) {
    if (cut > at) socket.write(bytes.slice(at, cut), 'latin1')
    at = cut
    await turn()
  }
  socket.end()
}

test(`the same on real connections for ${forS} s, seed ${seed}`, async (t) => {
  const waiting = new Map<string, Case>()
  const url = await serve(t, (target) => waiting.get(target) ?? { bytes: '', isHead: false, cuts: [0] })
  const upstream = openPlainUpstream({ url, otherUrls: [], failuresMax: 3, outMs: 5_000, retriesMax: 0, connectTimeoutMs: 20_000, responseTimeoutMs: 20_000, idleTimeoutMs: 20_000, keepAliveMs: 4_000, connectionsMax: 1_000, forwardHost: false })
  t.after(() => upstream.close())
  const counts = { good: 0, wrong: 0 }
  const endMs = performance.now() + forS * 1000
  let next = 0
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const index = next++
      const one = makeCase(index)
      waiting.set(`/${index}`, one)
      const heard = nothing()
      const reading = readAnswerStrictly(one.bytes, one.isHead)
      let failure: UpstreamFailure | undefined
      upstream.forward({ method: one.isHead ? 'HEAD' : 'GET', path: `/${index}`, headers: [], body: null, bodyBytes: 0, needsNewConnection: true }, {
        onHead: (status, headers) => { Object.assign(heard, { status, headers }) },
        onData: (part) => { heard.body += part.toString('latin1') },
        onEnd: () => { heard.isEnded = true },
        onFailure: (what) => { failure = what; heard.isWrong = true },
        onError: (error) => { throw error as Error }
      })
      await eventually(`the end of case ${index}`, () => heard.isEnded || heard.isWrong, { withinMs: 30_000, everyMs: 1 })
      waiting.delete(`/${index}`)
      if (failure !== undefined) assert.ok(failure === 'invalid' || failure === 'reset', failure)
      try { assertAgree(heard, reading, true) } catch (error) { throw failing(index, one, error) }
      counts['wrong' in reading ? 'wrong' : 'good']++
    }
  }
  await Promise.all(Array.from({ length: 16 }, lane))
  t.diagnostic(`note: ${countText(counts)}`)
  assert.ok(counts.good >= casesMin / 5 && counts.wrong >= casesMin / 5, countText(counts))
})
