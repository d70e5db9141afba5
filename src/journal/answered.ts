// The independent witness of conservation: a worker counts the answers that it has released or cut, by code that shares
// nothing with the way an event takes, not even the arithmetic of hours. Counters only rise (modulo 2^32) and have one
// writer; the journal reads differences and states sums per stream in its marks.
//
// Order matters: a worker counts a refusal as counted only before it counts it as answered, and offers an event before
// the answer is released; the journal reads answered first. So no mark says more answered than it accounts for.
import type { GatewayErrorCode } from '../domain/errors.ts'

const msPerHour = 3_600_000
const msPerMinute = 60_000

/** Slots are hours and minutes modulo these. Two that share a slot are 42 days, or 64 minutes, apart: never in use within one mark. */
const hourSlots = 1024
const minuteSlots = 64
/** Codes G0000 to G0031. */
const codesMax = 32

const hourLabels = 0
const answeredCounts = hourLabels + hourSlots
const countedOnlyCounts = answeredCounts + hourSlots
const minuteLabels = countedOnlyCounts + hourSlots
const minuteCounts = minuteLabels + minuteSlots
const words = minuteCounts + minuteSlots * codesMax

export function createAnsweredMemory (): SharedArrayBuffer {
  return new SharedArrayBuffer(words * Int32Array.BYTES_PER_ELEMENT)
}

/** The worker's side. */
export class AnsweredCounter {
  readonly #words: Int32Array

  constructor (memory: SharedArrayBuffer) { this.#words = new Int32Array(memory) }

  /** Call it once for each metered answer, when its last byte is released or cut; not for one whose event failed, unless it was counted only. */
  answered (requestTimeMs: number): void {
    Atomics.add(this.#words, answeredCounts + this.#hourSlot(requestTimeMs), 1)
  }

  /** Call it before `answered` for a refusal that is answered without being recorded, or whose record failed. */
  countedOnly (requestTimeMs: number, code: GatewayErrorCode): void {
    Atomics.add(this.#words, countedOnlyCounts + this.#hourSlot(requestTimeMs), 1)
    const minute = Math.floor(requestTimeMs / msPerMinute)
    const slot = minute % minuteSlots
    if (Atomics.load(this.#words, minuteLabels + slot) !== minute) Atomics.store(this.#words, minuteLabels + slot, minute)
    Atomics.add(this.#words, minuteCounts + slot * codesMax + Number(code.slice(1)) % codesMax, 1)
  }

  #hourSlot (requestTimeMs: number): number {
    const hour = Math.floor(requestTimeMs / msPerHour)
    const slot = hour % hourSlots
    if (Atomics.load(this.#words, hourLabels + slot) !== hour) Atomics.store(this.#words, hourLabels + slot, hour)
    return slot
  }
}

export interface RefusalCount { readonly minute: number, readonly code: string, readonly count: number }

/** The journal's side: what the workers have counted since the last look. */
export class AnsweredReader {
  readonly #workers: readonly { readonly shared: Int32Array, readonly seen: Int32Array }[]

  constructor (memories: readonly SharedArrayBuffer[]) {
    this.#workers = memories.map((memory) => ({ shared: new Int32Array(memory), seen: new Int32Array(words) }))
  }

  takeAnswered (add: (hour: number, count: number) => void): void { this.#takeHours(answeredCounts, add) }

  takeCountedOnly (add: (hour: number, count: number) => void): void { this.#takeHours(countedOnlyCounts, add) }

  /** What was counted only, by minute and code. The hours of `takeCountedOnly` are the account; this is for the operator. */
  takeRefusals (): RefusalCount[] {
    const refusals: RefusalCount[] = []
    for (const worker of this.#workers) {
      for (let index = 0; index < minuteSlots * codesMax; index++) {
        const count = newSince(worker, minuteCounts + index)
        if (count === 0) continue
        const minute = Atomics.load(worker.shared, minuteLabels + Math.floor(index / codesMax))
        refusals.push({ minute, code: `G${String(index % codesMax).padStart(4, '0')}`, count })
      }
    }
    return refusals
  }

  #takeHours (counts: number, add: (hour: number, count: number) => void): void {
    for (const worker of this.#workers) {
      for (let slot = 0; slot < hourSlots; slot++) {
        const count = newSince(worker, counts + slot)
        // The label was stored before the count, so it is there when the count is.
        if (count > 0) add(Atomics.load(worker.shared, hourLabels + slot), count)
      }
    }
  }
}

function newSince ({ shared, seen }: { readonly shared: Int32Array, readonly seen: Int32Array }, index: number): number {
  const now = Atomics.load(shared, index)
  const count = (now - (seen[index] as number)) >>> 0
  seen[index] = now
  return count
}
