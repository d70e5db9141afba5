// The shared-memory limiter on a clock that a test moves.
import { createLimiterMemory, openSharedMemoryLimiter } from '../../src/limiter/shared-memory.ts'
import type { SharedMemoryLimiter } from '../../src/limiter/shared-memory.ts'

export interface TestLimiter {
  readonly limiter: SharedMemoryLimiter
  readonly memory: SharedArrayBuffer
  readonly advanceMs: (ms: number) => void
}

export function openTestLimiter ({ keysMax }: { readonly keysMax: number }): TestLimiter {
  const memory = createLimiterMemory({ keysMax })
  let nowNs = 1_000_000_000n
  return {
    memory,
    limiter: openSharedMemoryLimiter(memory, { nowNs: () => nowNs }),
    advanceMs: (ms) => { nowNs += BigInt(ms) * 1_000_000n }
  }
}
