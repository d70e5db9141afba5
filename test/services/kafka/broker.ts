// One broker: its settings, its data folder, its process. The kernel kills the process when the thread that started it
// ends, however it ends (setpriv --pdeathsig): a broken test leaves no Java behind.
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, open, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { eventually } from '../../helpers/eventually.ts'
import { pauseProcess } from '../../helpers/pause-process.ts'
import type { Certificates } from './certificates.ts'

/** What a formatted folder holds beside its names. */
export const checkpointName = '__cluster_metadata-0/00000000000000000000-0000000000.checkpoint'
const clusterId = 'tollgateC0000000000000'

export interface BrokerSetup {
  /** From 1. */
  readonly nodeId: number
  readonly nodes: number
  readonly basePort: number
  /** Of the whole cluster. */
  readonly folder: string
  readonly classPath: string
  /** Of its own, such as where its classes are kept ready to use. */
  readonly javaOptions: readonly string[]
  /** Another broker's checkpoint: without a user of their own, folders differ in their names alone, and Kafka's tool for it takes a second. */
  readonly template?: string
  readonly certificates?: Certificates
  readonly users?: readonly KafkaUser[]
  /** Lines of server.properties that stand behind all others. */
  readonly settings: Readonly<Record<string, string>>
  readonly links?: readonly BrokerLink[]
}

export interface KafkaUser { readonly username: string, readonly password: string }

/** A way to the brokers of a client's own: a listener that names another port than its own, such as a proxy's. */
export interface BrokerLink {
  /** Capital letters and digits. */
  readonly name: string
  readonly listenPort: (nodeId: number) => number
  readonly advertisedPort: (nodeId: number) => number
}

export interface Broker {
  readonly nodeId: number
  /** host:port for clients. */
  readonly address: string
  /** host:port of the brokers among themselves: without TLS and users. */
  readonly plainAddress: string
  /** Partitions as folders. */
  readonly dataFolder: string
  readonly logFile: string
  readonly isRunning: () => boolean
  /** Resolves when it serves. */
  readonly start: () => Promise<void>
  /** In order, with a clean shutdown. */
  readonly stop: () => Promise<void>
  readonly kill: () => Promise<void>
  readonly pause: () => void
  readonly resume: () => void
}

export function openBroker (setup: BrokerSetup): Broker {
  const { nodeId, folder } = setup
  const logFile = path.join(folder, `broker-${nodeId}.log`)
  const dataFolder = path.join(folder, `broker-${nodeId}`)
  let child: ChildProcess | undefined
  let exited: Promise<unknown> = Promise.resolve()

  const start = async (): Promise<void> => {
    if (!existsSync(dataFolder)) await format(setup, dataFolder)
    const log = await open(logFile, 'w')
    const started = spawn('setpriv', ['--pdeathsig', 'KILL', 'java', ...javaOptions, ...setup.javaOptions, '-cp', setup.classPath, 'kafka.Kafka', propertiesFile(setup)], { stdio: ['ignore', log.fd, log.fd], cwd: folder })
    exited = new Promise((resolve) => { started.once('exit', resolve); started.once('error', resolve) })
    child = started
    started.unref()
    await log.close()
    await eventually(`broker ${nodeId} starts`, async () => {
      const text = await readFile(logFile, 'utf8')
      if (started.exitCode !== null || started.signalCode !== null) throw new Error(`it has ended: ${text.slice(-1_000)}`)
      return text.includes('Kafka Server started')
    }, { withinMs: 120_000, everyMs: 50 })
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    // A broker alone keeps no test alive, but waiting for its end does.
    child?.ref()
    child?.kill(signal)
    // A stopped process gets only SIGKILL.
    if (signal !== 'SIGKILL') child?.kill('SIGCONT')
    await exited
    child = undefined
  }
  return {
    nodeId,
    address: `127.0.0.1:${setup.basePort + nodeId}`,
    plainAddress: `127.0.0.1:${setup.basePort + 6 + nodeId}`,
    dataFolder,
    logFile,
    isRunning: () => child?.exitCode === null && child.signalCode === null,
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => { if (child?.pid !== undefined) pauseProcess(child.pid) },
    resume: () => { child?.kill('SIGCONT') }
  }
}

const javaOptions = ['-Xms128m', '-Xmx256m', '-XX:+UseSerialGC', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.log.kafka.server=info', '-Dorg.slf4j.simpleLogger.showDateTime=true']

function propertiesFile ({ folder, nodeId }: BrokerSetup): string { return path.join(folder, `broker-${nodeId}.properties`) }

async function format (setup: BrokerSetup, dataFolder: string): Promise<void> {
  await writeFile(propertiesFile(setup), `${Object.entries({ ...properties(setup, dataFolder), ...setup.settings }).map(([name, value]) => `${name}=${value}`).join('\n')}\n`)
  const { users = [], template } = setup
  if (users.length === 0 && template !== undefined) {
    await mkdir(path.join(dataFolder, path.dirname(checkpointName)), { recursive: true })
    await copyFile(template, path.join(dataFolder, checkpointName))
    await writeFile(path.join(dataFolder, 'meta.properties'), `version=1\ncluster.id=${clusterId}\nnode.id=${setup.nodeId}\ndirectory.id=${randomBytes(16).toString('base64url')}\n`)
    return
  }
  const scram = users.flatMap(({ username, password }) => ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => ['--add-scram', `${mechanism}=[name=${username},password=${password}]`]))
  await promisify(execFile)('java', ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', setup.classPath, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', propertiesFile(setup), ...scram])
}

function properties (setup: BrokerSetup, dataFolder: string): Record<string, string> {
  const { nodeId, nodes, basePort } = setup
  const all = Array.from({ length: nodes }, (_, index) => index + 1)
  const copies = String(nodes)
  const inSync = nodes > 1 ? '2' : '1'
  return {
    'process.roles': 'broker,controller',
    'node.id': String(nodeId),
    'controller.quorum.voters': all.map((id) => `${id}@127.0.0.1:${basePort + 3 + id}`).join(','),
    listeners: `CLIENT://127.0.0.1:${basePort + nodeId},CONTROLLER://127.0.0.1:${basePort + 3 + nodeId},INTERNAL://127.0.0.1:${basePort + 6 + nodeId}`,
    'listener.security.protocol.map': `CLIENT:${protocol(setup)},CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT`,
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': dataFolder,
    'default.replication.factor': copies,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': '3',
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '3',
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': inSync,
    'share.coordinator.state.topic.num.partitions': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'auto.create.topics.enable': 'false',
    'unclean.leader.election.enable': 'false',
    // A dead leader is replaced after 3 s instead of 9.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'num.network.threads': '2',
    'num.io.threads': '2',
    'background.threads': '2',
    'log.cleaner.dedupe.buffer.size': '2097152',
    ...security(setup),
    ...linked(setup)
  }
}

/** Who comes over a link is told the link's ports of all brokers. */
function linked (setup: BrokerSetup): Record<string, string> {
  const { nodeId, basePort, links = [] } = setup
  if (links.length === 0) return {}
  const own = { CLIENT: basePort + nodeId, INTERNAL: basePort + 6 + nodeId }
  const address = ([name, port]: readonly [string, number]): string => `${name}://127.0.0.1:${port}`
  return {
    listeners: [...Object.entries({ ...own, CONTROLLER: basePort + 3 + nodeId }), ...links.map(({ name, listenPort }) => [name, listenPort(nodeId)] as const)].map(address).join(','),
    'advertised.listeners': [...Object.entries(own), ...links.map(({ name, advertisedPort }) => [name, advertisedPort(nodeId)] as const)].map(address).join(','),
    'listener.security.protocol.map': [`CLIENT:${protocol(setup)}`, 'CONTROLLER:PLAINTEXT', 'INTERNAL:PLAINTEXT', ...links.map(({ name }) => `${name}:PLAINTEXT`)].join(',')
  }
}

function protocol ({ certificates, users }: BrokerSetup): string {
  return users === undefined ? (certificates === undefined ? 'PLAINTEXT' : 'SSL') : (certificates === undefined ? 'SASL_PLAINTEXT' : 'SASL_SSL')
}

function security ({ certificates, users }: BrokerSetup): Record<string, string> {
  const line = (pem: string): string => pem.trim().replaceAll('\n', ' \\\n')
  return {
    ...(certificates === undefined ? {} : { 'ssl.keystore.type': 'PEM', 'ssl.keystore.certificate.chain': line(certificates.certificate), 'ssl.keystore.key': line(certificates.key) }),
    ...(users === undefined
      ? {}
      : {
          'sasl.enabled.mechanisms': 'SCRAM-SHA-256,SCRAM-SHA-512',
          'listener.name.client.scram-sha-256.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;',
          'listener.name.client.scram-sha-512.sasl.jaas.config': 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
        })
  }
}
