// A cluster of real processes: Kafka, Redis, and any number of gateways, aggregators and billing servers, each with a
// folder, a configuration and ports of its own, started, stopped, killed and paused one by one.
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { RunningKafka } from '../services/kafka.ts'
import type { RedisServer } from '../services/redis.ts'
import { eventually } from './eventually.ts'
import { freePorts } from './free-ports.ts'
import { pauseProcess } from './pause-process.ts'
import { defaultPrices, runCommand, startProgram } from './program.ts'
import type { CommandResult, Program } from './program.ts'

export type NodeRole = 'gateway' | 'aggregator' | 'billing'

export interface ClusterSetup {
  readonly folder: string
  readonly kafka: RunningKafka
  readonly redis: RedisServer | undefined
  readonly gateways: number
  readonly aggregators: number
  readonly billings: number
  /** Raised while a cluster runs: then the files are written again, and `tollgate topics create` is run. */
  partitions: number
  /** So that several clusters can share a Kafka. */
  readonly topicPrefix?: string
  readonly upstreamUrl: string
  /** Brokers as one node sees them, such as through a proxy; the real ones where it isn't said. */
  readonly brokersOf?: (name: string) => readonly string[]
  readonly redisPortOf?: (name: string) => number
  /** Where a node finds an aggregator's listener for operators. */
  readonly aggregatorPortOf?: (name: string, aggregator: string) => number
  /** True where Kafka has a user for each role, of the role's name. */
  readonly hasKafkaUsers?: boolean
  /** YAML lines for every node. */
  readonly extra?: string
}

const secrets = {
  'api.secret': 'test-secret-of-more-than-32-characters',
  'member.secret': 'member-secret-of-more-than-32-characters',
  'operator.token': 'operator-token-of-more-than-32-characters'
} as const
export const operatorToken = secrets['operator.token']

export class ClusterNode {
  readonly name: string
  readonly role: NodeRole
  readonly folder: string
  /** Gateway or billing port, where the role has one. */
  readonly port: number
  readonly privatePort: number
  readonly operatorPort: number
  /** Of the listener that its role doesn't have. */
  readonly unusedPort: number
  /** Variables of its environment at each start. */
  environment: Readonly<Record<string, string>> = {}
  /** Set while it runs. */
  program: Program | undefined

  constructor (name: string, role: NodeRole, folder: string, ports: readonly number[]) {
    this.name = name
    this.role = role
    this.folder = folder
    ;[this.port, this.privatePort, this.operatorPort, this.unusedPort] = ports as [number, number, number, number]
  }

  get configFile (): string { return path.join(this.folder, 'tollgate.yaml') }
  get logFile (): string { return path.join(this.folder, 'program.log') }
  /** Where its role keeps its files. */
  get state (): string { return path.join(this.folder, 'state', `role-${this.role}`) }

  async start (options: { readonly env?: Readonly<Record<string, string>>, readonly isReadyAwaited?: boolean } = {}): Promise<void> {
    const { folder, configFile, logFile } = this
    this.program = await startProgram({ folder, configFile, logFile, ports: { operator: this.operatorPort } }, {
      ...options, env: { ...this.environment, ...options.env }, argv: ['run', '--role', this.role, '--config', configFile]
    })
  }

  async kill (): Promise<void> {
    await this.program?.kill()
    this.program = undefined
  }

  /** @returns the exit code */
  async stop (): Promise<number | string | undefined> {
    const end = await this.program?.stop()
    this.program = undefined
    return end
  }

  pause (): void { if (this.program?.process.pid !== undefined) pauseProcess(this.program.process.pid) }
  resume (): void { this.program?.process.kill('SIGCONT') }

  async command (argv: readonly string[]): Promise<CommandResult> { return await runCommand(this, argv, { timeoutMs: 600_000 }) }

  async readiness (): Promise<{ readonly isReady: boolean, readonly text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.operatorPort}/readyz`, { signal: AbortSignal.timeout(5_000) })
    return { isReady: response.status === 200, text: await response.text() }
  }

  async ready (withinMs = 60_000): Promise<void> {
    let last = ''
    await eventually(`${this.name} is ready (log: ${this.logFile})`, async () => {
      const { isReady, text } = await this.readiness()
      last = text
      return isReady
    }, { withinMs, everyMs: 100 }).catch((error: unknown) => { throw new Error(`${(error as Error).message}; it says ${last}`) })
  }
}

export interface Cluster {
  readonly setup: ClusterSetup
  readonly gateways: readonly ClusterNode[]
  readonly aggregators: readonly ClusterNode[]
  readonly billings: readonly ClusterNode[]
  readonly nodes: readonly ClusterNode[]
  /** What every node says of itself, for a failure's message. */
  readonly describe: () => Promise<string>
  readonly stopAll: () => Promise<void>
  readonly killAll: () => Promise<void>
}

const portsPerNode = 4

/** Writes every node's files and makes the topics; starts nothing. */
export async function makeCluster (setup: ClusterSetup): Promise<Cluster> {
  // All at once: a port that was given back may be given away again.
  const ports = [...await freePorts(portsPerNode * (setup.gateways + setup.aggregators + setup.billings))]
  const make = (role: NodeRole, count: number): ClusterNode[] => Array.from({ length: count }, (_, index) => {
    const name = `${role}-${index + 1}`
    return new ClusterNode(name, role, path.join(setup.folder, name), ports.splice(0, portsPerNode))
  })
  const [gateways, aggregators, billings] = [make('gateway', setup.gateways), make('aggregator', setup.aggregators), make('billing', setup.billings)]
  const nodes = [...gateways, ...aggregators, ...billings]
  for (const node of nodes) writeNode(setup, node, aggregators)
  const first = nodes[0] as ClusterNode
  const created = await first.command(['topics', 'create'])
  if (created.code !== 0) throw new Error(`tollgate topics create: ${created.stdout}${created.stderr}`)
  return {
    setup,
    gateways,
    aggregators,
    billings,
    nodes,
    describe: async () => {
      const lines = await Promise.all(nodes.map(async (node) => `${node.name} (${node.logFile}): ${await node.readiness().then(({ text }) => text, (error: unknown) => String(error))}`))
      const [billing] = billings
      return [...lines, billing === undefined ? '' : (await billing.command(['gateway', 'list'])).stdout].join('\n')
    },
    stopAll: async () => { for (const group of [gateways, aggregators, billings]) await Promise.all(group.map((node) => node.stop())) },
    killAll: async () => { await Promise.all(nodes.map((node) => node.kill())) }
  }
}

/** Writes one node's configuration; again after something in the setup has changed. */
export function writeNode (setup: ClusterSetup, node: ClusterNode, aggregators: readonly ClusterNode[]): void {
  const { kafka, redis } = setup
  mkdirSync(node.folder, { recursive: true })
  for (const [name, text] of Object.entries(secrets)) writeFileSync(path.join(node.folder, name), text, { mode: 0o600 })
  writeFileSync(path.join(node.folder, 'prices.yaml'), defaultPrices)
  const brokers = setup.brokersOf?.(node.name) ?? kafka.brokers
  const copies = kafka.brokers.length === 1 ? '{ replicationFactor: 1, minInsyncReplicas: 1, ' : '{ '
  const prefix = setup.topicPrefix === undefined ? '' : `topicPrefix: ${setup.topicPrefix}, `
  const sasl = setup.hasKafkaUsers === true ? kafka.options(node.name, node.role).sasl : undefined
  const user = sasl === undefined ? '' : `sasl: { username: ${sasl.username}, passwordFile: kafka.password }, `
  writeFileSync(path.join(node.folder, 'kafka.password'), sasl?.password ?? '', { mode: 0o600 })
  const files = (others: readonly ClusterNode[]): string => others.map(({ name, operatorPort }) => `{ url: "http://127.0.0.1:${setup.aggregatorPortOf?.(node.name, name) ?? operatorPort}", tokenFile: operator.token }`).join(', ')
  const peers = aggregators.filter(({ name }) => name !== node.name)
  writeFileSync(node.configFile, `state: ./state
gatewayId: ${node.name}
kafka: ${copies}${prefix}${user}brokers: [${brokers.map((broker) => JSON.stringify(broker)).join(', ')}] }
${redis === undefined ? '' : `redis: { host: 127.0.0.1, port: ${setup.redisPortOf?.(node.name) ?? redis.port} }\n`}usageLog: { partitions: ${setup.partitions} }
gateway:
  listen: { host: 127.0.0.1, port: ${node.role === 'billing' ? node.unusedPort : node.port} }
  upstreams:
    main: { url: "${setup.upstreamUrl}" }
  routes:
    - { id: api, path: "/api/**", upstream: main, trustTraceId: true }
auth:
  secrets: [{ kid: one, secretFile: api.secret }]
grades:
  GRADE_FREE: { ratePerS: 1000000, burst: 1000000 }
  GRADE_CLASSIC: { ratePerS: 1000000, burst: 1000000 }
  GRADE_PREMIUM: { ratePerS: 1000000, burst: 1000000 }
aggregators: [${files(aggregators)}]
billing:
  listen: { host: 127.0.0.1, port: ${node.role === 'billing' ? node.port : node.unusedPort} }
  privateListen: { host: 127.0.0.1, port: ${node.privatePort} }
  priceBookFile: prices.yaml
  memberSecretFile: member.secret
  operatorTokens: [{ name: test, tokenFile: operator.token }]
operator:
  listen: { host: 127.0.0.1, port: ${node.operatorPort} }
  tokens: [{ name: test, tokenFile: operator.token }]
${mergedExtra(setup.extra ?? '', node, peers, files)}`)
}

/** `aggregator` and `archive` have keys of each node's own; the setup's lines may add to them. */
function mergedExtra (extra: string, node: ClusterNode, peers: readonly ClusterNode[], files: (nodes: readonly ClusterNode[]) => string): string {
  const own: Record<string, string> = { aggregator: `name: ${node.name}`, archive: peers.length > 0 ? `peers: [${files(peers)}]` : 'copies: 1' }
  const lines = extra.split('\n').filter((line) => line !== '').map((line) => {
    const found = /^(aggregator|archive): \{ (.*) \}$/.exec(line)
    if (found === null) return line
    const text = `${found[1]}: { ${own[found[1] as string]}, ${found[2]} }`
    delete own[found[1] as string]
    return text
  })
  return [...lines, ...Object.entries(own).map(([key, text]) => `${key}: { ${text} }`), ''].join('\n')
}
