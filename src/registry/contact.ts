// When a gateway last knew that its copy of the registry is the whole registry: written by the mirror, read by every worker.
// Counted on a clock that never falls and that all threads share, so that a step of the wall clock makes nothing stale.
import { monotonicNs } from '../platform/clock.ts'

const nsPerMs = 1_000_000n

export function createContactMemory (): SharedArrayBuffer { return new SharedArrayBuffer(8) }

/** @param ageMs how long ago the contact was */
export function markContact (memory: SharedArrayBuffer, ageMs: number): void {
  Atomics.store(new BigInt64Array(memory), 0, monotonicNs() - BigInt(Math.round(ageMs)) * nsPerMs)
}

/** Milliseconds since the last contact. */
export function contactAgeIn (memory: SharedArrayBuffer): () => number {
  const cell = new BigInt64Array(memory)
  return () => Number((monotonicNs() - Atomics.load(cell, 0)) / nsPerMs)
}
