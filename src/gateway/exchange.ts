// One request and its answer, from the handler to the last byte. It ends exactly once, in `#end`: answered, cut, or left by
// its client. What is metered has offered its event by then.
//
//   open ─> refusing ──────────────────────────────> over     an answer of the gateway's own, not held
//     └─> (limiting ─>) uploading ─> forwarded ─> receiving ─> held ─> over   held until the event's ticket is settled
import type { Readable } from 'node:stream'
import type { HttpResponse } from 'uWebSockets.js'
import type { GatewayErrorCode } from '../domain/errors.ts'
import { crashPoint } from '../platform/crash-points.ts'
import { Account } from './account.ts'
import { noAnswerHead, readAnswerHead } from './answer-head.ts'
import type { Deferred } from './batch.ts'
import { ClientPace, waitedBytes } from './client-pace.ts'
import type { HeaderList } from './cors.ts'
import type { CutReason } from './counters.ts'
import { RequestFacts, answerOf, unitsOf } from './facts.ts'
import type { Forwarding } from './facts.ts'
import type { Waiting } from './in-flight.ts'
import type { Answer } from './meter.ts'
import type { Problem } from './problem.ts'
import { Reply } from './reply.ts'
import type { Services } from './services.ts'
import { Upload } from './upload.ts'
import type { UpstreamCall, UpstreamFailure, UpstreamHandlers } from './upstream.ts'

type Phase = 'open' | 'refusing' | 'limiting' | 'uploading' | 'forwarded' | 'receiving' | 'held' | 'over'

/** The client left before any status: not billable, since no upstream answered. */
const clientLeftStatus = 499

export class Exchange implements UpstreamHandlers, Deferred, Waiting {
  readonly facts = new RequestFacts()
  previous: Waiting | undefined
  next: Waiting | undefined
  deadlineTick = Infinity
  readonly #services: Services
  readonly #response: HttpResponse
  readonly #reply: Reply
  #phase: Phase = 'open'
  #account: Account | undefined
  #forwarding: Forwarding | undefined
  #pace: ClientPace | undefined
  #upload: Upload | undefined
  /** Of a request that waits for the limiter; null for none, undefined while it is still coming. */
  #body: Buffer | Readable | null | undefined
  #call: UpstreamCall | undefined
  #startedMs = 0
  /** -1: no upstream has answered. */
  #latencyMs = -1

  /** @param connection its second handle, where what follows the request is in doubt */
  constructor (services: Services, response: HttpResponse, connection: HttpResponse | undefined) {
    this.#services = services
    this.#response = response
    this.#reply = new Reply(response, this.facts, { batch: services.batch, ends: this, giveLast: connection === undefined ? undefined : (give, rest) => { services.lastAnswers.give(connection, give, rest) } })
    response.onAborted(() => { this.#onClientGone() })
  }

  /** From here on the request is metered. @returns its requestTime, milliseconds */
  meter (): number {
    this.#account = new Account(this.#services.meter, this.#services.witness, (isFailed) => { this.#onSettled(isFailed) })
    return this.#account.requestTimeMs
  }

  /** It isn't after all, and nothing has been recorded. */
  unmeter (): void {
    this.#account?.forget()
    this.#account = undefined
  }

  /** Closes the connection without an answer: where the request ends is in doubt. */
  abandon (): void {
    this.#services.counters.broken++
    this.#end()
    this.#reply.close()
  }

  /** Answers by itself, in the loop's next turn. */
  refuse (problem: Problem): void {
    if (this.#phase === 'over' || this.#phase === 'refusing') return
    this.#phase = 'refusing'
    this.#reply.problem = problem
    this.#services.batch.add(this)
  }

  /** Answers by itself, without a body, in the loop's next turn: not metered. */
  answer (status: number, headers: HeaderList): void {
    this.#phase = 'refusing'
    this.#reply.begin(status, { ...noAnswerHead, headers })
    this.#services.batch.add(this)
  }

  /** @param isAllowed `false`: nothing is sent before `proceed` */
  forward (forwarding: Forwarding, isAllowed: boolean): void {
    this.#forwarding = forwarding
    forwarding.via.users++
    this.#services.inFlight.add(this)
    this.#phase = isAllowed ? 'uploading' : 'limiting'
    if (forwarding.announcedBytes === 0) { this.#send(null); return }
    this.#upload = new Upload(this.#response, { bytesMax: forwarding.bodyBytesMax, announcedBytes: forwarding.announcedBytes, bodiesAhead: this.#services.bodiesAhead }, {
      onBody: (body) => { this.#send(body) },
      onTooLarge: (message, retryAfterS) => { this.#giveUp({ code: 'G0011', status: 413, message, ...(retryAfterS === undefined ? {} : { retryAfterS }), mustClose: true }) },
      onProgress: () => { if (this.#phase === 'forwarded') this.#waitForAnswer(forwarding) },
      onError: (error) => { this.crash(error) }
    })
  }

  /** The request waits for the limiter, and nothing has ended it meanwhile. */
  get isLimiting (): boolean { return this.#phase === 'limiting' }

  /** The limiter has allowed it: only while `isLimiting`. */
  proceed (): void {
    this.#phase = 'uploading'
    if (this.#body !== undefined) this.#send(this.#body)
  }

  /** An error that nobody expected: this answer can't be what it should be, and the process goes on. */
  crash (error: unknown): void {
    this.#services.log.error({ error, route: this.facts.route?.config.id, traceId: this.facts.traceId }, 'a request failed inside the gateway: answered with G0005, or cut; please report it')
    try {
      if (this.#phase === 'open' || this.#phase === 'limiting' || this.#phase === 'uploading' || this.#phase === 'forwarded') { this.#giveUp({ code: 'G0005', mustClose: true }); return }
      if (this.#phase !== 'refusing') { this.#cut('error', 'G0005'); return }
    } catch (second) {
      this.#services.log.error({ error: second, traceId: this.facts.traceId }, 'the failed request could not be recorded: its hour will show a difference')
    }
    this.#end()
    this.#reply.close()
  }

  get address (): string { return this.#forwarding?.address ?? '' }

  /** The time for a stop is over. */
  stop (): void { this.#cut('stop') }

  turn (): void { this.#guard(() => { if (this.#phase === 'held') this.#release(); else this.#answerItself() }) }

  watch (tick: number): void {
    if (this.#forwarding !== undefined) this.#pace ??= new ClientPace(this.#forwarding.clientPace)
    this.#guard(() => { if (this.#pace?.isTooSlow(tick, waitedBytes(this.#reply, this.#upload)) === true) this.#cut('slow') })
  }

  onDeadline (): void {
    // A client that doesn't read is watched by itself; the upstream is paused meanwhile.
    if (this.#phase === 'held' || this.#reply.isBlocked) return
    this.#call?.cancel('timeout')
    this.#forwarding?.via.counts.failed('timeout')
    this.#fail('G0009')
  }

  onHead (status: number, received: readonly string[]): void {
    this.#latencyMs = this.#services.clock.monotonicMs() - this.#startedMs
    this.#forwarding?.via.counts.answered(this.#latencyMs)
    const head = readAnswerHead(received, { unitsHeader: this.#forwarding?.unitsHeader ?? '', isLimited: this.facts.rate !== undefined, hasCors: this.facts.route?.cors !== undefined })
    if (head === undefined) { this.#call?.cancel(); this.onFailure('invalid'); return }
    this.#phase = 'receiving'
    this.#reply.begin(status, head)
    this.#waitForBytes()
  }

  onData (chunk: Buffer): void {
    if (this.#phase !== 'receiving') return
    this.#waitForBytes()
    this.#reply.push(chunk)
  }

  onEnd (): void { if (this.#phase === 'receiving') this.#hold(undefined, this.#reply.complete()) }

  onFailure (failure: UpstreamFailure): void {
    this.#forwarding?.via.counts.failed(failure)
    if (failure === 'refused') this.#giveUp({ code: 'G0004', mustClose: true })
    else this.#fail('G0008')
  }

  onError (error: unknown): void { this.crash(error) }
  pauseUpstream (): void { this.#call?.pause() }

  resumeUpstream (): void {
    this.#waitForBytes()
    this.#call?.resume()
  }

  /** The relayed answer has left. */
  onDone (): void { this.#answered() }

  #send (body: Buffer | Readable | null): void {
    const forwarding = this.#forwarding
    if (this.#phase === 'limiting') this.#body = body
    if (forwarding === undefined || this.#phase !== 'uploading') return
    this.#phase = 'forwarded'
    this.#startedMs = this.#services.clock.monotonicMs()
    this.#call = forwarding.via.upstream.forward({ method: this.facts.method, path: forwarding.path, headers: forwarding.headers, body, bodyBytes: Buffer.isBuffer(body) ? body.length : forwarding.announcedBytes }, this)
    this.#waitForAnswer(forwarding)
  }

  #waitForAnswer ({ via: { upstream: { config } } }: Forwarding): void {
    const isSent = this.#upload === undefined || this.#upload.isComplete
    this.deadlineTick = this.#services.inFlight.tickAfter(isSent ? config.responseTimeoutMs : config.idleTimeoutMs)
  }

  #waitForBytes (): void {
    if (this.#forwarding !== undefined) this.deadlineTick = this.#services.inFlight.tickAfter(this.#forwarding.via.upstream.config.idleTimeoutMs)
  }

  /** No answer of the upstream, or not all of it. */
  #fail (code: 'G0008' | 'G0009'): void {
    if (this.#phase === 'over' || this.#phase === 'refusing' || this.#phase === 'held') return
    if (this.#reply.isStarted) { this.#cut('upstream', code); return }
    this.#latencyMs = -1
    this.#hold(code, this.#reply.replace({ code }))
  }

  /** The gateway ends a request that is on its way, with an answer of its own. */
  #giveUp (problem: Problem): void {
    this.#call?.cancel()
    if (this.#reply.isStarted) { this.#cut('error', problem.code); return }
    this.#latencyMs = -1
    this.refuse(problem)
  }

  /** The answer is known. Its event is offered, and its last byte waits for the event's ticket. */
  #hold (code: GatewayErrorCode | undefined, responseBytes: number): void {
    this.#phase = 'held'
    this.deadlineTick = Infinity
    this.#account?.record(this.#answer(this.#reply.status, code, responseBytes))
    if (this.#account !== undefined && this.#services.isHolding) return
    // A failure may be told inside the server's handler.
    if (code === undefined) this.#release()
    else this.#services.batch.add(this)
  }

  #onSettled (isFailed: boolean): void {
    if (this.#phase !== 'held' || !this.#services.isHolding) return
    this.#guard(() => { if (isFailed) this.#cut('commit'); else this.#release() })
  }

  #release (): void {
    crashPoint('gateway.before-release')
    // The connection can't serve another request while this one's body is not at its end, or when the gateway stops.
    const mustClose = this.facts.isChunked || this.#services.isStopping || this.#upload?.isComplete === false
    this.#upload?.drop()
    if (this.#reply.release(mustClose) && this.#phase !== 'over') this.#answered()
    crashPoint('gateway.after-release')
  }

  #answerItself (): void {
    if (this.#phase !== 'refusing') return
    const { problem } = this.#reply
    const responseBytes = problem === undefined ? 0 : this.#reply.replace(problem)
    if (problem !== undefined && this.#account?.hasEvent === false) this.#account.recordRefusal(this.#answer(this.#reply.status, problem.code, responseBytes), problem.code)
    if (!this.#reply.isClientGone) { this.#release(); return }
    this.#services.counters.cut('client')
    this.#end()
  }

  #onClientGone (): void {
    this.#reply.isClientGone = true
    this.#guard(() => { this.#cut('client') })
  }

  #guard (action: () => void): void { try { action() } catch (error) { this.crash(error) } }

  /** Ends without the last byte. A refusal ends by itself in the next turn. */
  #cut (reason: CutReason, code?: GatewayErrorCode): void {
    if (this.#phase === 'over' || this.#phase === 'refusing') return
    this.#services.counters.cut(reason)
    this.#call?.cancel()
    this.#upload?.end()
    if (this.#account?.hasEvent === false) this.#account.record(this.#answer(this.#latencyMs < 0 ? clientLeftStatus : this.#reply.status, code, this.#reply.sentBytes))
    this.#reply.stop()
    this.#end()
    this.#reply.close()
  }

  #answered (): void {
    const { problem, status } = this.#reply
    if (problem !== undefined) this.#services.counters.refused(problem.code)
    this.facts.counts?.answered(status)
    this.#end()
  }

  #end (): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    if (this.#forwarding !== undefined) {
      this.#forwarding.via.users--
      this.#services.inFlight.remove(this)
    }
    this.#account?.over()
  }

  #answer (status: number, errorCode: GatewayErrorCode | undefined, responseBytes: number): Answer {
    const isAnswered = this.#latencyMs >= 0
    return answerOf(this.facts, {
      requestTimeMs: this.#account?.requestTimeMs ?? 0, responseTimeMs: this.#services.clock.nowMs(),
      status, errorCode, requestBytes: this.#upload?.receivedBytes ?? 0, responseBytes,
      upstreamLatencyMs: isAnswered ? this.#latencyMs : undefined,
      units: isAnswered && errorCode === undefined ? unitsOf(this.facts.route?.config, this.#reply.unitsText) ?? this.#services.counters.unitsInvalid() : 0
    })
  }
}
