// One process of a cluster: gateway, aggregator and billing as far as its roles say, with Kafka between them and Redis for
// keys and limits. Parts of one process know nothing of each other: what joins them is in the topics.
import { MessageChannel } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { startClusterAggregator } from '../aggregator/cluster-start.ts'
import { openFilesForOthers } from '../aggregator/files-for-others.ts'
import { openPeerCopies } from '../aggregator/peer-copies.ts'
import type { ArchivedFiles } from '../aggregator/retention.ts'
import { startClusterBilling } from '../billing/cluster-start.ts'
import type { ControlHandlers } from '../cli/control-server.ts'
import { billHandlers } from '../cli/handlers/bill.ts'
import { gatewayHandlers } from '../cli/handlers/gateway.ts'
import { clusterProofHandlers } from '../cli/handlers/proof.ts'
import { recoverHandlers } from '../cli/handlers/recover.ts'
import { registryHandlers } from '../cli/handlers/registry.ts'
import type { LoadedProgram } from '../config/load.ts'
import type { Role } from '../config/role.ts'
import type { Config } from '../config/schema.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { earliestOpenMs } from '../domain/window.ts'
import { startGateway } from '../gateway/start.ts'
import type { LimiterSpec, RegistrySpec } from '../gateway/options.ts'
import { startJournal } from '../journal/start.ts'
import { startGatewayCount } from '../limiter/gateway-count.ts'
import { createLimiterMemory } from '../limiter/shared-memory.ts'
import { after, clockFrom, every, systemClock } from '../platform/clock.ts'
import { metricJson } from '../platform/metrics.ts'
import { redisOptionsOf } from '../platform/redis.ts'
import { stateFiles } from '../platform/state-files.ts'
import { openRpc } from '../platform/thread-rpc.ts'
import { version } from '../platform/version.ts'
import { startMirror } from '../registry/mirror.ts'
import type { Registry } from '../registry/port.ts'
import { openRedisRegistry } from '../registry/redis.ts'
import { openSqliteRegistry } from '../registry/sqlite.ts'
import { startShipper } from '../shipper/start.ts'
import { awaitPlausibleClock } from './clock-check.ts'
import { fileRoutes } from './file-routes.ts'
import { signingOf } from './handlers.ts'
import { copyOfJournal, copyOfPartitions } from './copies.ts'
import { priceBookSource } from './price-book-source.ts'
import { sourceOf, startProgram } from './program.ts'
import type { Assembly, Program, ProgramOptions } from './program.ts'
import { clusterAggregatorOptionsOf, clusterBillingOptionsOf, peerAddressesOf, shipperOptionsOf } from './cluster-options.ts'
import { kafkaOptionsOf } from '../config/kafka-options.ts'
import { threadReload } from './reload.ts'
import { billingOptionsOf, gatewayRulesOf, journalOptionsOf, workersOf } from './thread-options.ts'
import { startTopicCheck } from './topic-check.ts'

/** Peers that start together with this one are there by then. */
const repairDelayMs = 60_000
/** How long a peer's new disk may go without what the old one held for us. */
const repairPeriodMs = 15 * 60_000

/** @throws what a part can't start with, after everything started before it has stopped again */
export async function startCluster (loaded: LoadedProgram, roles: readonly Role[], options: ProgramOptions): Promise<Program> {
  const { config, priceBook } = loaded
  return await startProgram(loaded, options, async (assembly) => {
    const { inForce, log, parts, sources } = assembly
    const topics = await startTopicCheck(config, `${config.gatewayId}-topics`, log)
    parts.push({ name: 'topic check', stop: topics.stop })
    sources.push(topics.source, priceBookSource(() => inForce().priceBook))
    const handlers: Record<string, ControlHandlers[string]> = {}
    // Who receives is there before who sends, and is stopped after it.
    if (roles.includes('billing')) Object.assign(handlers, await addBilling(assembly, priceBook))
    if (roles.includes('aggregator')) Object.assign(handlers, await addAggregator(assembly))
    if (roles.includes('gateway')) Object.assign(handlers, await addGateway(assembly))
    log.info({ version, roles, operator: config.operator.listen, state: config.state }, 'Tollgate serves')
    return handlers
  })
}

async function addBilling ({ config, environment, onDeath, parts, sources, reloads }: Assembly, priceBook: PriceBook): Promise<ControlHandlers> {
  const billing = await startClusterBilling({ environment, options: clusterBillingOptionsOf(config, priceBook), onDeath })
  parts.push(billing)
  sources.push(sourceOf(billing))
  reloads.push(threadReload([billing], (rules) => billingOptionsOf(rules.config, rules.priceBook).rules))
  return { ...billHandlers(billing), ...clusterProofHandlers(billing), ...gatewayHandlers(billing) }
}

async function addAggregator ({ config, inForce, environment, onDeath, parts, sources, routes, copies, log }: Assembly): Promise<ControlHandlers> {
  const copyPort = startPeerCopies(config, { parts, sources, log })
  const aggregator = await startClusterAggregator({
    options: clusterAggregatorOptionsOf(config), kafka: kafkaOptionsOf(config, `${config.aggregator.name}-aggregator`), environment, onDeath, ...(copyPort === undefined ? {} : { copyPort })
  })
  parts.push(aggregator)
  sources.push(sourceOf(aggregator))
  routes.push(...fileRoutes({ files: openFilesForOthers({ ownerName: config.aggregator.name, stateFolder: config.state, flush: aggregator.flush }), tokens: () => inForce().config.operator.tokens }))
  copies.push(async (folder) => copyOfPartitions(await aggregator.backup(folder)))
  return recoverHandlers(aggregator)
}

/** @returns where the aggregator's thread asks for copies; undefined where one copy is enough */
function startPeerCopies (config: Config, { parts, sources, log }: Pick<Assembly, 'parts' | 'sources' | 'log'>): MessagePort | undefined {
  const { copies } = config.archive
  if (copies < 2) return undefined
  const peers = openPeerCopies({ ownerName: config.aggregator.name, stateFolder: config.state, peers: peerAddressesOf(config.archive.peers), copies, monotonicMs: systemClock.monotonicMs, log })
  const { port1, port2 } = new MessageChannel()
  openRpc(port1, { archived: (files: ArchivedFiles) => peers.bring(files) })
  const repair = (): void => { peers.repair().catch((error: unknown) => { log.warn({ error }, 'what copies peers have lost could not be found out; it is tried again') }) }
  const timers = [after(repairDelayMs, repair, { isReferenced: false }), every(repairPeriodMs, repair)]
  parts.push({ name: 'copies for peers', stop: () => { for (const timer of timers) timer.cancel(); port1.close(); peers.close() } })
  sources.push({
    name: 'copies for peers',
    health: async () => ({ isReady: true, reasons: [] }),
    metrics: async () => {
      const { brought, failures } = peers.counts()
      return [[metricJson('tollgate_archive_copies_total', [{ value: brought }]), metricJson('tollgate_archive_copy_failures_total', [{ value: failures }])]]
    }
  })
  return port2
}

async function addGateway (assembly: Assembly): Promise<ControlHandlers> {
  const { config, inForce, log, environment, onDeath, parts, sources, reloads, copies } = assembly
  const clock = clockFrom(environment.clock)
  const keys = await openKeys(assembly)
  const journal = await startJournal({ journal: journalOptionsOf(config, config.usageLog.partitions), workers: workersOf(config), ringBytes: config.journal.ringBytes, environment, onDeath })
  sources.push(sourceOf(journal))
  // The journal's last frame says that its stream has ended; the shipper, which stops after it, takes that along.
  const draining: { readonly stop: () => Promise<void> }[] = [journal]
  parts.push({ name: 'journal, shipper', stop: async () => { for (const part of draining) await part.stop() } })
  await awaitPlausibleClock(clock, journal.lastMarkMs, log)
  const shipper = await startShipper({
    options: shipperOptionsOf(config), journal: journal.reader, environment, onDeath, onStarted: (thread) => { sources.push(sourceOf(thread)) }
  })
  draining.push(shipper)
  // A new gateway's clock may be behind: none of its requests falls into an hour that was complete before its hello.
  if (shipper.heardMs !== undefined) await journal.rpc.ask('startAt', earliestOpenMs(shipper.heardMs, config.completeness.graceMs))
  const gateway = await startGateway({ rules: gatewayRulesOf(inForce()), environment, journals: journal.workers, limiter: keys.limiter, registry: keys.workersRegistry, onDeath })
  parts.push({ name: 'gateway', stop: gateway.stop })
  sources.push({ name: 'gateway', health: gateway.health, metrics: gateway.metrics })
  reloads.push(threadReload(gateway.threads, gatewayRulesOf))
  copies.push(async (folder) => await copyOfJournal(journal.reader, folder, config.gatewayId))
  return registryHandlers({ registry: keys.registry, ...signingOf(inForce), clock })
}

interface Keys { readonly registry: Registry, readonly workersRegistry: RegistrySpec, readonly limiter: LimiterSpec }

/** Members, keys and limits: of this gateway alone, or of all gateways, in Redis. */
async function openKeys ({ config, log, environment, parts, sources }: Assembly): Promise<Keys> {
  const files = stateFiles(config.state)
  const clock = clockFrom(environment.clock)
  const memory = createLimiterMemory({ keysMax: config.limiter.keysMax })
  if (config.redis === undefined) {
    const registry = openSqliteRegistry({ file: files.registry, refusalFile: files.refusals, clock })
    parts.push({ name: 'registry', stop: () => registry.close() })
    return { registry, workersRegistry: { file: files.registry }, limiter: { kind: 'shared-memory', memory } }
  }
  const redis = redisOptionsOf(config.redis)
  const mirror = await startMirror({ redis, file: files.registry, refusalFile: files.refusals, stalenessMsMax: config.registry.stalenessMsMax, clock, log })
  parts.push(mirror)
  sources.push({ name: mirror.name, health: mirror.health, metrics: async () => [await mirror.metrics()] })
  const registry = await openRedisRegistry({ redis, clock, onChange: mirror.poke }, { isLazy: true })
  parts.push({ name: 'registry', stop: () => registry.close() })
  const gatewayCount = startGatewayCount({ redis, gatewayId: config.gatewayId, file: files.gatewayCount, log })
  parts.push({ name: 'gateway count', stop: gatewayCount.stop })
  sources.push({ name: 'gateway count', health: async () => ({ isReady: true, reasons: [] }), metrics: async () => [gatewayCount.metrics()] })
  return {
    registry,
    workersRegistry: { file: files.registry, staleness: mirror.staleness },
    limiter: { kind: 'redis', memory, redis, budgetMs: config.limiter.budgetMs, gatewayCount: gatewayCount.memory }
  }
}
