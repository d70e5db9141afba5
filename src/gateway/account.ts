// What is owed for one metered request: an event, and one count of its answer. The two meet only where they must: an
// answer whose event failed is not counted (it was cut), and a refusal whose event failed is counted as counted only.
import type { GatewayErrorCode } from '../domain/errors.ts'
import type { Answer, JournalSide, Meter, TicketHolder } from './meter.ts'

export class Account implements TicketHolder {
  readonly requestTimeMs: number
  readonly #meter: Meter
  readonly #witness: JournalSide['answered']
  readonly #onSettled: (isFailed: boolean) => void
  #ticket: 'none' | 'pending' | 'recorded' | 'failed' = 'none'
  /** Set where the event may fail without the answer being cut. */
  #refusalCode: GatewayErrorCode | undefined
  #isAnswerOver = false

  /** @param onSettled called when the event's fate is known and the answer isn't over */
  constructor (meter: Meter, witness: JournalSide['answered'], onSettled: (isFailed: boolean) => void) {
    this.#meter = meter
    this.#witness = witness
    this.#onSettled = onSettled
    this.requestTimeMs = meter.begin()
  }

  get hasEvent (): boolean { return this.#ticket !== 'none' }

  /** Offers the event of an answer that is held until it is settled, or that its client has left. */
  record (answer: Answer): void {
    this.#ticket = 'pending'
    this.#meter.record(answer, this, false)
  }

  /** Offers the event of an answer that isn't held, or counts it only where the journal has no room for refusals. */
  recordRefusal (answer: Answer, code: GatewayErrorCode): void {
    if (this.#meter.mayRecordRefusal()) {
      this.#ticket = 'pending'
      this.#refusalCode = code
      this.#meter.record(answer, this, true)
    } else {
      this.#witness.countedOnly(this.requestTimeMs, code)
      this.#ticket = 'recorded'
    }
  }

  settled (isFailed: boolean): void {
    if (isFailed && this.#refusalCode !== undefined) this.#witness.countedOnly(this.requestTimeMs, this.#refusalCode)
    this.#ticket = isFailed && this.#refusalCode === undefined ? 'failed' : 'recorded'
    // An answer that was over before is counted now; one that is still held is over when it has left or is cut.
    if (this.#isAnswerOver) this.#close()
    else this.#onSettled(isFailed)
  }

  /** The request isn't metered after all; nothing was recorded. */
  forget (): void { this.#meter.end(this.requestTimeMs) }

  /** The last byte was released, or the answer cut. Call it once. */
  over (): void {
    this.#isAnswerOver = true
    if (this.#ticket !== 'pending') this.#close()
  }

  #close (): void {
    // Without any event it is counted too: that is the difference that must be seen.
    if (this.#ticket !== 'failed') this.#witness.answered(this.requestTimeMs)
    this.#meter.end(this.requestTimeMs)
  }
}
