// What clients may send, byte by byte, and what becomes of it. docs/http.md says why. One character is one byte.

/** What the client gets for it. */
export type Verdict =
  /** Forwarded; the answer is the upstream's. */
  | 'forwarded'
  /** An answer of the gateway's own, as JSON; the status, and whether the connection ends. */
  | `refused ${number}` | `refused ${number}, open`
  /** An answer of the HTTP server under the gateway, which never sees the request: HTML or nothing, and the connection ends. */
  | `server ${number}`
  /** No answer; the connection ends. */
  | 'closed'
  /** Nothing at all for as long as the client waits: the request is not over. */
  | 'waits'

export interface Case {
  readonly name: string
  /** Written in one piece, or in several. */
  readonly bytes: string | readonly string[]
  readonly verdict: Verdict
  /** Of a forwarded one: what the upstream has seen. Its target unless told otherwise is /open/x. */
  /** The request before what is wrong is whole, or was begun: its upstream may see it, or not. */
  readonly mayReach?: true
  /** The connection can't be used for another request. */
  readonly isSpent?: true
  readonly sees?: { readonly method?: string, readonly target?: string, readonly body?: string, readonly has?: readonly string[], readonly hasNot?: readonly string[] }
}

/** Whatever a server could take for a request of its own names this target; no upstream may ever see it. */
export const hiddenTarget = '/open/hidden'
const hidden = `GET ${hiddenTarget} HTTP/1.1\r\nHost: h\r\n\r\n`

const get = (headers = '', target = '/open/x', method = 'GET'): string => `${method} ${target} HTTP/1.1\r\nHost: gateway.test\r\n${headers}\r\n`
const post = (headers: string, body = ''): string => get(headers, '/open/x', 'POST') + body
const line = (text: string): string => `${text}\r\nHost: gateway.test\r\n\r\n`

const lengths: readonly Case[] = [
  { name: 'a length', bytes: post('Content-Length: 5\r\n', 'abcde'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'a length of nothing', bytes: post('Content-Length: 0\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: '' } },
  { name: 'no length', bytes: post(''), verdict: 'forwarded', sees: { method: 'POST', body: '' } },
  { name: 'a length with zeros before it', bytes: post('Content-Length: 005\r\n', 'abcde'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'a length with blanks around it', bytes: post('Content-Length: \t 5 \t\r\n', 'abcde'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'a length in other letters', bytes: post('cOnTeNt-LeNgTh: 5\r\n', 'abcde'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'a body of a GET', bytes: get('Content-Length: 5\r\n') + 'abcde', verdict: 'forwarded', sees: { body: 'abcde' } },
  { name: 'a body of a DELETE', bytes: get('Content-Length: 5\r\n', '/open/x', 'DELETE') + 'abcde', verdict: 'forwarded', sees: { method: 'DELETE', body: 'abcde' } },
  { name: 'a body that comes in pieces', bytes: [post('Content-Length: 5\r\n', 'a'), 'bc', 'de'], verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'a body that does not come', bytes: post('Content-Length: 500\r\n', 'abcde'), verdict: 'waits' },
  { name: 'a request in a body', bytes: post(`Content-Length: ${hidden.length}\r\n`, hidden), verdict: 'forwarded', sees: { method: 'POST', body: hidden } },
  { name: 'bytes behind a body', bytes: post('Content-Length: 2\r\n', `ab${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'two lengths', bytes: post('Content-Length: 0\r\nContent-Length: 5\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'two lengths, the larger first', bytes: post(`Content-Length: ${hidden.length}\r\nContent-Length: 0\r\n`, hidden), verdict: 'closed' },
  { name: 'the same length twice', bytes: post('Content-Length: 2\r\nContent-Length: 2\r\n', `ab${hidden}`), verdict: 'closed' },
  { name: 'a list of lengths', bytes: post('Content-Length: 5, 5\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length with a plus', bytes: post('Content-Length: +5\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length with a minus', bytes: post('Content-Length: -1\r\n', hidden), verdict: 'closed' },
  { name: 'a length in hexadecimal', bytes: post('Content-Length: 0x5\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length with a point', bytes: post('Content-Length: 5.0\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length with an exponent', bytes: post('Content-Length: 1e1\r\n', `abcdeabcde${hidden}`), verdict: 'closed' },
  { name: 'a length with a word behind it', bytes: post('Content-Length: 5 bytes\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length with a blank inside', bytes: post('Content-Length: 1 0\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'an empty length', bytes: post('Content-Length: \r\n', hidden), verdict: 'closed' },
  { name: 'a length of blanks', bytes: post('Content-Length:    \r\n', hidden), verdict: 'closed' },
  { name: 'a length of 20 digits', bytes: post('Content-Length: 00000000000000000005\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length beyond 64 bits', bytes: post('Content-Length: 18446744073709551621\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length that a 32-bit server would take for 5', bytes: post('Content-Length: 4294967301\r\n', `abcde${hidden}`), verdict: 'refused 413' },
  { name: 'a body that is too large', bytes: post('Content-Length: 20000000\r\n', 'abc'), verdict: 'refused 413' },
  { name: 'a length with digits of another script', bytes: post('Content-Length: \xd9\xa5\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a length in a name with an underscore', bytes: post('Content_Length: 5\r\n', `abcde${hidden}`), verdict: 'closed', mayReach: true }
]

const encodings: readonly Case[] = [
  { name: 'chunks', bytes: post('Transfer-Encoding: chunked\r\n', '5\r\nabcde\r\n0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'chunks in large letters', bytes: post('Transfer-Encoding: Chunked\r\n', '5\r\nabcde\r\n0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'chunks with blanks around the word', bytes: post('Transfer-Encoding: \tchunked \r\n', '5\r\nabcde\r\n0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'chunks of a GET', bytes: get('Transfer-Encoding: chunked\r\n') + '5\r\nabcde\r\n0\r\n\r\n', verdict: 'forwarded', sees: { body: 'abcde' } },
  { name: 'length, then chunks', bytes: post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'chunks, then length', bytes: post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'chunks twice', bytes: post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'chunks twice in one line', bytes: post('Transfer-Encoding: chunked, chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'compressed chunks', bytes: post('Transfer-Encoding: gzip, chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'chunks that are not last', bytes: post('Transfer-Encoding: chunked, gzip\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'identity', bytes: post('Transfer-Encoding: identity\r\n', hidden), verdict: 'closed' },
  { name: 'identity, then chunks', bytes: post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'another word', bytes: post('Transfer-Encoding: xchunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'the word and more', bytes: post('Transfer-Encoding: chunkedx\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'the word in quotes', bytes: post('Transfer-Encoding: "chunked"\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'the word with a parameter', bytes: post('Transfer-Encoding: chunked;q=1\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'the word with a comma', bytes: post('Transfer-Encoding: chunked,\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed' },
  { name: 'an empty encoding', bytes: post('Transfer-Encoding: \r\n', hidden), verdict: 'closed' },
  { name: 'an empty encoding and a length', bytes: post('Transfer-Encoding: \r\nContent-Length: 5\r\n', `abcde${hidden}`), verdict: 'closed' },
  { name: 'a vertical tab before the word', bytes: post('Transfer-Encoding: \x0bchunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'NUL before the word', bytes: post('Transfer-Encoding: \0chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'a byte beyond ASCII before the word', bytes: post('Transfer-Encoding: \xa0chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'a carriage return in the word', bytes: post('Transfer-Encoding: chun\rked\r\n', `0\r\n\r\n${hidden}`), verdict: 'waits' },
  { name: 'a blank before the colon', bytes: post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'a tab in the name', bytes: post('Transfer\tEncoding: chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'an underscore in the name', bytes: post('Transfer_Encoding: chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'forwarded', isSpent: true, sees: { method: 'POST', hasNot: ['transfer'] } },
  { name: 'behind a bare line feed', bytes: post('X-A: b\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'folded', bytes: post('Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${hidden}`), verdict: 'server 400' }
]

const chunked = (body: string): string => post('Transfer-Encoding: chunked\r\n', body)
const chunks: readonly Case[] = [
  { name: 'two chunks', bytes: chunked('2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'no chunk but the last', bytes: chunked('0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: '' } },
  { name: 'a size in large letters', bytes: chunked(`1A\r\n${'x'.repeat(26)}\r\n0\r\n\r\n`), verdict: 'forwarded', sees: { method: 'POST', body: 'x'.repeat(26) } },
  { name: 'a size with zeros before it', bytes: chunked('005\r\nabcde\r\n0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'a request in a chunk', bytes: chunked(`${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`), verdict: 'forwarded', sees: { method: 'POST', body: hidden } },
  { name: 'chunks byte by byte', bytes: [...chunked('5\r\nabcde\r\n0\r\n\r\n')], verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'chunks that do not end', bytes: chunked('5\r\nabcde\r\n'), verdict: 'waits' },
  { name: 'an extension', bytes: chunked(`5;a=b\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'waits' },
  { name: 'an extension with a line feed', bytes: chunked(`5;a\nb\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'waits' },
  { name: 'a blank behind a size', bytes: chunked(`5 \r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'a size with 0x', bytes: chunked(`0x5\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'a size with a plus', bytes: chunked(`+5\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'a size with a minus', bytes: chunked(`-5\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'no size', bytes: chunked(`\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'forwarded', isSpent: true, sees: { method: 'POST' } },
  { name: 'a size beyond 64 bits', bytes: chunked(`10000000000000005\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'the largest size of 64 bits', bytes: chunked(`ffffffffffffffff\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'a bare line feed behind a size', bytes: chunked(`5\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'a bare carriage return behind a size', bytes: chunked(`5\rabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 400' },
  { name: 'a chunk longer than its size', bytes: chunked(`3\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'server 505', mayReach: true },
  { name: 'a chunk shorter than its size', bytes: chunked(`7\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'bare line feeds all over', bytes: chunked(`5\nabcde\n0\n\n${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'a trailer', bytes: chunked(`5\r\nabcde\r\n0\r\nX-Trailer: 1\r\n\r\n${hidden}`), verdict: 'server 505', mayReach: true },
  { name: 'a trailer that says a length', bytes: chunked(`0\r\nContent-Length: 5\r\n\r\n${hidden}`), verdict: 'server 505', mayReach: true },
  { name: 'a trailer that is a request', bytes: chunked(`0\r\n${hidden}`), verdict: 'closed', mayReach: true },
  { name: 'a request behind the last chunk', bytes: chunked(`5\r\nabcde\r\n0\r\n\r\n${hidden}`), verdict: 'closed', mayReach: true }
]

const headers: readonly Case[] = [
  { name: 'blanks around a value', bytes: get('X-A: \t b \t\r\n'), verdict: 'forwarded', sees: { has: ['x-a: b'] } },
  { name: 'no blank before a value', bytes: get('X-A:b\r\n'), verdict: 'forwarded', sees: { has: ['x-a: b'] } },
  { name: 'an empty value', bytes: get('X-A:\r\n'), verdict: 'forwarded', sees: { has: ['x-a: '] } },
  { name: 'every letter of a name', bytes: get('X!#$%&\'*+-.^`|~09az: b\r\n'), verdict: 'forwarded' },
  { name: 'UTF-8 in a value', bytes: get('X-A: a\xc3\xa9b\r\n'), verdict: 'forwarded', sees: { has: ['x-a: a\xc3\xa9b'] } },
  { name: 'a header twice', bytes: get('X-A: 1\r\nX-A: 2\r\n'), verdict: 'forwarded', sees: { has: ['x-a: 1', 'x-a: 2'] } },
  { name: '60 headers', bytes: get(Array.from({ length: 60 }, (_, at) => `X-${at}: ${at}\r\n`).join('')), verdict: 'forwarded', sees: { has: ['x-59: 59'] } },
  { name: '500 headers', bytes: get(Array.from({ length: 500 }, (_, at) => `X-${at}: ${at}\r\n`).join('')), verdict: 'server 431' },
  { name: 'a header of 12,000 bytes', bytes: get(`X-A: ${'x'.repeat(12_000)}\r\n`), verdict: 'forwarded' },
  { name: 'a header of 40,000 bytes', bytes: get(`X-A: ${'x'.repeat(40_000)}\r\n`), verdict: 'server 431' },
  { name: 'a name of 40,000 bytes', bytes: get(`${'x'.repeat(40_000)}: 1\r\n`), verdict: 'server 431' },
  { name: 'a head that does not end', bytes: 'GET /open/x HTTP/1.1\r\nHost: gateway.test\r\nX-A: b', verdict: 'waits' },
  { name: 'bytes that are no text', bytes: get('X-A: a\xff\xfeb\r\n'), verdict: 'refused 400' },
  { name: 'bytes beyond ASCII around a value', bytes: get('X-A: \xff\xfe\r\n'), verdict: 'forwarded', sees: { has: ['x-a: '] } },
  { name: 'a bell in a value', bytes: get(`X-A: a\x07b\r\n`), verdict: 'server 400' },
  { name: 'DEL in a value', bytes: get('X-A: a\x7fb\r\n'), verdict: 'refused 400' },
  { name: 'NUL in a value', bytes: get('X-A: a\0b\r\n') + hidden, verdict: 'server 400' },
  { name: 'NUL in a name', bytes: get('X\0A: b\r\n') + hidden, verdict: 'server 400' },
  { name: 'a carriage return in a value', bytes: get('X-A: a\rX-B: c\r\n') + hidden, verdict: 'waits' },
  { name: 'a line feed in a value', bytes: get('X-A: a\nX-B: c\r\n') + hidden, verdict: 'server 400' },
  { name: 'a folded value', bytes: get('X-A: a\r\n b\r\n') + hidden, verdict: 'server 400' },
  { name: 'a value folded by a tab', bytes: get('X-A: a\r\n\tb\r\n') + hidden, verdict: 'server 400' },
  { name: 'a folded first header', bytes: `GET /open/x HTTP/1.1\r\n Host: gateway.test\r\n\r\n${hidden}`, verdict: 'server 400' },
  { name: 'an empty name', bytes: get(': a\r\nX-A: b\r\n'), verdict: 'forwarded', sees: { hasNot: ['x-a'] } },
  { name: 'an empty name that hides a length', bytes: post(`: a\r\nContent-Length: ${hidden.length}\r\n`, hidden), verdict: 'closed', mayReach: true },
  { name: 'an empty name that hides chunks', bytes: post(': a\r\nTransfer-Encoding: chunked\r\n', `${hidden.length.toString(16)}\r\n${hidden}\r\n0\r\n\r\n`), verdict: 'forwarded', isSpent: true, sees: { method: 'POST' } },
  { name: 'a line without a colon', bytes: get('X-A\r\n') + hidden, verdict: 'server 400' },
  { name: 'a blank in a name', bytes: get('X A: b\r\n') + hidden, verdict: 'server 400' },
  { name: 'a blank behind a name', bytes: get('X-A : b\r\n') + hidden, verdict: 'server 400' },
  { name: 'an at sign in a name', bytes: get('X@A: b\r\n'), verdict: 'server 400' },
  { name: 'a bracket in a name', bytes: get('X(A): b\r\n'), verdict: 'server 400' },
  { name: 'a byte beyond ASCII in a name', bytes: get('X\xe9: b\r\n'), verdict: 'server 400' },
  { name: 'bare line feeds all over', bytes: `GET /open/x HTTP/1.1\nHost: gateway.test\n\n${hidden}`, verdict: 'server 505' },
  { name: 'bare carriage returns all over', bytes: `GET /open/x HTTP/1.1\rHost: gateway.test\r\r${hidden}`, verdict: 'server 505' }
]

const requestLines: readonly Case[] = [
  ...['GET', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'M-SEARCH'].map((method): Case => ({ name: `the method ${method}`, bytes: get('', '/open/x', method), verdict: 'forwarded', sees: { method } })),
  { name: 'the method TRACE', bytes: get('', '/open/x', 'TRACE'), verdict: 'forwarded', sees: { method: 'TRACE' } },
  { name: 'a method in small letters', bytes: get('', '/open/x', 'get'), verdict: 'refused 400' },
  { name: 'a method with a bracket', bytes: get('', '/open/x', 'G(ET'), verdict: 'refused 400' },
  { name: 'a method of 30 letters', bytes: get('', '/open/x', 'X'.repeat(30)), verdict: 'refused 400' },
  { name: 'CONNECT', bytes: `CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: elsewhere.test:443\r\n\r\n${hidden}`, verdict: 'server 505' },
  { name: 'the preface of HTTP/2', bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', verdict: 'server 505' },
  { name: 'HTTP/1.0', bytes: `GET /open/x HTTP/1.0\r\nHost: gateway.test\r\n\r\n${hidden}`, verdict: 'server 505' },
  { name: 'HTTP/0.9', bytes: `GET /open/x\r\n${hidden}`, verdict: 'waits' },
  { name: 'HTTP/1.2', bytes: line('GET /open/x HTTP/1.2') + hidden, verdict: 'server 505' },
  { name: 'HTTP/2.0', bytes: line('GET /open/x HTTP/2.0') + hidden, verdict: 'server 505' },
  { name: 'http/1.1', bytes: line('GET /open/x http/1.1') + hidden, verdict: 'server 505' },
  { name: 'HTTP/1.10', bytes: line('GET /open/x HTTP/1.10') + hidden, verdict: 'server 505' },
  { name: 'a blank behind the version', bytes: line('GET /open/x HTTP/1.1 ') + hidden, verdict: 'server 505' },
  { name: 'two blanks', bytes: line('GET  /open/x HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'two blanks before the version', bytes: line('GET /open/x  HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'tabs for blanks', bytes: line('GET\t/open/x\tHTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'a blank before the method', bytes: line(' GET /open/x HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'an empty line before the request', bytes: `\r\n${get()}${hidden}`, verdict: 'waits' },
  { name: 'no method', bytes: line('/open/x HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'no target', bytes: line('GET HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'a whole address', bytes: line('GET http://elsewhere.test/open/x HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'a whole address with TLS', bytes: line('GET https://elsewhere.test/open/x HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'an authority', bytes: line('GET elsewhere.test:80 HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'an asterisk', bytes: line('OPTIONS * HTTP/1.1') + hidden, verdict: 'server 505' },
  { name: 'garbage', bytes: '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', verdict: 'server 505' }
]

const targets: readonly Case[] = [
  { name: 'a query', bytes: get('', '/open/x?a=1&b=/../c'), verdict: 'forwarded', sees: { target: '/open/x?a=1&b=/../c' } },
  { name: 'a question mark alone', bytes: get('', '/open/x?'), verdict: 'forwarded', sees: { target: '/open/x?' } },
  { name: 'encoded letters', bytes: get('', '/open/%78'), verdict: 'forwarded', sees: { target: '/open/%78' } },
  { name: 'an encoded slash', bytes: get('', '/open/a%2Fb'), verdict: 'forwarded', sees: { target: '/open/a%2Fb' } },
  { name: 'a path parameter', bytes: get('', '/open/x;a=b'), verdict: 'forwarded', sees: { target: '/open/x;a=b' } },
  { name: 'dots in a name', bytes: get('', '/open/..x/x..'), verdict: 'forwarded', sees: { target: '/open/..x/x..' } },
  { name: 'dots encoded twice', bytes: get('', '/open/%252e%252e/x'), verdict: 'forwarded', sees: { target: '/open/%252e%252e/x' } },
  { name: 'an encoded line end in the query', bytes: get('', '/open/x?a=%0d%0aX-Evil:1'), verdict: 'forwarded', sees: { target: '/open/x?a=%0d%0aX-Evil:1', hasNot: ['x-evil'] } },
  { name: 'an encoded line end in the path', bytes: get('', '/open/x%0d%0aX-Evil:1'), verdict: 'forwarded', sees: { target: '/open/x%0d%0aX-Evil:1', hasNot: ['x-evil'] } },
  { name: 'two slashes', bytes: get('', '//open/x'), verdict: 'forwarded', sees: { target: '//open/x' } },
  { name: 'large letters', bytes: get('', '/OPEN/x'), verdict: 'refused 404, open' },
  { name: 'no such path', bytes: get('', '/nowhere'), verdict: 'refused 404, open' },
  { name: 'dots', bytes: get('', '/open/../api/x'), verdict: 'refused 400' },
  { name: 'dots at the end', bytes: get('', '/open/..'), verdict: 'refused 400' },
  { name: 'one dot', bytes: get('', '/open/./x'), verdict: 'refused 400' },
  { name: 'encoded dots', bytes: get('', '/open/%2e%2E/api/x'), verdict: 'refused 400' },
  { name: 'a dot and an encoded one', bytes: get('', '/open/.%2e/api/x'), verdict: 'refused 400' },
  { name: 'dots behind an encoded slash', bytes: get('', '/open/a%2f..%2fapi'), verdict: 'refused 400' },
  { name: 'dots with a parameter', bytes: get('', '/open/..;a=b/api/x'), verdict: 'refused 400' },
  { name: 'dots behind a backslash', bytes: get('', '/open/a\\..\\api'), verdict: 'refused 400' },
  { name: 'a backslash', bytes: get('', '/open\\x'), verdict: 'refused 400' },
  { name: 'dots behind an encoded backslash', bytes: get('', '/open/a%5c..%5capi'), verdict: 'refused 400' },
  { name: 'an encoded NUL', bytes: get('', '/open/x%00.html'), verdict: 'refused 400' },
  { name: 'NUL', bytes: get('', '/open/\0x') + hidden, verdict: 'server 505' },
  { name: 'half an encoding', bytes: get('', '/open/%4'), verdict: 'refused 400' },
  { name: 'an encoding that is none', bytes: get('', '/open/%zz'), verdict: 'refused 400' },
  { name: 'a percent sign', bytes: get('', '/open/%'), verdict: 'refused 400' },
  { name: 'a byte beyond ASCII', bytes: get('', '/open/\xe9'), verdict: 'refused 400' },
  { name: 'UTF-8', bytes: get('', '/open/\xc3\xa9'), verdict: 'refused 400' },
  { name: 'dots in overlong UTF-8', bytes: get('', '/open/\xc0\xae\xc0\xae/api'), verdict: 'refused 400' },
  { name: 'a byte beyond ASCII in the query', bytes: get('', '/open/x?\xe9'), verdict: 'refused 400' },
  { name: 'a fragment', bytes: get('', '/open/x#y'), verdict: 'refused 400' },
  { name: 'a fragment behind a query', bytes: get('', '/open/x?a#y'), verdict: 'refused 400' },
  { name: 'a blank', bytes: get('', '/open/x y'), verdict: 'server 505' },
  { name: 'a target of 10,000 bytes', bytes: get('', `/open/${'x'.repeat(10_000)}`), verdict: 'refused 400' },
  { name: 'a query of 10,000 bytes', bytes: get('', `/open/x?${'y'.repeat(10_000)}`), verdict: 'forwarded', sees: { target: `/open/x?${'y'.repeat(10_000)}` } }
]

const hosted = (host: string): string => `GET /open/x HTTP/1.1\r\n${host}\r\n`
const hosts: readonly Case[] = [
  { name: 'a host with a port', bytes: hosted('Host: gateway.test:8080\r\n'), verdict: 'forwarded', sees: { has: ['x-forwarded-host: gateway.test:8080'] } },
  { name: 'an address of IPv6', bytes: hosted('Host: [::1]:8080\r\n'), verdict: 'forwarded' },
  { name: 'no host', bytes: hosted('') + hidden, verdict: 'server 400' },
  { name: 'two hosts', bytes: hosted('Host: a\r\nHost: b\r\n') + hidden, verdict: 'server 400' },
  { name: 'the same host twice', bytes: hosted('Host: a\r\nHost: a\r\n') + hidden, verdict: 'server 400' },
  { name: 'a host in another case twice', bytes: hosted('Host: a\r\nhOST: b\r\n') + hidden, verdict: 'server 400' },
  { name: 'a host with a blank before its colon', bytes: hosted('Host : a\r\n') + hidden, verdict: 'server 400' },
  { name: 'an empty host', bytes: hosted('Host:\r\n'), verdict: 'refused 400' },
  { name: 'a host with a user', bytes: hosted('Host: user@gateway.test\r\n'), verdict: 'refused 400' },
  { name: 'a host with a path', bytes: hosted('Host: gateway.test/open\r\n'), verdict: 'refused 400' },
  { name: 'a host with a blank', bytes: hosted('Host: gateway.test elsewhere.test\r\n'), verdict: 'refused 400' },
  { name: 'a list of hosts', bytes: hosted('Host: gateway.test, elsewhere.test\r\n'), verdict: 'refused 400' },
  { name: 'a host with a port that is none', bytes: hosted('Host: gateway.test:http\r\n'), verdict: 'refused 400' },
  { name: 'a host beyond ASCII', bytes: hosted('Host: g\xc3\xa4teway.test\r\n'), verdict: 'refused 400' },
  { name: 'a host that a client says was forwarded', bytes: get('X-Forwarded-Host: elsewhere.test\r\n'), verdict: 'forwarded', sees: { has: ['x-forwarded-host: gateway.test'], hasNot: ['elsewhere.test'] } }
]

const hops: readonly Case[] = [
  { name: 'a header of this hop', bytes: get('Connection: X-Mine\r\nX-Mine: 1\r\nX-Other: 2\r\n'), verdict: 'forwarded', sees: { has: ['x-other: 2'], hasNot: ['x-mine'] } },
  { name: 'headers of this hop, in other letters', bytes: get('X-Mine: 1\r\nX-TOO: 1\r\nConnection: keep-alive, x-MINE ,X-Too\r\n'), verdict: 'forwarded', sees: { hasNot: ['x-mine', 'x-too'] } },
  { name: 'Connection names the length', bytes: post('Connection: Content-Length\r\nContent-Length: 5\r\n', 'abcde'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'Connection names the encoding', bytes: post('Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n', '5\r\nabcde\r\n0\r\n\r\n'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde' } },
  { name: 'Connection names the host', bytes: get('Connection: Host\r\n'), verdict: 'forwarded' },
  { name: 'Connection names what the gateway says', bytes: get('Connection: X-Trace-Id, X-Forwarded-For\r\n'), verdict: 'forwarded', sees: { has: ['x-forwarded-for: 127.0.0.1'] } },
  { name: 'other headers of a hop', bytes: get('Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X-A\r\nProxy-Authorization: x\r\n'), verdict: 'forwarded', sees: { hasNot: ['keep-alive', 'proxy-', 'te:', 'trailer'] } },
  { name: 'an expectation without a body', bytes: get('Expect: 100-continue\r\n'), verdict: 'forwarded', sees: { hasNot: ['expect'] } },
  { name: 'an expectation with a body', bytes: post('Expect: 100-continue\r\nContent-Length: 5\r\n', 'abcde'), verdict: 'forwarded', sees: { method: 'POST', body: 'abcde', hasNot: ['expect'] } },
  { name: 'an expectation that is none', bytes: get('Expect: 200-maybe\r\n'), verdict: 'forwarded', sees: { hasNot: ['expect'] } },
  { name: 'WebSocket', bytes: get('Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'), verdict: 'refused 501' },
  { name: 'another protocol', bytes: get('Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n'), verdict: 'refused 501' },
  { name: 'h2c', bytes: get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n'), verdict: 'forwarded', sees: { hasNot: ['upgrade', 'http2-settings'] } }
]

const identities: readonly Case[] = [
  { name: 'a member that a client says it is', bytes: get('X-Member-Id: 1\r\nX-Api-Key-Id: 2\r\nX-Member-Grade: GRADE_PREMIUM\r\n'), verdict: 'forwarded', sees: { hasNot: ['x-member-id', 'x-api-key-id', 'x-member-grade'] } },
  { name: 'the same with underscores', bytes: get('X_Member_Id: 1\r\nX-Member_Id: 1\r\nx_api_key_id: 2\r\n'), verdict: 'forwarded', sees: { hasNot: ['member', 'key_id'] } },
  { name: 'a client that says where it is', bytes: get('X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-Proto: https\r\n'), verdict: 'forwarded', sees: { has: ['x-forwarded-for: 127.0.0.1', 'x-forwarded-proto: http'], hasNot: ['10.0.0.1', 'forwarded: for'] } },
  { name: 'a trace id that a client says', bytes: get('X-TRACE-ID: mine\r\n'), verdict: 'forwarded', sees: { hasNot: ['mine'] } },
  { name: 'a key on a public route', bytes: get('X-API-KEY: secret\r\n'), verdict: 'forwarded', sees: { hasNot: ['secret'] } },
  { name: 'no key', bytes: get('', '/api/x'), verdict: 'refused 401, open' },
  { name: 'an empty key', bytes: get('X-API-KEY:\r\n', '/api/x'), verdict: 'refused 401, open' },
  { name: 'a key with a line end in it', bytes: get('X-API-KEY: a\nb\r\n', '/api/x') + hidden, verdict: 'server 400' },
  { name: 'a key of 9,000 bytes', bytes: get(`X-API-KEY: ${'x'.repeat(9_000)}\r\n`, '/api/x'), verdict: 'refused 401, open' },
  { name: 'two keys', bytes: get('X-API-KEY: a.b.c\r\nX-API-KEY: d.e.f\r\n', '/api/x'), verdict: 'refused 401, open' },
  { name: 'a body without a key', bytes: get('Content-Length: 5\r\n', '/api/x', 'POST') + 'abcde', verdict: 'refused 401, open' },
  { name: 'chunks without a key', bytes: get('Transfer-Encoding: chunked\r\n', '/api/x', 'POST') + '5\r\nabcde\r\n0\r\n\r\n', verdict: 'refused 401' }
]

const orders: readonly Case[] = [
  { name: 'a request behind a request', bytes: get() + hidden, verdict: 'closed', mayReach: true },
  { name: 'a request behind a refused one', bytes: get('', '/nowhere') + hidden, verdict: 'closed' },
  { name: 'a request behind one without a key', bytes: get('', '/api/x') + hidden, verdict: 'closed' },
  { name: 'half a request behind a request', bytes: get() + 'GET /open/hid', verdict: 'forwarded', isSpent: true },
  { name: 'a request byte by byte', bytes: [...get('X-A: b\r\n')], verdict: 'forwarded', sees: { has: ['x-a: b'] } },
  { name: 'a HEAD', bytes: get('', '/open/x', 'HEAD'), verdict: 'forwarded', sees: { method: 'HEAD' } },
  { name: 'a HEAD with a body', bytes: get('Content-Length: 5\r\n', '/open/x', 'HEAD') + 'abcde', verdict: 'forwarded', sees: { method: 'HEAD', body: 'abcde' } },
  { name: 'a HEAD of nothing', bytes: get('', '/nowhere', 'HEAD'), verdict: 'refused 404, open' },
  { name: 'Connection: close', bytes: get('Connection: close\r\n'), verdict: 'forwarded', isSpent: true, sees: { hasNot: ['close'] } }
]

export const corpus: Readonly<Record<string, readonly Case[]>> = { lengths, encodings, chunks, headers, 'request lines': requestLines, targets, hosts, hops, identities, orders }
