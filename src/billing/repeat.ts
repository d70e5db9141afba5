// Work that is done again and again, one at a time, and goes on after an error.
import { sleepMs } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'

export interface Repeating { /** Resolves when the work under way is done. */ readonly stop: () => Promise<void> }

/** @param pauseMs from the end of one time to the beginning of the next. The same error is logged once. */
export function repeat (pauseMs: number, work: () => Promise<void>, log: Logger): Repeating {
  const stopping = new AbortController()
  const run = async (): Promise<void> => {
    let problem: string | undefined
    while (!stopping.signal.aborted) {
      try {
        await work()
        problem = undefined
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        if (message !== problem && !stopping.signal.aborted) log.warn({ error }, 'a step failed, and is tried again')
        problem = message
      }
      await sleepMs(pauseMs, stopping.signal).catch(() => undefined)
    }
  }
  const running = run()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
