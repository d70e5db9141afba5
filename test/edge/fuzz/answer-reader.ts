// How a strict client reads what a server has sent until it closed the connection, written from RFC 9112 and docs/http.md and
// sharing no code with the gateway. It reads the whole of it at once, so reads and their sizes are nothing to it.

export interface ReadAnswer {
  readonly status: number
  /** Name in small letters, value, name, value … */
  readonly headers: readonly string[]
  readonly body: string
  /** The connection is good for another request. */
  readonly isReusable: boolean
}

/** `wrong`: what was read before it turned out so. */
export type AnswerReading = { readonly answer: ReadAnswer } | { readonly wrong: Partial<ReadAnswer> }

const limits = { headBytes: 64 * 1024, headers: 256, interims: 16, chunkLineBytes: 1024 } as const
const forbidden = new RegExp('[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]|\\r(?!\\n)|(?<!\\r)\\n')

/** @param bytes one character each */
export function readAnswerStrictly (bytes: string, isHead: boolean): AnswerReading {
  let at = 0
  for (let interims = 0; interims <= limits.interims; interims++) {
    const end = bytes.indexOf('\r\n\r\n', at)
    if (end < 0 || end - at > limits.headBytes) return { wrong: {} }
    const head = readHead(bytes.slice(at, end))
    if (head === undefined || head.status === 101) return { wrong: {} }
    at = end + 4
    if (head.status >= 200) return readBody(bytes.slice(at), head, isHead)
  }
  return { wrong: {} }
}

interface Head { readonly isOld: boolean, readonly status: number, readonly headers: readonly string[] }

function readHead (text: string): Head | undefined {
  if (forbidden.test(text)) return undefined
  const [first = '', ...lines] = text.split('\r\n')
  const [, minor, status] = /^HTTP\/1\.([01]) ([1-9][0-9][0-9])(?: .*)?$/.exec(first) ?? []
  const headers = readLines(lines)
  return status === undefined || headers === undefined ? undefined : { isOld: minor === '0', status: Number(status), headers }
}

function readLines (lines: readonly string[]): readonly string[] | undefined {
  const fields = lines.map((line) => /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/.exec(line))
  if (fields.length > limits.headers || fields.includes(null)) return undefined
  return fields.flatMap((field) => [(field?.[1] ?? '').toLowerCase(), field?.[2] ?? ''])
}

function readBody (rest: string, { isOld, status, headers }: Head, isHead: boolean): AnswerReading {
  const valuesOf = (wanted: string): string[] => headers.filter((_, index) => index % 2 === 1 && headers[index - 1] === wanted)
  const [lengths, encodings] = [valuesOf('content-length'), valuesOf('transfer-encoding')]
  const isFramed = lengths.length + encodings.length <= 1 && lengths.every((value) => /^[0-9]{1,15}$/.test(value)) && encodings.every((value) => value.toLowerCase() === 'chunked' && !isOld)
  if (!isFramed) return { wrong: {} }
  const isClosing = isOld || valuesOf('connection').some((value) => value.toLowerCase().split(',').some((token) => token.trim() === 'close'))
  const known = { status, headers }
  if (isHead || status === 204 || status === 304) {
    const isDoubtful = !isHead && (encodings.length > 0 || Number(lengths[0] ?? 0) > 0)
    return { answer: { ...known, body: '', isReusable: !isClosing && !isDoubtful && rest === '' } }
  }
  if (encodings.length === 1) {
    const { text, end } = readChunks(rest)
    return end === undefined ? { wrong: { ...known, body: text } } : { answer: { ...known, body: text, isReusable: !isClosing && end === rest.length } }
  }
  if (lengths.length === 0) return { answer: { ...known, body: rest, isReusable: false } }
  const length = Number(lengths[0])
  return rest.length < length ? { wrong: { ...known, body: rest } } : { answer: { ...known, body: rest.slice(0, length), isReusable: !isClosing && rest.length === length } }
}

/** `end` is undefined where it isn't one. */
function readChunks (bytes: string): { readonly text: string, readonly end: number | undefined } {
  let text = ''
  for (let at = 0; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    const size = lineEnd < 0 || lineEnd - at > limits.chunkLineBytes ? undefined : /^([0-9A-Fa-f]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(bytes.slice(at, lineEnd))?.[1]
    if (size === undefined) return { text, end: undefined }
    const start = lineEnd + 2
    if (/^0+$/.test(size)) return { text, end: endOfTrailers(bytes, start) }
    const end = start + parseInt(size, 16)
    text += bytes.slice(start, end)
    if (bytes.slice(end, end + 2) !== '\r\n') return { text, end: undefined }
    at = end + 2
  }
}

function endOfTrailers (bytes: string, at: number): number | undefined {
  if (bytes.startsWith('\r\n', at)) return at + 2
  const end = bytes.indexOf('\r\n\r\n', at)
  const trailers = bytes.slice(at, end)
  return end < 0 || end - at > limits.headBytes || forbidden.test(trailers) || readLines(trailers.split('\r\n')) === undefined ? undefined : end + 4
}
