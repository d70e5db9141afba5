// `tollgate run`: from a configuration file to a program that serves until a signal ends it. Only here is one machine or a
// cluster chosen.
import { crashPointFrom, isLoggedToJournal, loadConfig, serviceEnvironment } from '../config/load.ts'
import type { LoadedProgram } from '../config/load.ts'
import type { Role } from '../config/role.ts'
import { collectGarbage } from '../platform/garbage.ts'
import { logForJournal } from '../platform/logger.ts'
import { openServiceManager } from '../platform/systemd.ts'
import { shutDownOnSignals } from '../platform/shutdown.ts'
import type { Program, ProgramOptions } from './program.ts'

/** Beyond `gateway.stopTimeoutMs`: flushing the journal, the archive and the ledger. */
const flushMsMax = 30_000

/** Resolves with an exit code only when the program can't start; a running one ends by signal. @throws ConfigError, TollgateError */
export async function runProgram ({ configFile, roles }: { readonly configFile: string, readonly roles: readonly Role[] }): Promise<number> {
  // Before anything else: without a listener the signal ends the process. One that comes while the program starts waits.
  let reload = (): void => { isReloadWanted = true }
  let isReloadWanted = false
  process.on('SIGHUP', () => { reload() })
  if (isLoggedToJournal()) logForJournal()
  const loaded = loadConfig({ file: configFile, roles })
  const options: ProgramOptions = { clock: { kind: 'system' }, crashPoint: crashPointFrom() }
  const program = await start(loaded, roles, options)
  collectGarbage()
  for (const warning of loaded.warnings) program.log.warn({ configFile }, warning)
  reload = () => { void program.reload() }
  if (isReloadWanted) reload()
  const service = serviceEnvironment()
  const manager = service === undefined ? undefined : openServiceManager(service, program.log)
  const drain = async (): Promise<void> => {
    manager?.stopping()
    await program.stop()
    manager?.close()
  }
  shutDownOnSignals({ log: program.log, drain, deadlineMs: loaded.config.gateway.stopTimeoutMs + flushMsMax })
  manager?.ready(program.sources)
  const { name, error } = await program.died
  program.log.fatal({ thread: name, error }, 'a part of the program ended by itself: the process ends, nothing answered is lost, and a supervisor should start it again')
  process.kill(process.pid, 'SIGKILL')
  return 1
}

/** Clients of Kafka and Redis take memory and time: a single process doesn't load them. */
async function start (loaded: LoadedProgram, roles: readonly Role[], options: ProgramOptions): Promise<Program> {
  if (loaded.config.kafka === undefined) return await (await import('./embedded.ts')).startEmbedded(loaded, options)
  return await (await import('./cluster.ts')).startCluster(loaded, roles, options)
}
