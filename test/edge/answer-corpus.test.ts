// Every answer of the corpus, through a real gateway: what the client gets of it, and that the next request is answered with
// its own answer. All run over the same pool of connections, so that one answer's remains would meet the next request.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRig } from '../helpers/gateway-rig.ts'
import type { Rig } from '../helpers/gateway-rig.ts'
import { RawClient, requestText } from '../helpers/raw-http.ts'
import { corpus, strangeBody } from './answer-corpus.ts'
import type { AnswerCase } from './answer-corpus.ts'

const responseTimeoutMs = 1_000
const all = Object.values(corpus).flat()

let rig: Rig
let serial = 0
const closers: (() => unknown)[] = []
const sockets = new Set<Socket>()
const upstream = createServer((socket) => { serve(socket) })

/** `/open/case-N` is answered as case N says, everything else with its own target. */
function serve (socket: Socket): void {
  sockets.add(socket)
  let text = ''
  socket.on('error', () => { socket.destroy() })
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      const target = text.split(' ', 2)[1] ?? ''
      text = text.slice(end + 4)
      const one = all[Number(/^\/open\/case-(\d+)$/.exec(target)?.[1] ?? -1)]
      if (one === undefined) socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
      else void play(socket, one)
    }
  })
}

async function play (socket: Socket, { bytes, end }: AnswerCase): Promise<void> {
  const pieces = typeof bytes === 'string' ? [bytes] : bytes
  for (const piece of pieces) {
    if (piece !== '') await new Promise((resolve) => { socket.write(Buffer.from(piece, 'latin1'), resolve) })
    if (pieces.length > 1) await sleep(1)
  }
  if (end === 'close') socket.end()
  // A reset would take bytes with it that the gateway hasn't read yet.
  if (end === 'reset') { await sleep(50); socket.resetAndDestroy() }
}

before(async () => {
  await new Promise<void>((resolve) => { upstream.listen(0, '127.0.0.1', resolve) })
  rig = await startRig({ after: (close: () => unknown) => { closers.push(close) } }, {
    upstream: { url: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`, responseTimeoutMs, connectionsMax: 1 }
  })
})
after(async () => {
  for (const close of closers) await close()
  upstream.close()
  for (const socket of sockets) socket.destroy()
})

async function askOther (): Promise<string[]> {
  const client = new RawClient(rig.port)
  const target = `/open/other-${++serial}`
  client.send(requestText(`GET ${target}`))
  const answer = await client.answer().catch(() => undefined)
  client.destroy()
  return answer?.status === 200 && answer.body.toString() === target ? [] : [`the next request: ${answer?.status} ${answer?.body.toString()}`]
}

async function problemsOf (one: AnswerCase): Promise<string[]> {
  const { method = 'GET', status = 200, body = '', has = [], hasNot = [] } = one
  const isHead = method === 'HEAD'
  const client = new RawClient(rig.port)
  client.send(requestText(`${method} /open/case-${all.indexOf(one)}`))
  const answer = await client.answer({ isHead }).catch(() => undefined)
  const text = answer?.headers.map(([name, value]) => `${name.toLowerCase()}: ${value}\n`).join('') ?? ''
  const received = client.received().toString('latin1')
  client.destroy()
  const code = /"code":"(G\d{4})"/.exec(answer?.body.toString() ?? '')?.[1]
  const found = answer === undefined ? (client.isClosed ? 'cut' : 'half') : code === 'G0008' ? 'refused' : code === 'G0009' ? 'late' : 'relayed'
  return [
    ...(found === one.verdict ? [] : [`${found}, not ${one.verdict}: ${received.slice(0, 100)}`]),
    ...(found === 'relayed' && (answer?.status !== status || answer.body.toString('latin1') !== body) ? [`${answer?.status} ${answer?.body.toString('latin1').slice(0, 100)}`] : []),
    ...has.filter((part) => !text.includes(`${part}\n`)).map((part) => `no ${part}`),
    ...hasNot.filter((part) => text.includes(part)).map((part) => `the client has got ${part}`),
    ...(received.includes(strangeBody) || (answer?.body.toString().includes(strangeBody) === true && !body.includes(strangeBody)) ? ['the client has got somebody else\'s answer'] : []),
    ...await askOther()
  ]
}

for (const [chapter, cases] of Object.entries(corpus)) {
  test(`${chapter}: ${cases.length} cases`, async () => {
    const problems: string[] = []
    for (const one of cases) problems.push(...(await problemsOf(one)).map((problem) => `${one.name}: ${problem}`))
    assert.deepEqual(problems, [])
    assert.deepEqual(rig.deaths, [])
  })
}

test('docs/http.md says how many answers there are', () => {
  assert.ok(readFileSync(new URL('../../docs/http.md', import.meta.url), 'utf8').includes(`${all.length} answers`))
})

test('an answer of 100 MB without an end of its head costs no memory', async () => {
  const before = process.memoryUsage().rss
  const feeder = createServer((socket) => {
    socket.on('error', () => { socket.destroy() })
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nX-A: ')
      const block = Buffer.alloc(1_000_000, 'x')
      const feed = (left: number): void => { if (left > 0 && !socket.destroyed) socket.write(block, () => { feed(left - 1) }) }
      feed(100)
    })
  })
  await new Promise<void>((resolve) => { feeder.listen(0, '127.0.0.1', resolve) })
  const own: (() => unknown)[] = []
  const other = await startRig({ after: (close: () => unknown) => { own.push(close) } }, { upstream: { url: `http://127.0.0.1:${(feeder.address() as AddressInfo).port}` } })
  const client = new RawClient(other.port)
  client.send(requestText('GET /open/x'))
  assert.equal((await client.answer()).status, 502)
  client.destroy()
  for (const close of own) await close()
  feeder.close()
  assert.ok(process.memoryUsage().rss - before < 80_000_000)
})
