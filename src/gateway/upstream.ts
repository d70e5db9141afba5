// The way to the upstreams: one function, `forward`. Two HTTP clients take that place: a lean one for plain HTTP/1.1, which a
// gateway speaks to its neighbours, and undici for TLS. See open-upstream.ts.
//
// A client sends a request once. Whether it is sent again is decided in targets.ts: what may have reached an upstream may have
// been acted upon.
import type { Readable } from 'node:stream'
import type { UpstreamConfig } from '../config/schema.ts'

/** `refused`: the gateway itself made a request that can't be sent, a programmer's error. */
export type UpstreamFailure = 'unreachable' | 'reset' | 'invalid' | 'refused'

export interface UpstreamRequest {
  readonly method: string
  /** With the query. */
  readonly path: string
  /** Name, value, name, value …; latin1, without what says the body's length. */
  readonly headers: readonly string[]
  readonly body: Buffer | Readable | null
  /** -1 for a stream of unknown length: it goes chunked. */
  readonly bodyBytes: number
  /** One that was kept has just failed. A client that can't choose may ignore it. */
  readonly needsNewConnection?: boolean
}

/** `timeout`: the upstream was too slow. Else nobody wants the answer any more. */
export type CancelReason = 'timeout'

/**
 * What the upstream does, in order: onHead once, onData any number of times, then onEnd; or onFailure at any point, once.
 * Nothing is called inside `forward`, nor after `cancel`.
 */
export interface UpstreamHandlers {
  /** @param headers name in lower case, value in latin1, name, value … */
  readonly onHead: (status: number, headers: readonly string[]) => void
  /** The chunk is valid during the call: who keeps it copies it. It may be empty. */
  readonly onData: (chunk: Buffer) => void
  readonly onEnd: () => void
  readonly onFailure: (failure: UpstreamFailure) => void
  /** Another of these threw. */
  readonly onError: (error: unknown) => void
}

export interface UpstreamCall {
  /** No more onData until `resume`, but for what has been read already. */
  readonly pause: () => void
  readonly resume: () => void
  /** Closes the connection of a request that is under way; one that waits is never sent. */
  readonly cancel: (reason?: CancelReason) => void
}

export interface Upstream {
  readonly config: UpstreamConfig
  /** Requests that the client has not finished with, cancelled ones included. */
  readonly openCalls: () => number
  readonly forward: (request: UpstreamRequest, handlers: UpstreamHandlers) => UpstreamCall
  readonly close: () => Promise<void>
}
