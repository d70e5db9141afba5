// How a strict server reads what a client has sent, written from RFC 9112 and docs/http.md and sharing no code with the gateway.
// It reads the whole of it at once, so pieces and time are nothing to it.

/**
 * `must`: the gateway has to answer it. `may`: it may be stricter than this reader (docs/http.md), but what it forwards is this and nothing
 * else. `refused`: a request like any other, which the gateway answers itself and forwards to nobody.
 */
export type Level = 'must' | 'may' | 'refused'

export interface ReadRequest { readonly method: string, readonly target: string, readonly body: string, readonly level: Level }

/**
 * Where reading stopped. `never`: two servers could read it in two ways, or none can, and no upstream may see any of it. `contained`: too
 * lax a server was below the gateway, so an upstream may have seen this one request, with bytes of its own
 * in its body (`rest`: all that follows its head, in this order). Where it is chunked, its answer ends the connection, and nothing else may run.
 */
export type Stop =
  | { readonly kind: 'clean' | 'unfinished' | 'never' }
  | { readonly kind: 'contained', readonly method: string, readonly target: string, readonly rest: string, readonly isChunked: boolean }

export interface Reading { readonly requests: readonly ReadRequest[], readonly stop: Stop }

export interface Rules { readonly apiKey: string, readonly bodyBytesMax: number }

const plainMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])
/** Heads beyond these may be refused as too large. */
const [headBytesSure, headersSure] = [8_000, 60]

/** @param bytes one character each */
export function readStrictly (bytes: string, rules: Rules): Reading {
  const requests: ReadRequest[] = []
  for (let at = 0; at < bytes.length;) {
    const next = readOne(bytes, at, rules)
    if ('kind' in next) return { requests, stop: next }
    requests.push(next.request)
    at = next.end
  }
  return { requests, stop: { kind: 'clean' } }
}

/**
 * What else may run behind a contained request whose length was hidden: a server that knows of none takes what comes after its answer for a
 * request. Never what came in one piece with the rest: that meets a pending answer (docs/http.md).
 * @param cuts ends of the pieces
 */
export function readBehind (bytes: string, { stop }: Reading, cuts: readonly number[], rules: Rules): readonly Reading[] {
  if (stop.kind !== 'contained' || stop.isChunked) return []
  const from = bytes.length - stop.rest.length
  return [...stop.rest.matchAll(/[A-Z][A-Z-]{0,19} \/\S* HTTP\/1\.1\r\n/g)].flatMap(({ index, 0: line }) => {
    const start = from + index
    const headEnd = bytes.indexOf('\r\n\r\n', start + line.length - 2) + 4
    return cuts.some((cut) => cut >= from && cut < headEnd) ? [readStrictly(bytes.slice(start), rules)] : []
  })
}

const never = { kind: 'never' } as const
const headForbidden = new RegExp('[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]|\\r(?!\\n)|(?<!\\r)\\n')

function readOne (bytes: string, at: number, rules: Rules): Stop | { readonly request: ReadRequest, readonly end: number } {
  const headEnd = bytes.indexOf('\r\n\r\n', at)
  if (headEnd < 0) return { kind: 'unfinished' }
  const head = bytes.slice(at, headEnd)
  if (headForbidden.test(head)) return never
  const [requestLine = '', ...lines] = head.split('\r\n')
  const [, method = '', target = ''] = /^([A-Z][A-Z-]{0,19}) (\/[\x21-\x7e\x80-\xff]*) HTTP\/1\.1$/.exec(requestLine) ?? []
  if (method === '') return never
  const hiding = lines.findIndex((line) => line.startsWith(':'))
  const fields = (hiding < 0 ? lines : lines.slice(0, hiding)).map(readField)
  if (fields.includes(undefined) || lines.some((line) => !line.startsWith(':') && readField(line) === undefined)) return never
  const headers = fields as readonly Field[]
  const framing = framingOf(headers)
  if (framing === undefined) return never
  const body = framing.isChunked ? readChunks(bytes, headEnd + 4) : readCounted(bytes, headEnd + 4, framing.lengthBytes)
  if (hiding >= 0 || framing.isTrimmed || body.end === 'doubtful') return { kind: 'contained', method, target, rest: bytes.slice(headEnd + 4), isChunked: framing.isChunked }
  if (body.end === 'unfinished') return { kind: 'unfinished' }
  return { request: { method, target, body: body.text, level: levelOf(method, target, headers, head, rules, body.text.length, at > 0) }, end: body.end }
}

interface Field { readonly name: string, readonly value: string }

function readField (line: string): Field | undefined {
  const [, name = '', value = ''] = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/s.exec(line) ?? []
  return name === '' ? undefined : { name: name.toLowerCase(), value }
}

function valuesOf (headers: readonly Field[], wanted: string): string[] { return headers.filter(({ name }) => name === wanted).map(({ value }) => value) }

/** As the server below does it: bytes beyond ASCII at the ends of a value count as blanks. */
function trim (text: string): string { return text.replace(/^[ \t\x80-\xff]+|[ \t\x80-\xff]+$/g, '') }

/** `isTrimmed`: the server below takes bytes beyond ASCII at the ends of a value for blanks. */
interface Framing { readonly isChunked: boolean, readonly lengthBytes: number, readonly isTrimmed: boolean }

function framingOf (headers: readonly Field[]): Framing | undefined {
  const raw = { lengths: valuesOf(headers, 'content-length'), encodings: valuesOf(headers, 'transfer-encoding') }
  if (raw.lengths.length + raw.encodings.length > 1) return undefined
  const [length, encoding] = [raw.lengths[0], raw.encodings[0]]
  const isTrimmed = [length, encoding].some((text) => text !== undefined && trim(text) !== text)
  if (encoding !== undefined) return trim(encoding).toLowerCase() === 'chunked' ? { isChunked: true, lengthBytes: 0, isTrimmed } : undefined
  if (length === undefined) return { isChunked: false, lengthBytes: 0, isTrimmed }
  return /^\d{1,15}$/.test(trim(length)) ? { isChunked: false, lengthBytes: Number(trim(length)), isTrimmed } : undefined
}

/** `end`: where the next request begins. */
interface ReadBody { readonly text: string, readonly end: number | 'unfinished' | 'doubtful' }

function readCounted (bytes: string, at: number, lengthBytes: number): ReadBody {
  return bytes.length - at < lengthBytes ? { text: bytes.slice(at), end: 'unfinished' } : { text: bytes.slice(at, at + lengthBytes), end: at + lengthBytes }
}

function readChunks (bytes: string, from: number): ReadBody {
  let text = ''
  for (let at = from; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const line = bytes.slice(at, lineEnd < 0 ? bytes.length : lineEnd)
    if (!(lineEnd < 0 ? /^[0-9A-Fa-f]{0,8}\r?$/ : /^[0-9A-Fa-f]{1,8}$/).test(line)) return { text, end: 'doubtful' }
    if (lineEnd < 0) return { text, end: 'unfinished' }
    const size = parseInt(line, 16)
    const end = lineEnd + 2 + size
    text += bytes.slice(lineEnd + 2, end)
    const mark = bytes.slice(end, end + 2)
    if (!'\r\n'.startsWith(mark)) return { text, end: 'doubtful' }
    // The server below doesn't wait for the line end behind the last chunk.
    if (mark.length < 2) return { text, end: size === 0 ? 'doubtful' : 'unfinished' }
    if (size === 0) return { text, end: end + 2 }
    at = end + 2
  }
}

function levelOf (method: string, target: string, headers: readonly Field[], head: string, { apiKey, bodyBytesMax }: Rules, bodyBytes: number, isLater: boolean): Level {
  const [hosts, keys] = [valuesOf(headers, 'host').map(trim), valuesOf(headers, 'x-api-key').map(trim)]
  const isHost = hosts.length === 1 && /^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(hosts[0] as string)
  if (!isHost || keys.length !== 1 || keys[0] !== apiKey || bodyBytes > bodyBytesMax || !isOfRoute(target) || !isPlain(target)) return 'refused'
  const protocols = valuesOf(headers, 'upgrade').flatMap((value) => value.split(',')).map((protocol) => trim(protocol).toLowerCase())
  if (protocols.some((protocol) => protocol !== 'h2c' && protocol !== '')) return 'refused'
  // Pipelined, large, unusual, or not for everybody to read: docs/http.md allows less than the RFC.
  const isOrdinary = !protocols.includes('') && plainMethods.has(method) && /^\/api\/[0-9a-z]+(?:\?[0-9a-z=&]*)?$/.test(target) && head.length < headBytesSure && headers.length < headersSure && !/[\x80-\xff]/.test(head)
  return isOrdinary && !isLater ? 'must' : 'may'
}

/** The route of the fuzz is /api and all below; empty segments and parameters are nothing to it. */
function isOfRoute (target: string): boolean {
  const first = /^\/+([^/?;]*)/.exec(target)?.[1] ?? ''
  return first.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))) === 'api'
}

/** No upstream could read another path in it. */
function isPlain (target: string): boolean {
  const path = target.split('?')[0] as string
  if (/[\x80-\xff#]/.test(target) || /\\|%(?![0-9A-Fa-f]{2})/.test(path)) return false
  const segments = path.replace(/%2e/gi, '.').replace(/%2f|%5c/gi, '/').split('/').map((segment) => segment.split(';')[0])
  return !/%00|%5c/i.test(path) && !segments.some((segment) => segment === '.' || segment === '..')
}
