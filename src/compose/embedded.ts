// One machine with nothing beside it: all parts in one process, started in the order in which data flows back (who
// receives is there before who sends) and stopped in the order in which it flows.
import { MessageChannel } from 'node:worker_threads'
import type { ControlHandlers } from '../cli/control-server.ts'
import type { LoadedProgram } from '../config/load.ts'
import type { PriceBook } from '../domain/price-book.ts'
import type { AggregatorCopy } from '../aggregator/backup.ts'
import { startAggregator } from '../aggregator/start.ts'
import { startBilling } from '../billing/start.ts'
import { startGateway } from '../gateway/start.ts'
import { startJournal } from '../journal/start.ts'
import { createLimiterMemory } from '../limiter/shared-memory.ts'
import { clockFrom } from '../platform/clock.ts'
import { stateFiles } from '../platform/state-files.ts'
import { version } from '../platform/version.ts'
import { openSqliteRegistry } from '../registry/sqlite.ts'
import { awaitPlausibleClock } from './clock-check.ts'
import { embeddedHandlers } from './handlers.ts'
import { priceBookSource } from './price-book-source.ts'
import { sourceOf, startProgram } from './program.ts'
import { threadReload } from './reload.ts'
import type { Assembly, Part, Program, ProgramOptions } from './program.ts'
import { copyOfAll } from './copies.ts'
import { aggregatorOptionsOf, billingOptionsOf, embeddedPartitions, gatewayRulesOf, journalOptionsOf, workersOf } from './thread-options.ts'

/** @throws what a part can't start with, after everything started before it has stopped again */
export async function startEmbedded (loaded: LoadedProgram, options: ProgramOptions): Promise<Program> {
  return await startProgram(loaded, options, (assembly) => assemble(assembly, loaded.priceBook))
}

async function assemble ({ config, inForce, log, environment, onDeath, parts, sources, reloads, copies }: Assembly, priceBook: PriceBook): Promise<ControlHandlers> {
  const files = stateFiles(config.state)
  const clock = clockFrom(environment.clock)
  const registry = openSqliteRegistry({ file: files.registry, refusalFile: files.refusals, clock })
  parts.push({ name: 'registry', stop: () => registry.close() })

  // A stop comes back through here, the gateway first: it drains into the journal, the journal into the aggregator. The
  // ledger stops before its source; what it has not read it reads after the next start.
  const hourlyLog = new MessageChannel()
  const journal = await startJournal({ journal: journalOptionsOf(config, embeddedPartitions), workers: workersOf(config), ringBytes: config.journal.ringBytes, environment, onDeath })
  const draining: Part[] = [journal]
  parts.push({ name: 'journal, billing, aggregator', stop: async () => { for (const part of draining) await part.stop() } })
  await awaitPlausibleClock(clock, journal.lastMarkMs, log)
  const aggregator = await startAggregator({ options: aggregatorOptionsOf(config), usageLog: journal.reader, hourlyLogPort: hourlyLog.port1, environment, onDeath })
  draining.push(aggregator)
  const billing = await startBilling({ options: billingOptionsOf(config, priceBook), hourlyLogPort: hourlyLog.port2, environment, onDeath })
  draining.splice(1, 0, billing)
  const gateway = await startGateway({ rules: gatewayRulesOf(inForce()), environment, journals: journal.workers, limiter: { kind: 'shared-memory', memory: createLimiterMemory({ keysMax: config.limiter.keysMax }) }, registry: { file: files.registry }, onDeath })
  parts.push({ name: 'gateway', stop: gateway.stop })
  for (const thread of [journal, aggregator, billing]) sources.push(sourceOf(thread))
  sources.push({ name: 'gateway', health: gateway.health, metrics: gateway.metrics }, priceBookSource(() => inForce().priceBook))
  log.info({ version, gateway: config.gateway.listen, billing: config.billing.listen, privateBilling: config.billing.privateListen, operator: config.operator.listen, state: config.state }, 'Tollgate serves')
  // Who reads usage knows a price before who writes it, and a gateway knows a secret before anything is signed with it.
  reloads.push(threadReload([billing], (rules) => billingOptionsOf(rules.config, rules.priceBook).rules), threadReload(gateway.threads, gatewayRulesOf))
  copies.push(async (folder) => copyOfAll(await aggregator.rpc.ask<AggregatorCopy>('backup', { folder }), config.gatewayId))
  return embeddedHandlers({ inForce, registry, clock, journal, aggregator, billing })
}
