// HTTP/1.1 answers, strictly: what two readers could take for different answers is an error, not a guess, because the next
// answer on the connection belongs to somebody else. Only CRLF ends a line; no folded headers; one length at most, and
// never beside chunks; `chunked` alone; bounded heads, chunk lines and trailers (RFC 9112).

/** Longest head of an answer, and of the trailers after one. */
export const answerHeadBytesMax = 64 * 1024
const headersMax = 256
/** 1xx answers before the real one. */
const informationalMax = 16
/** Size and extensions of a chunk. */
const chunkLineBytesMax = 1024

export interface ResponseSink {
  /** @param headers name in lower case, value in latin1, name, value … */
  readonly onHead: (status: number, headers: readonly string[]) => void
  /** A part of the parsed bytes: valid during the call. */
  readonly onBody: (bytes: Buffer) => void
  /** @param isReusable the connection is at the start of another answer */
  readonly onEnd: (isReusable: boolean) => void
}

export class ResponseError extends Error {
  constructor (message: string) {
    super(message)
    this.name = 'ResponseError'
  }
}

type Part = 'head' | 'counted' | 'until-end' | 'chunk-line' | 'chunk' | 'chunk-end' | 'trailers' | 'none'

export class ResponseParser {
  readonly #sink: ResponseSink
  #part: Part = 'none'
  #isHead = false
  #informational = 0
  #isReusable = false
  /** Of the body or the chunk. */
  #leftBytes = 0
  /** The start of a head or line whose end hasn't come. */
  #carry: Buffer | undefined
  #isComplete = false

  constructor (sink: ResponseSink) { this.#sink = sink }

  /** An answer is awaited. @param isHead to a HEAD request: it has no body, whatever it says */
  begin (isHead: boolean): void {
    this.#part = 'head'
    this.#carry = undefined
    this.#isHead = isHead
    this.#informational = 0
  }

  /** @throws ResponseError, after which the connection is of no use */
  push (bytes: Buffer): void {
    let data = bytes
    if (this.#carry !== undefined) {
      data = Buffer.concat([this.#carry, bytes])
      this.#carry = undefined
    }
    for (let at = 0; at < data.length;) {
      const next = this.#step(data, at)
      if (this.#isComplete) {
        // Bytes behind an answer that nobody has asked for yet: whose are they?
        this.#tell(this.#isReusable && next === data.length)
        return
      }
      if (next < 0) {
        // A copy: the caller's memory is used again.
        this.#carry = Buffer.from(data.subarray(at))
        return
      }
      at = next
    }
  }

  /** The connection ended in order. @throws ResponseError when an answer is incomplete */
  end (): void {
    if (this.#part === 'until-end') {
      this.#part = 'none'
      this.#tell(false)
    } else if (this.#part !== 'none') {
      throw new ResponseError('the connection ended before the answer did')
    }
  }

  /** Takes what it can from `at` on. @returns where it stopped; -1 when more bytes are needed first */
  #step (data: Buffer, at: number): number {
    switch (this.#part) {
      case 'head': return this.#takeHead(data, at)
      case 'counted': return this.#takeBody(data, at)
      case 'chunk': return this.#takeBody(data, at)
      case 'until-end': this.#sink.onBody(data.subarray(at)); return data.length
      case 'chunk-line': return this.#takeChunkLine(data, at)
      case 'chunk-end': return this.#takeChunkEnd(data, at)
      case 'trailers': return this.#takeTrailers(data, at)
      case 'none': throw new ResponseError('bytes that belong to no answer')
    }
  }

  #takeHead (data: Buffer, at: number): number {
    const end = data.indexOf('\r\n\r\n', at, 'latin1')
    if (end < 0) {
      if (data.length - at > answerHeadBytesMax) throw new ResponseError(`an answer's head of more than ${answerHeadBytesMax} bytes`)
      // What can't become an answer any more isn't waited for.
      if (!'HTTP/1.'.startsWith(data.toString('latin1', at, Math.min(at + 7, data.length)))) throw new ResponseError('not an HTTP/1 answer')
      return -1
    }
    if (end - at > answerHeadBytesMax) throw new ResponseError(`an answer's head of more than ${answerHeadBytesMax} bytes`)
    const text = data.toString('latin1', at, end)
    if (forbidden.test(text)) throw new ResponseError('a control character in an answer\'s head')
    const statusLine = statusLinePattern.exec(text)
    if (statusLine === null) throw new ResponseError('not an HTTP/1 status line')
    const status = Number(statusLine[2])
    const headers = readHeaders(text, (statusLine[0]).length)
    if (status < 200) this.#informs(status)
    else this.#beginBody(status, headers, statusLine[1] === '1')
    return end + 4
  }

  #informs (status: number): void {
    if (status === 101) throw new ResponseError('a change of protocol that nobody asked for')
    if (++this.#informational > informationalMax) throw new ResponseError('too many interim answers')
  }

  #beginBody (status: number, headers: readonly string[], isPersistent: boolean): void {
    const framing = readFraming(headers)
    this.#isReusable = isPersistent && !framing.isClosing
    this.#leftBytes = framing.lengthBytes
    const isBodyless = this.#isHead || status === 204 || status === 304
    if (framing.isChunked && !isPersistent) throw new ResponseError('chunks in an answer of HTTP/1.0')
    // What a 204 or 304 announces would be read as the next answer if it came: such a connection isn't used again.
    if (isBodyless && !this.#isHead && (framing.isChunked || framing.lengthBytes > 0)) this.#isReusable = false
    this.#part = isBodyless ? 'none' : framing.isChunked ? 'chunk-line' : framing.lengthBytes >= 0 ? 'counted' : 'until-end'
    this.#sink.onHead(status, headers)
    if (this.#part === 'none' || (this.#part === 'counted' && this.#leftBytes === 0)) this.#complete()
  }

  #takeBody (data: Buffer, at: number): number {
    const end = Math.min(data.length, at + this.#leftBytes)
    this.#leftBytes -= end - at
    const isChunk = this.#part === 'chunk'
    if (isChunk && this.#leftBytes === 0) this.#part = 'chunk-end'
    this.#sink.onBody(at === 0 && end === data.length ? data : data.subarray(at, end))
    if (!isChunk && this.#leftBytes === 0) this.#complete()
    return end
  }

  #takeChunkLine (data: Buffer, at: number): number {
    const end = data.indexOf('\r\n', at, 'latin1')
    if ((end < 0 ? data.length : end) - at > chunkLineBytesMax) throw new ResponseError('a chunk\'s line is too long')
    if (end < 0) return -1
    const size = chunkLinePattern.exec(data.toString('latin1', at, end))?.[1]
    if (size === undefined) throw new ResponseError('not a chunk\'s size')
    this.#leftBytes = Number.parseInt(size, 16)
    this.#part = this.#leftBytes === 0 ? 'trailers' : 'chunk'
    return end + 2
  }

  #takeChunkEnd (data: Buffer, at: number): number {
    if (data.length - at < 2) return -1
    if (data[at] !== 0x0d || data[at + 1] !== 0x0a) throw new ResponseError('a chunk is longer than it said')
    this.#part = 'chunk-line'
    return at + 2
  }

  /** Checked and dropped: they came too late for the head, which has left. */
  #takeTrailers (data: Buffer, at: number): number {
    if (data.length - at < 2) return -1
    if (data[at] === 0x0d && data[at + 1] === 0x0a) {
      this.#complete()
      return at + 2
    }
    const end = data.indexOf('\r\n\r\n', at, 'latin1')
    if ((end < 0 ? data.length : end) - at > answerHeadBytesMax) throw new ResponseError('trailers are too long')
    if (end < 0) return -1
    const text = data.toString('latin1', at, end)
    if (forbidden.test(text)) throw new ResponseError('a control character in an answer\'s trailers')
    readHeaders('\r\n' + text, 0)
    this.#complete()
    return end + 4
  }

  #complete (): void {
    this.#part = 'none'
    this.#isComplete = true
  }

  #tell (isReusable: boolean): void {
    this.#isComplete = false
    this.#sink.onEnd(isReusable)
  }
}

const statusLinePattern = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?(?=\r\n|$)/
const chunkLinePattern = /^([0-9A-Fa-f]{1,13})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/
const namePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Controls but for a tab, and line ends that aren't CRLF. */
const forbidden = new RegExp('[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]|\\r(?!\\n)|(?<!\\r)\\n')

/** Names seen before, valid and in lower case: most answers of an upstream have the same. */
const knownNames = new Map<string, string>()
const knownNamesMax = 1024

function lowerName (name: string): string {
  const known = knownNames.get(name)
  if (known !== undefined) return known
  if (!namePattern.test(name)) throw new ResponseError('not a header\'s name')
  // Copied: a part of a text keeps the whole text in memory.
  const own = Buffer.from(name, 'latin1').toString('latin1')
  const lower = own.toLowerCase()
  if (knownNames.size < knownNamesMax) knownNames.set(own, lower)
  return lower
}

/** @param at where a line's CRLF stands, before the first header; or the text's end */
function readHeaders (text: string, at: number): string[] {
  const headers: string[] = []
  for (let lineEnd = at; lineEnd < text.length;) {
    const start = lineEnd + 2
    lineEnd = text.indexOf('\r\n', start)
    if (lineEnd < 0) lineEnd = text.length
    const colon = text.indexOf(':', start)
    if (colon <= start || colon > lineEnd) throw new ResponseError('a header without a name')
    if (headers.length >= headersMax * 2) throw new ResponseError(`more than ${headersMax} headers`)
    headers.push(lowerName(text.slice(start, colon)), trimmed(text, colon + 1, lineEnd))
  }
  return headers
}

function trimmed (text: string, from: number, to: number): string {
  let start = from
  let end = to
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

function isBlank (code: number): boolean { return code === 0x20 || code === 0x09 }

interface Framing {
  /** -1 where no length is said. */
  readonly lengthBytes: number
  readonly isChunked: boolean
  /** The connection ends with this answer. */
  readonly isClosing: boolean
}

function readFraming (headers: readonly string[]): Framing {
  let lengthBytes = -1
  let isChunked = false
  let isClosing = false
  for (let at = 0; at < headers.length; at += 2) {
    const value = headers[at + 1] as string
    switch (headers[at] as string) {
      case 'content-length':
        if (lengthBytes >= 0 || !/^\d{1,15}$/.test(value)) throw new ResponseError('not one length')
        lengthBytes = Number(value)
        break
      case 'transfer-encoding':
        if (isChunked || value.toLowerCase() !== 'chunked') throw new ResponseError('an encoding other than chunked')
        isChunked = true
        break
      case 'connection':
        if (value.toLowerCase().split(',').some((token) => token.trim() === 'close')) isClosing = true
    }
  }
  if (isChunked && lengthBytes >= 0) throw new ResponseError('a length beside chunks')
  return { lengthBytes, isChunked, isClosing }
}
