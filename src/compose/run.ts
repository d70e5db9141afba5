// `tollgate run`: from a configuration file to a program that serves until a signal ends it.
import { crashPointFrom, loadConfig } from '../config/load.ts'
import { shutDownOnSignals } from '../platform/shutdown.ts'
import { startEmbedded } from './embedded.ts'

/** Beyond `gateway.stopTimeoutMs`: flushing the journal, the archive and the ledger. */
const flushMsMax = 30_000

/** Resolves with an exit code only when the program can't start; a running one ends by signal. @throws ConfigError, TollgateError */
export async function runProgram ({ configFile }: { readonly configFile: string }): Promise<number> {
  const loaded = loadConfig({ file: configFile })
  const program = await startEmbedded(loaded, { clock: { kind: 'system' }, crashPoint: crashPointFrom() })
  for (const warning of loaded.warnings) program.log.warn({ configFile }, warning)
  shutDownOnSignals({ log: program.log, drain: program.stop, deadlineMs: loaded.config.gateway.stopTimeoutMs + flushMsMax })
  const { name, error } = await program.died
  program.log.fatal({ thread: name, error }, 'a part of the program ended by itself: the process ends, nothing answered is lost, and a supervisor should start it again')
  process.kill(process.pid, 'SIGKILL')
  return 1
}
