// Rounds: every contestant runs once a round, in an order that turns, so that the machine's moods hit all alike.

/** The contestants in the order of this round: each starts a round in its turn. */
export function orderOf<Item> (items: readonly Item[], round: number): Item[] {
  const first = round % items.length
  return [...items.slice(first), ...items.slice(0, first)]
}

export interface Spread { readonly median: number, readonly min: number, readonly max: number }

export function spreadOf (values: readonly number[]): Spread {
  if (values.length === 0) throw new Error('a median of nothing')
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? NaN
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
  return { median, min: sorted[0] ?? NaN, max: sorted[sorted.length - 1] ?? NaN }
}

/** The smallest value that at least `share` of the sorted values do not exceed. */
export function percentileOf (sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN
}
