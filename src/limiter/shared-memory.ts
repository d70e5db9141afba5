// The limiter of one machine: buckets in memory that all worker threads share, exact across them without a lock.
//
// A slot is two words: the bucket's TAT and its key. One key never has two usable slots, and no charge is ever lost:
// 1. The TAT word of a slot only rises, so a compare-and-exchange that succeeds proves that nothing changed since the
//    word was read, the key included (a key changes only while the word is `claimed`).
// 2. A new key takes the first reusable slot of its window: never used, or full again (TAT not after now). It claims the
//    word, writes the key, publishes the word as `pending`, and only then looks for another copy of its key. A usable copy
//    wins over its own; another pending copy is killed. Whoever confirms its word first has been seen by all others.
// 3. A window without a reusable slot sends the key to one of `overflowBuckets` buckets that keys share by hash: such
//    keys are limited together, never freely and never shut out. A key that comes back from there starts with that
//    bucket's TAT, so changing places gains nothing.
// 4. The instant of a take is when its thread read the clock; a take that had to look for a place reads it again after
//    it has looked, so that it never lies before the instant at which the key's old slot was found full and reused.
import { monotonicNs } from '../platform/clock.ts'
import { allowed, gcraAllows, gcraCostNs, gcraLimitOf, gcraNextNs, refused } from './gcra.ts'
import type { GcraLimit } from './gcra.ts'
import type { Limiter, LimiterDecision, RateLimit } from './port.ts'

const slotBytes = 16
const windowSlots = 32
const overflowBuckets = 4096
/** Cells of the header: how many takes were charged to shared buckets. */
const headerCells = 1
const neverUsed = 0n
const claimed = -1n
const pending = -2n
const killed = -3n
const noKey = -1n

export interface SharedMemoryLimiter extends Limiter {
  take: (apiKeyId: number, tokens: number, limit: RateLimit) => LimiterDecision
  /** The same with the arithmetic done: a limit that is no RateLimit, and the price. */
  takeAt: (apiKeyId: number, costNs: bigint, limit: GcraLimit) => LimiterDecision
  /** Takes charged to a bucket that several keys share, by all threads: above 0, `keysMax` is too small. */
  overflowCount: () => number
}

/**
 * Room for `keysMax` keys that are not full at the same time: 32 to 64 bytes a key and 32 KiB (100,000 keys: 4.2 MB). Pages that
 * no key has touched yet cost nothing.
 */
export function createLimiterMemory ({ keysMax }: { readonly keysMax: number }): SharedArrayBuffer {
  if (!Number.isSafeInteger(keysMax) || keysMax < 1) throw new RangeError(`keysMax must be a whole number from 1 on, not ${keysMax}`)
  // At most half full, so that a window without a free slot is next to impossible before keysMax is reached.
  const slots = 2 ** Math.ceil(Math.log2(Math.max(keysMax * 2, windowSlots)))
  return new SharedArrayBuffer((headerCells + overflowBuckets) * 8 + slots * slotBytes)
}

/**
 * A view of the memory for one thread. Decisions are synchronous. `nowNs` must be one clock for all threads of the memory.
 * @throws RangeError from `take` for limits or tokens that configuration should have refused
 */
export function openSharedMemoryLimiter (memory: SharedArrayBuffer, { nowNs = monotonicNs }: { readonly nowNs?: () => bigint } = {}): SharedMemoryLimiter {
  const table = new Table(memory, nowNs)
  // A handful of grades: a limit is compiled once for each object it comes in.
  const compiled = new WeakMap<RateLimit, GcraLimit>()
  return {
    takeAt: (apiKeyId, costNs, limit) => table.take(apiKeyId, costNs, limit),
    take: (apiKeyId, tokens, rateLimit) => {
      if (!Number.isSafeInteger(apiKeyId) || apiKeyId < 0) throw new RangeError(`apiKeyId must be a whole number, not ${apiKeyId}`)
      let limit = compiled.get(rateLimit)
      if (limit === undefined) compiled.set(rateLimit, limit = gcraLimitOf(rateLimit))
      return table.take(apiKeyId, gcraCostNs(limit, tokens), limit)
    },
    overflowCount: () => table.overflowCount(),
    close: () => {}
  }
}

class Table {
  readonly #cells: BigInt64Array
  readonly #slotMask: number
  readonly #nowNs: () => bigint

  constructor (memory: SharedArrayBuffer, nowNs: () => bigint) {
    this.#cells = new BigInt64Array(memory)
    this.#slotMask = (this.#cells.length - headerCells - overflowBuckets) / 2 - 1
    this.#nowNs = nowNs
  }

  overflowCount (): number { return Number(Atomics.load(this.#cells, 0)) }

  take (apiKeyId: number, costNs: bigint, limit: GcraLimit): LimiterDecision {
    const key = BigInt(apiKeyId)
    const hash = hashOf(apiKeyId)
    // A turn ends without a decision only when another thread has changed something in between.
    for (;;) {
      const cell = this.#find(key, hash, -1)
      const decision = cell >= 0 ? this.#takeAt(cell, key, costNs, limit) : this.#takeAnew(key, hash, costNs, limit)
      if (decision !== undefined) return decision
    }
  }

  /** The TAT's cell of the slot that holds `key` and isn't being made or unmade; -1 when there is none. */
  #find (key: bigint, hash: number, exceptCell: number): number {
    for (let step = 0; step < windowSlots; step++) {
      const cell = this.#cellAt(hash, step)
      const tatNs = Atomics.load(this.#cells, cell)
      // Keys are put into the first reusable slot, and this one was reusable from the start: nothing lies behind it.
      if (tatNs === neverUsed) return -1
      if (tatNs > 0n && cell !== exceptCell && Atomics.load(this.#cells, cell + 1) === key) return cell
    }
    return -1
  }

  /** Undefined: another thread changed the slot; look again. */
  #takeAt (cell: number, key: bigint, costNs: bigint, limit: GcraLimit): LimiterDecision | undefined {
    const nowNs = this.#nowNs()
    const tatNs = Atomics.load(this.#cells, cell)
    if (tatNs <= 0n || Atomics.load(this.#cells, cell + 1) !== key) return undefined
    const nextNs = gcraNextNs(tatNs, nowNs, costNs)
    if (gcraAllows(limit, nextNs, nowNs)) {
      return Atomics.compareExchange(this.#cells, cell, tatNs, nextNs) === tatNs ? allowed(limit, nextNs, nowNs) : undefined
    }
    return Atomics.load(this.#cells, cell) === tatNs ? refused(limit, tatNs, nextNs, nowNs) : undefined
  }

  #takeAnew (key: bigint, hash: number, costNs: bigint, limit: GcraLimit): LimiterDecision | undefined {
    const cell = this.#claim(hash)
    if (cell === undefined) return this.#takeShared(key, hash, costNs, limit)
    if (cell.index < 0) return undefined
    Atomics.store(this.#cells, cell.index + 1, key)
    Atomics.store(this.#cells, cell.index, pending)
    if (!this.#isOnlyCopy(key, hash, cell.index)) return this.#withdraw(cell)
    // Inherited, and touched: a charge to the shared bucket that another thread prepared before it could see this slot fails.
    const tatNs = Atomics.add(this.#cells, overflowCellAt(hash), 1n)
    const nowNs = this.#nowNs()
    const nextNs = gcraNextNs(tatNs, nowNs, costNs)
    if (!gcraAllows(limit, nextNs, nowNs)) {
      this.#withdraw(cell)
      return refused(limit, tatNs, nextNs, nowNs)
    }
    if (Atomics.compareExchange(this.#cells, cell.index, pending, nextNs) === pending) return allowed(limit, nextNs, nowNs)
    return this.#withdraw(cell)
  }

  /** Claims the first reusable slot of the window. Index -1: another thread was faster. Undefined: there is none. */
  #claim (hash: number): { readonly index: number, readonly tatNs: bigint } | undefined {
    const nowNs = this.#nowNs()
    for (let step = 0; step < windowSlots; step++) {
      const cell = this.#cellAt(hash, step)
      const tatNs = Atomics.load(this.#cells, cell)
      if (tatNs < 0n || tatNs > nowNs) continue
      const isOurs = Atomics.compareExchange(this.#cells, cell, tatNs, claimed) === tatNs
      return { index: isOurs ? cell : -1, tatNs }
    }
    return undefined
  }

  /** False when the key has a usable slot elsewhere. Kills other threads' pending slots of the key on the way. */
  #isOnlyCopy (key: bigint, hash: number, ownCell: number): boolean {
    for (let step = 0; step < windowSlots; step++) {
      const cell = this.#cellAt(hash, step)
      if (cell === ownCell) continue
      const tatNs = Atomics.load(this.#cells, cell)
      if (tatNs === pending && Atomics.load(this.#cells, cell + 1) === key) {
        // Should it have been confirmed in between, it is found below.
        Atomics.compareExchange(this.#cells, cell, pending, killed)
      }
    }
    return this.#find(key, hash, ownCell) < 0
  }

  /** Gives a claimed slot back, without a key, one nanosecond above its last TAT so that the word has risen. */
  #withdraw (cell: { readonly index: number, readonly tatNs: bigint }): undefined {
    Atomics.store(this.#cells, cell.index + 1, noKey)
    Atomics.store(this.#cells, cell.index, cell.tatNs + 1n)
  }

  #takeShared (key: bigint, hash: number, costNs: bigint, limit: GcraLimit): LimiterDecision | undefined {
    const cell = overflowCellAt(hash)
    const tatNs = Atomics.load(this.#cells, cell)
    // Looked for after the load: whoever finds a slot for the key later touches this bucket, and the exchange below fails.
    if (this.#hasCopy(key, hash)) return undefined
    const nowNs = this.#nowNs()
    const nextNs = gcraNextNs(tatNs, nowNs, costNs)
    if (!gcraAllows(limit, nextNs, nowNs)) return refused(limit, tatNs, nextNs, nowNs)
    if (Atomics.compareExchange(this.#cells, cell, tatNs, nextNs) !== tatNs) return undefined
    Atomics.add(this.#cells, 0, 1n)
    return allowed(limit, nextNs, nowNs)
  }

  #hasCopy (key: bigint, hash: number): boolean {
    for (let step = 0; step < windowSlots; step++) {
      const cell = this.#cellAt(hash, step)
      const tatNs = Atomics.load(this.#cells, cell)
      if ((tatNs > 0n || tatNs === pending) && Atomics.load(this.#cells, cell + 1) === key) return true
    }
    return false
  }

  #cellAt (hash: number, step: number): number {
    return headerCells + overflowBuckets + ((hash + step) & this.#slotMask) * 2
  }
}

function overflowCellAt (hash: number): number {
  // Other bits than the slot's, so that neighbours in the table don't share a bucket.
  return headerCells + (Math.imul(hash, 0x9e3779b1) >>> 20)
}

/** Spreads keys that follow each other over the whole table: both halves of the number through murmur3's finalizer. */
function hashOf (apiKeyId: number): number {
  let hash = (apiKeyId | 0) ^ Math.imul((apiKeyId / 2 ** 32) | 0, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
