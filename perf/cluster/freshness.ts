// How long an answered request takes to the bill, when all that can be seen of the bill is how many requests it has: the
// requests of one key come to it in their order, so the n-th answered is there when the count has reached n.

export class Freshness {
  readonly latenciesMs: number[] = []
  readonly #answeredAtMs: number[] = []
  #seen = 0

  get answered (): number { return this.#answeredAtMs.length }
  get seen (): number { return this.#seen }

  answer (atMs: number): void { this.#answeredAtMs.push(atMs) }

  /** @param count of a bill that was asked for before `atMs` @throws when it has more than was ever sent */
  look (count: number, atMs: number, sent: number): void {
    if (count > sent) throw new Error(`${sent} requests were sent, ${count} are on the bill`)
    if (count < this.#seen) throw new Error(`a bill of ${this.#seen} requests has shrunk to ${count}`)
    // What is on the bill before its answer has come is looked at again at the next look: it was never late.
    for (; this.#seen < Math.min(count, this.answered); this.#seen++) this.latenciesMs.push(Math.max(0, atMs - (this.#answeredAtMs[this.#seen] as number)))
  }
}
