// An upstream that keeps every byte it was sent. Each request is answered with its own target, so that an answer that reached
// the wrong client, or a request that came out of another one's body, shows.
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

export interface SeenRequest {
  readonly method: string
  readonly target: string
  /** Names as they came, values without the blanks around them. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** The head's bytes, one character each, with its empty line. */
  readonly head: string
  /** Without the framing of chunks. */
  readonly body: string
}

export class RawUpstream {
  readonly seen: SeenRequest[] = []
  /** Connections that sent what no upstream should have to understand. */
  readonly problems: string[] = []
  readonly #server: Server = createServer((socket) => { this.#serve(socket) })
  readonly #sockets = new Set<Socket>()

  async open (): Promise<this> {
    await new Promise<void>((resolve) => { this.#server.listen(0, '127.0.0.1', resolve) })
    return this
  }

  get url (): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` }

  close (): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #serve (socket: Socket): void {
    let waiting = Buffer.alloc(0)
    this.#sockets.add(socket)
    socket.on('close', () => { this.#sockets.delete(socket) })
    socket.on('error', () => { socket.destroy() })
    socket.on('data', (chunk: Buffer) => {
      waiting = Buffer.concat([waiting, chunk])
      try {
        for (let taken = takeRequest(waiting); taken !== undefined; taken = takeRequest(waiting)) {
          waiting = waiting.subarray(taken.bytes)
          this.seen.push(taken.request)
          answer(socket, taken.request)
        }
      } catch (error) {
        this.problems.push(`${(error as Error).message}: ${JSON.stringify(waiting.toString('latin1').slice(0, 400))}`)
        socket.destroy()
      }
    })
  }
}

function answer (socket: Socket, { method, target }: SeenRequest): void {
  const body = method === 'HEAD' ? '' : target
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${target.length}\r\n\r\n${body}`)
}

const controls = new RegExp('[\\u0000-\\u0008\\u000a-\\u001f\\u007f]')
const requestLine = /^([A-Z-]+) (\/[!-~]*) HTTP\/1\.1$/
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/

/** The first request of `bytes`; undefined while it isn't all there. @throws where it could be read in two ways */
function takeRequest (bytes: Buffer): { readonly request: SeenRequest, readonly bytes: number } | undefined {
  const headEnd = bytes.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = bytes.toString('latin1', 0, headEnd + 4)
  const [first = '', ...lines] = head.slice(0, -4).split('\r\n')
  const [, method = '', target = ''] = requestLine.exec(first) ?? []
  if (method === '') throw new Error('no request line')
  const headers = lines.map((line) => {
    const [, name, value] = headerLine.exec(line) ?? []
    if (name === undefined || value === undefined || controls.test(value)) throw new Error(`no header: ${line}`)
    return [name, value] as const
  })
  const valuesOf = (wanted: string): string[] => headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value)
  const [lengths, encodings, hosts] = [valuesOf('content-length'), valuesOf('transfer-encoding'), valuesOf('host')]
  if (hosts.length !== 1) throw new Error(`${hosts.length} hosts`)
  if (lengths.length + encodings.length > 1) throw new Error('two ways to find the end')
  if (encodings.length === 1 && encodings[0] !== 'chunked') throw new Error(`encoded as ${encodings[0]}`)
  if (lengths.length === 1 && !/^\d{1,15}$/.test(lengths[0] as string)) throw new Error(`a length of ${lengths[0]}`)
  const rest = bytes.subarray(headEnd + 4)
  const body = encodings.length === 1 ? takeChunks(rest) : takeLength(rest, Number(lengths[0] ?? 0))
  return body === undefined ? undefined : { request: { method, target, headers, head, body: body.text }, bytes: headEnd + 4 + body.bytes }
}

function takeLength (rest: Buffer, length: number): { readonly text: string, readonly bytes: number } | undefined {
  return rest.length < length ? undefined : { text: rest.toString('latin1', 0, length), bytes: length }
}

function takeChunks (rest: Buffer): { readonly text: string, readonly bytes: number } | undefined {
  let text = ''
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const line = rest.toString('latin1', at, lineEnd)
    if (!/^[0-9A-Fa-f]{1,8}$/.test(line)) throw new Error(`a chunk of ${line}`)
    const size = parseInt(line, 16)
    const end = lineEnd + 2 + size
    if (rest.length < end + 2) return undefined
    if (rest.toString('latin1', end, end + 2) !== '\r\n') throw new Error('a chunk that does not end')
    if (size === 0) return { text, bytes: end + 2 }
    text += rest.toString('latin1', lineEnd + 2, end)
    at = end + 2
  }
}
