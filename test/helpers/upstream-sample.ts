// An upstream of many behaviours, chosen by the request's path. It remembers what it was sent.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from './eventually.ts'

export interface SeenRequest {
  readonly method: string
  readonly url: string
  readonly rawHeaders: readonly string[]
  readonly headers: IncomingMessage['headers']
  /** As far as it has come. */
  bodyBytes: number
  bodySha256: string
  isComplete: boolean
  isAborted: boolean
}

/** A request to a path below /held: answered when the test says so. */
export interface HeldRequest { readonly request: IncomingMessage, readonly response: ServerResponse }

export class UpstreamSample {
  readonly seen: SeenRequest[] = []
  readonly held: HeldRequest[] = []
  readonly server: Server
  /** Bytes of /big bodies that were taken off its hands. */
  writtenBytes = 0
  #port = 0

  constructor () { this.server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => { this.#take(request, response) }) }

  get url (): string { return `http://127.0.0.1:${this.#port}` }
  get port (): number { return this.#port }

  async open (): Promise<this> {
    await new Promise<void>((resolve) => { this.server.listen(0, '127.0.0.1', resolve) })
    this.#port = (this.server.address() as AddressInfo).port
    return this
  }

  close (): void {
    this.server.close()
    this.server.closeAllConnections()
  }

  async nextHeld (index = 0): Promise<HeldRequest> { return await eventually('a held request', () => this.held[index]) }

  #take (request: IncomingMessage, response: ServerResponse): void {
    const seen: SeenRequest = { method: request.method ?? '', url: request.url ?? '', rawHeaders: request.rawHeaders, headers: request.headers, bodyBytes: 0, bodySha256: '', isComplete: false, isAborted: false }
    this.seen.push(seen)
    response.on('close', () => { if (!response.writableFinished) seen.isAborted = true })
    const url = new URL(request.url ?? '/', 'http://upstream.test')
    const behaviour = url.pathname.split('/').find((part) => part in behaviours)
    if (behaviour === 'stalled') return
    const digest = createHash('sha256')
    request.on('data', (chunk: Buffer) => { seen.bodyBytes += chunk.length; digest.update(chunk) })
    request.on('end', () => { seen.bodySha256 = digest.digest('hex'); seen.isComplete = true })
    request.on('error', () => {})
    if (behaviour === 'held') { this.held.push({ request, response }); return }
    if (behaviour !== undefined && earlyBehaviours.has(behaviour)) { behaviours[behaviour]?.({ request, response, url, sample: this }); return }
    request.on('end', () => { (behaviours[behaviour ?? 'echo'] as Behaviour)({ request, response, url, sample: this }) })
  }
}

interface Call { readonly request: IncomingMessage, readonly response: ServerResponse, readonly url: URL, readonly sample: UpstreamSample }
type Behaviour = (call: Call) => void

/** Don't wait for the request's end. */
const earlyBehaviours = new Set(['early', 'hang'])

const behaviours: Readonly<Record<string, Behaviour>> = {
  echo: ({ request, response }) => {
    const body = JSON.stringify({ method: request.method, url: request.url, headers: request.headers })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    response.end(body)
  },
  /** /status/404, with a small body where there may be one. */
  status: ({ response, url }) => {
    const status = Number(url.pathname.split('/status/')[1])
    const isBodyless = status === 204 || status === 304
    response.writeHead(status, isBodyless ? {} : { 'content-length': 4 })
    response.end(isBodyless ? undefined : 'text')
  },
  hang: () => {},
  held: () => {},
  stalled: () => {},
  /** Answers before it has read the request's body. */
  early: ({ response }) => { response.writeHead(200, { 'content-length': 5 }).end('early') },
  reset: ({ request }) => { request.socket.resetAndDestroy() },
  end: ({ request }) => { request.socket.destroy() },
  /** Head and ten bytes of a hundred (?length=…), then a reset. */
  'reset-body': ({ request, response, url }) => {
    response.writeHead(200, { 'content-length': Number(url.searchParams.get('length') ?? 100) })
    response.write('0123456789')
    setImmediate(() => { setTimeout(() => { request.socket.resetAndDestroy() }, 30) })
  },
  'reset-chunked': ({ request, response }) => {
    response.writeHead(200)
    response.write('0123456789')
    setTimeout(() => { request.socket.resetAndDestroy() }, 30)
  },
  'hang-body': ({ response, url }) => {
    response.writeHead(200, { 'content-length': Number(url.searchParams.get('length') ?? 100_000) })
    response.write('0123456789')
  },
  garbage: ({ request }) => { request.socket.write('SSH-2.0-OpenSSH_9.2\r\n\r\n'); request.socket.end() },
  /** /raw?text=…: exactly these bytes. */
  raw: ({ request, url }) => {
    request.socket.write(Buffer.from(url.searchParams.get('text') ?? '', 'latin1'))
    if (url.searchParams.has('end')) request.socket.end()
  },
  /** /units?value=… */
  units: ({ response, url }) => {
    response.setHeader('X-Units', url.searchParams.get('value') ?? '')
    response.writeHead(200, { 'content-length': 2 }).end('ok')
  },
  chunked: ({ response }) => { response.writeHead(200); response.write('one,'); response.write('two,'); response.end('three') },
  /** /big-head?bytes=…: a header of that length, and no body. */
  'big-head': ({ response, url }) => {
    response.writeHead(200, { 'x-filler': 'x'.repeat(Number(url.searchParams.get('bytes'))), 'content-length': 0 }).end()
  },
  /** /big?bytes=…, with a Content-Length or (&chunked) without, as fast as it is taken. */
  big: ({ response, url, sample }) => {
    const totalBytes = Number(url.searchParams.get('bytes'))
    response.writeHead(200, url.searchParams.has('chunked') ? {} : { 'content-length': totalBytes })
    const piece = Buffer.alloc(64 * 1024, 'x')
    let leftBytes = totalBytes
    const write = (): void => {
      while (leftBytes > 0) {
        const part = leftBytes < piece.length ? piece.subarray(0, leftBytes) : piece
        leftBytes -= part.length
        sample.writtenBytes += part.length
        if (!response.write(part)) { response.once('drain', write); return }
      }
      response.end()
    }
    write()
  }
}
