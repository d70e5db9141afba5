// The promise of a rate limiter, checked on what it allowed, in exact integers: in every interval at most
// burst + rate x time tokens.

export interface Taken { readonly atNs: bigint, readonly tokens: number }

/** The first interval with too many tokens, as a sentence; undefined when the promise holds. */
export function rateBoundBroken (taken: readonly Taken[], { ratePerS, burst }: { readonly ratePerS: number, readonly burst: number }): string | undefined {
  const sorted = [...taken].sort((a, b) => a.atNs < b.atNs ? -1 : a.atNs > b.atNs ? 1 : 0)
  for (const [first, start] of sorted.entries()) {
    let tokens = 0n
    for (const { atNs, tokens: more } of sorted.slice(first)) {
      tokens += BigInt(more)
      const allowed = BigInt(burst) * 1_000_000_000n + BigInt(ratePerS) * (atNs - start.atNs)
      if (tokens * 1_000_000_000n > allowed) return `${tokens} tokens within ${atNs - start.atNs} ns from ${start.atNs} on, burst ${burst}, ${ratePerS} a second`
    }
  }
  return undefined
}
