// Sleeps until it is rung, or for a while at most. A ring that comes while nobody sleeps is kept for the next one.
import { sleepMs } from '../platform/clock.ts'

export class Bell {
  #hasRung = false
  #wake: (() => void) | undefined

  ring (): void {
    this.#hasRung = true
    this.#wake?.()
  }

  /** @returns early when `signal` is aborted; it never throws */
  async sleep (delayMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#hasRung && !signal.aborted) {
      const waking = new AbortController()
      this.#wake = () => { waking.abort() }
      await sleepMs(delayMs, AbortSignal.any([waking.signal, signal])).catch(() => undefined)
      this.#wake = undefined
    }
    this.#hasRung = false
  }
}
