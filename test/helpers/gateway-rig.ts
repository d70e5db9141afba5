// A real gateway, its worker threads and its shared memory, with the journal's side in the test's hands: a ticket settles or
// fails when the test says so.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import type { GatewayConfig, RouteConfig, UpstreamConfig } from '../../src/config/schema.ts'
import { signApiKeyToken } from '../../src/domain/api-key.ts'
import type { ApiKeyClaims } from '../../src/domain/api-key.ts'
import { eventBytesMax } from '../../src/domain/usage-event.ts'
import type { GatewayRules, LimiterSpec } from '../../src/gateway/options.ts'
import { startGateway } from '../../src/gateway/start.ts'
import type { GatewayHandle } from '../../src/gateway/start.ts'
import { AnsweredReader, createAnsweredMemory } from '../../src/journal/answered.ts'
import { JournalState } from '../../src/journal/memory.ts'
import { Ring } from '../../src/journal/ring.ts'
import type { RingEntry } from '../../src/journal/ring.ts'
import type { JournalWorkerSpec } from '../../src/journal/worker-side.ts'
import { createLimiterMemory } from '../../src/limiter/shared-memory.ts'
import type { RateLimit } from '../../src/limiter/port.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Registry } from '../../src/registry/port.ts'
import { openSqliteRegistry } from '../../src/registry/sqlite.ts'
import { eventually } from './eventually.ts'
import { UpstreamSample } from './upstream-sample.ts'

export const rigSecret = { kid: 'one', secret: 'a-secret-of-the-tests-with-enough-characters' }
const ringBytes = 1024 * 1024
const hourMs = 3_600_000

export interface OfferedEvent {
  readonly worker: number
  readonly ticket: number
  readonly isRefusal: boolean
  readonly partition: number
  readonly hour: number
  readonly event: Readonly<Record<string, unknown>>
}

/** The journal's thread, done by hand: nothing settles until it is told to. */
export class HandJournal {
  readonly state = new JournalState(JournalState.create())
  readonly offered: OfferedEvent[] = []
  readonly specs: JournalWorkerSpec[]
  readonly #rings: Ring[]
  readonly #ports: MessagePort[]
  readonly #answered: AnsweredReader
  readonly #tickets: number[]
  #answeredCount = 0
  #countedOnlyCount = 0
  #timer: NodeJS.Timeout | undefined

  constructor ({ workers, ack, partitions }: { readonly workers: number, readonly ack: 'durable' | 'buffered', readonly partitions: number }) {
    const state = JournalState.create()
    this.state = new JournalState(state)
    this.state.admission = 'open'
    this.state.isRefusalRoom = true
    const channels = Array.from({ length: workers }, () => new MessageChannel())
    const rings = channels.map(() => Ring.create(ringBytes))
    const answered = channels.map(() => createAnsweredMemory())
    this.#rings = rings.map((memory) => new Ring(memory))
    this.#ports = channels.map(({ port1 }) => port1)
    this.#answered = new AnsweredReader(answered)
    this.#tickets = rings.map(() => 0)
    this.specs = channels.map(({ port2 }, index) => ({ state, ring: rings[index] as SharedArrayBuffer, answered: answered[index] as SharedArrayBuffer, wakePort: port2, ack, eventBytesMax, partitions }))
  }

  /** Everything offered so far. */
  look (): readonly OfferedEvent[] {
    for (const [worker, ring] of this.#rings.entries()) {
      const entry: RingEntry = { offset: 0, bytes: 0, partition: 0, hour: 0, isRefusal: false }
      while (!ring.isEmpty) {
        const next = ring.take(ring.read, entry)
        const text = ring.data.toString('utf8', entry.offset, entry.offset + entry.bytes)
        const ticket = this.#tickets[worker] = (this.#tickets[worker] as number) + 1
        this.offered.push({ worker, ticket, isRefusal: entry.isRefusal, partition: entry.partition, hour: entry.hour, event: JSON.parse(`${text}}`) as Record<string, unknown> })
        ring.read = next
      }
    }
    return this.offered
  }

  async events (count: number): Promise<readonly OfferedEvent[]> {
    return await eventually(`${count} events`, () => this.look().length >= count ? this.offered : undefined, { everyMs: 2 })
  }

  /** Settles all that was offered. */
  settle (): void {
    this.look()
    this.#publish()
  }

  #publish (): void {
    for (const [worker, ring] of this.#rings.entries()) {
      ring.settledTicket = this.#tickets[worker] as number
      if (ring.takeWakeWish()) this.#ports[worker]?.postMessage(0)
    }
  }

  /** The workers have acted upon everything that was settled: only then may a commit fail, as with the real journal. */
  get isAcknowledged (): boolean { return this.#rings.every((ring) => ring.acknowledgedTicket === ring.settledTicket) }

  /** The commit of all that was offered and isn't settled fails. @returns those events */
  fail (): readonly OfferedEvent[] {
    this.look()
    const failed = this.offered.filter(({ worker, ticket }) => ticket > (this.#rings[worker] as Ring).settledTicket)
    for (const [worker, ring] of this.#rings.entries()) {
      ring.failedFrom = ring.settledTicket + 1
      ring.failedTo = this.#tickets[worker] as number
    }
    this.#publish()
    return failed
  }

  /** Settles by itself from now on. */
  run (): void {
    clearInterval(this.#timer)
    this.#timer = setInterval(() => { this.settle() }, 1)
  }

  /** What the witness counted, all hours together. */
  counts (): { readonly answered: number, readonly countedOnly: number } {
    this.#answered.takeAnswered((_hour, count) => { this.#answeredCount += count })
    this.#answered.takeCountedOnly((_hour, count) => { this.#countedOnlyCount += count })
    return { answered: this.#answeredCount, countedOnly: this.#countedOnlyCount }
  }

  oldestInFlightMs (worker = 0): number { return (this.#rings[worker] as Ring).oldestInFlightMs }

  close (): void {
    clearInterval(this.#timer)
    for (const port of this.#ports) port.close()
  }
}

export interface RigOptions {
  readonly routes?: readonly (Partial<RouteConfig> & { readonly id: string, readonly path: string })[]
  readonly gateway?: Partial<GatewayConfig>
  readonly upstream?: Partial<UpstreamConfig>
  readonly upstreamTls?: GatewayRules['upstreamTls']
  readonly workers?: number
  readonly ack?: 'durable' | 'buffered'
  readonly partitions?: number
  readonly grades?: Partial<Record<'GRADE_FREE' | 'GRADE_CLASSIC' | 'GRADE_PREMIUM', RateLimit>>
  readonly unknownKeys?: 'accept' | 'reject'
  /** Default: in memory. */
  readonly limiter?: LimiterSpec
  /** Default: settles by itself. */
  readonly isByHand?: boolean
}

export interface Rig {
  readonly port: number
  readonly upstream: UpstreamSample
  readonly journal: HandJournal
  readonly gateway: GatewayHandle
  /** As at the start. */
  readonly rules: GatewayRules
  /** Two steps, as the program makes them: prepared everywhere, then in force everywhere. Certificates are read anew, unless the rules have others than at the start. */
  readonly reload: (rules: GatewayRules) => Promise<void>
  readonly registry: Registry
  readonly registryFile: string
  readonly token: (claims?: Partial<ApiKeyClaims>) => string
  /** Deaths of threads. */
  readonly deaths: string[]
}

const routeDefaults = {
  hosts: [], methods: [], upstream: 'main', isPublic: false, requestedTokens: 1, units: 1, forwardApiKey: false, forwardPreflights: true, trustTraceId: false
} satisfies Partial<RouteConfig>

export const plenty: RateLimit = { ratePerS: 1_000_000, burst: 1_000_000 }

/** @param t whoever ends the rig: a test, or a file of them */
export async function startRig (t: Pick<TestContext, 'after'>, options: RigOptions = {}): Promise<Rig> {
  const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-gateway-'))
  const upstream = await new UpstreamSample().open()
  const journal = new HandJournal({ workers: options.workers ?? 1, ack: options.ack ?? 'durable', partitions: options.partitions ?? 1 })
  const registryFile = path.join(folder, 'registry.sqlite')
  const registry = openSqliteRegistry({ file: registryFile, refusalFile: path.join(folder, 'revocations.ndjson'), clock: systemClock })
  const deaths: string[] = []
  const opened: GatewayHandle[] = []
  t.after(async () => {
    journal.run()
    for (const handle of opened) await handle.stop()
    journal.close()
    upstream.close()
    await registry.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const rules: GatewayRules = {
    gatewayId: 'rig',
    gateway: {
      listen: { host: '127.0.0.1', port: 0 },
      workers: options.workers ?? 1,
      routes: (options.routes ?? [{ id: 'api', path: '/api/**' }, { id: 'open', path: '/open/**', isPublic: true }]).map((route) => ({ ...routeDefaults, ...route })),
      upstreams: { main: { url: upstream.url, otherUrls: [], failuresMax: 3, outMs: 5000, retriesMax: 1, connectTimeoutMs: 2000, responseTimeoutMs: 10_000, idleTimeoutMs: 10_000, keepAliveMs: 4000, connectionsMax: 256, forwardHost: false, ...options.upstream } },
      requestBytesMax: 10 * 1024 * 1024,
      bodiesAheadBytesMax: 64 * 1024 * 1024,
      headerBytesMax: 16 * 1024,
      connectionsMax: 20_000,
      inFlightMax: 4096,
      addressConnectionsMax: 4096,
      addressInFlightMax: 1024,
      clientBytesPerSMin: 1024,
      clientTimeoutMs: 60_000,
      stopTimeoutMs: 2000,
      trustedProxies: [],
      clientIp: 'full',
      ...options.gateway
    },
    certificate: certificateOf(options.gateway?.listen?.tls),
    upstreamTls: options.upstreamTls ?? {},
    authentication: { secrets: [rigSecret], tokenCacheMax: 1000, unknownKeys: options.unknownKeys ?? 'accept' },
    grades: { GRADE_FREE: plenty, GRADE_CLASSIC: plenty, GRADE_PREMIUM: plenty, ...options.grades },
    priceBook: { currency: 'KRW', groups: [{ id: 1, name: 'all', prices: [{ cost: '3' }] }], endpoints: [{ id: 11, group: 1, method: 'GET', path: '/api/things/{thing}' }] }
  }
  const gateway = await startGateway({
    rules,
    environment: { logLevel: 'error', clock: { kind: 'system' }, crashPoint: undefined },
    journals: journal.specs,
    limiter: options.limiter ?? { kind: 'shared-memory', memory: createLimiterMemory({ keysMax: 1000 }) },
    registry: { file: registryFile },
    onDeath: (name, error) => { deaths.push(`${name}: ${error.message}`) }
  })
  if (options.isByHand !== true) journal.run()
  opened.push(gateway)
  const token = (claims: Partial<ApiKeyClaims> = {}): string => signApiKeyToken({ apiKeyId: 7, memberId: 3, grade: 'GRADE_FREE', iatS: Math.floor(Date.now() / 1000) - 10, ...claims }, rigSecret)
  const askAll = async (method: string, argument?: unknown): Promise<void> => { await Promise.all(gateway.threads.map(({ rpc }) => rpc.ask(method, argument))) }
  const reload = async (next: GatewayRules): Promise<void> => {
    await askAll('prepare', { ...next, certificate: next.certificate === rules.certificate ? certificateOf(next.gateway.listen.tls) : next.certificate })
    await askAll('commit')
  }
  return { port: gateway.port, upstream, journal, gateway, rules, reload, registry, registryFile, token, deaths }
}

/** As the configuration reads it: once, for whoever serves by it. */
function certificateOf (tls: GatewayConfig['listen']['tls']): GatewayRules['certificate'] {
  const read = (file: string): string => readFileSync(file, 'utf8')
  return tls === undefined ? undefined : { certificate: read(tls.certificateFile), key: read(tls.keyFile), clientCa: tls.clientCaFile === undefined ? undefined : read(tls.clientCaFile) }
}

export function hourNow (): number { return Math.floor(Date.now() / hourMs) }
