// What can happen to a cluster, one fault each. A fault begins with a cluster that works and ends when it works again;
// what it did to the counts is judged at the end, by the oracle.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Link } from '../helpers/cluster-links.ts'
import type { RunningKafka } from '../services/kafka.ts'
import { between, oneOf, usageTopic } from './cluster-fault.ts'
import type { Fault, FaultContext } from './cluster-fault.ts'
import { stateFaults } from './cluster-state-faults.ts'
import { topicFaults } from './cluster-topic-faults.ts'

/** Longer than a member of the group may be silent: its partitions are dealt to others meanwhile. */
const zombieMs = 13_000
export const faults: readonly Fault[] = [
  ...stateFaults,
  ...topicFaults,
  ...(['gateways', 'aggregators', 'billings'] as const).flatMap((group): Fault[] => [
    {
      name: `SIGKILL of one of the ${group}`,
      timesMin: 5,
      touches: group,
      run: async (context) => {
        const node = oneOf(context.random, context.cluster[group])
        await sleep(between(context.random, 0, 1_000))
        await node.kill()
        await sleep(between(context.random, 0, 2_000))
        await node.start({ isReadyAwaited: false })
      }
    },
    {
      name: `SIGSTOP of one of the ${group}`,
      timesMin: 2,
      touches: group,
      run: async (context) => {
        const node = oneOf(context.random, context.cluster[group])
        node.pause()
        await sleep(between(context.random, 500, 4_000))
        node.resume()
      }
    }
  ]),
  {
    name: 'SIGSTOP of an aggregator until others have its partitions',
    timesMin: 2,
    touches: 'aggregators',
    run: async ({ cluster, random }) => {
      const node = oneOf(random, cluster.aggregators)
      node.pause()
      await sleep(zombieMs)
      node.resume()
    }
  },
  {
    name: 'clean restart of a node',
    timesMin: 3,
    touches: 'alone',
    run: async ({ cluster, random }) => {
      const node = oneOf(random, cluster.nodes)
      const end = await node.stop()
      if (end !== 0) throw new Error(`${node.name} ended with ${String(end)} instead of 0; its log: ${node.logFile}`)
      await node.start({ isReadyAwaited: false })
    }
  },
  {
    name: 'SIGKILL of the leader of a partition of the usage log',
    timesMin: 3,
    touches: 'kafka',
    run: async ({ kafka, random, cluster }) => {
      const leader = await kafka.leaderOf(usageTopic, Math.floor(random() * cluster.setup.partitions))
      await killBroker(kafka, leader === 0 ? 1 : leader)
    }
  },
  {
    name: 'SIGKILL of a coordinator of transactions or groups',
    timesMin: 2,
    touches: 'kafka',
    run: async ({ kafka, random }) => {
      const leader = await kafka.leaderOf(random() < 0.5 ? '__transaction_state' : '__consumer_offsets', Math.floor(random() * 3))
      await killBroker(kafka, leader === 0 ? 1 : leader)
    }
  },
  {
    name: 'SIGSTOP of a broker',
    timesMin: 2,
    touches: 'kafka',
    run: async ({ kafka, random }) => {
      const nodeId = 1 + Math.floor(random() * 3)
      kafka.pause(nodeId)
      await sleep(between(random, 2_000, 6_000))
      kafka.resume(nodeId)
    }
  },
  {
    name: 'all brokers away',
    timesMin: 2,
    touches: 'kafka',
    run: async ({ kafka, random }) => {
      await kafka.killAll()
      await sleep(between(random, 500, 4_000))
      await kafka.startAll()
    }
  },
  {
    name: 'all brokers lose power and the ends of the usage log',
    timesMin: 3,
    touches: 'kafka',
    run: async ({ kafka, random, cluster }) => {
      await kafka.killAll()
      for (let partition = 0; partition < cluster.setup.partitions; partition++) await kafka.cutLogs(`${usageTopic}-${partition}`, 0.5 + random() / 2)
      await kafka.startAll()
    }
  },
  ...(['cut', 'silent', 'slow'] as const).flatMap((how): Fault[] => [
    linkFault(`a node's network to Kafka is ${how}`, how === 'slow' ? 2 : 4, how, ({ cluster, links, random }) => links.of(oneOf(random, cluster.nodes).name).kafka),
    linkFault(`a gateway's network to Redis is ${how}`, how === 'silent' ? 2 : 1, how, ({ cluster, links, random }) => links.of(oneOf(random, cluster.gateways).name).redis),
    linkFault(`the network from an aggregator or a billing server to the aggregators is ${how}`, 1, how, ({ cluster, links, random }) => links.of(oneOf(random, [...cluster.aggregators, ...cluster.billings]).name).aggregators)
  ]),
  {
    name: 'Redis is killed and comes back empty',
    timesMin: 2,
    touches: 'redis',
    run: async ({ redis, random }) => {
      await redis.kill()
      await sleep(between(random, 200, 2_000))
      await redis.start()
    }
  },
  {
    name: 'Redis is emptied',
    timesMin: 1,
    touches: 'redis',
    run: async ({ redis }) => { await redis.flush() }
  },
  {
    name: 'Redis stops answering',
    timesMin: 1,
    touches: 'redis',
    run: async ({ redis, random }) => {
      redis.pause()
      await sleep(between(random, 500, 4_000))
      redis.resume()
    }
  },
  {
    name: 'rebalance storm',
    timesMin: 2,
    touches: 'group',
    run: async ({ spare, random }) => {
      for (let turn = 0; turn < 2; turn++) {
        await spare.start({ isReadyAwaited: false })
        await sleep(between(random, 2_000, 5_000))
        if (random() < 0.5) await spare.kill()
        else await spare.stop()
      }
    }
  }
]

async function killBroker (kafka: RunningKafka, nodeId: number): Promise<void> {
  await kafka.kill(nodeId)
  await sleep(2_000)
  await kafka.start(nodeId)
}

function linkFault (name: string, timesMin: number, how: 'cut' | 'silent' | 'slow', linkOf: (context: FaultContext) => Link): Fault {
  return {
    name,
    timesMin,
    touches: 'network',
    run: async (context) => {
      const { random } = context
      const link = linkOf(context)
      if (how === 'cut') link.cut()
      else if (how === 'silent') link.pull()
      else link.slow(between(random, 50, 400))
      await sleep(between(random, 500, 6_000))
      link.heal()
    }
  }
}
