// One connection to an upstream: a request goes out, its answer comes back, then it is idle or gone. Whatever is not as it
// should be ends it: a connection whose state is in doubt is never used for somebody else's request.
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { after, systemClock } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'
import type { CallCarrier, PlainCall } from './plain-call.ts'
import { ResponseParser } from './response-parser.ts'
import type { ResponseSink } from './response-parser.ts'
import type { UpstreamFailure, UpstreamRequest } from './upstream.ts'

export interface PlainConnectionOptions {
  readonly address: { readonly host: string, readonly port: number }
  /** The Host header, a whole line; empty where each request has its own. */
  readonly hostLine: string
  readonly connectTimeoutMs: number
  readonly keepAliveMs: number
  /** Ready for another request. */
  readonly onIdle: () => void
  readonly onGone: () => void
}

/** All connections of a thread read into it, one after the other; what is to be kept is copied. */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024)
/** A connection that the upstream announces to close is left alone so long before. */
const keepAliveMarginMs = 1000

export class PlainConnection implements ResponseSink, CallCarrier {
  readonly #options: PlainConnectionOptions
  readonly #socket: Socket
  readonly #parser = new ResponseParser(this)
  readonly #connectTimer: Timer
  #call: PlainCall | undefined
  /** A request body that isn't at its end. */
  #upload: Readable | undefined
  #isConnected = false
  #isGone = false
  #keepAliveMs: number
  #idleSinceMs = 0

  constructor (options: PlainConnectionOptions) {
    this.#options = options
    this.#keepAliveMs = options.keepAliveMs
    this.#socket = connect({ ...options.address, noDelay: true, onread: { buffer: readBuffer, callback: (count) => this.#onRead(count) } })
    // A loop that was held up hears of its timers before it hears of its sockets: it looks at those once more.
    this.#connectTimer = after(options.connectTimeoutMs, () => { setImmediate(() => { if (!this.#isConnected) this.#fail('unreachable') }) })
    this.#socket.on('connect', () => {
      this.#isConnected = true
      this.#connectTimer.cancel()
    })
    this.#socket.on('error', () => { this.#fail(this.#isConnected ? 'reset' : 'unreachable') })
    this.#socket.on('end', () => { this.#onEndOfConnection() })
    this.#socket.on('close', () => { this.#fail('reset') })
  }

  send (call: PlainCall): void {
    const { request } = call
    this.#call = call
    call.connection = this
    this.#parser.begin(request.method === 'HEAD')
    const { body } = request
    const head = this.#headOf(request)
    if (body === null) {
      this.#socket.write(head, 'latin1')
    } else if (Buffer.isBuffer(body)) {
      this.#socket.cork()
      this.#socket.write(head, 'latin1')
      this.#socket.write(body)
      this.#socket.uncork()
    } else {
      this.#socket.write(head, 'latin1')
      this.#stream(body, request.bodyBytes < 0)
    }
  }

  /** Idle for too long to be trusted. */
  isStale (): boolean { return systemClock.monotonicMs() - this.#idleSinceMs >= this.#keepAliveMs }

  pause (): void { this.#socket.pause() }
  resume (): void { this.#socket.resume() }
  destroy (): void { this.#fail('reset') }

  onHead (status: number, headers: readonly string[]): void {
    const hint = headers.indexOf('keep-alive')
    if (hint >= 0 && hint % 2 === 0) this.#heed(headers[hint + 1] as string)
    this.#call?.onHead(status, headers)
  }

  onBody (bytes: Buffer): void { this.#call?.onBody(bytes) }

  onEnd (isReusable: boolean): void {
    const call = this.#call
    this.#call = undefined
    const isIdle = isReusable && this.#upload === undefined && !this.#isGone
    if (isIdle) {
      this.#idleSinceMs = systemClock.monotonicMs()
      if (call?.isPaused === true) this.#socket.resume()
    }
    call?.onEnd()
    if (this.#isGone) return
    if (isIdle) this.#options.onIdle()
    else this.#fail('reset')
  }

  #headOf ({ method, path, headers, body, bodyBytes }: UpstreamRequest): string {
    let head = method + ' ' + path + ' HTTP/1.1\r\n' + this.#options.hostLine
    for (let at = 0; at < headers.length; at += 2) head += (headers[at] as string) + ': ' + (headers[at + 1] as string) + '\r\n'
    if (body !== null) head += bodyBytes >= 0 ? 'content-length: ' + bodyBytes + '\r\n' : 'transfer-encoding: chunked\r\n'
    else if (method === 'POST' || method === 'PUT' || method === 'PATCH') head += 'content-length: 0\r\n'
    return head + '\r\n'
  }

  #stream (body: Readable, isChunked: boolean): void {
    const socket = this.#socket
    this.#upload = body
    const onDrain = (): void => { body.resume() }
    socket.on('drain', onDrain)
    body.on('data', (chunk: Buffer) => {
      if (this.#isGone) return
      if (isChunked) socket.write(chunk.length.toString(16) + '\r\n', 'latin1')
      const isRoom = socket.write(chunk)
      if (isChunked) socket.write('\r\n', 'latin1')
      if (!isRoom) body.pause()
    })
    body.on('end', () => {
      if (isChunked && !this.#isGone) socket.write('0\r\n\r\n', 'latin1')
      this.#upload = undefined
    })
    body.on('close', () => {
      socket.off('drain', onDrain)
      // Ended before its end: the upstream would wait for the rest for ever.
      if (this.#upload === body) this.#fail('reset')
    })
  }

  /** @returns whether to go on reading */
  #onRead (count: number): boolean {
    if (this.#call === undefined) {
      // Nobody has asked: a late error page, or worse.
      this.#fail('invalid')
      return false
    }
    try {
      this.#parser.push(readBuffer.subarray(0, count))
    } catch {
      this.#fail('invalid')
    }
    return true
  }

  #onEndOfConnection (): void {
    if (this.#call === undefined) { this.#fail('reset'); return }
    try {
      this.#parser.end()
    } catch {
      this.#fail('reset')
    }
  }

  /** How long the upstream says it keeps an idle connection. */
  #heed (keepAlive: string): void {
    const timeoutS = /\btimeout=(\d{1,6})\b/i.exec(keepAlive)?.[1]
    if (timeoutS !== undefined) this.#keepAliveMs = Math.min(this.#options.keepAliveMs, Number(timeoutS) * 1000 - keepAliveMarginMs)
  }

  /** Ends the connection, and the request on it with `failure`. */
  #fail (failure: UpstreamFailure): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#connectTimer.cancel()
    this.#socket.destroy()
    const call = this.#call
    this.#call = undefined
    call?.fail(failure)
    this.#options.onGone()
  }
}
