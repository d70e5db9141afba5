// What an upstream may answer, byte by byte, and what the client gets of it. docs/http.md says why. One character is one byte.

export type Relayed =
  /** The client gets it whole. */
  | 'relayed'
  /** The client gets 502, and the upstream's connection is not used again. */
  | 'refused'
  /** The client has part of it when it turns out to be wrong: its connection is cut. */
  | 'cut'
  /** The upstream says no more, and the client gets 504. */
  | 'late'

export interface AnswerCase {
  readonly name: string
  readonly bytes: string | readonly string[]
  /** The upstream closes the connection behind it, or resets it. */
  readonly end?: 'close' | 'reset'
  readonly method?: 'HEAD'
  readonly verdict: Relayed
  /** Of a relayed one. */
  readonly status?: number
  readonly body?: string
  readonly has?: readonly string[]
  readonly hasNot?: readonly string[]
}

/** Stands where a second answer would be read by who loses the first one's end: no client may ever get it. */
export const strangeBody = 'somebody-elses-answer'
const strange = `HTTP/1.1 200 OK\r\nContent-Length: ${strangeBody.length}\r\n\r\n${strangeBody}`

const ok = (headers: string, body = ''): string => `HTTP/1.1 200 OK\r\n${headers}\r\n${body}`
const counted = (headers = ''): string => ok(`${headers}Content-Length: 2\r\n`, 'ok')
const chunked = (body: string): string => ok('Transfer-Encoding: chunked\r\n', body)
/** Larger than what is collected before any of it leaves. */
const long = 'x'.repeat(200_000)

const lengths: readonly AnswerCase[] = [
  { name: 'a length', bytes: counted(), verdict: 'relayed', body: 'ok' },
  { name: 'a length of nothing', bytes: ok('Content-Length: 0\r\n'), verdict: 'relayed', body: '' },
  { name: 'no length, until the connection ends', bytes: ok('', 'until the end'), end: 'close', verdict: 'relayed', body: 'until the end' },
  { name: 'bytes behind the body', bytes: counted() + strange, verdict: 'relayed', body: 'ok' },
  { name: 'too few bytes', bytes: ok('Content-Length: 5\r\n', 'ok'), end: 'close', verdict: 'refused' },
  { name: 'too few bytes of a long body', bytes: ok(`Content-Length: ${long.length + 1}\r\n`, long), end: 'close', verdict: 'cut' },
  { name: 'a reset in the body', bytes: ok('Content-Length: 5\r\n', 'ok'), end: 'reset', verdict: 'refused' },
  { name: 'a reset in a long body', bytes: ok(`Content-Length: ${long.length + 1}\r\n`, long), end: 'reset', verdict: 'cut' },
  { name: 'two lengths', bytes: ok('Content-Length: 2\r\nContent-Length: 30\r\n', `ok${strange}`), verdict: 'refused' },
  { name: 'the same length twice', bytes: ok('Content-Length: 2\r\nContent-Length: 2\r\n', 'ok'), verdict: 'refused' },
  { name: 'a list of lengths', bytes: ok('Content-Length: 2, 2\r\n', 'ok'), verdict: 'refused' },
  { name: 'a length with a plus', bytes: ok('Content-Length: +2\r\n', 'ok'), verdict: 'refused' },
  { name: 'a length with a minus', bytes: ok('Content-Length: -2\r\n', 'ok'), verdict: 'refused' },
  { name: 'a length in hexadecimal', bytes: ok('Content-Length: 0x2\r\n', 'ok'), verdict: 'refused' },
  { name: 'an empty length', bytes: ok('Content-Length:\r\n', 'ok'), verdict: 'refused' },
  { name: 'a length of 20 digits', bytes: ok('Content-Length: 00000000000000000002\r\n', 'ok'), verdict: 'refused' },
  { name: 'nothing', bytes: '', end: 'close', verdict: 'refused' },
  { name: 'nothing, and a reset', bytes: '', end: 'reset', verdict: 'refused' },
  { name: 'nothing ever', bytes: '', verdict: 'late' },
  { name: 'half a head', bytes: 'HTTP/1.1 200 OK\r\nContent-', end: 'close', verdict: 'refused' },
  { name: 'half a head, and no more', bytes: 'HTTP/1.1 200 OK\r\nContent-', verdict: 'late' }
]

const chunks: readonly AnswerCase[] = [
  { name: 'chunks', bytes: chunked('2\r\nok\r\n0\r\n\r\n'), verdict: 'relayed', body: 'ok' },
  { name: 'chunks byte by byte', bytes: [...chunked('2\r\nok\r\n0\r\n\r\n')], verdict: 'relayed', body: 'ok' },
  { name: 'an extension', bytes: chunked('2;a="b"\r\nok\r\n0\r\n\r\n'), verdict: 'relayed', body: 'ok' },
  { name: 'trailers', bytes: chunked('2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n'), verdict: 'relayed', body: 'ok', hasNot: ['x-trailer'] },
  { name: 'an answer in a chunk', bytes: chunked(`${strange.length.toString(16)}\r\n${strange}\r\n0\r\n\r\n`), verdict: 'relayed', body: strange },
  { name: 'bytes behind the last chunk', bytes: chunked(`2\r\nok\r\n0\r\n\r\n${strange}`), verdict: 'relayed', body: 'ok' },
  { name: 'chunks and a length', bytes: ok('Transfer-Encoding: chunked\r\nContent-Length: 2\r\n', `2\r\nok\r\n0\r\n\r\n${strange}`), verdict: 'refused' },
  { name: 'chunks twice', bytes: ok('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '2\r\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'compressed chunks', bytes: ok('Transfer-Encoding: gzip, chunked\r\n', '2\r\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'another encoding', bytes: ok('Transfer-Encoding: xchunked\r\n', 'ok'), end: 'close', verdict: 'refused' },
  { name: 'chunks of HTTP/1.0', bytes: 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', end: 'close', verdict: 'refused' },
  { name: 'a size with 0x', bytes: chunked('0x2\r\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'a size with a minus', bytes: chunked('-2\r\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'no size', bytes: chunked('\r\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'a size beyond all bounds', bytes: chunked(`${'f'.repeat(20)}\r\nok\r\n0\r\n\r\n`), verdict: 'refused' },
  { name: 'a bare line feed behind a size', bytes: chunked('2\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'a chunk longer than its size', bytes: chunked('1\r\nok\r\n0\r\n\r\n'), verdict: 'refused' },
  { name: 'a chunk that ends early', bytes: chunked('5\r\nok'), end: 'close', verdict: 'cut' },
  { name: 'no last chunk', bytes: chunked('2\r\nok\r\n'), end: 'close', verdict: 'cut' },
  { name: 'an extension of 100,000 bytes', bytes: chunked(`2;${'x'.repeat(100_000)}\r\nok\r\n0\r\n\r\n`), verdict: 'refused' },
  { name: 'trailers of 100,000 bytes', bytes: chunked(`2\r\nok\r\n0\r\nX-A: ${'x'.repeat(100_000)}\r\n\r\n`), verdict: 'refused' },
  { name: 'a trailer with a control', bytes: chunked('2\r\nok\r\n0\r\nX-A: a\0b\r\n\r\n'), verdict: 'refused' }
]

const heads: readonly AnswerCase[] = [
  { name: 'a header twice', bytes: counted('Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n'), verdict: 'relayed', body: 'ok', has: ['set-cookie: a=1', 'set-cookie: b=2'] },
  { name: 'a byte beyond ASCII', bytes: counted('X-A: k\xe9pt\r\n'), verdict: 'relayed', body: 'ok', has: ['x-a: k\xe9pt'] },
  { name: 'headers of a hop', bytes: counted('Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=1\r\nProxy-Authenticate: x\r\n'), verdict: 'relayed', body: 'ok', hasNot: ['x-mine', 'keep-alive', 'proxy-'] },
  { name: 'what the gateway says', bytes: counted('X-TRACE-ID: theirs\r\n'), verdict: 'relayed', body: 'ok', hasNot: ['theirs'] },
  { name: 'a change of protocol that is offered', bytes: counted('Upgrade: h2c\r\n'), verdict: 'relayed', body: 'ok', hasNot: ['upgrade'] },
  { name: 'no words behind the status', bytes: 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', verdict: 'relayed', body: 'ok' },
  { name: 'HTTP/1.0', bytes: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', end: 'close', verdict: 'relayed', body: 'ok' },
  { name: 'the status 599', bytes: 'HTTP/1.1 599 Odd\r\nContent-Length: 2\r\n\r\nok', verdict: 'relayed', status: 599, body: 'ok' },
  { name: 'the status 99', bytes: 'HTTP/1.1 99 Odd\r\nContent-Length: 2\r\n\r\nok', verdict: 'refused' },
  { name: 'the status 1000', bytes: 'HTTP/1.1 1000 Odd\r\nContent-Length: 2\r\n\r\nok', verdict: 'refused' },
  { name: 'no status', bytes: 'HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok', verdict: 'refused' },
  { name: 'HTTP/2.0', bytes: 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok', verdict: 'refused' },
  { name: 'HTTP/0.9', bytes: 'ok', end: 'close', verdict: 'refused' },
  { name: 'another protocol', bytes: 'SSH-2.0-OpenSSH_9.2\r\n', verdict: 'refused' },
  { name: 'garbage', bytes: '\x15\x03\x01\0\x02\x02\x0a'.repeat(100), verdict: 'refused' },
  { name: 'bare line feeds', bytes: 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', end: 'close', verdict: 'refused' },
  { name: 'a bare line feed in a value', bytes: counted('X-A: a\nX-B: b\r\n'), verdict: 'refused' },
  { name: 'a bare carriage return in a value', bytes: counted('X-A: a\rSet-Cookie: b\r\n'), verdict: 'refused' },
  { name: 'NUL in a value', bytes: counted('X-A: a\0b\r\n'), verdict: 'refused' },
  { name: 'DEL in a value', bytes: counted('X-A: a\x7fb\r\n'), verdict: 'refused' },
  { name: 'a folded value', bytes: counted('X-A: a\r\n b\r\n'), verdict: 'refused' },
  { name: 'a blank in a name', bytes: counted('X A: b\r\n'), verdict: 'refused' },
  { name: 'a blank behind a name', bytes: counted('X-A : b\r\n'), verdict: 'refused' },
  { name: 'an empty name', bytes: counted(': b\r\n'), verdict: 'refused' },
  { name: 'a line without a colon', bytes: counted('X-A\r\n'), verdict: 'refused' },
  { name: '300 headers', bytes: counted('X-A: b\r\n'.repeat(300)), verdict: 'refused' },
  { name: 'a header of 100,000 bytes', bytes: counted(`X-A: ${'x'.repeat(100_000)}\r\n`), verdict: 'refused' },
  { name: 'a header that never ends', bytes: `HTTP/1.1 200 OK\r\nX-A: ${'x'.repeat(10_000_000)}`, verdict: 'refused' },
  { name: 'an interim answer', bytes: `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${counted()}`, verdict: 'relayed', body: 'ok', hasNot: ['link'] },
  { name: 'an interim answer with a length', bytes: `HTTP/1.1 100 Continue\r\nContent-Length: ${strange.length}\r\n\r\n${counted()}`, verdict: 'relayed', body: 'ok' },
  { name: 'interim answers without end', bytes: 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(50), verdict: 'refused' },
  { name: 'a change of protocol', bytes: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n', verdict: 'refused' }
]

const bodyless: readonly AnswerCase[] = [
  { name: '204', bytes: 'HTTP/1.1 204 No Content\r\n\r\n', verdict: 'relayed', status: 204, body: '' },
  { name: '304', bytes: 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', verdict: 'relayed', status: 304, body: '', has: ['etag: "a"'] },
  { name: '204 with a body', bytes: `HTTP/1.1 204 No Content\r\nContent-Length: ${strange.length}\r\n\r\n${strange}`, verdict: 'relayed', status: 204, body: '' },
  { name: '304 with a length', bytes: `HTTP/1.1 304 Not Modified\r\nContent-Length: ${strange.length}\r\n\r\n`, verdict: 'relayed', status: 304, body: '' },
  { name: 'HEAD', bytes: ok('Content-Length: 5\r\n'), method: 'HEAD', verdict: 'relayed', body: '' },
  { name: 'HEAD with a body', bytes: ok(`Content-Length: ${strange.length}\r\n`, strange), method: 'HEAD', verdict: 'relayed', body: '' },
  { name: 'HEAD in chunks', bytes: ok('Transfer-Encoding: chunked\r\n'), method: 'HEAD', verdict: 'relayed', body: '' }
]

export const corpus: Readonly<Record<string, readonly AnswerCase[]>> = { lengths, chunks, heads, bodyless }
