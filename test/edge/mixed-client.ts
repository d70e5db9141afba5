// A client that does everything that clients do: short and long bodies both ways, early leaves, slow reads, garbage. It
// remembers of each request what it saw, because that decides what the bill must say of it.
import { randomUUID } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '../helpers/remembering-client.ts'

export interface MixedMemory { readonly kind: string, readonly traceId: string, readonly hasKey: boolean, outcome: Outcome, status: number }

export interface MixedClientOptions { readonly port: number, readonly isTls: boolean, readonly tokens: readonly string[], readonly random: () => number }

interface Plan {
  readonly method?: string
  readonly path: string
  readonly bodyBytes?: number
  /** Without a Content-Length. */
  readonly isChunked?: boolean
  readonly hasKey?: boolean
  /** Leaves so long after the request's begin. */
  readonly leavesAfterMs?: number
  /** Pauses so long after each piece of the answer, or of its own body. */
  readonly pauseMs?: number
}

/** How many bytes one write of a slow body has. */
const slowPieceBytes = 4096

export class MixedClient {
  readonly memories: MixedMemory[] = []
  garbageCount = 0
  readonly #options: MixedClientOptions
  readonly #agent: http.Agent
  #isRunning = true

  constructor (options: MixedClientOptions) {
    this.#options = options
    this.#agent = options.isTls ? new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false }) : new http.Agent({ keepAlive: true, maxSockets: 1 })
  }

  async run (): Promise<void> {
    while (this.#isRunning) {
      const kind = this.#choose(Object.keys(plans))
      if (kind === 'garbage') await this.#throwGarbage()
      else await this.#request(kind, (plans[kind] as (random: () => number) => Plan)(this.#options.random))
    }
    this.#agent.destroy()
  }

  stop (): void { this.#isRunning = false }

  #choose<Item> (items: readonly Item[]): Item { return items[Math.floor(this.#options.random() * items.length)] as Item }

  #request (kind: string, plan: Plan): Promise<void> {
    const { port, isTls, tokens } = this.#options
    const memory: MixedMemory = { kind, traceId: randomUUID(), hasKey: plan.hasKey !== false, outcome: 'cut', status: 0 }
    this.memories.push(memory)
    const { bodyBytes = 0 } = plan
    const headers = {
      'x-trace-id': memory.traceId,
      ...(memory.hasKey ? { 'x-api-key': this.#choose(tokens) } : {}),
      ...(bodyBytes > 0 && plan.isChunked !== true ? { 'content-length': bodyBytes } : {})
    }
    return new Promise((resolve) => {
      const request = (isTls ? https : http).request({ port, host: '127.0.0.1', method: plan.method ?? 'GET', path: plan.path, headers, agent: this.#agent })
      const leaving = plan.leavesAfterMs === undefined ? undefined : setTimeout(() => { request.destroy() }, plan.leavesAfterMs)
      request.on('error', (error: NodeJS.ErrnoException) => { if (error.code === 'ECONNREFUSED') memory.outcome = 'unsent' })
      request.on('close', () => { clearTimeout(leaving); resolve() })
      request.on('response', (response) => {
        memory.status = response.statusCode ?? 0
        response.on('error', () => {})
        response.on('data', () => { if (plan.pauseMs !== undefined) { response.pause(); setTimeout(() => { response.resume() }, plan.pauseMs) } })
        response.on('end', () => { if (response.complete) memory.outcome = 'complete' })
      })
      void this.#sendBody(request, plan)
    })
  }

  async #sendBody (request: http.ClientRequest, { bodyBytes = 0, pauseMs }: Plan): Promise<void> {
    if (pauseMs === undefined || bodyBytes === 0) { request.end(bodyBytes === 0 ? undefined : Buffer.alloc(bodyBytes, 'b')); return }
    for (let sent = 0; sent < bodyBytes && !request.destroyed; sent += slowPieceBytes) {
      request.write(Buffer.alloc(Math.min(slowPieceBytes, bodyBytes - sent), 'b'))
      await sleep(pauseMs)
    }
    request.end()
  }

  /** Bytes that are no request, on a connection of their own. */
  #throwGarbage (): Promise<void> {
    const { port, isTls, random } = this.#options
    this.garbageCount++
    const bytes = Buffer.from(Array.from({ length: 1 + Math.floor(random() * 300) }, () => Math.floor(random() * 256)))
    return new Promise((resolve) => {
      const socket = isTls && random() < 0.5 ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }) : connect({ port, host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.on('close', () => { resolve() })
      socket.on(isTls ? 'secureConnect' : 'connect', () => { socket.write(bytes) })
      socket.resume()
      // The server waits for the end of what could be a head; nobody stays for that.
      setTimeout(() => { socket.write(bytes); socket.destroy() }, 50)
    })
  }
}

const upTo = (random: () => number, max: number): number => Math.floor(random() * max)

/** What a client does next, each as likely as the others. */
const plans: Readonly<Record<string, ((random: () => number) => Plan) | undefined>> = {
  'short answer': () => ({ path: '/api/things/s200' }),
  'not found': () => ({ path: '/api/things/s404' }),
  failure: () => ({ path: '/api/things/s500' }),
  'no key': () => ({ path: '/api/things/s200', hasKey: false }),
  'short body': (random) => ({ method: 'POST', path: '/api/things/s200', bodyBytes: 1 + upTo(random, 60_000) }),
  'long body': (random) => ({ method: 'POST', path: '/api/things/s201', bodyBytes: 70_000 + upTo(random, 1_500_000), isChunked: random() < 0.5 }),
  'long answer': (random) => ({ path: `/api/bytes/${70_000 + upTo(random, 1_500_000)}` }),
  'chunked answer': (random) => ({ path: `/api/chunked/${1 + upTo(random, 500_000)}` }),
  'left at once': (random) => ({ path: '/api/things/s200', leavesAfterMs: upTo(random, 8) }),
  'left in its body': (random) => ({ method: 'POST', path: '/api/things/s200', bodyBytes: 50_000, pauseMs: 20, leavesAfterMs: upTo(random, 100) }),
  'left in the answer': (random) => ({ path: '/api/bytes/3000000', leavesAfterMs: 5 + upTo(random, 30), pauseMs: 10 }),
  'slow body': () => ({ method: 'POST', path: '/api/things/s200', bodyBytes: 40_000, pauseMs: 30 }),
  'slow reader': () => ({ path: '/api/bytes/1000000', pauseMs: 20 }),
  'too large': () => ({ method: 'POST', path: '/api/things/s200', bodyBytes: 11_000_000 }),
  garbage: undefined
}
