// The network of a cluster under test: each process has links of its own to the brokers, to Redis and to the aggregators,
// through proxies that can be cut, pulled and slowed.
import type { BrokerLink } from '../services/kafka/broker.ts'
import { freePorts } from './free-ports.ts'
import { openTcpProxy } from './tcp-proxy.ts'
import type { TcpProxy } from './tcp-proxy.ts'

/** What can be done to a link, or to several at a time. */
export type Link = Pick<TcpProxy, 'cut' | 'pull' | 'slow' | 'heal'>

export interface NodeLinks {
  /** For `startKafka`. */
  readonly brokerLink: BrokerLink
  /** `host:port` for the node's configuration. */
  readonly brokers: readonly string[]
  readonly kafka: Link
  readonly redisPort: number
  readonly redis: Link
  /** Where this node finds the operator's listener of an aggregator. */
  readonly aggregatorPortOf: (name: string) => number
  readonly aggregators: Link
}

export interface Links {
  readonly of: (name: string) => NodeLinks
  readonly brokerLinks: readonly BrokerLink[]
  readonly close: () => void
}

export interface LinkedCluster {
  readonly names: readonly string[]
  readonly aggregators: readonly string[]
  readonly brokers: number
  /** Ports on loopback, asked for at each connection. */
  readonly redisPort: () => number
  readonly operatorPortOf: (name: string) => number
}

export async function openLinks ({ names, aggregators, brokers, redisPort, operatorPortOf }: LinkedCluster): Promise<Links> {
  const listenPorts = await freePorts(names.length * brokers)
  const links = new Map<string, NodeLinks>()
  const proxies: TcpProxy[] = []
  for (const [index, name] of names.entries()) {
    const listenPort = (nodeId: number): number => listenPorts[index * brokers + nodeId - 1] as number
    const own: TcpProxy[] = []
    for (let nodeId = 1; nodeId <= brokers; nodeId++) own.push(await openTcpProxy(() => listenPort(nodeId)))
    const redis = await openTcpProxy(redisPort)
    const toAggregators = new Map<string, TcpProxy>()
    for (const aggregator of aggregators) toAggregators.set(aggregator, await openTcpProxy(() => operatorPortOf(aggregator)))
    proxies.push(...own, redis, ...toAggregators.values())
    links.set(name, {
      brokerLink: { name: `LINK${index + 1}`, listenPort, advertisedPort: (nodeId) => (own[nodeId - 1] as TcpProxy).port },
      brokers: own.map(({ port }) => `127.0.0.1:${port}`),
      kafka: together(own),
      redisPort: redis.port,
      redis,
      aggregatorPortOf: (aggregator) => (toAggregators.get(aggregator) as TcpProxy).port,
      aggregators: together([...toAggregators.values()])
    })
  }
  return {
    of: (name) => {
      const found = links.get(name)
      if (found === undefined) throw new Error(`there is no link of ${name}`)
      return found
    },
    brokerLinks: [...links.values()].map(({ brokerLink }) => brokerLink),
    close: () => { for (const proxy of proxies) proxy.close() }
  }
}

function together (proxies: readonly TcpProxy[]): Link {
  return {
    cut: () => { for (const proxy of proxies) proxy.cut() },
    pull: () => { for (const proxy of proxies) proxy.pull() },
    slow: (delayMs) => { for (const proxy of proxies) proxy.slow(delayMs) },
    heal: () => { for (const proxy of proxies) proxy.heal() }
  }
}
