// Upstreams over plain HTTP/1.1: one request a connection at a time, connections kept while they are of use. What costs
// most in a general HTTP client is left out: no agent, no streams on the way back, one buffer for all reads.
import type { UpstreamConfig } from '../config/schema.ts'
import { every } from '../platform/clock.ts'
import { PlainCall } from './plain-call.ts'
import { PlainConnection } from './plain-connection.ts'
import type { Upstream, UpstreamCall, UpstreamHandlers, UpstreamRequest } from './upstream.ts'

/** How often idle connections are looked through. */
const idleSweepMs = 500

export function openPlainUpstream (config: UpstreamConfig): Upstream {
  const pool = new Pool(config)
  return {
    config,
    openCalls: () => pool.openCalls,
    forward: (request, handlers) => pool.forward(request, handlers),
    close: async () => { pool.close() }
  }
}

class Pool {
  openCalls = 0
  readonly #config: UpstreamConfig
  readonly #address: { readonly host: string, readonly port: number }
  /** A line; empty where each request has the client's own. */
  readonly #hostLine: string
  readonly #all = new Set<PlainConnection>()
  /** The one used last comes first: those that are too many grow old. */
  readonly #idle: PlainConnection[] = []
  /** In order; a call that is cancelled leaves it. */
  readonly #waiting = new Set<PlainCall>()
  readonly #timer = every(idleSweepMs, () => { this.#sweep() })
  #isClosed = false
  readonly #onFinished = (call: PlainCall): void => {
    this.openCalls--
    this.#waiting.delete(call)
  }

  constructor (config: UpstreamConfig) {
    const url = new URL(config.url)
    this.#config = config
    this.#address = { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port === '' ? 80 : url.port) }
    this.#hostLine = config.forwardHost ? '' : `host: ${url.host}\r\n`
  }

  forward (request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamCall {
    const call = new PlainCall(request, handlers, this.#onFinished)
    this.openCalls++
    const connection = request.needsNewConnection === true ? undefined : this.#takeIdle()
    if (connection !== undefined) connection.send(call)
    else if (this.#all.size < this.#config.connectionsMax) this.#connect(call)
    else this.#waiting.add(call)
    return call
  }

  close (): void {
    this.#isClosed = true
    this.#timer.cancel()
    for (const call of [...this.#waiting]) call.fail('reset')
    for (const connection of [...this.#all]) connection.destroy()
  }

  #connect (call: PlainCall): void {
    const connection = new PlainConnection({
      address: this.#address,
      hostLine: this.#hostLine,
      connectTimeoutMs: this.#config.connectTimeoutMs,
      keepAliveMs: this.#config.keepAliveMs,
      onIdle: () => { this.#onIdle(connection) },
      onGone: () => { this.#onGone(connection) }
    })
    this.#all.add(connection)
    connection.send(call)
  }

  #takeIdle (): PlainConnection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (!connection.isStale()) return connection
      connection.destroy()
    }
    return undefined
  }

  #onIdle (connection: PlainConnection): void {
    const next = this.#nextWaiting()
    if (next !== undefined) connection.send(next)
    else this.#idle.push(connection)
  }

  #onGone (connection: PlainConnection): void {
    this.#all.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    if (this.#isClosed) return
    const next = this.#nextWaiting()
    if (next !== undefined) this.#connect(next)
  }

  #nextWaiting (): PlainCall | undefined {
    for (const call of this.#waiting) {
      this.#waiting.delete(call)
      return call
    }
    return undefined
  }

  #sweep (): void {
    for (const connection of [...this.#idle]) if (connection.isStale()) connection.destroy()
  }
}
