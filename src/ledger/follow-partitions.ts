// Billing's loops in a cluster: one a partition of the hourly log, each waiting for what comes next; steps are folded in
// one at a time. A partition that can't go on holds back no other.
import { sleepMs, systemClock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { HourlyBatch, HourlyLogReader } from '../hourly-log/port.ts'
import type { Ledger } from './ledger-types.ts'

export interface FollowPartitionsOptions {
  readonly ledger: Ledger
  /** Its `next` waits a while for something new. */
  readonly reader: HourlyLogReader
  readonly partitions: readonly number[]
  readonly log: Logger
  /** Changes that come faster than this are folded together. */
  readonly intervalMs: number
  /** The pause after an error. */
  readonly retryMs: number
  /** After each step. */
  readonly onApplied: (batch: HourlyBatch) => void
}

export interface PartitionsFollower {
  /** What keeps partitions from going on. */
  readonly problems: () => readonly { readonly partition: number, readonly problem: string }[]
  /** Partitions whose end has been reached at least once since the start. */
  readonly caughtUp: () => ReadonlySet<number>
  /** Steps folded in since the start. */
  readonly steps: () => number
  /** A partition that the topic has gained. */
  readonly add: (partition: number) => void
  /** Resolves when the steps under way are done. */
  readonly stop: () => Promise<void>
}

export function followPartitions ({ ledger, reader, partitions, log, intervalMs, retryMs, onApplied }: FollowPartitionsOptions): PartitionsFollower {
  const stopping = new AbortController()
  const problems = new Map<number, string>()
  const caughtUp = new Set<number>()
  const running = new Map<number, Promise<void>>()
  let writing: Promise<void> = Promise.resolve()
  let steps = 0

  const pause = async (delayMs: number): Promise<void> => { await sleepMs(delayMs, stopping.signal).catch(() => undefined) }

  /** @returns how long folding took, without waiting for other partitions */
  const apply = async (batch: HourlyBatch): Promise<number> => {
    let startMs = 0
    const applied = writing.then(async () => {
      startMs = systemClock.monotonicMs()
      await ledger.apply(batch)
    })
    writing = applied.catch(() => undefined)
    await applied
    steps++
    onApplied(batch)
    return systemClock.monotonicMs() - startMs
  }

  /** @returns how long folding took; 0 when there is more to fold, or was nothing */
  const step = async (partition: number): Promise<number> => {
    const batch = await reader.next(partition, await ledger.position(partition))
    const tookMs = batch === undefined || stopping.signal.aborted ? 0 : await apply(batch)
    if (problems.delete(partition)) log.info({ partition }, 'the ledger follows the hourly counts of the partition again')
    if (batch?.hasMore !== true) caughtUp.add(partition)
    return batch?.hasMore === true ? 0 : tookMs
  }

  const follow = async (partition: number): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        const tookMs = await step(partition)
        // At the end of the log, rows that change again and again are better folded once: a tenth of the time is for folding.
        if (tookMs > 0) await pause(Math.max(intervalMs, 9 * tookMs))
      } catch (error) {
        if (stopping.signal.aborted) return
        const message = error instanceof Error ? error.message : String(error)
        if (problems.get(partition) !== message) log.error({ partition, error }, 'the ledger can\'t follow the hourly counts of a partition; bills stay as they are, and it is tried again')
        problems.set(partition, message)
        await pause(retryMs)
      }
    }
  }

  const add = (partition: number): void => {
    if (!running.has(partition)) running.set(partition, follow(partition))
  }
  for (const partition of partitions) add(partition)
  return {
    problems: () => [...problems].map(([partition, problem]) => ({ partition, problem })),
    caughtUp: () => caughtUp,
    steps: () => steps,
    add,
    stop: async () => {
      stopping.abort()
      await Promise.all(running.values())
    }
  }
}
