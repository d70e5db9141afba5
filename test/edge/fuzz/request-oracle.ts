// Judges what an upstream has seen and what a client was answered, by the strict reader. Every target is one case's, so
// whatever comes out of another one's body, or twice, or with another body, is found by its target.
import type { RawAnswer } from '../../helpers/raw-http.ts'
import { header } from '../../helpers/raw-http.ts'
import type { SeenRequest } from '../raw-upstream.ts'
import type { Reading } from './strict-reader.ts'

interface Allowed { readonly method: string, readonly body: string, readonly rest: string | undefined, readonly name: string, readonly isBehind: boolean, isSeen: boolean }

/** Older ones are forgotten; nothing comes as late as that. */
const rememberedMax = 50_000

export class RequestOracle {
  seen = 0
  /** Of these, what ran behind a request whose length was hidden. */
  behind = 0
  readonly #allowed = new Map<string, Allowed>()

  /** Before it is sent. @param name of the case, for a complaint. @param isBehind what a server may take for a request that knows of no body, perhaps with its beginning cut off */
  expect (name: string, { requests, stop }: Reading, isBehind: boolean): void {
    for (const { method, target, body, level } of requests) if (level !== 'refused') this.#allow(target, { method, body, rest: undefined, name, isBehind, isSeen: false })
    if (stop.kind === 'contained') this.#allow(stop.target, { method: stop.method, body: '', rest: stop.rest, name, isBehind, isSeen: false })
    for (const target of this.#allowed.keys()) {
      if (this.#allowed.size <= rememberedMax) break
      this.#allowed.delete(target)
    }
  }

  expectPlain (target: string): void { this.#allow(target, { method: 'GET', body: '', rest: undefined, name: target, isBehind: false, isSeen: false }) }

  hasSeen (target: string): boolean { return this.#allowed.get(target)?.isSeen === true }

  /** @returns what is wrong with it; undefined for nothing */
  judgeUpstream ({ method, target, body }: SeenRequest): string | undefined {
    this.seen++
    const allowed = this.#allowed.get(target)
    const what = `the upstream has seen ${method} ${target} with ${JSON.stringify(body.slice(0, 200))}`
    if (allowed === undefined) return `${what}, which nobody has sent`
    if (allowed.isSeen) return `${what} twice: ${allowed.name}`
    allowed.isSeen = true
    if (allowed.isBehind) this.behind++
    if (!(allowed.isBehind ? allowed.method.endsWith(method) : allowed.method === method)) return `${what}, not ${allowed.method}: ${allowed.name}`
    const isRight = allowed.rest === undefined ? allowed.body === body : isInOrder(body, allowed.rest)
    return isRight ? undefined : `${what}, not ${JSON.stringify((allowed.rest ?? allowed.body).slice(0, 200))}: ${allowed.name}`
  }

  #allow (target: string, allowed: Allowed): void { this.#allowed.set(target, allowed) }
}

/** All of `body` is in `rest`, one character after the other. */
function isInOrder (body: string, rest: string): boolean {
  let at = 0
  for (const character of body) {
    at = rest.indexOf(character, at) + 1
    if (at === 0) return false
  }
  return true
}

/** Reads a connection's answers one by one. */
export class AnswerJudge {
  /** Complete answers of an upstream. */
  complete = 0
  /** An answer of another kind has come, after which anything may. */
  isOver = false
  readonly #expected: readonly { readonly method: string, readonly target: string, readonly isForwardable: boolean }[]
  readonly #oracle: RequestOracle
  /** The server below may not know of a body, so that a client can get more answers than it has sent requests. */
  readonly #isLost: boolean
  #taken = 0

  constructor ({ requests, stop }: Reading, oracle: RequestOracle) {
    this.#oracle = oracle
    this.#isLost = stop.kind === 'contained' && !stop.isChunked
    this.#expected = [
      ...requests.map(({ method, target, level }) => ({ method, target, isForwardable: level !== 'refused' })),
      ...(stop.kind === 'contained' ? [{ method: stop.method, target: stop.target, isForwardable: true }] : [])
    ]
  }

  /** The next answer is one to HEAD. */
  get isHead (): boolean { return this.#expected[this.#taken]?.method === 'HEAD' }

  judge (answer: RawAnswer): string | undefined {
    const expected = this.#expected[this.#taken++]
    if (answer.status !== 200) {
      // The gateway's own has a trace id and may leave the connection open, the server's below has neither.
      this.isOver = header(answer, 'x-trace-id') === undefined || header(answer, 'connection') === 'close'
      return [400, 401, 404, 413, 431, 501, 505].includes(answer.status) ? undefined : `answered with ${answer.status}: ${answer.body.toString('latin1', 0, 200)}`
    }
    this.complete++
    const body = answer.body.toString('latin1')
    if (expected === undefined) return this.#isLost && this.#oracle.hasSeen(body) ? undefined : `an answer to a request that is none: ${body}`
    if (!expected.isForwardable) return `an answer to ${expected.target}, which was to be refused`
    if (expected.method !== 'HEAD' && body !== expected.target) return `the answer of ${body} to ${expected.target}`
    return this.#oracle.hasSeen(expected.target) ? undefined : `an answer to ${expected.target}, which no upstream has seen`
  }
}
