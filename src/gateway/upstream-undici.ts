// Upstreams over TLS: undici, one request a connection at a time.
import { Pool } from 'undici'
import type { Dispatcher } from 'undici'
import type { IncomingHttpHeaders } from 'node:http'
import type { UpstreamConfig } from '../config/schema.ts'
import type { UpstreamTls } from '../config/upstream-tls.ts'
import { answerHeadBytesMax } from './response-parser.ts'
import type { Upstream, UpstreamCall, UpstreamFailure, UpstreamHandlers } from './upstream.ts'

export function openUndiciUpstream (config: UpstreamConfig, { ca, certificate, key, serverName }: UpstreamTls = {}): Upstream {
  const counter = { open: 0 }
  const pool = new Pool(new URL(config.url).origin, {
    connections: config.connectionsMax,
    pipelining: 1,
    // Time-outs are the gateway's own: undici's start only when a request has got a connection.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: config.keepAliveMs,
    maxHeaderSize: answerHeadBytesMax,
    connect: {
      timeout: config.connectTimeoutMs,
      ...(ca === undefined ? {} : { ca }), ...(certificate === undefined ? {} : { cert: certificate }), ...(key === undefined ? {} : { key }), ...(serverName === undefined ? {} : { servername: serverName })
    },
    allowH2: false
  })
  return {
    config,
    openCalls: () => counter.open,
    forward: (request, handlers) => {
      const call = new Call(counter, handlers)
      counter.open++
      // onRequestStart may be called in here, the answer's callbacks never are; a refusal is put off by the call itself.
      call.isDispatching = true
      const { method, path, headers, body, bodyBytes } = request
      const isCounted = body !== null && bodyBytes >= 0
      pool.dispatch({ method, path, headers: isCounted ? [...headers, 'content-length', String(bodyBytes)] : [...headers], body }, call)
      call.isDispatching = false
      return call
    },
    close: () => pool.destroy()
  }
}

const cancelled = new Error('the gateway cancelled this request')

class Call implements Dispatcher.DispatchHandler, UpstreamCall {
  isDispatching = false
  readonly #counter: { open: number }
  /** Undefined once nothing may be told any more. */
  #handlers: UpstreamHandlers | undefined
  #controller: Dispatcher.DispatchController | undefined
  #isPaused = false
  #isOpen = true

  constructor (counter: { open: number }, handlers: UpstreamHandlers) {
    this.#counter = counter
    this.#handlers = handlers
  }

  pause (): void {
    this.#isPaused = true
    this.#controller?.pause()
  }

  resume (): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#controller?.resume()
  }

  cancel (): void {
    if (this.#handlers === undefined) return
    this.#handlers = undefined
    this.#controller?.abort(cancelled)
  }

  onRequestStart (controller: Dispatcher.DispatchController): void {
    if (this.#handlers === undefined) controller.abort(cancelled)
    else this.#controller = controller
  }

  onResponseStart (_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    const handlers = this.#handlers
    // 1xx answers are of this hop; 100-continue was answered to the client before its request came here.
    if (status < 200 || handlers === undefined) return
    try { handlers.onHead(status, flatHeaders(headers)) } catch (error) { handlers.onError(error) }
  }

  onResponseData (_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const handlers = this.#handlers
    if (handlers === undefined) return
    try { handlers.onData(chunk) } catch (error) { handlers.onError(error) }
  }

  onResponseEnd (): void {
    const handlers = this.#finish()
    if (handlers === undefined) return
    try { handlers.onEnd() } catch (error) { handlers.onError(error) }
  }

  onResponseError (_controller: Dispatcher.DispatchController, error: Error): void {
    const handlers = this.#finish()
    if (handlers === undefined) return
    const failure = failureOf(error)
    const tell = (): void => {
      try { handlers.onFailure(failure) } catch (thrown) { handlers.onError(thrown) }
    }
    if (this.isDispatching) setImmediate(tell)
    else tell()
  }

  /** Whom to tell the end; undefined when that was told, or isn't wanted. */
  #finish (): UpstreamHandlers | undefined {
    if (!this.#isOpen) return undefined
    this.#isOpen = false
    this.#counter.open--
    const handlers = this.#handlers
    this.#handlers = undefined
    return handlers
  }
}

function failureOf (error: Error): UpstreamFailure {
  switch ((error as { code?: unknown }).code) {
    case 'UND_ERR_CONNECT_TIMEOUT': case 'ETIMEDOUT': case 'ECONNREFUSED': case 'ENOTFOUND': case 'EAI_AGAIN': case 'EHOSTUNREACH': case 'ENETUNREACH': case 'EADDRNOTAVAIL': case 'EMFILE': return 'unreachable'
    case 'UND_ERR_HEADERS_OVERFLOW': case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH': case 'UND_ERR_RES_EXCEEDED_MAX_SIZE': return 'invalid'
    case 'UND_ERR_INVALID_ARG': case 'UND_ERR_NOT_SUPPORTED': case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH': return 'refused'
    default: return error.name === 'HTTPParserError' || /^HPE_/.test(String((error as { code?: unknown }).code)) ? 'invalid' : 'reset'
  }
}

function flatHeaders (headers: IncomingHttpHeaders): string[] {
  const flat: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') flat.push(name, value)
    else for (const one of value ?? []) flat.push(name, one)
  }
  return flat
}
