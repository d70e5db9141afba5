// How fast a client must be where it is the client that is waited for: while its body comes, and while it doesn't take its
// answer. Whoever is slower over a whole window holds a place that others need.
import { tickMs } from './in-flight.ts'

export interface ClientPaceLimits {
  readonly bytesPerSMin: number
  readonly windowMs: number
}

/** Of one request, from the first look at it on: most are over before. */
export class ClientPace {
  readonly #limits: ClientPaceLimits
  /** -1: the client isn't waited for. */
  #fromTick = -1
  #fromBytes = 0

  constructor (limits: ClientPaceLimits) { this.#limits = limits }

  /**
   * Too little in a whole window; a new one begins as soon as there was enough.
   * @param bytes that the client has sent or taken; -1 while it isn't waited for
   */
  isTooSlow (tick: number, bytes: number): boolean {
    if (bytes < 0) { this.#fromTick = -1; return false }
    const { bytesPerSMin, windowMs } = this.#limits
    if (this.#fromTick < 0 || bytes - this.#fromBytes >= Math.max(1, bytesPerSMin * windowMs / 1000)) {
      this.#fromTick = tick
      this.#fromBytes = bytes
      return false
    }
    return tick - this.#fromTick >= windowMs / tickMs
  }
}

/** @returns -1 where nothing of the client is waited for */
export function waitedBytes (reply: { readonly nudge: () => number }, upload: { readonly stretch: () => number } | undefined): number {
  const takenBytes = reply.nudge()
  return takenBytes >= 0 ? takenBytes : upload?.stretch() ?? -1
}
