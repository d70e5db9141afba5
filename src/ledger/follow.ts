// Billing's loop: asks the hourly log for what comes next and folds it in, until it is told to stop.
import { after, sleepMs, systemClock } from '../platform/clock.ts'
import type { Timer } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { HourlyLogReader } from '../hourly-log/port.ts'
import type { Ledger } from './ledger-types.ts'

export interface FollowOptions {
  readonly ledger: Ledger
  readonly reader: HourlyLogReader
  readonly partitions: readonly number[]
  readonly log: Logger
  /** Changes that come faster than this are folded together. */
  readonly intervalMs: number
  /** The pause after an error. */
  readonly retryMs: number
}

export interface HourlyLogFollower {
  /** What keeps the ledger from going on; undefined when nothing does. */
  readonly problem: () => string | undefined
  /** Steps folded in since the start. */
  readonly steps: () => number
  /** Resolves when the step under way is done. */
  readonly stop: () => Promise<void>
}

/** Asked even when no change was told, in case one was missed. */
const idleMs = 5_000

export function followHourlyLog ({ ledger, reader, partitions, log, intervalMs, retryMs }: FollowOptions): HourlyLogFollower {
  const stopping = new AbortController()
  let wake: (() => void) | undefined
  let isChanged = true
  let problem: string | undefined
  let steps = 0
  reader.onChange(() => {
    isChanged = true
    wake?.()
  })

  const pause = async (delayMs: number): Promise<void> => { await sleepMs(delayMs, stopping.signal).catch(() => undefined) }

  const untilChanged = async (): Promise<void> => {
    if (isChanged || stopping.signal.aborted) return
    let timer: Timer | undefined
    await new Promise<void>((resolve) => {
      wake = resolve
      timer = after(idleMs, resolve)
    })
    timer?.cancel()
    wake = undefined
  }

  const catchUp = async (): Promise<void> => {
    for (const partition of partitions) {
      while (!stopping.signal.aborted) {
        const batch = await reader.next(partition, await ledger.position(partition))
        if (batch === undefined) break
        await ledger.apply(batch)
        steps++
        if (!batch.hasMore) break
      }
    }
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await untilChanged()
      isChanged = false
      const startMs = systemClock.monotonicMs()
      try {
        await catchUp()
        if (problem !== undefined) log.info('the ledger follows the hourly counts again')
        problem = undefined
        // While much changes, rows that change again and again are better folded once: a tenth of the time is for folding.
        await pause(Math.max(intervalMs, 9 * (systemClock.monotonicMs() - startMs)))
      } catch (error) {
        if (stopping.signal.aborted) return
        const message = error instanceof Error ? error.message : String(error)
        if (problem !== message) log.error({ error }, 'the ledger can\'t follow the hourly counts; bills stay as they are, and it is tried again')
        problem = message
        isChanged = true
        await pause(retryMs)
      }
    }
  }
  const running = run()
  return {
    problem: () => problem,
    steps: () => steps,
    stop: async () => {
      stopping.abort()
      wake?.()
      await running
    }
  }
}
