// What every composition of the program has: parts that are started in order and stopped in the reverse one, an operator
// listener, a control socket, and an end when a part ends by itself.
import process from 'node:process'
import { AuditLog } from '../cli/audit.ts'
import { openControlServer } from '../cli/control-server.ts'
import type { ControlHandlers } from '../cli/control-server.ts'
import { backupHandlers } from '../cli/handlers/backup.ts'
import type { BackupParts } from '../cli/handlers/backup.ts'
import type { LoadedProgram } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { TollgateError } from '../domain/errors.ts'
import { clockFrom } from '../platform/clock.ts'
import type { ClockSpec } from '../platform/clock.ts'
import type { CrashPointSpec } from '../platform/crash-points.ts'
import { openLogger } from '../platform/logger.ts'
import type { Logger } from '../platform/logger.ts'
import { gauge, metricsJson, openMetrics } from '../platform/metrics.ts'
import { metricsSource, openOperatorListener } from '../platform/operator-http.ts'
import type { OperatorRoute, OperatorSource } from '../platform/operator-http.ts'
import { stateFiles } from '../platform/state-files.ts'
import { openState } from '../platform/state-version.ts'
import type { ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import { version } from '../platform/version.ts'
import { adminRoutes } from './admin-routes.ts'
import { certificateSource, operatorReload, remindOfCertificates } from './certificates.ts'
import { openReloader } from './reload.ts'
import type { ReloadPart, Reloader, Rules } from './reload.ts'

export interface ProgramOptions {
  readonly clock: ClockSpec
  readonly crashPoint: CrashPointSpec | undefined
}

export interface Program {
  readonly log: Logger
  /** Its parts, for those who watch over it. */
  readonly sources: () => readonly OperatorSource[]
  /** What the control socket would answer. */
  readonly command: (name: string, argument: unknown) => Promise<unknown>
  /** What a signal asks for: a reload that is written down as such. Never rejects: the log says what became of it. */
  readonly reload: () => Promise<void>
  /** Drains and closes everything. */
  readonly stop: () => Promise<void>
  /** Resolves when a part has ended by itself: then the process must end. */
  readonly died: Promise<Death>
}

export interface Death { readonly name: string, readonly error: Error }

export interface Part { readonly name: string, readonly stop: () => Promise<void> | void }

/** What a composition starts its parts with. */
export interface Assembly {
  /** As it was at the start: for what a reload doesn't change. */
  readonly config: Config
  /** After the last reload. */
  readonly inForce: () => Rules
  readonly log: Logger
  readonly environment: ThreadEnvironment
  readonly onDeath: (name: string, error: Error) => void
  /** Stopped last first. */
  readonly parts: Part[]
  /** Whom the operator listener asks. */
  readonly sources: OperatorSource[]
  /** Answered by the operator listener beside health and metrics. */
  readonly routes: OperatorRoute[]
  /** Told of a reload, in this order. */
  readonly reloads: ReloadPart[]
  /** Asked by a backup, in this order. */
  readonly copies: BackupParts['copies'][number][]
}

/** @param assemble starts the parts; returns what the control socket answers. @throws what a part can't start with, after everything started before it has stopped again */
export async function startProgram (loaded: LoadedProgram, { clock, crashPoint }: ProgramOptions, assemble: (assembly: Assembly) => Promise<ControlHandlers>): Promise<Program> {
  const { config } = loaded
  const log = openLogger({ level: config.log.level, thread: 'main' })
  const reloads: ReloadPart[] = []
  const reloader = openReloader({ loaded, parts: reloads, log, nowMs: clockFrom(clock).nowMs })
  let reportDeath: (death: Death) => void = () => {}
  const died = new Promise<Death>((resolve) => { reportDeath = resolve })
  const assembly: Assembly = {
    config,
    inForce: reloader.inForce,
    log,
    environment: { logLevel: config.log.level, clock, crashPoint },
    onDeath: (name, error) => { reportDeath({ name, error }) },
    parts: [],
    sources: [mainSource(reloader), certificateSource(reloader.inForce)],
    routes: [],
    reloads,
    copies: []
  }
  const phase: { now: 'starting' | 'serving' | 'stopping' } = { now: 'starting' }
  try {
    const { handlers, onSignal } = await startParts(assembly, { phase, reloader, assemble })
    phase.now = 'serving'
    return {
      log,
      sources: () => assembly.sources,
      died,
      command: async (name, argument) => await commandOf(handlers, name)(argument),
      reload: async () => { await onSignal['reload']?.({}).catch((error: unknown) => { log.warn({ error }, 'a signal asked for a reload, and it was not made') }) },
      stop: async () => {
        phase.now = 'stopping'
        await stopParts(assembly)
      }
    }
  } catch (error) {
    await stopParts(assembly)
    throw error
  }
}

interface Starting {
  readonly phase: { readonly now: 'starting' | 'serving' | 'stopping' }
  readonly reloader: Reloader
  readonly assemble: (assembly: Assembly) => Promise<ControlHandlers>
}

async function startParts (assembly: Assembly, { phase, reloader, assemble }: Starting): Promise<{ readonly handlers: ControlHandlers, readonly onSignal: ControlHandlers }> {
  const { config, inForce, environment, log, parts, sources, routes } = assembly
  const lock = openState(config.state)
  parts.push({ name: 'state lock', stop: lock.release })
  const { listen } = config.operator
  const operator = await listening(listen, openOperatorListener({ ...listen, tls: inForce().certificates.operator, sources: () => sources, routes: () => routes, phase: () => phase.now, log }))
  assembly.reloads.push(operatorReload(operator))
  const reminder = remindOfCertificates(inForce, clockFrom(environment.clock), log)
  parts.push({ name: 'reminder of certificates', stop: reminder.cancel })
  parts.push({ name: 'operator listener', stop: () => { operator.close(); operator.closeAllConnections() } })
  const handlers: ControlHandlers = { ...await assemble(assembly), reload: () => reloader.reload(), ...backupHandlers({ state: config.state, copies: assembly.copies }) }
  const files = stateFiles(config.state)
  const audit = new AuditLog(files.audit, clockFrom(environment.clock))
  routes.push(...adminRoutes({ handlers, admins: () => inForce().config.operator.admins, audit, log }))
  const control = await openControlServer({ socketFile: files.controlSocket, handlers: audit.watch(handlers, { who: 'local', from: 'socket' }), log })
  parts.push({ name: 'control socket', stop: control.close })
  return { handlers, onSignal: audit.watch(handlers, { who: 'local', from: 'signal' }) }
}

/** Last started, first stopped. */
async function stopParts ({ parts, log }: Assembly): Promise<void> {
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    log.debug({ part: part.name }, 'stopping a part')
    await part.stop()
  }
}

/** What the operator listener asks of a thread. */
export function sourceOf (thread: ThreadHandle): OperatorSource {
  return { name: thread.name, health: thread.health, metrics: async () => [await thread.metrics()] }
}

function commandOf (handlers: ControlHandlers, name: string): ControlHandlers[string] {
  const handler = handlers[name]
  if (handler === undefined) throw new TollgateError('COMMAND_UNKNOWN', `there is no command ${name}`)
  return handler
}

function mainSource (reloader: Reloader): OperatorSource {
  const metrics = openMetrics()
  gauge(metrics, 'tollgate_build_info').set({ version, node: process.version }, 1)
  return metricsSource('main', async () => [await metricsJson(metrics), reloader.metrics()])
}

async function listening<Listener> ({ host, port }: { readonly host: string, readonly port: number }, opening: Promise<Listener>): Promise<Listener> {
  try {
    return await opening
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new TollgateError('PORT_IN_USE', `another program listens on ${host}:${port}`, { cause: error })
  }
}
