// Trying again what can succeed later, until a deadline: never for ever, and never what can't succeed.
import { sleepMs, systemClock } from '../platform/clock.ts'
import { RequestFailure } from './failure.ts'

const backoffMsMin = 20
const backoffMsMax = 1_000

export interface Persistence {
  /** On the monotonic clock. */
  readonly deadlineMs: number
  /** Before each new try: what was believed may be the reason. */
  readonly onFailure?: (failure: RequestFailure) => void
}

export function deadlineIn (durationMs: number): number { return systemClock.monotonicMs() + durationMs }

/** @throws the first failure that trying again can't mend, or the last one before the deadline */
export async function persist<Result> (attempt: () => Promise<Result>, { deadlineMs, onFailure }: Persistence): Promise<Result> {
  for (let backoffMs = backoffMsMin; ; backoffMs = Math.min(backoffMs * 2, backoffMsMax)) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof RequestFailure) || error.kind !== 'again' || systemClock.monotonicMs() + backoffMs >= deadlineMs) throw error
      onFailure?.(error)
      await sleepMs(backoffMs)
    }
  }
}
