// One run of the response parser: answers made from a model, cut into reads at random places of one buffer that is used
// again, must be read as what the model says; and what could be read in two ways must be refused.
import assert from 'node:assert/strict'
import { ResponseError, ResponseParser } from '../../src/gateway/response-parser.ts'
import { seededRandom } from '../helpers/seeded-random.ts'

interface Answer {
  readonly isHead: boolean
  readonly bytes: Buffer
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Buffer
  readonly isReusable: boolean
  /** Ends with the connection. */
  readonly isUntilEnd: boolean
}

interface Read { status: number, headers: readonly string[], body: Buffer, isReusable: boolean | undefined }

type Random = () => number
const pick = <Item> (random: Random, items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
const upTo = (random: Random, max: number): number => Math.floor(random() * (max + 1))

const fillers = [['X-A', 'a'], ['Server', 'x/1.0'], ['set-cookie', 'a=b; Path=/'], ['SET-COOKIE', 'c=d'], ['X-Empty', ''], ['X-Byte', 'k\xe9pt'], ['ETag', '"a, b"'], ['X-Content-Length', '7']] as const

function bodyOf (random: Random): Buffer {
  const length = pick(random, [0, 1, 2, 10, 100, 3000])
  // Full of what frames an answer, so that a reader that loses its place finds something to misread.
  const text = 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0\r\n\r\n5\r\nabc'
  return Buffer.from(text.repeat(Math.ceil(length / text.length) + 1).slice(0, length), 'latin1')
}

function chunked (random: Random, body: Buffer): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length;) {
    const size = 1 + upTo(random, Math.min(50, body.length - at - 1))
    const line = pick(random, [size.toString(16), size.toString(16).toUpperCase(), `00${size.toString(16)}`, `${size.toString(16)};a=b`, `${size.toString(16)} ; x="y"`])
    parts.push(Buffer.from(`${line}\r\n`), body.subarray(at, at + size), Buffer.from('\r\n'))
    at += size
  }
  return Buffer.concat([...parts, Buffer.from(`${pick(random, ['0', '00', '0;last'])}\r\n${pick(random, ['', 'X-Trailer: t\r\n', 'A: 1\r\nB: 2\r\n'])}\r\n`)])
}

export function makeAnswer (random: Random): Answer {
  const isHead = random() < 0.1
  const status = pick(random, [200, 200, 200, 201, 204, 304, 404, 500, 599])
  const isOld = random() < 0.1
  const framing = pick(random, isOld ? ['counted', 'until-end'] : ['counted', 'counted', 'chunked', 'chunked', 'until-end'])
  const isBodyless = isHead || status === 204 || status === 304
  const body = bodyOf(random)
  const isClosing = random() < 0.15
  const own = framing === 'counted' ? [['Content-Length', String(body.length)]] : framing === 'chunked' ? [['Transfer-Encoding', pick(random, ['chunked', 'Chunked'])]] : []
  const headers = [...own, ...(isClosing ? [['Connection', pick(random, ['close', 'Close', 'x, close'])]] : []), ...Array.from({ length: upTo(random, 4) }, () => pick(random, fillers))] as string[][]
  headers.sort(() => random() - 0.5)
  const lines = headers.map(([name = '', value = '']) => `${name}:${pick(random, ['', ' ', ' \t '])}${value}${pick(random, ['', ' ', '\t'])}\r\n`)
  const interim = random() < 0.1 ? 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n' : ''
  const head = Buffer.from(`${interim}HTTP/1.${isOld ? 0 : 1} ${status}${pick(random, [' OK', ' ', '', ' Some words'])}\r\n${lines.join('')}\r\n`, 'latin1')
  const isDoubtful = isBodyless && !isHead && (framing === 'chunked' || (framing === 'counted' && body.length > 0))
  return {
    isHead,
    bytes: isBodyless ? head : Buffer.concat([head, framing === 'chunked' ? chunked(random, body) : body]),
    status,
    headers: headers.flatMap(([name = '', value = '']) => [name.toLowerCase(), value]),
    body: isBodyless ? Buffer.alloc(0) : body,
    isReusable: !isOld && !isClosing && !isDoubtful && (isBodyless || framing !== 'until-end'),
    isUntilEnd: !isBodyless && framing === 'until-end'
  }
}

/** A connection of a test: what its parser has told. */
class Reader {
  readonly reads: Read[] = []
  readonly #random: Random
  readonly parser = new ResponseParser({
    onHead: (status, headers) => { this.reads.push({ status, headers, body: Buffer.alloc(0), isReusable: undefined }) },
    onBody: (bytes) => {
      const last = this.#last
      assert.equal(last.isReusable, undefined, 'a body behind its end')
      last.body = Buffer.concat([last.body, bytes])
    },
    onEnd: (isReusable) => {
      assert.equal(this.#last.isReusable, undefined, 'ended twice')
      this.#last.isReusable = isReusable
    }
  })

  readonly #buffer = Buffer.alloc(8192)

  constructor (random: Random) { this.#random = random }

  get #last (): Read { return this.reads.at(-1) ?? assert.fail('a body without a head') }

  /** In reads of random sizes from one buffer, which is overwritten after each. */
  feed (bytes: Buffer): void {
    const sizeMax = pick(this.#random, [1, 3, 20, 500, 8192])
    for (let at = 0; at < bytes.length;) {
      const size = Math.min(bytes.length - at, 1 + upTo(this.#random, sizeMax - 1))
      bytes.copy(this.#buffer, 0, at, at + size)
      this.parser.push(this.#buffer.subarray(0, size))
      this.#buffer.fill('\r\n0\r\n\r\nHTTP/1.1 666 Wrong\r\n\r\n')
      at += size
    }
  }
}

function readsAsMeant (random: Random): void {
  const reader = new Reader(random)
  for (let count = 1 + upTo(random, 3); count > 0; count--) {
    const answer = makeAnswer(random)
    reader.parser.begin(answer.isHead)
    reader.feed(answer.bytes)
    if (answer.isUntilEnd) reader.parser.end()
    const { status, headers, body, isReusable } = reader.reads.at(-1) ?? assert.fail('nothing was read')
    assert.deepEqual({ status, headers, body: body.toString('latin1'), isReusable }, { status: answer.status, headers: answer.headers, body: answer.body.toString('latin1'), isReusable: answer.isReusable })
    if (isReusable !== true) return
  }
}

/** Each makes a head of doubtful meaning out of a good one; unchanged where it can't. */
const headDoubts: readonly ((random: Random, head: string) => string)[] = [
  (_random, head) => head.replace(/^(content-length:[^\r]*)$/im, '$1\r\n$1'),
  (_random, head) => head.replace(/^content-length:/im, 'Transfer-Encoding: chunked\r\nContent-Length:'),
  (_random, head) => head.replace(/^transfer-encoding:/im, 'Content-Length: 3\r\nTransfer-Encoding:'),
  (_random, head) => head.replace(/^transfer-encoding:/im, 'Transfer-Encoding: gzip\r\nTransfer-Encoding:'),
  (random, head) => head.replace(/^(transfer-encoding:[\t ]*)chunked/im, `$1${pick(random, ['xchunked', 'chunked, gzip', 'gzip, chunked', '', 'chunked;q=1'])}`),
  (random, head) => head.replace(/^(content-length:)[\t ]*\d+/im, `$1${pick(random, ['', '-1', '+1', '1, 1', '0x1', '1e1', '1 1', '9'.repeat(20)])}`),
  (random, head) => head.replace(/^HTTP\/1\.\d \d{3}/, pick(random, ['HTTP/2 200', 'HTTP/1.1 20', 'HTTP/1.1  200', 'HTTP/1.2 200', 'http/1.1 200', 'HTTP/1.1 099', 'HTTP/1.1 101', 'HTTP/1.1\t200', 'ICY 200'])),
  (random, head) => head.replace('\r\n', pick(random, ['\n', '\r', '\r\r\n', '\r\n X-Folded: a\r\n', '\r\n\tfolded\r\n', '\r\nX-No-Colon\r\n', '\r\n: empty\r\n', '\r\nX-Blank : a\r\n', '\r\nX Blank: a\r\n', '\r\nX-Nul: a\0b\r\n', '\r\nX-Bell: \x07\r\n', '\r\nX-Cr: a\rb\r\n', '\r\nX-Lf: a\nb\r\n']))
]
/** The same for what follows the head. */
const bodyDoubts: readonly ((random: Random, body: string, isChunked: boolean) => string)[] = [
  (_random, body) => `${body}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`,
  (_random, body) => `${body}x`,
  (random, body, isChunked) => isChunked ? body.replace(/^[0-9a-f]+/i, pick(random, ['x', '', '-1', '+1', '0x1', '1'.repeat(14), ' 1', '1\n'])) : body,
  // A chunk that is longer than its size says, by one and by two.
  (_random, body, isChunked) => isChunked ? body.replace(/^(0*[1-9a-f][0-9a-f]*[^\r]*\r\n)/i, '$1Z') : body,
  (_random, body, isChunked) => isChunked ? withoutChunkEnd(body) : body
]

function withoutChunkEnd (body: string): string {
  const size = Number.parseInt(body, 16)
  const end = body.indexOf('\r\n') + 2 + size
  return size === 0 ? body : body.slice(0, end) + 'ZZ' + body.slice(end + 2)
}

function doubtful (random: Random, text: string): string {
  const headEnd = text.indexOf('\r\n\r\n')
  const [head, body] = [text.slice(0, headEnd), text.slice(headEnd + 4)]
  const isWithHead = random() < 0.6
  const changed = isWithHead ? pick(random, headDoubts)(random, head) : head
  return changed + '\r\n\r\n' + (isWithHead ? body : pick(random, bodyDoubts)(random, body, /^transfer-encoding:/im.test(head)))
}

function refusesDoubts (random: Random): void {
  let answer = makeAnswer(random)
  while (answer.isUntilEnd || answer.isHead || !answer.isReusable || answer.bytes.includes('103 Early')) answer = makeAnswer(random)
  const text = answer.bytes.toString('latin1')
  const changed = doubtful(random, text)
  if (changed === text) return
  const reader = new Reader(random)
  reader.parser.begin(false)
  try {
    reader.feed(Buffer.from(changed, 'latin1'))
    reader.parser.end()
  } catch (error) {
    if (error instanceof ResponseError) return
    throw error
  }
  assert.notEqual(reader.reads.at(-1)?.isReusable, true, `taken for a good answer: ${JSON.stringify(changed.slice(0, 300))}`)
}

export function run (seed: number): void {
  readsAsMeant(seededRandom(seed))
  refusesDoubts(seededRandom(seed ^ 0x5f5f5f))
}
