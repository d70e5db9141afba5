// Faults of whole topics and of time: topics made anew, records gone before they were counted, gateways that come and go, and
// answers that last over the end of an hour.
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeNode } from '../helpers/cluster.ts'
import type { Cluster, ClusterNode } from '../helpers/cluster.ts'
import { eventually } from '../helpers/eventually.ts'
import { clockShiftMs, setClockShift } from '../helpers/shifted-clock.ts'
import type { RunningKafka } from '../services/kafka.ts'
import { awaitArchived, backlogOf, between, clockFileOf, hourMs, oneOf, patience, usageTopic } from './cluster-fault.ts'
import type { Fault, FaultContext } from './cluster-fault.ts'

const hourlyTopic = 'hourly-api-usage'
/** Longer than an aggregator needs to find a topic made anew under it. */
const noticeMsMax = 15_000
/** Everything waits for brokers now and then. */

/** Deletes a topic beneath everybody, and makes it again as an operator would. */
async function makeAnew ({ kafka, cluster }: FaultContext, topic: string): Promise<void> {
  const admin = kafka.independent('operator').admin()
  await admin.connect()
  try {
    await admin.deleteTopics({ topics: [topic] })
    await eventually(`${topic} is gone`, async () => !(await admin.listTopics()).includes(topic), patience)
  } finally {
    await admin.disconnect()
  }
  await eventually(`${topic} is made`, async () => (await (cluster.gateways[0] as ClusterNode).command(['topics', 'create'])).code === 0, patience)
}

/** An operator says for each partition that waits that the file of its aggregator, who counted last in it, goes on; until none has waited for a while. */
async function keepFiles ({ aggregators }: Cluster): Promise<void> {
  let decided = 0
  let readySinceMs = Infinity
  await eventually('every partition has been decided', async () => {
    const states = await Promise.all(aggregators.map(async (node) => ({ node, readiness: await node.readiness() })))
    for (const { node, readiness } of states) {
      for (const [, partition = ''] of readiness.text.matchAll(/partition (\d+): RECOVER_NEEDED/g)) {
        if ((await node.command(['recover', '--partition', partition, '--keep', 'file', '--yes'])).code === 0) decided++
      }
    }
    readySinceMs = states.every(({ readiness }) => readiness.isReady) ? Math.min(readySinceMs, performance.now()) : Infinity
    return performance.now() - readySinceMs > noticeMsMax
  }, { ...patience, withinMs: 180_000 })
  if (decided === 0) throw new Error('nobody had to decide anything: nothing was tested')
}

/** The records of the usage log that are there now are dropped, as when they are older than its retention. */
async function dropRecords (kafka: RunningKafka): Promise<number> {
  const admin = kafka.independent('retention').admin()
  await admin.connect()
  try {
    const offsets = await admin.fetchTopicOffsets(usageTopic)
    await admin.deleteTopicRecords({ topic: usageTopic, partitions: offsets.map(({ partition, high }) => ({ partition, offset: high })) })
    return offsets.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0)
  } finally {
    await admin.disconnect()
  }
}

export const topicFaults: readonly Fault[] = [
  {
    name: 'the usage log is made anew',
    timesMin: 1,
    touches: 'alone',
    run: async (context) => { await makeAnew(context, usageTopic) }
  },
  {
    name: 'the topic of hourly counts is made anew',
    timesMin: 1,
    touches: 'alone',
    run: async (context) => {
      await makeAnew(context, hourlyTopic)
      await keepFiles(context.cluster)
    }
  },
  {
    name: 'records are older than the retention before they are counted',
    timesMin: 1,
    touches: 'alone',
    run: async ({ cluster, kafka, random }) => {
      // Killed: a clean stop would count what is there.
      await Promise.all(cluster.aggregators.map((node) => node.kill()))
      await sleep(between(random, 1_000, 3_000))
      for (const gateway of cluster.gateways) await eventually(`${gateway.name} has sent something that nobody counts`, async () => await backlogOf(gateway, 'uncounted') > await backlogOf(gateway, 'unsent'), patience)
      if (await dropRecords(kafka) === 0) throw new Error('no record was dropped: nothing was tested')
      await Promise.all(cluster.aggregators.map((node) => node.start({ isReadyAwaited: false })))
    }
  },
  {
    name: 'a gateway is new, is killed for good, and is retired',
    timesMin: 1,
    touches: 'alone',
    run: async ({ cluster, clone, random, callWhile }) => {
      rmSync(clone.folder, { recursive: true, force: true })
      writeNode(cluster.setup, clone, [])
      clone.environment = {}
      await clone.start()
      await callWhile(clone, async () => { await sleep(between(random, 1_000, 3_000)) })
      await eventually('it has sent everything', async () => await backlogOf(clone, 'unsent') === 0, patience)
      await clone.kill()
      // What only Kafka has goes with the ends of all brokers' logs: two disasters at a time are promised to nobody.
      await clone.start()
      await awaitArchived(clone)
      await clone.kill()
      rmSync(clone.state, { recursive: true, force: true })
      // Refused as long as not all of it is counted.
      await eventually('it is retired', async () => (await oneOf(random, cluster.billings).command(['gateway', 'retire', clone.name, '--force', '--reason', 'sold'])).code === 0, patience)
    }
  },
  {
    name: 'an answer lasts over the end of an hour',
    timesMin: 1,
    touches: 'gateways',
    run: async ({ cluster, random, callWhile }) => {
      const gateway = oneOf(random, cluster.gateways)
      const file = clockFileOf(gateway)
      await callWhile(gateway, async () => {
        await sleep(500)
        setClockShift(file, clockShiftMs(file) + hourMs)
      }, { path: '/api/things/w2000/s200' })
    }
  }
]
