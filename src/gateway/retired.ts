// What a reload has replaced and somebody still uses: looked through from time to time, and closed once nobody does.
import { every } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'

export interface RetiredParts<Item> {
  readonly periodMs: number
  readonly isUsed: (item: Item) => boolean
  readonly close: (item: Item) => void
}

export class Retired<Item> implements Iterable<Item> {
  readonly #parts: RetiredParts<Item>
  readonly #items = new Set<Item>()
  #looking: Timer | undefined

  constructor (parts: RetiredParts<Item>) { this.#parts = parts }

  get size (): number { return this.#items.size }

  add (items: readonly Item[]): void {
    for (const item of items) this.#items.add(item)
    if (this.#items.size > 0) this.#looking ??= every(this.#parts.periodMs, () => { this.#look() })
  }

  /** Looks no more; what is left is whose it was. */
  cancel (): void {
    this.#looking?.cancel()
    this.#looking = undefined
  }

  [Symbol.iterator] (): Iterator<Item> { return this.#items.values() }

  #look (): void {
    for (const item of this.#items) {
      if (this.#parts.isUsed(item)) continue
      this.#items.delete(item)
      this.#parts.close(item)
    }
    if (this.#items.size === 0) this.cancel()
  }
}
