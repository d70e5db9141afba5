// An HTTP client that sends exactly the bytes it is told and shows exactly what came back.
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { eventually } from './eventually.ts'

export interface RawAnswer {
  readonly status: number
  /** Names as sent. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** The last byte came. */
  readonly isComplete: boolean
  /** Bytes after it. */
  readonly restBytes: number
}

export class RawClient {
  readonly socket: Socket
  isClosed = false
  /** 'ECONNRESET' and the like; undefined for an orderly end. */
  errorCode: string | undefined
  #received: Buffer[] = []

  /** @param localAddress to come from, such as 127.0.0.2 */
  constructor (port: number, host = '127.0.0.1', localAddress?: string) {
    this.socket = connect({ port, host, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) })
    this.socket.on('data', (chunk) => { this.#received.push(chunk) })
    this.socket.on('error', (error: NodeJS.ErrnoException) => { this.errorCode = error.code })
    this.socket.on('close', () => { this.isClosed = true })
  }

  send (bytes: string | Buffer): void { this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes) }

  /** All bytes so far. */
  received (): Buffer {
    const all = Buffer.concat(this.#received)
    this.#received = [all]
    return all
  }

  /** Forgets what has come: the next answer starts here. */
  forget (): void { this.#received = [] }

  /** The answer as far as it has come; undefined before its head is there. */
  peek (isHead = false): RawAnswer | undefined { return parseAnswer(this.received(), isHead) }

  /** The next complete answer; its bytes are forgotten. Rejects when the connection ends before. */
  async answer ({ isHead = false, withinMs = 20_000 } = {}): Promise<RawAnswer> {
    const answer = await eventually('a complete answer', () => {
      const seen = this.peek(isHead)
      if (seen?.isComplete === true) return seen
      if (this.isClosed) return 'closed' as const
      return undefined
    }, { withinMs, everyMs: 5 })
    if (answer === 'closed') throw new Error(`the connection ended before a complete answer: ${JSON.stringify(this.received().toString('latin1').slice(0, 400))}`)
    this.#received = answer.restBytes > 0 ? [this.received().subarray(-answer.restBytes)] : []
    return answer
  }

  async closed (withinMs = 20_000): Promise<void> { await eventually('the end of the connection', () => this.isClosed, { withinMs, everyMs: 5 }) }

  destroy (): void { this.socket.destroy() }

  /** A reset instead of an orderly end. */
  reset (): void { this.socket.resetAndDestroy() }
}

export function header (answer: RawAnswer, name: string): string | undefined {
  const values = answer.headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
  return values.length === 0 ? undefined : values.join(', ')
}

export function json (answer: RawAnswer): Record<string, unknown> { return JSON.parse(answer.body.toString()) as Record<string, unknown> }

/** Text of a request; Host is added. */
export function requestText (line: string, headers: Readonly<Record<string, string>> = {}, body = ''): string {
  const all = { Host: 'gateway.test', ...headers }
  return `${line} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`
}

function parseAnswer (bytes: Buffer, isHead: boolean): RawAnswer | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1])
  const headers = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()] as const)
  const rest = bytes.subarray(headEnd + 4)
  if (status === 100) return parseAnswer(rest, isHead)
  const find = (name: string): string | undefined => headers.find(([key]) => key.toLowerCase() === name)?.[1]
  const result = (body: Buffer, isComplete: boolean, usedBytes: number): RawAnswer => ({ status, headers, body, isComplete, restBytes: isComplete ? rest.length - usedBytes : 0 })
  if (isHead || status === 204 || status === 304) return result(Buffer.alloc(0), true, 0)
  if (find('transfer-encoding') === 'chunked') return parseChunked(rest, result)
  const length = Number(find('content-length'))
  return result(rest.subarray(0, length), rest.length >= length, length)
}

function parseChunked (rest: Buffer, result: (body: Buffer, isComplete: boolean, usedBytes: number) => RawAnswer): RawAnswer {
  const body: Buffer[] = []
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf('\r\n', at)
    if (lineEnd < 0) return result(Buffer.concat(body), false, 0)
    const size = Number.parseInt(rest.toString('latin1', at, lineEnd), 16)
    if (!(size >= 0)) throw new Error(`no chunk's size at byte ${at} of the body: ${JSON.stringify(rest.toString('latin1', Math.max(0, at - 40), at + 60))}`)
    const start = lineEnd + 2
    if (size === 0) return result(Buffer.concat(body), rest.length >= start + 2, start + 2)
    body.push(rest.subarray(start, start + size))
    if (rest.length < start + size + 2) return result(Buffer.concat(body), false, 0)
    at = start + size + 2
  }
}
