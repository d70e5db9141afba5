// The client's side of an exchange: the answer as far as it is known, and how it is written. A short answer is collected
// and written in one piece; a longer one, or one of unknown length, is relayed as it comes.
import type { HttpResponse } from 'uWebSockets.js'
import { noAnswerHead, writeAnswerHead, writeWholeAnswer } from './answer-head.ts'
import type { AnswerHead } from './answer-head.ts'
import type { RequestFacts } from './facts.ts'
import { wholeAnswerBytesMax } from './options.ts'
import { problemBody, problemStatus, writeProblem } from './problem.ts'
import type { Problem } from './problem.ts'
import { Relay } from './relay.ts'
import type { RelayOptions } from './relay.ts'

/** What a relay needs of the exchange; giveLast gives an answer that ends a connection of which nothing may run any more. */
type Relaying = Pick<RelayOptions, 'batch' | 'ends' | 'giveLast'>

export class Reply {
  status = 0
  /** An answer of the gateway's own, in place of the upstream's. */
  problem: Problem | undefined
  /** The response must not be touched any more. */
  isClientGone = false
  readonly #response: HttpResponse
  readonly #facts: RequestFacts
  readonly #relaying: Relaying
  #head = noAnswerHead
  #isBodyless = false
  #relay: Relay | undefined
  #chunks: Buffer[] = []
  #collectedBytes = 0

  constructor (response: HttpResponse, facts: RequestFacts, relaying: Relaying) {
    this.#response = response
    this.#facts = facts
    this.#relaying = relaying
  }

  /** What the upstream's units header said. */
  get unitsText (): string { return this.#head.unitsText }
  /** Part of the answer has left: it can be finished or cut, not replaced. */
  get isStarted (): boolean { return this.#relay?.isHeadWritten === true }
  /** The client does not take what it is sent. */
  get isBlocked (): boolean { return this.#relay?.isBlocked === true }
  /** Bytes that a client which doesn't take its answer has taken, after another try; -1 while it isn't waited for. */
  nudge (): number {
    const relay = this.#relay
    if (relay?.isBlocked !== true) return -1
    relay.nudge()
    return relay.isBlocked ? relay.takenBytes : -1
  }

  /** Bytes of the body that have left. */
  get sentBytes (): number { return this.#relay?.sentBytes ?? 0 }

  /** The upstream's answer begins. */
  begin (status: number, head: AnswerHead): void {
    this.status = status
    this.#head = head
    this.#isBodyless = this.#facts.isHead || status === 204 || status === 304
    if (this.#isBodyless || (head.contentLength >= 0 && head.contentLength <= wholeAnswerBytesMax)) return
    const { isChunked } = this.#facts
    const { batch, ends, giveLast } = this.#relaying
    this.#relay = new Relay(this.#response, { batch, totalBytes: head.contentLength, ends, giveLast: isChunked ? giveLast : undefined }, () => {
      this.#writeHead()
      if (isChunked) this.#response.writeHeader('Connection', 'close')
    })
  }

  /** @param chunk valid during the call */
  push (chunk: Buffer): void {
    if (this.#isBodyless) return
    if (this.#relay !== undefined) { this.#relay.push(chunk); return }
    this.#chunks.push(Buffer.copyBytesFrom(chunk))
    this.#collectedBytes += chunk.length
  }

  /** The upstream's answer is complete; its last byte waits for `release`. @returns the body's bytes */
  complete (): number {
    const relay = this.#relay
    if (relay === undefined) return this.#collectedBytes
    relay.complete()
    const whole = relay.takeWhole()
    if (whole === undefined) return relay.receivedBytes
    this.#relay = undefined
    this.#chunks = [whole]
    return whole.length
  }

  /** An answer of the gateway's own takes the place of one that hasn't started. @returns the body's bytes */
  replace (problem: Problem): number {
    this.stop()
    this.#relay = undefined
    this.problem = problem
    this.status = problemStatus(problem)
    return this.#facts.isHead || this.isClientGone ? 0 : problemBody(problem, this.#facts.traceId).length
  }

  /** Lets the last byte go. @param mustClose the connection ends with an answer that is written as a whole; one that is relayed has said so at its start, if it knew. @returns true when the answer has left; else the relay's onDone says so */
  release (mustClose: boolean): boolean {
    if (this.#relay !== undefined) {
      this.#relay.release()
      return false
    }
    const isLast = mustClose || this.problem?.mustClose === true
    const give = (): boolean => {
      this.#response.cork(() => { this.#writeWhole(isLast) })
      return true
    }
    // The server closes the connection by itself, unless the client doesn't take what has a body: the others are short, and never waited for.
    const { giveLast } = this.#relaying
    if (isLast && giveLast !== undefined) giveLast(give, () => this.#isBodyless ? 'none' : 'likely')
    else give()
    return this.#relay === undefined
  }

  /** Nothing more is written. */
  stop (): void {
    this.#relay?.stop()
    this.#chunks = []
    this.#collectedBytes = 0
  }

  /** Cuts the connection. */
  close (): void {
    if (this.isClientGone) return
    this.isClientGone = true
    this.#response.close()
  }

  #writeHead (): void { writeAnswerHead(this.#response, this.status, this.#head.headers, this.#facts) }

  #writeWhole (mustClose: boolean): void {
    if (this.problem !== undefined) {
      // A client that asks on and takes no answers has nothing to lose.
      if (!writeProblem(this.#response, this.problem, { facts: this.#facts, mustClose })) this.close()
      return
    }
    this.#writeHead()
    const body = this.#chunks.length === 1 ? this.#chunks[0] as Buffer : Buffer.concat(this.#chunks)
    if (!writeWholeAnswer(this.#response, this.#head, { body, isBodyless: this.#isBodyless, isHead: this.#facts.isHead, mustClose })) this.#relayRest(body)
  }

  #relayRest (body: Buffer): void {
    const relay = new Relay(this.#response, { ...this.#relaying, totalBytes: body.length, giveLast: undefined }, () => {})
    relay.sentBytes = relay.receivedBytes = this.#response.getWriteOffset()
    this.#relay = relay
    relay.push(body.subarray(relay.sentBytes))
    relay.release()
  }
}
