// Tollgate started for a measurement: stopped at its end whatever happens, and with its own words when it can't start.
import { existsSync, readFileSync } from 'node:fs'
import { awaitReady, startProgram } from '../../test/helpers/program.ts'
import type { Program, ProgramFiles } from '../../test/helpers/program.ts'
import type { BenchContext } from './scenario.ts'

const logLinesShown = 5
/** Several start side by side. */
const readyMsMax = 180_000

export interface Measured extends Program {
  readonly pid: number
  /** Rejects when the program has ended, with the end of its log; to be raced with whatever is waited for. */
  readonly diedEarly: Promise<never>
}

/** @throws with the end of its log when it isn't ready in time */
export async function startMeasured (context: BenchContext, files: ProgramFiles, options: { readonly env?: Readonly<Record<string, string>>, readonly isReadyAwaited?: boolean } = {}): Promise<Measured> {
  const program = await startProgram(files, { ...options, isReadyAwaited: false })
  const { pid } = program.process
  if (pid === undefined) throw new Error('Tollgate could not be started')
  context.onEnd(async () => { await program.stop() })
  const diedEarly = program.ended.then((code) => { throw new Error(`Tollgate ended with ${code}:\n${logEnd(files)}`) })
  // Nobody may be racing when a program that is no longer needed ends.
  diedEarly.catch(() => undefined)
  if (options.isReadyAwaited !== false) await Promise.race([awaitReady(files, program, readyMsMax), diedEarly])
  return { ...program, pid, diedEarly }
}

function logEnd (files: ProgramFiles): string {
  return existsSync(files.logFile) ? readFileSync(files.logFile, 'utf8').trimEnd().split('\n').slice(-logLinesShown).join('\n') : ''
}
