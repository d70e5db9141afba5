// What every composition of the program has: parts that are started in order and stopped in the reverse one, an operator
// listener, a control socket, and an end when a part ends by itself.
import process from 'node:process'
import { AuditLog } from '../cli/audit.ts'
import { openControlServer } from '../cli/control-server.ts'
import type { ControlHandlers } from '../cli/control-server.ts'
import type { Config } from '../config/schema.ts'
import { TollgateError } from '../domain/errors.ts'
import { clockFrom } from '../platform/clock.ts'
import type { ClockSpec } from '../platform/clock.ts'
import type { CrashPointSpec } from '../platform/crash-points.ts'
import { openLogger } from '../platform/logger.ts'
import type { Logger } from '../platform/logger.ts'
import { gauge, metricsJson, openMetrics } from '../platform/metrics.ts'
import { openOperatorListener } from '../platform/operator-http.ts'
import type { OperatorRoute, OperatorSource } from '../platform/operator-http.ts'
import { stateFiles } from '../platform/state-files.ts'
import { lockState } from '../platform/state-lock.ts'
import type { Health, MetricsJson, ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import { version } from '../platform/version.ts'
import { adminRoutes } from './admin-routes.ts'

export interface ProgramOptions {
  readonly clock: ClockSpec
  readonly crashPoint: CrashPointSpec | undefined
}

export interface Program {
  readonly log: Logger
  /** What the control socket would answer. */
  readonly command: (name: string, argument: unknown) => Promise<unknown>
  /** Drains and closes everything. */
  readonly stop: () => Promise<void>
  /** Resolves when a part has ended by itself: then the process must end. */
  readonly died: Promise<Death>
}

export interface Death { readonly name: string, readonly error: Error }

export interface Part { readonly name: string, readonly stop: () => Promise<void> | void }

/** What a composition starts its parts with. */
export interface Assembly {
  readonly config: Config
  readonly log: Logger
  readonly environment: ThreadEnvironment
  readonly onDeath: (name: string, error: Error) => void
  /** Stopped last first. */
  readonly parts: Part[]
  /** Whom the operator listener asks. */
  readonly sources: OperatorSource[]
  /** Answered by the operator listener beside health and metrics. */
  readonly routes: OperatorRoute[]
}

/** @param assemble starts the parts; returns what the control socket answers. @throws what a part can't start with, after everything started before it has stopped again */
export async function startProgram (config: Config, { clock, crashPoint }: ProgramOptions, assemble: (assembly: Assembly) => Promise<ControlHandlers>): Promise<Program> {
  const log = openLogger({ level: config.log.level, thread: 'main' })
  let reportDeath: (death: Death) => void = () => {}
  const died = new Promise<Death>((resolve) => { reportDeath = resolve })
  const assembly: Assembly = {
    config,
    log,
    environment: { logLevel: config.log.level, clock, crashPoint },
    onDeath: (name, error) => { reportDeath({ name, error }) },
    parts: [],
    sources: [mainSource()],
    routes: []
  }
  const phase: { now: 'starting' | 'serving' | 'stopping' } = { now: 'starting' }
  try {
    const handlers = await startParts(assembly, phase, assemble)
    phase.now = 'serving'
    return {
      log,
      died,
      command: async (name, argument) => await commandOf(handlers, name)(argument),
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

async function startParts (assembly: Assembly, phase: { readonly now: 'starting' | 'serving' | 'stopping' }, assemble: (assembly: Assembly) => Promise<ControlHandlers>): Promise<ControlHandlers> {
  const { config, environment, log, parts, sources, routes } = assembly
  const lock = lockState(config.state)
  parts.push({ name: 'state lock', stop: lock.release })
  const { listen } = config.operator
  const operator = await listening(listen, openOperatorListener({ ...listen, sources: () => sources, routes: () => routes, phase: () => phase.now, log }))
  parts.push({ name: 'operator listener', stop: () => { operator.close(); operator.closeAllConnections() } })
  const handlers = await assemble(assembly)
  const files = stateFiles(config.state)
  const audit = new AuditLog(files.audit, clockFrom(environment.clock))
  routes.push(...adminRoutes({ handlers, admins: config.operator.admins, audit, log }))
  const control = await openControlServer({ socketFile: files.controlSocket, handlers: audit.watch(handlers, { who: 'local', from: 'socket' }), log })
  parts.push({ name: 'control socket', stop: control.close })
  return handlers
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

function mainSource (): OperatorSource {
  const metrics = openMetrics()
  gauge(metrics, 'tollgate_build_info').set({ version, node: process.version }, 1)
  const health: Health = { isReady: true, reasons: [] }
  return { name: 'main', health: async () => health, metrics: async (): Promise<readonly MetricsJson[]> => [await metricsJson(metrics)] }
}

async function listening<Listener> ({ host, port }: { readonly host: string, readonly port: number }, opening: Promise<Listener>): Promise<Listener> {
  try {
    return await opening
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new TollgateError('PORT_IN_USE', `another program listens on ${host}:${port}`, { cause: error })
  }
}
