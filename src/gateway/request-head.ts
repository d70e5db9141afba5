// The head of a request, read in one pass while uWebSockets.js still holds it: what the gateway decides by, and the
// headers that go on to the upstream. One instance a thread is used again for each request, so nothing of it is kept.
//
// What two servers could read differently is refused here: a request hidden in another would be answered to the wrong
// member, or not billed at all.
import type { HttpRequest } from 'uWebSockets.js'

/** `malformed`: answered 400. `broken`: where the request ends is in doubt, so the connection is closed without an answer. */
export type HeadVerdict = 'good' | 'malformed' | 'broken'

export class RequestHead {
  method = ''
  path = ''
  /** With its question mark; empty without one. */
  query = ''
  host = ''
  apiKey = ''
  userAgent = ''
  origin = ''
  forwardedFor = ''
  forwardedProto = ''
  forwardedHost = ''
  forwarded = ''
  traceId = ''
  traceparent = ''
  tracestate = ''
  /** Of the head: the request line, and each header with its name, without blanks around it. */
  bytes = 0
  headerCount = 0
  /** Bytes of the body; -1 where the request doesn't say. */
  contentLength = -1
  isChunked = false
  /** The protocol that the client wants to change to; empty when it doesn't. */
  upgrade = ''
  /** Of a CORS preflight: the method it asks for; empty for every other request. */
  preflightMethod = ''
  /** Name, value, name, value …: end-to-end headers that are the client's to send. */
  readonly headers: string[] = []
  #verdict: HeadVerdict = 'good'
  #connection = ''
  #keys = 0
  readonly #visit = (name: string, value: string): void => { this.#take(name, value) }

  /** Reads `request` and says whether it may be answered as it stands. */
  read (request: HttpRequest): HeadVerdict {
    this.#reset()
    this.method = request.getCaseSensitiveMethod()
    this.path = request.getUrl()
    const query = request.getQuery() as string | undefined
    this.query = query === undefined ? '' : '?' + query
    this.bytes = this.method.length + this.path.length + this.query.length + requestLineBytes
    request.forEach(this.#visit)
    if (this.#connection !== '') this.#dropNamed(this.#connection)
    if (this.origin === '' || this.method !== 'OPTIONS') this.preflightMethod = ''
    if (this.#verdict === 'good' && !(isMethod(this.method) && isTarget.test(this.path) && isTarget.test(this.query) && isHost.test(this.host))) return 'malformed'
    return this.#verdict
  }

  get hasBody (): boolean { return this.contentLength > 0 || this.isChunked }

  #reset (): void {
    this.host = this.apiKey = this.userAgent = this.origin = this.forwardedFor = this.forwardedProto = this.forwardedHost = ''
    this.forwarded = this.traceId = this.traceparent = this.tracestate = this.upgrade = this.preflightMethod = this.#connection = ''
    this.contentLength = -1
    this.isChunked = false
    this.headers.length = this.headerCount = this.#keys = 0
    this.#verdict = 'good'
  }

  #take (name: string, value: string): void {
    const meaning = meanings.get(name)
    const text = isPlainText.test(value) ? value : this.#bytesOf(value)
    this.bytes += name.length + text.length + headerLineBytes
    this.headerCount++
    switch (meaning) {
      case undefined: this.#takeUnknown(name, text); return
      case 'forward': this.headers.push(name, text); return
      case 'drop': return
      case 'host': this.host = text; return
      // Two are no key, an empty one included: another server might take the other.
      case 'apiKey': this.apiKey = this.#keys++ === 0 ? text : this.apiKey + ',' + text; return
      case 'userAgent': this.userAgent = text; this.headers.push(name, text); return
      case 'origin': this.origin = text; this.headers.push(name, text); return
      case 'preflightMethod': this.preflightMethod = text; this.headers.push(name, text); return
      case 'contentLength': this.#takeContentLength(text); return
      case 'transferEncoding': this.#takeTransferEncoding(text); return
      case 'connection': this.#connection = joined(this.#connection, text); return
      case 'upgrade': this.upgrade = joined(this.upgrade, text); return
      case 'forwardedFor': this.forwardedFor = joined(this.forwardedFor, text); return
      case 'forwardedProto': this.forwardedProto = text; return
      case 'forwardedHost': this.forwardedHost = text; return
      case 'forwarded': this.forwarded = joined(this.forwarded, text); return
      case 'traceId': this.traceId = text; return
      case 'traceparent': this.traceparent = joined(this.traceparent, text); return
      case 'tracestate': this.tracestate = joined(this.tracestate, text)
    }
  }

  #takeUnknown (name: string, text: string): void {
    if (!isToken.test(name)) this.#verdict = worse(this.#verdict, 'malformed')
    // Servers that hand headers on as variables read X_Member_Id as X-Member-Id: nobody may say who he is that way.
    else if (!name.includes('_') || meanings.get(name.replaceAll('_', '-')) === undefined) this.headers.push(name, text)
  }

  #takeContentLength (text: string): void {
    if (this.contentLength >= 0 || !isLength.test(text)) this.#verdict = 'broken'
    else this.contentLength = Number(text)
  }

  #takeTransferEncoding (text: string): void {
    if (this.isChunked || text.toLowerCase() !== 'chunked') this.#verdict = 'broken'
    this.isChunked = true
  }

  /** Text beyond ASCII, as its bytes in UTF-8, one character each: what an HTTP client writes as latin1. */
  #bytesOf (value: string): string {
    // uWebSockets.js has put U+FFFD where the bytes were no UTF-8: what they were is lost.
    if (value.includes('\ufffd') || hasControl.test(value)) this.#verdict = worse(this.#verdict, 'malformed')
    return Buffer.from(value, 'utf8').toString('latin1')
  }

  /** Headers that the Connection header names belong to this hop only (RFC 9110, 7.6.1). */
  #dropNamed (connection: string): void {
    const named = connection.toLowerCase().split(',').map((token) => token.trim())
    const { headers } = this
    let kept = 0
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] as string
      if (named.includes(name)) continue
      headers[kept++] = name
      headers[kept++] = headers[at + 1] as string
    }
    headers.length = kept
  }
}

type Meaning =
  | 'forward' | 'drop' | 'host' | 'apiKey' | 'userAgent' | 'origin' | 'preflightMethod' | 'contentLength' | 'transferEncoding'
  | 'connection' | 'upgrade' | 'forwardedFor' | 'forwardedProto' | 'forwardedHost' | 'forwarded' | 'traceId' | 'traceparent' | 'tracestate'

const meanings: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['host', 'host'], ['x-api-key', 'apiKey'], ['user-agent', 'userAgent'], ['origin', 'origin'],
  ['access-control-request-method', 'preflightMethod'], ['content-length', 'contentLength'],
  ['transfer-encoding', 'transferEncoding'], ['connection', 'connection'], ['upgrade', 'upgrade'],
  ['x-forwarded-for', 'forwardedFor'], ['x-forwarded-proto', 'forwardedProto'], ['x-forwarded-host', 'forwardedHost'],
  ['forwarded', 'forwarded'], ['x-trace-id', 'traceId'], ['traceparent', 'traceparent'], ['tracestate', 'tracestate'],
  // Of this hop, or answered by this server already (Expect), or the gateway's alone to say.
  ...['keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'http2-settings',
    'expect', 'x-member-id', 'x-api-key-id', 'x-member-grade'].map((name) => [name, 'drop'] as const),
  // Common, and known to be valid names.
  ...['accept', 'accept-encoding', 'accept-language', 'authorization', 'cache-control', 'content-encoding', 'content-type',
    'cookie', 'if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'pragma', 'range', 'referer',
    'priority', 'sec-fetch-dest', 'sec-fetch-mode', 'sec-fetch-site', 'x-requested-with', 'x-request-id']
    .map((name) => [name, 'forward'] as const)
])

const isPlainText = /^[\t\x20-\x7e]*$/
// eslint has nothing against a control character that is written as what it is: the point of this pattern.
const hasControl = new RegExp('[\\u0000-\\u0008\\u000a-\\u001f\\u007f]')
const isToken = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
/** RFC 3986 allows fewer; what an upstream must never see is a blank, a control, a byte beyond ASCII, or a fragment, which some cut off and some don't. */
const isTarget = /^[\x21\x22\x24-\x7e]*$/
/** A name or address and a port: with a user, a path or a list in it, two servers could read two hosts. */
const isHost = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i
/** Digits alone, and few enough to stay exact. */
const isLength = /^\d{1,15}$/
const methodCharsMax = 20
/** Two blanks, the protocol and the line's end; colon, blank and the line's end. */
const requestLineBytes = '  HTTP/1.1\r\n'.length
const headerLineBytes = ': \r\n'.length
const isUpperToken = /^[A-Z][A-Z-]*$/

function isMethod (method: string): boolean {
  return method === 'GET' || method === 'POST' || (method.length <= methodCharsMax && isUpperToken.test(method))
}

function joined (before: string, text: string): string { return before === '' ? text : before + ', ' + text }

function worse (before: HeadVerdict, now: HeadVerdict): HeadVerdict { return before === 'broken' ? before : now }
