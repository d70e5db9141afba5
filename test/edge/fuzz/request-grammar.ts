// Requests and near-requests, from a seed: a grammar of request lines, headers, framing and chunks, with mistakes of many
// kinds in it, and cut into pieces at random places. One character is one byte.
import { seededRandom } from '../../helpers/seeded-random.ts'

export interface FuzzCase {
  readonly kind: CaseKind
  readonly bytes: string
  /** Ends of the pieces that are written by themselves. */
  readonly cuts: readonly number[]
  /** The client resets the connection behind its last byte. */
  readonly isReset: boolean
}

export const caseKinds = ['plain', 'pipelined', 'framing', 'chunks', 'header', 'line', 'tail', 'bytes'] as const
export type CaseKind = typeof caseKinds[number]

/** @param nonce in all targets of the case: nobody else's have it */
export function makeCase (seed: number, nonce: string, apiKey: string): FuzzCase { return new Maker(seededRandom(seed), nonce, apiKey).make() }

type Headers = [name: string, value: string][]
interface Message { line: string, headers: Headers, body: string }

class Maker {
  readonly #random: () => number
  readonly #nonce: string
  readonly #apiKey: string
  #serial = 0

  constructor (random: () => number, nonce: string, apiKey: string) {
    this.#random = random
    this.#nonce = nonce
    this.#apiKey = apiKey
  }

  make (): FuzzCase {
    const kind = this.#pick(caseKinds)
    const bytes = this.#bytesOf(kind)
    return { kind, bytes, cuts: this.#cuts(bytes.length), isReset: this.#random() < 0.1 }
  }

  #bytesOf (kind: CaseKind): string {
    switch (kind) {
      case 'plain': return textOf(this.#message())
      case 'pipelined': return Array.from({ length: 2 + this.#upTo(2) }, () => textOf(this.#message())).join('')
      case 'framing': return textOf(this.#withFraming(this.#message())) + this.#hidden()
      case 'chunks': return this.#brokenChunks()
      case 'header': return textOf(this.#withHeader(this.#message())) + this.#maybe(this.#hidden())
      case 'line': return textOf(this.#withLine(this.#message())) + this.#maybe(this.#hidden())
      case 'tail': return textOf(this.#message()) + this.#pick(['\r\n', '\n', '\0', 'x', ' ', `\r\n${this.#hidden()}`, this.#hidden().slice(1), 'HTTP/1.1 200 OK\r\n\r\n', this.#hidden().slice(0, 9)])
      case 'bytes': return this.#scrambled(this.#random() < 0.5 ? textOf(this.#message()) : textOf(this.#message()) + textOf(this.#message()))
    }
  }

  #pick<Item> (items: readonly Item[]): Item { return items[Math.floor(this.#random() * items.length)] as Item }
  #upTo (max: number): number { return Math.floor(this.#random() * (max + 1)) }
  #maybe (text: string): string { return this.#random() < 0.5 ? text : '' }
  #target (): string { return `/api/${this.#nonce}x${++this.#serial}` }

  #message (): Message {
    const method = this.#pick(['GET', 'GET', 'POST', 'POST', 'PUT', 'DELETE', 'HEAD', 'PATCH', 'OPTIONS', 'PROPFIND', 'TRACE'])
    const headers: Headers = [['Host', this.#pick(['gateway.test', 'gateway.test:8080', '[::1]:80', 'a_b'])], ['X-API-KEY', this.#apiKey]]
    for (let count = this.#upTo(4); count > 0; count--) {
      headers.push(this.#pick<[string, string]>([['X-A', 'b'], ['x-a', ''], ['Accept', '*/*'], ['Cookie', 'a=b; c="d, e"'], ['Connection', 'keep-alive'], ['Connection', 'X-A'], ['Expect', '100-continue'], ['TE', 'trailers'], ['X-Utf', 'a\xc3\xa9b'],
        ['User-Agent', 'fuzz/1.0 (x; y)'], ['X-Member-Id', '99'], ['Forwarded', 'for=1.2.3.4'], ['X-Long', 'y'.repeat(this.#upTo(3_000))], ['Trailer', 'X-T'], ['Keep-Alive', 'timeout=5'], ['Upgrade', 'h2c']]))
    }
    const body = this.#body(method)
    const framing = body === '' ? this.#pick(['none', 'none', 'length', 'chunks']) : this.#pick(['length', 'chunks'])
    if (framing === 'length') headers.push([this.#pick(['Content-Length', 'content-length', 'CONTENT-LENGTH']), this.#pick(['', '00']) + String(body.length)])
    if (framing === 'chunks') headers.push([this.#pick(['Transfer-Encoding', 'transfer-encoding']), this.#pick(['chunked', 'Chunked'])])
    headers.sort(() => this.#random() - 0.5)
    return { line: `${method} ${this.#target()}${this.#pick(['', '', '?a=b', '?a=/../c&d', ';p=1', '/%2Fy', '/..%2e'])} HTTP/1.1`, headers, body: framing === 'chunks' ? this.#chunks(body) : body }
  }

  /** A request of its own, for whoever loses his place: with a good key, so that it would be run and billed. */
  #hidden (): string { return `GET ${this.#target()} HTTP/1.1\r\nHost: h\r\nX-API-KEY: ${this.#apiKey}\r\n\r\n` }

  #body (method: string): string {
    if ((method === 'GET' || method === 'HEAD') && this.#random() < 0.7) return ''
    return this.#pick(['', 'abcde', '0\r\n\r\n', '\r\n', this.#hidden(), `0\r\n\r\n${this.#hidden()}`, `5\r\nabcde\r\n0\r\n\r\n${this.#hidden()}`, 'z'.repeat(this.#upTo(70_000))])
  }

  #chunks (body: string): string {
    let text = ''
    for (let at = 0; at < body.length;) {
      const size = 1 + this.#upTo(Math.min(body.length - at - 1, this.#pick([3, 60, 20_000])))
      text += `${this.#pick(['', '0', '000'])}${this.#pick([size.toString(16), size.toString(16).toUpperCase()])}\r\n${body.slice(at, at + size)}\r\n`
      at += size
    }
    return `${text}${this.#pick(['0', '0', '00'])}\r\n\r\n`
  }

  #withFraming (message: Message): Message {
    const length = this.#pick(['0', '5', String(message.body.length), '+5', '-1', '0x5', '5, 5', '5 5', '', '1e1', '5.0', '9'.repeat(16), '9'.repeat(25), '\xa05', '5\xa0', '4294967301', '\t5', '\xd9\xa5'])
    const encoding = this.#pick(['chunked', 'xchunked', 'chunked, chunked', 'gzip, chunked', 'chunked, gzip', 'identity', '', 'chunked;q=1', '"chunked"', '\xa0chunked', 'chunked\xa0', 'chun\tked', ' chunked', 'chunKED'])
    const added: readonly Headers[] = [[['Content-Length', length]], [['Transfer-Encoding', encoding]], [['Content-Length', length], ['Transfer-Encoding', encoding]], [['Content-Length', length], ['Content-Length', length]], [['Transfer-Encoding', encoding], ['Transfer-Encoding', 'chunked']],
      [['', 'a'], ['Content-Length', length]], [['Content_Length', length]], [['Transfer-Encoding\t', encoding]], [['Transfer-Encoding ', encoding]], [[' Content-Length', length]], [['Content-Length\0', length]]]
    const headers = this.#random() < 0.6 ? message.headers.filter(([name]) => !/^(?:content-length|transfer-encoding)$/i.test(name)) : message.headers
    headers.splice(this.#upTo(headers.length), 0, ...this.#pick(added))
    return { ...message, headers }
  }

  #brokenChunks (): string {
    const head = textOf({ line: `POST ${this.#target()} HTTP/1.1`, headers: [['Host', 'h'], ['X-API-KEY', this.#apiKey], ['Transfer-Encoding', 'chunked']], body: '' })
    const good = this.#chunks(this.#pick(['abcde', 'abcde', this.#hidden()]))
    const size = this.#pick(['5;a=b', '5 ', ' 5', '0x5', '+5', '-5', '', '5\n', '5\r', '10000000000000005', 'ffffffffffffffff', 'fffffffffffffffe', '7fffffffffffffff', '80000000', 'g', '5;a\nb', '5,5', '\t5', '5\0'])
    const broken = this.#pick([
      `${size}\r\nabcde\r\n0\r\n\r\n`, `3\r\nabcde\r\n0\r\n\r\n`, '7\r\nabcde\r\n0\r\n\r\n', '5\nabcde\n0\n\n', '5\r\nabcde0\r\n\r\n', '5\r\nabcde\r\n0\r\nX-T: 1\r\n\r\n', `5\r\nabcde\r\n0\r\n${this.#hidden()}`, '5\r\nabcde\r\n0\r\n\n', '5\r\nabcde\r\n\r\n',
      `${good.slice(0, -2)}X`, good.slice(0, this.#upTo(good.length)), this.#scrambled(good), this.#scrambled(good), `0\r\nContent-Length: 5\r\n\r\n`
    ])
    return head + broken + this.#hidden()
  }

  #withHeader (message: Message): Message {
    const at = this.#upTo(message.headers.length)
    const odd: readonly [string, string][] = [['', 'a'], ['X A', 'b'], ['X-A ', 'b'], ['X\0A', 'b'], ['X-A', 'a\0b'], ['X-A', 'a\rb'], ['X-A', 'a\nb'], ['X-A', 'a\r\n b'], ['X-A', 'a\r\n\tb'], ['X(A)', 'b'], ['X-A', 'a\x7fb'], ['X-A', '\xff\xfe'], ['X\xe9', 'b'], ['Host', 'other'], ['hOST', 'h'],
      ['X-API-KEY', this.#apiKey], ['X-API-KEY', 'x'], ['x_api_key', 'x'], ['Upgrade', 'websocket'], ['Host', ''], ['X-A', 'x'.repeat(20_000)], ['Connection', 'close'], ['Connection', 'Content-Length, Host'], ['X-A', 'b\r\n'], ['X-A\r\nX-B', 'c']]
    message.headers.splice(at, this.#upTo(1), this.#pick(odd))
    return message
  }

  #withLine (message: Message): Message {
    const [method = '', target = '', version = ''] = message.line.split(' ')
    return { ...message, line: this.#pick([
      `${method}  ${target} ${version}`, `${method} ${target}`, `${target} ${version}`, `${method.toLowerCase()} ${target} ${version}`, `${method}\t${target}\t${version}`, ` ${message.line}`, `\r\n${message.line}`, `${message.line} `, `${method} http://h${target} ${version}`, `${method} ${target}\0 ${version}`,
      `${method} ${target} HTTP/1.0`, `${method} ${target} HTTP/2.0`, `${method} ${target} HTTP/1.1\r`, `${method} ${target} x ${version}`, `${method} /api/../open/y ${version}`, `${method} ${target}/%2e%2e/z ${version}`, `${method} ${target}\\..\\z ${version}`, `${method} ${target}%zz ${version}`, `${method} ${target}#a ${version}`,
      `${method} ${target}\xe9 ${version}`, `CONNECT h:80 ${version}`, `OPTIONS * ${version}`, `G(T ${target} ${version}`, `${'X'.repeat(40)} ${target} ${version}`, `${method} ${target} http/1.1`, `${method} ${target}?${'q'.repeat(this.#upTo(20_000))} ${version}`, `${method} //${target} ${version}`
    ]) }
  }

  /** One to three bytes or stretches changed, left out, doubled or put in. */
  #scrambled (text: string): string {
    let bytes = text
    for (let count = 1 + this.#upTo(2); count > 0; count--) {
      // Near the beginning more often: that is where a head is.
      const at = Math.floor(this.#random() ** 2 * bytes.length)
      const to = Math.min(bytes.length, at + 1 + this.#upTo(this.#pick([0, 0, 3, 40])))
      const put = this.#pick(['', '\r', '\n', '\r\n', '\r\n\r\n', '\0', ' ', '\t', ':', '0', '5', 'a', '\xff', '\x7f', ';', ',', bytes.slice(at, to).repeat(2), String.fromCharCode(this.#upTo(255))])
      bytes = bytes.slice(0, at) + put + bytes.slice(this.#random() < 0.5 ? to : at)
    }
    return bytes
  }

  #cuts (length: number): readonly number[] {
    const way = this.#random()
    if (way < 0.35 || length < 2) return [length]
    // Byte by byte only what is short: else one case takes as long as a thousand.
    if (way < 0.45 && length < 400) return Array.from({ length }, (_, at) => at + 1)
    return [...new Set([...Array.from({ length: 1 + this.#upTo(5) }, () => 1 + this.#upTo(length - 2)), length])].sort((a, b) => a - b)
  }
}

function textOf ({ line, headers, body }: Message): string { return `${line}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}` }
