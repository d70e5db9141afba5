// The demo as a cluster: Kafka and Redis, and two machines with three processes each - a gateway, an aggregator and a
// billing server - all on loopback. Everything is made anew at each start.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createWriteStream, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startKafka } from '../test/services/kafka.ts'
import { startRedis } from '../test/services/redis.ts'
import { startElastic } from './elastic.ts'
import { awaitReady, commandLineOf, limitsOf, mainArguments, prices, runCommand, today, writeSecrets } from './program.ts'
import type { CommandResult, DemoProgram } from './program.ts'

const roles = ['gateway', 'aggregator', 'billing'] as const
type Role = typeof roles[number]
const machines = ['a', 'b'] as const
type Machine = typeof machines[number]

/** Ports of a machine, from its first one on; those of the second machine are ten further. */
const portOf = { gateway: 0, billing: 1, privateBilling: 2, gatewayOperator: 4, aggregatorOperator: 5, billingOperator: 6 } as const
const kafkaPorts = 30
const redisPort = 40
const elasticPort = 42

export interface ClusterOptions { readonly folder: string, readonly port: number, readonly isUnlimited: boolean, readonly isElastic: boolean, readonly say: (text: string) => void }

const firstPort = (options: ClusterOptions, machine: Machine): number => options.port + machines.indexOf(machine) * 10

function configuration (options: ClusterOptions, machine: Machine, brokers: readonly string[]): string {
  const port = firstPort(options, machine)
  const other = firstPort(options, machine === 'a' ? 'b' : 'a')
  return `state: ./state
gatewayId: demo-${machine}
kafka: { brokers: [${brokers.map((broker) => JSON.stringify(broker)).join(', ')}], replicationFactor: 1, minInsyncReplicas: 1 }
redis: { host: 127.0.0.1, port: ${options.port + redisPort} }
usageLog: { partitions: 4 }
gateway:
  listen: { host: 127.0.0.1, port: ${port} }
  upstreams:
    location: { url: "http://127.0.0.1:${options.port + 3}" }
  routes:
    - { id: location, path: "/api/v1/location/**", upstream: location }
auth:
  secrets: [{ kid: demo, secretFile: api.secret }]
grades:
${limitsOf(options.isUnlimited)}
aggregator: { name: demo-${machine} }
aggregators:
${machines.map((each) => `  - { url: "http://127.0.0.1:${firstPort(options, each) + portOf.aggregatorOperator}", tokenFile: operator.token }`).join('\n')}
archive: { peers: [{ url: "http://127.0.0.1:${other + portOf.aggregatorOperator}", tokenFile: operator.token }] }
billing:
  listen: { host: 127.0.0.1, port: ${port + portOf.billing} }
  privateListen: { host: 127.0.0.1, port: ${port + portOf.privateBilling} }
  priceBookFile: prices.yaml
  memberSecretFile: member.secret
  operatorTokens: [{ name: demo, tokenFile: operator.token }]
operator:
  tokens: [{ name: demo, tokenFile: operator.token }]
`
}

function operatorPort (options: ClusterOptions, machine: Machine, role: Role): number { return firstPort(options, machine) + portOf[`${role}Operator`] }

interface RoleProcess { readonly name: string, readonly child: ChildProcess, readonly ended: Promise<void>, readonly ready: () => Promise<void> }

function startRole (options: ClusterOptions, machine: Machine, role: Role): RoleProcess {
  const folder = path.join(options.folder, machine)
  const logFile = path.join(folder, `${role}.log`)
  const log = createWriteStream(logFile)
  const port = operatorPort(options, machine, role)
  const child = spawn(process.execPath, [...mainArguments, 'run', '--role', role, '--config', path.join(folder, 'tollgate.yaml')], {
    stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, TOLLGATE_OPERATOR__LISTEN__PORT: String(port) }
  })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  let hasEnded = false
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { hasEnded = true; resolve() }) })
  return { name: `${role} ${machine}`, child, ended, ready: () => awaitReady(`http://127.0.0.1:${port}/readyz`, () => hasEnded, logFile) }
}

/** Kafka, Redis, topics, then the six processes. */
export async function startCluster (options: ClusterOptions): Promise<DemoProgram> {
  rmSync(options.folder, { recursive: true, force: true })
  const closing: (() => Promise<void>)[] = []
  const close = async (): Promise<void> => { for (const end of closing.reverse()) await end() }
  try {
    options.say('Starting Kafka (one broker) and Redis; the first run fetches Kafka, 45 MB')
    const kafka = await startKafka(undefined, { folder: path.join(options.folder, 'kafka'), basePort: options.port + kafkaPorts })
    closing.push(kafka.close)
    const redis = await startRedis({ after: () => {} }, { port: options.port + redisPort })
    closing.push(redis.stop)
    for (const machine of machines) writeMachine(options, machine, kafka.brokers)
    const first = path.join(options.folder, 'a')
    const configFile = path.join(first, 'tollgate.yaml')
    options.say('Creating the topics')
    must(await runCommand(configFile, ['topics', 'create']))
    options.say('Starting two gateways, two aggregators, two billing servers')
    const processes = machines.flatMap((machine) => roles.map((role) => startRole(options, machine, role)))
    closing.push(async () => { for (const role of roles) await stopRoles(processes.filter(({ name }) => name.startsWith(role))) })
    for (const process of processes) await process.ready()
    const program = programOf(options, configFile, close)
    if (!options.isElastic) return program
    options.say('Starting Elasticsearch and rsyslog; the first run fetches Elasticsearch, 107 MB')
    const elastic = await startElastic({ folder: options.folder, port: options.port + elasticPort, brokers: kafka.brokers })
    closing.push(elastic.stop)
    return { ...program, elastic }
  } catch (error) {
    await close()
    throw error
  }
}

/** The gateways first: what they have answered still has a way to go. */
async function stopRoles (processes: readonly RoleProcess[]): Promise<void> {
  for (const { child } of processes) child.kill('SIGTERM')
  await Promise.all(processes.map(({ ended }) => ended))
}

function writeMachine (options: ClusterOptions, machine: Machine, brokers: readonly string[]): void {
  const folder = path.join(options.folder, machine)
  mkdirSync(folder, { recursive: true })
  writeSecrets(folder, machine === 'a' ? undefined : path.join(options.folder, 'a'))
  writeFileSync(path.join(folder, 'prices.yaml'), prices)
  writeFileSync(path.join(folder, 'tollgate.yaml'), configuration(options, machine, brokers))
}

function programOf (options: ClusterOptions, configFile: string, close: () => Promise<void>): DemoProgram {
  const url = (port: number): string => `http://127.0.0.1:${port}`
  return {
    isUnlimited: options.isUnlimited,
    urls: {
      gateways: machines.map((machine) => url(firstPort(options, machine) + portOf.gateway)),
      billing: url(firstPort(options, 'a') + portOf.billing),
      operator: url(operatorPort(options, 'a', 'gateway'))
    },
    command: (argv) => runCommand(configFile, argv),
    commandLine: (argv) => commandLineOf(configFile, argv),
    today,
    stop: close
  }
}

function must ({ code, stdout, stderr }: CommandResult): void {
  if (code !== 0) throw new Error(`a command failed: ${stderr}${stdout}`)
}
