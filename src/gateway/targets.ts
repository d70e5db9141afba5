// The servers of one upstream: each request goes to the one with the fewest in flight among those that answer. A request that
// fails before anything of an answer has come is sent again, to another server where there is one, if that can't do harm:
// nothing of it was sent, or its method may be repeated (RFC 9110, 9.2.2). Never one whose body is a stream: it is used up.
import type { UpstreamConfig } from '../config/schema.ts'
import type { Clock } from '../platform/clock.ts'
import { UpstreamCounts } from './counters.ts'
import { Target } from './target.ts'
import type { CancelReason, Upstream, UpstreamCall, UpstreamFailure, UpstreamHandlers, UpstreamRequest } from './upstream.ts'

export interface TargetLook { readonly url: string, readonly isOut: boolean }

const repeatable: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

export class Targets implements Upstream {
  readonly config: UpstreamConfig
  readonly counts: UpstreamCounts
  readonly #targets: readonly Target[]
  #turn = 0
  #isClosed = false

  /** @param openOne opens the client of one server: `config.url` is its */
  constructor (config: UpstreamConfig, openOne: (config: UpstreamConfig) => Upstream, clock: Clock, counts = new UpstreamCounts()) {
    this.config = config
    this.counts = counts
    this.#targets = [config.url, ...config.otherUrls].map((url) => new Target(openOne({ ...config, url }), config, clock))
  }

  get targets (): readonly TargetLook[] { return this.#targets.map(({ url, isOut }) => ({ url, isOut })) }

  openCalls (): number {
    let open = 0
    for (const { client } of this.#targets) open += client.openCalls()
    return open
  }

  forward (request: UpstreamRequest, handlers: UpstreamHandlers): UpstreamCall {
    const attempt = new Attempt(this, request, handlers)
    attempt.send(this.choose(undefined), request)
    return attempt
  }

  async close (): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#targets.map(({ client }) => client.close()))
  }

  /** @param failed not this one, if there is another */
  choose (failed: Target | undefined): Target {
    const first = this.#targets[0] as Target
    if (this.#targets.length === 1) return first
    // Of equals each comes first in its turn.
    this.#turn = (this.#turn + 1) % this.#targets.length
    let best: Target | undefined
    for (let step = 0; step < this.#targets.length; step++) {
      const target = this.#targets[(this.#turn + step) % this.#targets.length] as Target
      if (target === failed || !target.isUsable) continue
      if (best === undefined || target.client.openCalls() < best.client.openCalls()) best = target
    }
    // All are out: the one that has been for the longest is asked, rather than nobody.
    return best ?? this.#targets.filter((target) => target !== failed).reduce((soonest, target) => target.outUntilMs < soonest.outUntilMs ? target : soonest)
  }

  mayRetry (failure: UpstreamFailure, { method, body }: UpstreamRequest, retries: number): boolean {
    if (this.#isClosed || retries >= this.config.retriesMax || (body !== null && !Buffer.isBuffer(body))) return false
    // Whoever refuses a connection would refuse it again.
    if (failure === 'unreachable') return this.#targets.length > 1
    return failure === 'reset' && repeatable.has(method)
  }
}

/** One request, through one server or several. */
class Attempt implements UpstreamCall, UpstreamHandlers {
  readonly #targets: Targets
  readonly #request: UpstreamRequest
  readonly #handlers: UpstreamHandlers
  #target: Target | undefined
  #call: UpstreamCall | undefined
  #retries = 0
  #isAnswering = false

  constructor (targets: Targets, request: UpstreamRequest, handlers: UpstreamHandlers) {
    this.#targets = targets
    this.#request = request
    this.#handlers = handlers
  }

  send (target: Target, request: UpstreamRequest): void {
    this.#target = target
    target.use()
    this.#call = target.client.forward(request, this)
  }

  pause (): void { this.#call?.pause() }
  resume (): void { this.#call?.resume() }

  cancel (reason?: CancelReason): void {
    const call = this.#call
    this.#call = undefined
    if (call === undefined) return
    if (reason === 'timeout') this.#target?.failed()
    else if (!this.#isAnswering) this.#target?.left()
    call.cancel()
  }

  onHead (status: number, headers: readonly string[]): void {
    this.#isAnswering = true
    this.#target?.succeeded()
    this.#handlers.onHead(status, headers)
  }

  onData (chunk: Buffer): void { this.#handlers.onData(chunk) }

  onEnd (): void {
    this.#call = undefined
    this.#handlers.onEnd()
  }

  onFailure (failure: UpstreamFailure): void {
    const target = this.#target
    this.#call = undefined
    if (failure === 'refused') target?.left()
    else target?.failed()
    if (this.#isAnswering || !this.#targets.mayRetry(failure, this.#request, this.#retries)) { this.#handlers.onFailure(failure); return }
    this.#retries++
    this.#targets.counts.retries++
    this.send(this.#targets.choose(target), { ...this.#request, needsNewConnection: true })
  }

  onError (error: unknown): void { this.#handlers.onError(error) }
}
