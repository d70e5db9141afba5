// How far this machine's clock is from the broker's, told by the broker's append time of our own marks. A watermark that lies
// before us in the broker's time could call an hour complete that is not over: a person must set the clock.
import type { Logger } from '../platform/logger.ts'
import type { StreamMark } from '../usage-log/gateway-progress.ts'

type MarkName = Pick<StreamMark, 'streamId' | 'watermarkMs'>
/** When a mark was handed over and when it was acknowledged, by our clock. */
interface Sent extends MarkName { readonly fromMs: number, readonly toMs: number }

const skewMsMax = 2000
const msPerS = 1000

export class ClockSkew {
  /** Positive: our clock is ahead. */
  seconds = 0
  readonly #log: Logger
  #sent: Sent | undefined
  #appended: MarkName & { readonly appendedMs: number } | undefined
  #isTold = false

  constructor (log: Logger) { this.#log = log }

  get isLarge (): boolean { return Math.abs(this.seconds) * msPerS > skewMsMax }

  said ({ streamId, watermarkMs }: MarkName, { fromMs, toMs }: { readonly fromMs: number, readonly toMs: number }): void {
    this.#sent = { streamId, watermarkMs, fromMs, toMs }
    this.#compare()
  }

  /** A mark as the topic has it, which may be read before its acknowledgement arrives. */
  readBack ({ streamId, watermarkMs }: MarkName, appendedMs: number): void {
    this.#appended = { streamId, watermarkMs, appendedMs }
    this.#compare()
  }

  #compare (): void {
    const [sent, appended] = [this.#sent, this.#appended]
    if (sent === undefined || appended === undefined || sent.streamId !== appended.streamId || sent.watermarkMs !== appended.watermarkMs) return
    this.#sent = undefined
    const { appendedMs } = appended
    const aheadMs = Math.max(sent.fromMs - appendedMs, 0)
    const behindMs = Math.max(appendedMs - sent.toMs, 0)
    this.seconds = (aheadMs - behindMs) / msPerS
    if (this.isLarge && !this.#isTold) this.#log.error({ skewSeconds: this.seconds }, 'this machine\'s clock and the brokers\' differ: hours may be called complete too early or too late. Set the clocks (time synchronisation)')
    if (!this.isLarge && this.#isTold) this.#log.info({ skewSeconds: this.seconds }, 'this machine\'s clock and the brokers\' agree again')
    this.#isTold = this.isLarge
  }
}
