// JSON lines to stdout and nothing else: no transport runs in a packed binary. Fields first, then a sentence.
// WARN: odd, but nothing is lost. ERROR: data is lost, or a person must act. Nothing per request.
import { destination, pino } from 'pino'
import type { Logger } from 'pino'

export type { Logger } from 'pino'
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** `thread` names the writer. Each thread writes whole lines synchronously, so lines of several threads never mix. */
export function openLogger ({ level, thread }: { readonly level: LogLevel, readonly thread: string }): Logger {
  return pino({
    level,
    base: { thread },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    messageKey: 'message',
    errorKey: 'error'
  }, destination({ fd: 1, sync: true }))
}
