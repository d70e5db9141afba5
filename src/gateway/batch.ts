// What must not happen inside a request handler waits here until the event loop has come round. uWebSockets.js parses a
// second request of a connection right after the first one's handler and its microtasks; answering the first one by then
// would let a request that is hidden behind it run as if it were a new one. With the answer pending, the server closes
// the connection instead.

export interface Deferred {
  /** Called once for each time it was added. It may add itself again, for the next turn. */
  readonly turn: () => void
}

export class Batch {
  #items: Deferred[] = []
  #isScheduled = false
  readonly #onError: (error: unknown) => void
  readonly #run = (): void => {
    const items = this.#items
    this.#items = []
    this.#isScheduled = false
    for (const item of items) {
      try {
        item.turn()
      } catch (error) {
        this.#onError(error)
      }
    }
  }

  constructor (onError: (error: unknown) => void) { this.#onError = onError }

  add (item: Deferred): void {
    this.#items.push(item)
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(this.#run)
  }
}
