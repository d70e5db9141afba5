// At most so many at a time; the others wait in the order in which they came.
export class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []

  /** @param max how many at a time */
  constructor (max: number) { this.#free = max }

  get waiting (): number { return this.#waiting.length }
  get isFull (): boolean { return this.#free === 0 }

  /** Resolves when it is the caller's turn, with what ends it. */
  async take (): Promise<() => void> {
    // A place is handed over, so it stays taken for whoever is woken.
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}
