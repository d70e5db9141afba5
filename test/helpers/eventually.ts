// Waiting for a condition with a bound, instead of sleeping and hoping.
import { setTimeout as sleep } from 'node:timers/promises'

/** Resolves with the first truthy answer; rejects with `what` and the last error when `withinMs` has passed. */
export async function eventually<Result> (what: string, condition: () => Result | Promise<Result>, { withinMs = 20_000, everyMs = 25 } = {}): Promise<NonNullable<Result>> {
  const endMs = performance.now() + withinMs
  let last: unknown
  for (;;) {
    try {
      const result = await condition()
      if (result !== undefined && result !== null && result !== false) return result
      last = undefined
    } catch (error) {
      last = error
    }
    if (performance.now() > endMs) throw new Error(`did not happen within ${withinMs} ms: ${what}${last instanceof Error ? ` (last error: ${last.message})` : ''}`)
    await sleep(everyMs)
  }
}
