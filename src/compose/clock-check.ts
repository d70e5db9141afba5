// No traffic before the clock is plausible: a small machine without a battery starts in the past, and what is answered
// then would be counted in hours that are long over.
import { TollgateError } from '../domain/errors.ts'
import { formatTimeMs } from '../domain/window.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { releasedAtMs } from '../platform/version.ts'

/** How long a start waits for time synchronisation. */
const waitMsMax = 60_000
const pollMs = 200

/**
 * Resolves when the clock is past this version's release and past everything the journal has said before.
 * @throws TollgateError CLOCK_IMPLAUSIBLE after a minute
 */
export async function awaitPlausibleClock (clock: Clock, lastMarkMs: number, log: Logger): Promise<void> {
  const leastMs = Math.max(releasedAtMs, lastMarkMs)
  const endMs = clock.monotonicMs() + waitMsMax
  if (clock.nowMs() >= leastMs) return
  log.warn({ now: formatTimeMs(clock.nowMs()), least: formatTimeMs(leastMs), waitMsMax }, 'the clock is behind what it must be past: waiting for it to be set before any request is served')
  while (clock.nowMs() < leastMs) {
    if (clock.monotonicMs() > endMs) {
      throw new TollgateError('CLOCK_IMPLAUSIBLE', `the clock says ${formatTimeMs(clock.nowMs())}, but ${lastMarkMs > releasedAtMs ? 'the journal has events until' : 'this version was released'} ${formatTimeMs(leastMs)}`)
    }
    await sleepMs(pollMs)
  }
}
