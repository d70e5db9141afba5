// The brokers as one user of them sees them: a connection to each, opened when it is needed, and what they say of topics
// and coordinators. A connection on which anything stayed unanswered is never used again: a late answer on it would be
// taken for another's.
import { isIP } from 'node:net'
import { Connection, findCoordinatorV4, metadataV12, ResponseError } from '@platformatic/kafka'
import type { ConnectionOptions, Writer } from '@platformatic/kafka'
import { after, systemClock } from '../platform/clock.ts'
import { failureOf, failureOfCode, RequestFailure } from './failure.ts'
import type { KafkaOptions } from './port.ts'

const connectTimeoutMs = 5_000
/** How long a broker may take over a request that it need not wait for. */
export const requestTimeoutMs = 5_000

export interface Partition { readonly leader: number, readonly leaderEpoch: number, readonly replicas: number }
export interface Topic { readonly topicId: string, readonly partitions: readonly Partition[] }
export const coordinators = { group: 0, transaction: 1 } as const

export interface Cluster {
  /** Asks a broker by its node id, or whichever answers. @throws RequestFailure */
  readonly ask: <Response>(target: number | 'any', request: (connection: Connection) => Promise<Response>, timeoutMs?: number) => Promise<Response>
  /** What is known of a topic, asked for where nothing is; undefined when the brokers say that it isn't there. @throws RequestFailure */
  readonly topic: (name: string) => Promise<Topic | undefined>
  /** The node id. @throws RequestFailure */
  readonly leader: (topic: string, partition: number) => Promise<number>
  readonly coordinator: (kind: keyof typeof coordinators, key: string) => Promise<number>
  /** Leaders and coordinators are asked for anew. */
  readonly forget: () => void
  readonly close: () => void
}

interface Address { readonly host: string, readonly port: number }

export function openCluster (options: KafkaOptions): Cluster {
  const bootstrap = options.brokers.map(addressOf)
  const connections = new Map<string, Promise<Connection>>()
  /** When a broker failed last, so that others are asked first. */
  const failedAtMs = new Map<string, number>()
  const nodes = new Map<number, Address>()
  const topics = new Map<string, Topic>()
  const coordinatorOf = new Map<string, number>()
  const proven = new WeakSet<Connection>()
  let isClosed = false

  const connect = (address: Address): Promise<Connection> => {
    const name = nameOf(address)
    const existing = connections.get(name)
    if (existing !== undefined) return existing
    const connection = new Connection(options.clientId, connectionOptions(options, address))
    // Whoever asks is told by the answer; without a listener Node would end the process.
    connection.on('error', () => undefined)
    const opening = Promise.resolve(connection.connect(address.host, address.port)).then(() => connection)
    const drop = (): void => { if (connections.get(name) === opening) connections.delete(name) }
    connection.once('close', drop)
    opening.catch(() => { drop(); destroy(connection) })
    connections.set(name, opening)
    return opening
  }
  const askAt = async <Response>(address: Address, request: (connection: Connection) => Promise<Response>, timeoutMs: number): Promise<Response> => {
    const where = nameOf(address)
    if (isClosed) throw closedFailure(where)
    let connection: Connection | undefined
    try {
      connection = await connect(address)
      const response = await answered(request(connection), timeoutMs)
      failedAtMs.delete(where)
      proven.add(connection)
      return response
    } catch (error) {
      if (!(error instanceof ResponseError)) {
        failedAtMs.set(where, systemClock.monotonicMs())
        if (connection !== undefined) {
          connections.delete(where)
          destroy(connection)
        }
      }
      if (isClosed) throw closedFailure(where)
      const failure = failureOf(error, where)
      if ((connection !== undefined && proven.has(connection)) || failure.brokerCode !== '' || !failure.message.endsWith('Connection closed')) throw failure
      // A listener for others than us just hangs up.
      throw new RequestFailure('again', `${failure.message} before the first answer: see whether kafka.tls and kafka.sasl are what this port wants`, { cause: error })
    }
  }
  const candidates = (): Address[] => {
    const all = new Map([...bootstrap, ...nodes.values()].map((address) => [nameOf(address), address]))
    return [...all.values()].sort((a, b) => (failedAtMs.get(nameOf(a)) ?? -1) - (failedAtMs.get(nameOf(b)) ?? -1))
  }
  const ask: Cluster['ask'] = async (target, request, timeoutMs = requestTimeoutMs) => {
    const address = target === 'any' ? candidates()[0] : nodes.get(target)
    if (address === undefined) throw new RequestFailure('again', `broker ${target} isn't known`)
    return askAt(address, request, timeoutMs)
  }
  const topic: Cluster['topic'] = async (name) => {
    const known = topics.get(name)
    if (known !== undefined) return known
    const { brokers, topics: [found] } = await ask('any', (connection) => answerOf(metadataV12.api.async(connection, [name], false, false)))
    for (const { nodeId, host, port } of brokers) nodes.set(nodeId, { host, port })
    if (found === undefined || isUnknown(found.errorCode)) return undefined
    if (found.errorCode !== 0 && found.partitions.length === 0) throw failureOfCode(found.errorCode, name)
    const partitions = found.partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex)
    const layout = { topicId: found.topicId, partitions: partitions.map(({ leaderId, leaderEpoch, replicaNodes }) => ({ leader: leaderId, leaderEpoch, replicas: replicaNodes.length })) }
    topics.set(name, layout)
    return layout
  }
  return {
    ask,
    topic,
    leader: async (name, index) => {
      const partition = (await topic(name))?.partitions[index]
      if (partition === undefined) throw new RequestFailure('again', `there is no partition ${name}-${index}`, { brokerCode: 'UNKNOWN_TOPIC_OR_PARTITION' })
      if (!nodes.has(partition.leader)) throw new RequestFailure('again', `${name}-${index} has no leader`, { brokerCode: 'LEADER_NOT_AVAILABLE' })
      return partition.leader
    },
    coordinator: async (kind, key) => {
      const name = `${kind} ${key}`
      const known = coordinatorOf.get(name)
      if (known !== undefined) return known
      const { coordinators: [found] } = await ask('any', (connection) => findCoordinatorV4.api.async(connection, coordinators[kind], [key]))
      if (found === undefined || found.nodeId < 0) throw new RequestFailure('again', `${name} has no coordinator`, { brokerCode: 'COORDINATOR_NOT_AVAILABLE' })
      nodes.set(found.nodeId, { host: found.host, port: found.port })
      coordinatorOf.set(name, found.nodeId)
      return found.nodeId
    },
    forget: () => {
      topics.clear()
      coordinatorOf.clear()
    },
    close: () => {
      isClosed = true
      for (const opening of connections.values()) opening.then(destroy, () => undefined)
      connections.clear()
    }
  }
}

/** A request and its answer, for what the library has no function for. */
export function exchange<Response> (connection: Connection, { apiKey, apiVersion, request, parse }: {
  readonly apiKey: number
  readonly apiVersion: number
  readonly request: () => Writer
  readonly parse: Parameters<Connection['send']>[3]
}): Promise<Response> {
  return new Promise((resolve, reject) => {
    connection.send(apiKey, apiVersion, request, parse, true, true, (error: unknown, response: unknown) => { if (error instanceof Error) reject(error); else resolve(response as Response) })
  })
}

/** The library throws an answer away when one part of it is an error; here each part is looked at by itself. */
async function answerOf<Response> (answer: Promise<Response>): Promise<Response> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ResponseError && error['response'] !== undefined) return error['response'] as Response
    throw error
  }
}

async function answered<Response> (work: Promise<Response>, timeoutMs: number): Promise<Response> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = after(timeoutMs, () => { reject(new Error(`no answer within ${timeoutMs} ms`)) })
  try {
    return await Promise.race([work, late])
  } finally {
    timer.cancel()
  }
}

function isUnknown (code: number): boolean { return code === 3 || code === 100 }

/** Whoever closes doesn't want to try again. */
function closedFailure (where: string): RequestFailure { return new RequestFailure('lost', `${where}: the connections are closed`) }

function destroy (connection: Connection): void { (connection.socket as Connection['socket'] | undefined)?.destroy() }

function nameOf ({ host, port }: Address): string { return `${host}:${port}` }

function addressOf (broker: string): Address {
  const colon = broker.lastIndexOf(':')
  return { host: broker.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(broker.slice(colon + 1)) }
}

function connectionOptions ({ tls, sasl }: KafkaOptions, { host }: Address): ConnectionOptions {
  return {
    connectTimeout: connectTimeoutMs,
    // Each request has a time limit of its own; the library's must never come first.
    requestTimeout: 3_600_000,
    ...(tls === undefined
      ? {}
      : {
          tls: {
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.certificate === undefined ? {} : { cert: tls.certificate }),
            ...(tls.key === undefined ? {} : { key: tls.key })
          },
          // An address is no server name.
          tlsServerName: isIP(host) === 0
        }),
    ...(sasl === undefined ? {} : { sasl })
  }
}
