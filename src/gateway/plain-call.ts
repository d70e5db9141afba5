// One request on its way through a connection of the plain HTTP client, and whom it tells.
import type { UpstreamCall, UpstreamFailure, UpstreamHandlers, UpstreamRequest } from './upstream.ts'

/** What a call may ask of the connection that it is sent through. */
export interface CallCarrier {
  readonly pause: () => void
  readonly resume: () => void
  readonly destroy: () => void
}

export class PlainCall implements UpstreamCall {
  readonly request: UpstreamRequest
  /** Undefined once nothing may be told any more. */
  handlers: UpstreamHandlers | undefined
  /** Where it is sent; undefined while it waits. */
  connection: CallCarrier | undefined
  isPaused = false
  readonly #onFinished: (call: PlainCall) => void

  constructor (request: UpstreamRequest, handlers: UpstreamHandlers, onFinished: (call: PlainCall) => void) {
    this.#onFinished = onFinished
    this.request = request
    this.handlers = handlers
  }

  pause (): void {
    if (this.isPaused || this.connection === undefined) return
    this.isPaused = true
    this.connection.pause()
  }

  resume (): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.connection?.resume()
  }

  cancel (): void {
    const { connection } = this
    if (this.#finish() !== undefined) connection?.destroy()
  }

  onHead (status: number, headers: readonly string[]): void {
    try { this.handlers?.onHead(status, headers) } catch (error) { this.handlers?.onError(error) }
  }

  onBody (bytes: Buffer): void {
    if (this.handlers === undefined) return
    try { this.handlers.onData(bytes) } catch (error) { this.handlers?.onError(error) }
  }

  onEnd (): void {
    const handlers = this.#finish()
    try { handlers?.onEnd() } catch (error) { handlers?.onError(error) }
  }

  fail (failure: UpstreamFailure): void {
    const handlers = this.#finish()
    try { handlers?.onFailure(failure) } catch (error) { handlers?.onError(error) }
  }

  /** Whom to tell the end; undefined when that was told, or isn't wanted. */
  #finish (): UpstreamHandlers | undefined {
    const { handlers } = this
    if (handlers === undefined) return undefined
    this.handlers = undefined
    this.connection = undefined
    this.#onFinished(this)
    return handlers
  }
}
