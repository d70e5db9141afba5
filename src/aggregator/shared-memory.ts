// What the partitions of one process share. Each has a database of its own, so each could take all the memory there is: much
// is taken in turn, and what waits for the archive is bounded for all of them together.
import { Turns } from '../platform/turns.ts'

/** Partitions that count or archive much at a time: while DuckDB works for one, another's batch is unpacked. */
const turnsMax = 2

export class SharedMemory {
  readonly #turns = new Turns(turnsMax)
  readonly #bytesMax: number
  readonly #staged = new Map<object, number>()

  /** @param bytesMax of all partitions together */
  constructor (bytesMax: number) { this.#bytesMax = bytesMax }

  /** What one of so many partitions may take while it is its turn. */
  bytesOf (partitions: number): number { return Math.floor(this.#bytesMax / Math.min(turnsMax, Math.max(1, partitions))) }

  /** Resolves with what ends the turn. */
  async takeTurn (): Promise<() => void> { return await this.#turns.take() }

  get waiting (): number { return this.#turns.waiting }

  /** Events of `owner` that are counted and wait for the archive now. @returns true when together it is too much, and this owner has its share of it */
  isFull (owner: object, stagedBytes: number): boolean {
    this.#staged.set(owner, stagedBytes)
    const sum = [...this.#staged.values()].reduce((total, bytes) => total + bytes, 0)
    return sum >= this.#bytesMax / 4 && stagedBytes * this.#staged.size >= sum
  }

  forget (owner: object): void { this.#staged.delete(owner) }
}
