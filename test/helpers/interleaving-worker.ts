// One of several threads that take tokens step by step: before each access to the limiter's memory, and before each reading of
// its clock, it waits for its turn. The test decides who goes on, so every order of steps can happen, and happens again.
import { parentPort, workerData } from 'node:worker_threads'
import { limit, scriptOf, turnStates } from './interleaving.ts'
import type { InterleavingData } from './interleaving.ts'
import type { openSharedMemoryLimiter } from '../../src/limiter/shared-memory.ts'

const data = workerData as InterleavingData
const module = await import(data.limiterUrl) as { openSharedMemoryLimiter: typeof openSharedMemoryLimiter }
const turns = new Int32Array(data.turns)
const clock = new BigInt64Array(data.clock)
const results = new BigInt64Array(data.results)
const real = { load: Atomics.load, store: Atomics.store, wait: Atomics.wait, notify: Atomics.notify, add: Atomics.add, compareExchange: Atomics.compareExchange }
const turnCell = data.index

function pass (state: number): void {
  real.store(turns, turnCell, state)
  real.notify(turns, turnCell)
  while (real.load(turns, turnCell) === state) real.wait(turns, turnCell, state)
}

/** Slots that are taken for ever are the same in every order. */
function isInert (array: BigInt64Array, cell: number): boolean {
  if (array.buffer !== data.memory || cell < data.firstSlotCell) return false
  return (array[cell - (cell - data.firstSlotCell) % 2] as bigint) > data.inertFromNs
}
const step = (array: BigInt64Array, cell: number): void => { if (!isInert(array, cell)) pass(turnStates.waiting) }

// The code under test is the real one; only the words it reaches memory with are watched.
Object.assign(Atomics, {
  load: (array: BigInt64Array, cell: number) => { step(array, cell); return real.load(array, cell) },
  store: (array: BigInt64Array, cell: number, value: bigint) => { step(array, cell); return real.store(array, cell, value) },
  add: (array: BigInt64Array, cell: number, value: bigint) => { step(array, cell); return real.add(array, cell, value) },
  compareExchange: (array: BigInt64Array, cell: number, expected: bigint, value: bigint) => { step(array, cell); return real.compareExchange(array, cell, expected, value) }
})

let readNs = 0n
const limiter = module.openSharedMemoryLimiter(data.memory, {
  nowNs: () => {
    pass(turnStates.waiting)
    readNs = real.load(clock, 0)
    return readNs
  }
})
parentPort?.postMessage('ready')
for (;;) {
  pass(turnStates.done)
  const seed = Number(real.load(results, 0))
  if (seed < 0) break
  const first = data.firstResultCell
  let count = 0
  for (const { key, tokens } of scriptOf(seed, data.index)) {
    if (!limiter.take(key, tokens, limit).isAllowed) continue
    results.set([BigInt(key), BigInt(tokens), readNs], first + 1 + count * 3)
    count++
  }
  results[first] = BigInt(count)
}
parentPort?.close()
