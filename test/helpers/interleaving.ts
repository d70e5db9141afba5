// Every order in which threads can reach the limiter's memory, chosen by a seed: real threads run the real code, one step
// at a time.
import { Worker } from 'node:worker_threads'
import { createLimiterMemory, openSharedMemoryLimiter } from '../../src/limiter/shared-memory.ts'
import { rateBoundBroken } from './rate-bound.ts'
import type { Taken } from './rate-bound.ts'
import { seededRandom } from './seeded-random.ts'

export const turnStates = { running: 0, waiting: 1, done: 2 } as const
/** A token a nanosecond: the interesting times are as short as the steps. */
export const limit = { ratePerS: 1_000_000_000, burst: 3 }
const threadCount = 3
const takesPerThread = 5
const resultCells = 1 + takesPerThread * 3

export interface InterleavingData {
  readonly limiterUrl: string
  readonly index: number
  readonly memory: SharedArrayBuffer
  readonly turns: SharedArrayBuffer
  readonly clock: SharedArrayBuffer
  /** Cell 0: the seed of the next scenario; negative: end. Then for each thread how many takes were allowed, and {key, tokens, instant} of each. */
  readonly results: SharedArrayBuffer
  readonly firstResultCell: number
  readonly firstSlotCell: number
  readonly inertFromNs: bigint
}

const inertFromNs = 10n ** 15n

/** What a thread takes, one after another. */
export function scriptOf (seed: number, index: number): { readonly key: number, readonly tokens: number }[] {
  const random = seededRandom(seed * 31 + index)
  const keys = 1 + Math.floor(seededRandom(seed)() * 3)
  return Array.from({ length: takesPerThread }, () => ({ key: 1 + Math.floor(random() * keys), tokens: random() < 0.8 ? 1 : 3 }))
}

export interface Interleaving {
  /** Runs one order of steps; what was broken as a sentence, undefined when the promise held. */
  readonly run: (seed: number) => { readonly broken: string | undefined, readonly taken: number, readonly steps: number }
  readonly close: () => Promise<void>
}

export async function openInterleaving (limiterUrl: string): Promise<Interleaving> {
  const memory = createLimiterMemory({ keysMax: 1 })
  const turns = new SharedArrayBuffer(threadCount * 4)
  const clock = new SharedArrayBuffer(8)
  const results = new SharedArrayBuffer((1 + threadCount * resultCells) * 8)
  const cells = new BigInt64Array(memory)
  const slotCount = 32
  const firstSlotCell = cells.length - slotCount * 2
  const workers = await Promise.all(Array.from({ length: threadCount }, (_, index) => new Promise<Worker>((resolve, reject) => {
    const workerData: InterleavingData = { limiterUrl, index, memory, turns, clock, results, firstResultCell: 1 + index * resultCells, firstSlotCell, inertFromNs }
    const worker = new Worker(new URL('./interleaving-worker.ts', import.meta.url), { workerData })
    worker.once('message', () => { resolve(worker) })
    worker.once('error', reject)
  })))
  const turn = new Int32Array(turns)
  const clockCell = new BigInt64Array(clock)
  const result = new BigInt64Array(results)
  const waitWhile = (index: number, state: number): void => { while (Atomics.load(turn, index) === state) Atomics.wait(turn, index, state, 1_000) }
  const goOn = (index: number): void => {
    Atomics.store(turn, index, turnStates.running)
    Atomics.notify(turn, index)
    waitWhile(index, turnStates.running)
  }
  for (let index = 0; index < threadCount; index++) waitWhile(index, turnStates.running)

  const prepare = (random: () => number): void => {
    cells.fill(0n)
    clockCell[0] = 1_000n
    const fill = openSharedMemoryLimiter(memory, { nowNs: () => 1_000n })
    const freeSlots = Math.floor(random() * 3)
    const soonSlots = Math.floor(random() * 3)
    for (let key = 100; key < 100 + slotCount - freeSlots - soonSlots; key++) fill.take(key, 1_000_000_000, { ratePerS: 1, burst: 1_000_000_000 })
    // Slots of other keys that become reusable while the threads are under way.
    for (let i = 0; i < soonSlots; i++) fill.take(200 + i, 1 + Math.floor(random() * 20), { ratePerS: 1_000_000_000, burst: 20 })
  }

  return {
    run: (seed) => {
      const random = seededRandom(seed)
      prepare(random)
      result.fill(0n)
      result[0] = BigInt(seed)
      const stillness = random()
      for (let index = 0; index < threadCount; index++) goOn(index)
      let steps = 0
      let stayWith = 0
      for (;;) {
        const waiting = Array.from(turn.keys()).filter((index) => Atomics.load(turn, index) === turnStates.waiting)
        if (waiting.length === 0) break
        // Long runs of one thread and quick changes both matter, and so do a standing and a running clock.
        if (random() < 0.4 || !waiting.includes(stayWith)) stayWith = waiting[Math.floor(random() * waiting.length)] as number
        goOn(stayWith)
        if (random() > stillness) clockCell[0] = (clockCell[0] as bigint) + BigInt(Math.floor(random() * 3))
        if (++steps > 20_000) return { broken: 'the threads did not come to an end', taken: 0, steps }
      }
      const byKey = new Map<bigint, Taken[]>()
      let taken = 0
      for (let index = 0; index < threadCount; index++) {
        const first = 1 + index * resultCells
        for (let i = 0; i < Number(result[first]); i++) {
          const [key = 0n, tokens = 0n, atNs = 0n] = result.subarray(first + 1 + i * 3, first + 4 + i * 3)
          byKey.set(key, [...(byKey.get(key) ?? []), { atNs, tokens: Number(tokens) }])
          taken++
        }
      }
      const broken = [...byKey].map(([key, all]) => ({ key, broken: rateBoundBroken(all, limit) })).find((entry) => entry.broken !== undefined)
      return { broken: broken === undefined ? undefined : `key ${broken.key}: ${broken.broken}`, taken, steps }
    },
    close: async () => {
      result[0] = -1n
      for (let index = 0; index < threadCount; index++) { Atomics.store(turn, index, turnStates.running); Atomics.notify(turn, index) }
      await Promise.all(workers.map((worker) => new Promise((resolve) => { worker.once('exit', resolve) })))
    }
  }
}
