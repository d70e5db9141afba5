// One server of an upstream, and whether it is worth asking. Its state is what its answers say (passive health): after
// `failuresMax` requests in a row that it failed, it is left out for `outMs`, and twice as long each further time; then one
// request, and only one, tries it.
import type { Clock } from '../platform/clock.ts'
import type { Upstream } from './upstream.ts'

export interface TargetRules {
  readonly failuresMax: number
  readonly outMs: number
}

const outMsMax = 60_000

export class Target {
  readonly client: Upstream
  readonly #rules: TargetRules
  readonly #clock: Clock
  /** In a row. */
  #failures = 0
  #outMs: number
  #outUntilMs = 0
  #isTried = false

  constructor (client: Upstream, rules: TargetRules, clock: Clock) {
    this.client = client
    this.#rules = rules
    this.#clock = clock
    this.#outMs = rules.outMs
  }

  get url (): string { return this.client.config.url }
  get isOut (): boolean { return this.#failures >= this.#rules.failuresMax }
  get outUntilMs (): number { return this.#outUntilMs }
  get isUsable (): boolean { return !this.isOut || (!this.#isTried && this.#clock.monotonicMs() >= this.#outUntilMs) }

  /** A request is on its way to it. */
  use (): void { if (this.isOut) this.#isTried = true }

  succeeded (): void {
    this.#failures = 0
    this.#outMs = this.#rules.outMs
    this.#isTried = false
  }

  failed (): void {
    this.#failures++
    this.#isTried = false
    if (!this.isOut) return
    this.#outUntilMs = this.#clock.monotonicMs() + this.#outMs
    this.#outMs = Math.min(2 * this.#outMs, outMsMax)
  }

  /** The request was ended by somebody else: it says nothing about the server. */
  left (): void { this.#isTried = false }
}
