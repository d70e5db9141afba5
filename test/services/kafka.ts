// A real Kafka for tests and the demo: Apache Kafka 4.4 (KRaft, brokers that are controllers too) on loopback.
//
//   const kafka = await startKafka(t)                        one broker; ends with the test
//   const kafka = await startKafka(t, { brokers: 3 })        three; topics get 3 copies, 2 in sync
//   const kafka = await startKafka(t, { tls: true, sasl: true })
//   const kafka = await startKafka(t, { sasl: true, otherUsers: ['gateway'] })   who may do nothing until a test allows it
//   const kafka = await startKafka(undefined, { basePort })  outside of a test: call kafka.close() at the end
//
//   kafka.options('gateway-1')           what the program's own Kafka layer wants (KafkaOptions), with TLS and SASL
//   kafka.brokers                        ['127.0.0.1:28001', ...]; broker i is the i-th, from 1, and Kafka's node id is i
//   kafka.user, kafka.certificates       for a configuration file, where asked for
//   await kafka.kill(1), stop(1), start(1); kafka.pause(1), resume(1); await kafka.killAll(), startAll()
//   await kafka.cutLogs('orders-0', 0.8) brokers are down: each forgets the last fifth of the partition's log, as after a
//                                        power cut that came before the page cache reached the disk
//   await kafka.makeTopics(specs)        TopicSpec of src/kafka/port.ts; an independent client makes them
//   uniquePrefix()                       'test-1f3a9c-', for topic names of a test that shares a Kafka
//
// A broker takes 3 to 8 s to start and 250 MB; share one among the tests of a file (startKafka(undefined) in `before`, or
// at the top of a file: `const kafka = await startKafka(undefined)`, `after(() => kafka.close())`).
// The first use ever fetches the jars (jars.ts). Java 17, Maven, openssl and util-linux (setpriv, flock) are needed.
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'
import type { Kafka, KafkaConfig } from 'kafkajs'
import { eventually } from '../helpers/eventually.ts'
import type { KafkaOptions, TopicSpec } from '../../src/kafka/port.ts'
import { openBroker } from './kafka/broker.ts'
import type { Broker, BrokerLink, KafkaUser } from './kafka/broker.ts'
import { makeCertificates } from './kafka/certificates.ts'
import type { Certificates } from './kafka/certificates.ts'
import { cutPartition } from './kafka/cut.ts'
import { kafkaJars } from './kafka/jars.ts'
import { holdPorts } from './kafka/ports.ts'
import { prepareKafka } from './kafka/prepare.ts'

const { CompressionCodecs, CompressionTypes, logLevel } = kafkajs
// kafkajs leaves all but gzip to its users.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async ({ buffer }: { readonly buffer: Buffer }) => zstdCompressSync(buffer),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer)
})

export interface KafkaSetup {
  readonly brokers?: 1 | 3
  /** Ten ports from here on are ours; left out: any that are free. */
  readonly basePort?: number
  readonly tls?: boolean
  readonly sasl?: boolean
  /** With `sasl`: more users. Brokers have an authorizer then, and only the first user may do everything. */
  readonly otherUsers?: readonly string[]
  /** Left out: a temporary one, removed at the end. One that holds a cluster already is started as it is. */
  readonly folder?: string
  /** For measurements: Java compiles as well as it can, which costs seconds of processor time at each start. */
  readonly isLongLived?: boolean
  /** More lines of the brokers' server.properties. */
  readonly settings?: Readonly<Record<string, string>>
  /** Ways to the brokers through proxies. */
  readonly links?: readonly BrokerLink[]
}

export interface RunningKafka {
  readonly brokers: readonly string[]
  /** A way without TLS and users, where everything is allowed. */
  readonly plainBrokers: readonly string[]
  readonly folder: string
  readonly user?: KafkaUser
  readonly certificates?: Certificates
  /** @param username one of `otherUsers` */
  readonly options: (clientId: string, username?: string) => KafkaOptions
  /** Another client than the program's own: kafkajs. */
  readonly independent: (clientId?: string) => Kafka
  /** Where broker `nodeId` keeps its log of what it does. */
  readonly logFile: (nodeId: number) => string
  readonly isRunning: (nodeId: number) => boolean
  readonly start: (nodeId: number) => Promise<void>
  readonly stop: (nodeId: number) => Promise<void>
  readonly kill: (nodeId: number) => Promise<void>
  /** SIGSTOP and SIGCONT. */
  readonly pause: (nodeId: number) => void
  readonly resume: (nodeId: number) => void
  readonly killAll: () => Promise<void>
  readonly startAll: () => Promise<void>
  /** @param topicPartition such as `orders-0` @param keepShare 0 to 1 */
  readonly cutLogs: (topicPartition: string, keepShare: number) => Promise<void>
  readonly makeTopics: (specs: readonly TopicSpec[]) => Promise<void>
  /** Node id of the leader, 0 when there is none. */
  readonly leaderOf: (topic: string, partition: number) => Promise<number>
  readonly close: () => Promise<void>
}

export function uniquePrefix (): string { return `test-${randomBytes(4).toString('hex')}-` }

export async function startKafka (t?: TestContext, setup: KafkaSetup = {}): Promise<RunningKafka> {
  const count = setup.brokers ?? 1
  const classPath = await kafkaJars()
  const prepared = await prepareKafka(classPath)
  const javaOptions = [...prepared.javaOptions, ...(setup.isLongLived === true ? [] : ['-XX:TieredStopAtLevel=1'])]
  const ports = await holdPorts(setup.basePort)
  const folder = setup.folder ?? await mkdtemp(path.join(tmpdir(), 'tollgate-kafka-'))
  await mkdir(folder, { recursive: true })
  const certificates = setup.tls === true ? await makeCertificates(path.join(folder, 'certificates')) : undefined
  const users = setup.sasl === true ? ['tollgate', ...setup.otherUsers ?? []].map((username): KafkaUser => ({ username, password: randomBytes(12).toString('hex') })) : undefined
  const nodes = Array.from({ length: count }, (_, index) => openBroker({
    nodeId: index + 1,
    nodes: count,
    basePort: ports.base,
    folder,
    classPath,
    javaOptions,
    template: prepared.template,
    ...(certificates === undefined ? {} : { certificates }),
    ...(users === undefined ? {} : { users }),
    settings: { ...(setup.otherUsers === undefined ? {} : authorizer), ...setup.settings },
    ...(setup.links === undefined ? {} : { links: setup.links })
  }))
  const close = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()))
    ports.release()
    if (setup.folder === undefined) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
  t?.after(close)
  try {
    await Promise.all(nodes.map((node) => node.start()))
  } catch (error) {
    await close()
    throw error
  }
  return runningKafka({ nodes, folder, close, ...(certificates === undefined ? {} : { certificates }), ...(users === undefined ? {} : { users }) })
}

/** Brokers speak among themselves without a user's name. */
const authorizer = { 'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'super.users': 'User:tollgate;User:ANONYMOUS' }

interface Parts extends Pick<RunningKafka, 'folder' | 'close' | 'certificates'> { readonly nodes: readonly Broker[], readonly users?: readonly KafkaUser[] }

function runningKafka ({ nodes, users = [], ...parts }: Parts): RunningKafka {
  const { certificates } = parts
  const [user] = users
  const userOf = (username: string): KafkaUser => {
    const found = users.find((each) => each.username === username)
    if (found === undefined) throw new Error(`there is no user ${username}`)
    return found
  }
  const brokers = nodes.map(({ address }) => address)
  const node = (nodeId: number): Broker => {
    const found = nodes[nodeId - 1]
    if (found === undefined) throw new Error(`there is no broker ${nodeId}`)
    return found
  }
  const independent = (clientId = 'independent'): Kafka => new kafkajs.Kafka({ clientId, brokers, logLevel: logLevel.NOTHING, ...independentSecurity({ ...parts, ...(user === undefined ? {} : { user }) }) })
  const withAdmin = async <Result>(use: (admin: ReturnType<Kafka['admin']>) => Promise<Result>): Promise<Result> => {
    const admin = independent('admin').admin()
    await admin.connect()
    try { return await use(admin) } finally { await admin.disconnect() }
  }
  return {
    ...parts,
    ...(user === undefined ? {} : { user }),
    brokers,
    plainBrokers: nodes.map(({ plainAddress }) => plainAddress),
    options: (clientId, username) => ({
      brokers,
      clientId,
      ...(certificates === undefined ? {} : { tls: { ca: certificates.ca } }),
      ...(user === undefined ? {} : { sasl: { mechanism: 'SCRAM-SHA-512' as const, ...(username === undefined ? user : userOf(username)) } })
    }),
    independent,
    logFile: (nodeId) => node(nodeId).logFile,
    isRunning: (nodeId) => node(nodeId).isRunning(),
    start: (nodeId) => node(nodeId).start(),
    stop: (nodeId) => node(nodeId).stop(),
    kill: (nodeId) => node(nodeId).kill(),
    pause: (nodeId) => { node(nodeId).pause() },
    resume: (nodeId) => { node(nodeId).resume() },
    killAll: async () => { await Promise.all(nodes.map((each) => each.kill())) },
    startAll: async () => { await Promise.all(nodes.filter((each) => !each.isRunning()).map((each) => each.start())) },
    cutLogs: async (topicPartition, keepShare) => {
      if (nodes.some((each) => each.isRunning())) throw new Error('kill the brokers before their logs are cut')
      await Promise.all(nodes.map((each) => cutPartition(path.join(each.dataFolder, topicPartition), keepShare)))
    },
    makeTopics: (specs) => withAdmin(async (admin) => {
      await admin.createTopics({
        // kafkajs takes the moment in which a topic isn't known everywhere for an error.
        waitForLeaders: false,
        timeout: 20_000,
        topics: specs.map(({ name, partitions, settings, minimums }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: nodes.length,
          configEntries: Object.entries({ ...settings, ...minimums }).map(([key, value]) => ({ name: key, value: String(value) }))
        }))
      })
      await eventually('the topics have leaders', async () => {
        const { topics } = await admin.fetchTopicMetadata({ topics: specs.map(({ name }) => name) })
        return specs.every(({ name, partitions }) => topics.find((topic) => topic.name === name)?.partitions.filter(({ leader }) => leader > 0).length === partitions)
      })
    }),
    leaderOf: (topic, partition) => withAdmin(async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
      return Math.max(0, topics[0]?.partitions.find((each) => each.partitionId === partition)?.leader ?? 0)
    })
  }
}

function independentSecurity ({ user, certificates }: Pick<RunningKafka, 'user' | 'certificates'>): Partial<KafkaConfig> {
  return {
    ...(certificates === undefined ? {} : { ssl: { ca: [certificates.ca] } }),
    ...(user === undefined ? {} : { sasl: { mechanism: 'scram-sha-512' as const, ...user } })
  }
}
