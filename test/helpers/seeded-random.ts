// The mulberry32 generator: small, seeded, good enough to vary a test and to repeat it.

/** @returns numbers in [0, 1) that depend on nothing but `seed` */
export function seededRandom (seed: number): () => number {
  let state = seed | 0
  return () => {
    state = state + 0x6D2B79F5 | 0
    let mixed = Math.imul(state ^ state >>> 15, 1 | state)
    mixed = mixed + Math.imul(mixed ^ mixed >>> 7, 61 | mixed) ^ mixed
    return ((mixed ^ mixed >>> 14) >>> 0) / 4294967296
  }
}
