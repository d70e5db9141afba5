// One machine with nothing beside it: all parts in one process, started in the order in which data flows back (who
// receives is there before who sends) and stopped in the order in which it flows.
import { MessageChannel } from 'node:worker_threads'
import { openControlServer } from '../cli/control-server.ts'
import type { ControlHandlers } from '../cli/control-server.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { TollgateError } from '../domain/errors.ts'
import { startAggregator } from '../aggregator/start.ts'
import { startBilling } from '../billing/start.ts'
import { startGateway } from '../gateway/start.ts'
import { startJournal } from '../journal/start.ts'
import { createLimiterMemory } from '../limiter/shared-memory.ts'
import { clockFrom } from '../platform/clock.ts'
import type { ClockSpec } from '../platform/clock.ts'
import type { CrashPointSpec } from '../platform/crash-points.ts'
import { openLogger } from '../platform/logger.ts'
import type { Logger } from '../platform/logger.ts'
import { gauge, metricsJson, openMetrics } from '../platform/metrics.ts'
import { openOperatorListener } from '../platform/operator-http.ts'
import type { OperatorSource } from '../platform/operator-http.ts'
import { stateFiles } from '../platform/state-files.ts'
import { lockState } from '../platform/state-lock.ts'
import type { Health, MetricsJson } from '../platform/thread.ts'
import { version } from '../platform/version.ts'
import { openSqliteRegistry } from '../registry/sqlite.ts'
import { awaitPlausibleClock } from './clock-check.ts'
import { embeddedHandlers } from './handlers.ts'
import { aggregatorOptionsOf, billingOptionsOf, gatewayRulesOf, journalOptionsOf, workersOf } from './thread-options.ts'

export interface EmbeddedOptions {
  readonly clock: ClockSpec
  readonly crashPoint: CrashPointSpec | undefined
}

export interface Embedded {
  readonly log: Logger
  /** What the control socket would answer. */
  readonly command: (name: string, argument: unknown) => Promise<unknown>
  /** Drains and closes everything. */
  readonly stop: () => Promise<void>
  /** Resolves when a part has ended by itself: then the process must end. */
  readonly died: Promise<{ readonly name: string, readonly error: Error }>
}

interface Part { readonly name: string, readonly stop: () => Promise<void> | void }

/** @throws what a part can't start with, after everything started before it has stopped again */
export async function startEmbedded ({ config, priceBook }: LoadedConfig & { readonly priceBook: PriceBook }, { clock: clockSpec, crashPoint }: EmbeddedOptions): Promise<Embedded> {
  const parts: Part[] = []
  const log = openLogger({ level: config.log.level, thread: 'main' })
  try {
    return await startParts({ config, priceBook, clockSpec, crashPoint, log, parts })
  } catch (error) {
    await stopParts(parts, log)
    throw error
  }
}

/** Last started, first stopped, but for the path of the data: see where a part is added. */
async function stopParts (parts: Part[], log: Logger): Promise<void> {
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    log.debug({ part: part.name }, 'stopping a part')
    await part.stop()
  }
}

interface Start {
  readonly config: LoadedConfig['config']
  readonly priceBook: PriceBook
  readonly clockSpec: ClockSpec
  readonly crashPoint: CrashPointSpec | undefined
  readonly log: Logger
  readonly parts: Part[]
}

async function startParts ({ config, priceBook, clockSpec, crashPoint, log, parts }: Start): Promise<Embedded> {
  const files = stateFiles(config.state)
  const clock = clockFrom(clockSpec)
  const environment = { logLevel: config.log.level, clock: clockSpec, crashPoint }
  let reportDeath: (death: { readonly name: string, readonly error: Error }) => void = () => {}
  const died = new Promise<{ readonly name: string, readonly error: Error }>((resolve) => { reportDeath = resolve })
  const onDeath = (name: string, error: Error): void => { reportDeath({ name, error }) }
  const sources: OperatorSource[] = [mainSource()]
  let phase: 'starting' | 'serving' | 'stopping' = 'starting'

  const lock = lockState(config.state)
  parts.push({ name: 'state lock', stop: lock.release })
  const operator = await listening(config.operator.listen, openOperatorListener({ ...config.operator.listen, sources: () => sources, phase: () => phase, log }))
  parts.push({ name: 'operator listener', stop: () => { operator.close(); operator.closeAllConnections() } })
  const registry = openSqliteRegistry({ file: files.registry, refusalFile: files.refusals, clock })
  parts.push({ name: 'registry', stop: () => registry.close() })

  // A stop comes back through here, the gateway first: it drains into the journal, the journal into the aggregator. The
  // ledger stops before its source; what it has not read it reads after the next start.
  const hourlyLog = new MessageChannel()
  const journal = await startJournal({ journal: journalOptionsOf(config), workers: workersOf(config), ringBytes: config.journal.ringBytes, environment, onDeath })
  const draining: Part[] = [journal]
  parts.push({ name: 'journal, billing, aggregator', stop: async () => { for (const part of draining) await part.stop() } })
  await awaitPlausibleClock(clock, journal.lastMarkMs, log)
  const aggregator = await startAggregator({ options: aggregatorOptionsOf(config), usageLog: journal.reader, hourlyLogPort: hourlyLog.port1, environment, onDeath })
  draining.push(aggregator)
  const billing = await startBilling({ options: billingOptionsOf(config, priceBook), hourlyLogPort: hourlyLog.port2, environment, onDeath })
  draining.splice(1, 0, billing)
  const gateway = await startGateway({ rules: gatewayRulesOf(config, priceBook), environment, journals: journal.workers, limiterMemory: createLimiterMemory({ keysMax: config.limiter.keysMax }), registryFile: files.registry, onDeath })
  parts.push({ name: 'gateway', stop: gateway.stop })
  for (const thread of [journal, aggregator, billing]) sources.push({ name: thread.name, health: thread.health, metrics: async () => [await thread.metrics()] })
  sources.push({ name: 'gateway', health: gateway.health, metrics: gateway.metrics })

  const handlers = embeddedHandlers({ config, registry, clock, journal, aggregator, billing })
  const control = await openControlServer({ socketFile: files.controlSocket, handlers, log })
  parts.push({ name: 'control socket', stop: control.close })
  phase = 'serving'
  log.info({ version, gateway: config.gateway.listen, billing: config.billing.listen, privateBilling: config.billing.privateListen, operator: config.operator.listen, state: config.state }, 'Tollgate serves')
  return {
    log,
    died,
    command: async (name, argument) => await commandOf(handlers, name)(argument),
    stop: async () => {
      phase = 'stopping'
      await stopParts(parts, log)
    }
  }
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
