// The brokers as one user of them sees them: what they say of topics and coordinators, and requests to whoever leads.
import { findCoordinatorV4, metadataV12, ResponseError } from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'
import { addressOf, nameOf, openConnections } from './connections.ts'
import type { Address } from './connections.ts'
import { failureOfCode, RequestFailure } from './failure.ts'
import type { KafkaOptions } from './port.ts'

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

export function openCluster (options: KafkaOptions): Cluster {
  const bootstrap = options.brokers.map(addressOf)
  const connections = openConnections(options)
  const nodes = new Map<number, Address>()
  const topics = new Map<string, Topic>()
  const coordinatorOf = new Map<string, number>()

  /** Those that failed last come last. */
  const candidates = (): Address[] => {
    const all = new Map([...bootstrap, ...nodes.values()].map((address) => [nameOf(address), address]))
    return [...all.values()].sort((a, b) => connections.failedAtMs(a) - connections.failedAtMs(b))
  }
  const ask: Cluster['ask'] = async (target, request, timeoutMs = requestTimeoutMs) => {
    const address = target === 'any' ? candidates()[0] : nodes.get(target)
    if (address === undefined) throw new RequestFailure('again', `broker ${target} isn't known`)
    return connections.askAt(address, request, timeoutMs)
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
    close: connections.close
  }
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

function isUnknown (code: number): boolean { return code === 3 || code === 100 }
