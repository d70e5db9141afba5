// Ending in order: the first signal drains, the second one forces, and a deadline forces too, so that a stuck part can
// never keep a machine from rebooting.
import { after } from './clock.ts'
import type { Logger } from './logger.ts'

export interface ShutdownOptions {
  readonly log: Logger
  /** Stops everything in order; resolves when all is flushed. */
  readonly drain: () => Promise<void>
  readonly deadlineMs: number
  /** Ends the process; a test passes its own. */
  readonly end?: (isDrained: boolean) => void
}

/** The process exits with 0 when all was drained; every other end is a SIGKILL to itself, which a supervisor sees. */
export function shutDownOnSignals ({ log, drain, deadlineMs, end = endProcess }: ShutdownOptions): { readonly begin: (reason: string) => void } {
  let isDraining = false
  const begin = (reason: string): void => {
    if (isDraining) {
      log.warn({ reason }, 'forced to end before everything was drained; unfinished answers were cut, what was answered is durable')
      end(false)
      return
    }
    isDraining = true
    log.info({ reason, deadlineMs }, 'stopping: no new requests, finishing those under way')
    after(deadlineMs, () => {
      log.error({ deadlineMs }, 'the stop took too long and was forced; nothing answered is lost, recovery will run at the next start')
      end(false)
    }, { isReferenced: false })
    drain().then(() => { end(true) }, (error: unknown) => {
      log.error({ error }, 'the stop failed; recovery will run at the next start')
      end(false)
    })
  }
  process.on('SIGTERM', () => { begin('SIGTERM') })
  process.on('SIGINT', () => { begin('SIGINT') })
  return { begin }
}

// A forced end doesn't wait for threads: the native HTTP server aborts the process when its thread is torn down while it
// listens, and a core dump would say nothing that the log hasn't said.
function endProcess (isDrained: boolean): void {
  if (isDrained) process.exit(0)
  process.kill(process.pid, 'SIGKILL')
}
