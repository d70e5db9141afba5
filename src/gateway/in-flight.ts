// The requests of one worker that wait for something: bounded in number, and looked through a few times a second for those
// whose time is up. A linked list, so that a request comes and goes without a search.
import { every } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'

/** How exact time-outs are. */
export const tickMs = 250
const watchTicks = 4

export interface Waiting {
  previous: Waiting | undefined
  next: Waiting | undefined
  /** The tick from which on it has waited too long; Infinity while nothing is waited for. */
  deadlineTick: number
  readonly onDeadline: () => void
  /** Whose it is, for the bound of each client. */
  readonly address: string
  /** Called once a second. */
  readonly watch: (tick: number) => void
  /** Ends it at once. */
  readonly stop: () => void
}

export class InFlight {
  /** Rises by one each `tickMs`. */
  tick = 0
  count = 0
  readonly #byAddress = new Map<string, number>()
  #first: Waiting | undefined
  #last: Waiting | undefined
  readonly #timer: Timer

  constructor () { this.#timer = every(tickMs, () => { this.sweep() }) }

  add (item: Waiting): void {
    item.previous = this.#last
    if (this.#last === undefined) this.#first = item
    else this.#last.next = item
    this.#last = item
    this.count++
    this.#byAddress.set(item.address, this.ofAddress(item.address) + 1)
  }

  remove (item: Waiting): void {
    if (item.previous === undefined) this.#first = item.next
    else item.previous.next = item.next
    if (item.next === undefined) this.#last = item.previous
    else item.next.previous = item.previous
    item.previous = item.next = undefined
    this.count--
    const left = this.ofAddress(item.address) - 1
    if (left > 0) this.#byAddress.set(item.address, left)
    else this.#byAddress.delete(item.address)
  }

  ofAddress (address: string): number { return this.#byAddress.get(address) ?? 0 }

  /** The tick that comes at least `delayMs` from now. */
  tickAfter (delayMs: number): number { return this.tick + Math.ceil(delayMs / tickMs) + 1 }

  sweep (): void {
    this.tick++
    for (let item = this.#first; item !== undefined;) {
      const next: Waiting | undefined = item.next
      if (item.deadlineTick <= this.tick) {
        item.deadlineTick = Infinity
        item.onDeadline()
      }
      if (this.tick % watchTicks === 0) item.watch(this.tick)
      item = next
    }
  }

  /** Every request now in flight; the list may change while `action` runs. */
  forEach (action: (item: Waiting) => void): void {
    const items: Waiting[] = []
    for (let item = this.#first; item !== undefined; item = item.next) items.push(item)
    items.forEach(action)
  }

  close (): void { this.#timer.cancel() }
}
