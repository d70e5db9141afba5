// The network of a cluster under test: each process has a link of its own to the brokers and to Redis, through proxies
// that can be cut, pulled and slowed.
import type { BrokerLink } from '../services/kafka/broker.ts'
import { freePorts } from './free-ports.ts'
import { openTcpProxy } from './tcp-proxy.ts'
import type { TcpProxy } from './tcp-proxy.ts'

export interface NodeLinks {
  /** For `startKafka`. */
  readonly brokerLink: BrokerLink
  /** `host:port` for the node's configuration. */
  readonly brokers: readonly string[]
  readonly kafka: Pick<TcpProxy, 'cut' | 'pull' | 'slow' | 'heal'>
  readonly redisPort: number
  readonly redis: TcpProxy
}

export interface Links {
  readonly of: (name: string) => NodeLinks
  readonly brokerLinks: readonly BrokerLink[]
  readonly close: () => void
}

/** @param redisPort asked for at each connection */
export async function openLinks (names: readonly string[], brokers: number, redisPort: () => number): Promise<Links> {
  const listenPorts = await freePorts(names.length * brokers)
  const links = new Map<string, NodeLinks>()
  const proxies: TcpProxy[] = []
  for (const [index, name] of names.entries()) {
    const listenPort = (nodeId: number): number => listenPorts[index * brokers + nodeId - 1] as number
    const own: TcpProxy[] = []
    for (let nodeId = 1; nodeId <= brokers; nodeId++) own.push(await openTcpProxy(() => listenPort(nodeId)))
    const redis = await openTcpProxy(redisPort)
    proxies.push(...own, redis)
    links.set(name, {
      brokerLink: { name: `LINK${index + 1}`, listenPort, advertisedPort: (nodeId) => (own[nodeId - 1] as TcpProxy).port },
      brokers: own.map(({ port }) => `127.0.0.1:${port}`),
      kafka: {
        cut: () => { for (const proxy of own) proxy.cut() },
        pull: () => { for (const proxy of own) proxy.pull() },
        slow: (delayMs) => { for (const proxy of own) proxy.slow(delayMs) },
        heal: () => { for (const proxy of own) proxy.heal() }
      },
      redisPort: redis.port,
      redis
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
