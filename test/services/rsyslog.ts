// rsyslog with the program's own configuration for usage events, as a process of a test's own.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const configuration = path.resolve(import.meta.dirname, '../../monitoring/rsyslog/usage.conf')

export interface RsyslogSetup {
  readonly brokers: readonly string[]
  readonly topic: string
  /** Of Elasticsearch. */
  readonly url: string
  /** Left out: none. */
  readonly pipeline?: string
  /** Left out: a temporary one, removed at the end. */
  readonly folder?: string
}

export interface RunningRsyslog {
  readonly logFile: string
  /** What could not be stored, a JSON object each. */
  readonly refused: () => readonly Readonly<Record<string, unknown>>[]
  readonly start: () => void
  readonly isRunning: () => boolean
  readonly kill: () => Promise<void>
  readonly close: () => Promise<void>
}

/** @param t left out: call `close` at the end */
export function startRsyslog (t: { readonly after: (end: () => Promise<void>) => void } | undefined, setup: RsyslogSetup): RunningRsyslog {
  const folder = setup.folder ?? mkdtempSync(path.join(tmpdir(), 'tollgate-rsyslog-'))
  mkdirSync(folder, { recursive: true })
  const logFile = path.join(folder, 'rsyslog.log')
  const refusedFile = path.join(folder, 'refused.ndjson')
  let child: ChildProcess | undefined
  const start = (): void => {
    const log = openSync(logFile, 'a')
    child = spawn('setpriv', ['--pdeathsig', 'KILL', '/usr/sbin/rsyslogd', '-n', '-f', configuration, '-iNONE'], {
      stdio: ['ignore', log, log],
      env: {
        ...process.env, TOLLGATE_INDEXER_KAFKA: setup.brokers.join(','), TOLLGATE_INDEXER_TOPIC: setup.topic, TOLLGATE_INDEXER_URL: setup.url,
        TOLLGATE_INDEXER_PIPELINE: setup.pipeline ?? '_none', TOLLGATE_INDEXER_STATE: folder
      }
    })
    closeSync(log)
  }
  const kill = async (): Promise<void> => {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = new Promise((resolve) => { ending.once('exit', resolve) })
    ending.kill('SIGKILL')
    await ended
  }
  const close = async (): Promise<void> => {
    await kill()
    if (setup.folder === undefined) rmSync(folder, { recursive: true, force: true })
  }
  t?.after(close)
  start()
  return {
    logFile,
    refused: () => existsSync(refusedFile) ? readFileSync(refusedFile, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>) : [],
    start,
    isRunning: () => child !== undefined && child.exitCode === null && child.signalCode === null,
    kill,
    close
  }
}
