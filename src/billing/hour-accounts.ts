// A stream's own account, hour by hour, packed: 36 bytes an hour, so that a gateway's year takes a third of a megabyte.
export interface HourAccount { readonly answered: number, readonly journaled: number, readonly countedOnly: number, readonly recovered: number }

const width = 4

export class HourAccounts {
  #hours = new Int32Array(4)
  #values = new Float64Array(4 * width)
  #length = 0

  get size (): number { return this.#length }
  /** -1 without any. */
  get lastHour (): number { return this.#length === 0 ? -1 : this.#hours[this.#length - 1] as number }

  /** Takes the place of what was said of the hour before. @returns whether it says something else */
  set (hour: number, { answered, journaled, countedOnly, recovered }: HourAccount): boolean {
    const at = this.#at(hour)
    const values = [answered, journaled, countedOnly, recovered]
    const isKnown = at < this.#length && this.#hours[at] === hour
    if (isKnown && values.every((value, index) => this.#values[at * width + index] === value)) return false
    if (!isKnown) this.#insert(at, hour)
    this.#values.set(values, at * width)
    return true
  }

  /** Hours from `fromHour` to before `toHour`, ascending. */
  * range (fromHour: number, toHour: number): Generator<{ readonly hour: number } & HourAccount> {
    for (let at = this.#at(fromHour); at < this.#length; at++) {
      const hour = this.#hours[at] as number
      if (hour >= toHour) return
      const [answered = 0, journaled = 0, countedOnly = 0, recovered = 0] = this.#values.subarray(at * width, (at + 1) * width)
      yield { hour, answered, journaled, countedOnly, recovered }
    }
  }

  journaled (): number {
    let sum = 0
    for (let at = 0; at < this.#length; at++) sum += this.#values[at * width + 1] as number
    return sum
  }

  /** Where `hour` is, or would be. Hours come in rising order as a rule. */
  #at (hour: number): number {
    if (hour > this.lastHour) return this.#length
    let [low, high] = [0, this.#length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#hours[middle] as number) < hour) low = middle + 1
      else high = middle
    }
    return low
  }

  #insert (at: number, hour: number): void {
    if (this.#length === this.#hours.length) {
      const [hours, values] = [new Int32Array(this.#length * 2), new Float64Array(this.#length * 2 * width)]
      hours.set(this.#hours)
      values.set(this.#values)
      this.#hours = hours
      this.#values = values
    }
    this.#hours.copyWithin(at + 1, at, this.#length)
    this.#values.copyWithin((at + 1) * width, at * width, this.#length * width)
    this.#hours[at] = hour
    this.#length++
  }
}
