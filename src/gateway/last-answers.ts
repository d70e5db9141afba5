// Answers that end their connection, because what follows on it is in doubt. The server below closes a connection only when the
// kernel has all of such an answer: until then, where a client takes nothing or has reset, it reads on, and would run what
// comes as a request. Of an answer that was relayed, or has no body, it doesn't even know that it is the last. So the connection is
// held by a handle of its own, which stays good after the answer: it isn't read from any more, what is left is written, and it is closed.
//
// Both steps are one turn of the loop, outside the server's handlers: nothing is read in between.
import type { HttpResponse } from 'uWebSockets.js'
import { every } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'

/** What the kernel may not have of an answer that was given. Nobody is told whether a few last bytes were written or kept. */
export type Rest = 'none' | 'unlikely' | 'likely'

/** How long a client may take to let the kernel have the rest; at most as long as the server gives it for any answer. */
const drainMs: Readonly<Record<Rest, number>> = { none: 0, unlikely: 1_000, likely: 10_000 }
const drainPeriodMs = 250
/** Connections that are drained at a time; of one more, the oldest is cut. */
const drainingMax = 1_000

interface Draining { readonly connection: HttpResponse, periodsLeft: number }

export class LastAnswers {
  readonly #counters: { readonly connections: number }
  /** The oldest first. */
  readonly #draining = new Set<Draining>()
  #timer: Timer | undefined

  /** @param counters of the connections that are open now, without delay */
  constructor (counters: { readonly connections: number }) { this.#counters = counters }

  get drainingCount (): number { return this.#draining.size }

  /**
   * @param connection the second handle of the connection
   * @param give gives the rest of the answer to the server; false: it hasn't taken all of it, and will be asked again
   */
  give (connection: HttpResponse, give: () => boolean, rest: () => Rest): void {
    const { connections } = this.#counters
    if (!give()) return
    // The server has closed it, and the handle points to nothing.
    if (this.#counters.connections < connections) return
    const left = rest()
    if (left === 'none') connection.close()
    else this.#drain(connection, drainMs[left])
  }

  /** Looks no more; what is left is closed with its port. */
  close (): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #drain (connection: HttpResponse, forMs: number): void {
    const item: Draining = { connection, periodsLeft: Math.ceil(forMs / drainPeriodMs) }
    for (const oldest of this.#draining) {
      if (this.#draining.size < drainingMax) break
      oldest.connection.close()
    }
    this.#draining.add(item)
    connection.onAborted(() => { this.#draining.delete(item) })
    connection.pause()
    this.#timer ??= every(drainPeriodMs, () => { this.#look() })
  }

  #look (): void {
    for (const item of this.#draining) {
      if (item.periodsLeft-- > 0) this.#write(item)
      else item.connection.close()
    }
    if (this.#draining.size === 0) this.close()
  }

  /** An empty cork makes the server write what it has, and close where it knows that this was the last. A failed try makes it read again. */
  #write (item: Draining): void {
    item.connection.cork(() => {})
    if (this.#draining.has(item)) item.connection.pause()
  }
}
