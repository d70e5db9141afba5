// JSON lines to stdout and nothing else: no transport runs in a packed binary. Fields first, then a sentence.
// WARN: odd, but nothing is lost. ERROR: data is lost, or a person must act. Nothing per request.
import { destination, pino } from 'pino'
import type { DestinationStream, Logger } from 'pino'
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads'

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
  }, output())
}

const journalKey = 'tollgate.logForJournal'
/** By the first letter of the level. */
const journalLevels: Readonly<Record<string, number>> = { t: 7, d: 7, i: 6, w: 4, e: 3, f: 2 }

/** From now on, also in threads that are started later, each line has its level in front, as systemd's journal reads it. */
export function logForJournal (): void { setEnvironmentData(journalKey, true) }

/** `{"level":"warn"…` with `<4>` in front. */
export function journalLine (line: string): string { return `<${journalLevels[line.charAt('{"level":"'.length)] ?? 6}>${line}` }

function output (): DestinationStream {
  const standard = destination({ fd: 1, sync: true })
  return getEnvironmentData(journalKey) === true ? { write: (line) => { standard.write(journalLine(line)) } } : standard
}
