// Faults of what nodes keep: files lost, old or doubled, disks full, clocks moved, topics with more partitions or with rubbish.
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeNode } from '../helpers/cluster.ts'
import type { ClusterNode } from '../helpers/cluster.ts'
import { eventually } from '../helpers/eventually.ts'
import { clockShiftMs, setClockShift } from '../helpers/shifted-clock.ts'
import type { SmallDisk } from '../helpers/small-disk.ts'
import { awaitArchived, between, clockFileOf, hourMs, oneOf, usageTopic } from './cluster-fault.ts'
import type { Fault } from './cluster-fault.ts'

const poison: readonly (string | null)[] = ['', '{', 'null', '[]', '{"eventId":1}', '{"apiKey":"secret","memberId":1}', 'x'.repeat(200_000), null, '\u0000\uffff', '{"schemaVersion":99}']

export const stateFaults: readonly Fault[] = [
  {
    name: 'an aggregator\'s databases are lost',
    timesMin: 2,
    touches: 'aggregators',
    run: async ({ cluster, random }) => {
      const node = oneOf(random, cluster.aggregators)
      await node.kill()
      for (let partition = 0; partition < cluster.setup.partitions; partition++) {
        for (const suffix of ['', '.wal']) rmSync(path.join(node.state, `partition-${partition}`, 'aggregator', `aggregator.duckdb${suffix}`), { force: true })
      }
      await node.start({ isReadyAwaited: false })
    }
  },
  {
    name: 'an aggregator\'s databases are restored from a copy',
    timesMin: 2,
    touches: 'alone',
    run: async ({ cluster, random }) => {
      const node = oneOf(random, cluster.aggregators)
      const copies = path.join(node.folder, 'backup')
      await node.stop()
      const databases = Array.from({ length: cluster.setup.partitions }, (_, partition) => path.join(node.state, `partition-${partition}`, 'aggregator', 'aggregator.duckdb')).filter((file) => existsSync(file))
      rmSync(copies, { recursive: true, force: true })
      for (const [index, file] of databases.entries()) cpSync(file, path.join(copies, String(index)))
      await node.start()
      await sleep(between(random, 1_000, 3_000))
      await node.kill()
      for (const [index, file] of databases.entries()) {
        rmSync(`${file}.wal`, { force: true })
        cpSync(path.join(copies, String(index)), file)
      }
      await node.start({ isReadyAwaited: false })
    }
  },
  {
    name: 'a billing server\'s disk is lost',
    timesMin: 1,
    touches: 'billings',
    run: async ({ cluster, random }) => {
      const node = oneOf(random, cluster.billings)
      await node.kill()
      rmSync(node.state, { recursive: true, force: true })
      await node.start({ isReadyAwaited: false })
    }
  },
  ...(['gateways', 'aggregators'] as const).map((group): Fault => ({
    name: `the disk of one of the ${group} is full`,
    timesMin: 2,
    touches: group,
    run: async ({ cluster, disks, random }) => {
      const node = oneOf(random, cluster[group].filter((one) => disks.has(one)))
      const disk = disks.get(node) as SmallDisk
      disk.fill()
      try {
        await eventually(`${node.name} says that its disk is full`, async () => !(await node.readiness()).isReady, { withinMs: 60_000, everyMs: 100 })
        await sleep(between(random, 0, 3_000))
      } finally {
        disk.free()
      }
    }
  })),
  {
    name: 'a gateway\'s clock is set back an hour, and put right',
    timesMin: 2,
    touches: 'gateways',
    run: async ({ cluster, random }) => {
      const file = clockFileOf(oneOf(random, cluster.gateways))
      const shiftMs = clockShiftMs(file)
      setClockShift(file, shiftMs - hourMs)
      await sleep(between(random, 500, 4_000))
      setClockShift(file, shiftMs)
    }
  },
  {
    name: 'a gateway\'s clock goes an hour ahead, for good',
    timesMin: 2,
    touches: 'gateways',
    run: async ({ cluster, random }) => {
      const file = clockFileOf(oneOf(random, cluster.gateways))
      setClockShift(file, clockShiftMs(file) + hourMs)
      await sleep(1_000)
    }
  },
  {
    name: 'a gateway comes back with a clock an hour behind, which is put right',
    timesMin: 1,
    touches: 'gateways',
    run: async ({ cluster, random }) => {
      const gateway = oneOf(random, cluster.gateways)
      const file = clockFileOf(gateway)
      const shiftMs = clockShiftMs(file)
      await gateway.kill()
      // Behind real time whatever it was before: its journal has marks of then.
      setClockShift(file, -hourMs)
      await gateway.start({ isReadyAwaited: false })
      const untilMs = Date.now() + between(random, 2_000, 5_000)
      while (Date.now() < untilMs) {
        const isReady = await gateway.readiness().then((said) => said.isReady, () => false)
        if (isReady) throw new Error(`${gateway.name} is ready with a clock that is an hour behind its journal; its log: ${gateway.logFile}`)
        await sleep(100)
      }
      setClockShift(file, shiftMs)
    }
  },
  {
    name: 'the usage log gets one more partition',
    timesMin: 1,
    touches: 'alone',
    run: async ({ cluster, spare }) => {
      const { setup, aggregators, billings, gateways, nodes } = cluster
      setup.partitions++
      for (const node of [...nodes, spare]) writeNode(setup, node, [...aggregators, spare])
      const created = await (gateways[0] as ClusterNode).command(['topics', 'create'])
      if (created.code !== 0) throw new Error(`tollgate topics create: ${created.stdout}${created.stderr}`)
      for (const node of [...billings, ...aggregators, ...gateways]) {
        await node.stop()
        await node.start()
      }
    }
  },
  {
    name: 'a gateway\'s journal runs twice',
    timesMin: 2,
    touches: 'alone',
    run: async ({ cluster, random, clone }) => {
      const node = oneOf(random, cluster.gateways)
      rmSync(clone.folder, { recursive: true, force: true })
      writeNode(cluster.setup, clone, [])
      writeFileSync(clone.configFile, readFileSync(clone.configFile, 'utf8').replace(`gatewayId: ${clone.name}`, `gatewayId: ${node.name}`))
      clone.environment = node.environment
      // Whatever is being written meanwhile is copied as it is.
      for (const part of ['journal', 'shipper']) cpSync(path.join(node.state, part), path.join(clone.state, part), { recursive: true })
      await clone.start()
      await sleep(between(random, 1_000, 3_000))
      await clone.stop()
    }
  },
  {
    name: 'a gateway\'s journal is restored from a copy',
    timesMin: 1,
    touches: 'alone',
    run: async ({ cluster, random }) => {
      const node = oneOf(random, cluster.gateways)
      const copy = path.join(node.folder, 'journal-backup')
      await node.stop()
      rmSync(copy, { recursive: true, force: true })
      cpSync(node.state, copy, { recursive: true })
      await node.start()
      await sleep(between(random, 1_000, 2_000))
      // A clean stop ships everything: what a dead disk had not shipped is not promised. Nor is what only Kafka has, once all
      // brokers lose the ends of their logs too: the journal is kept, where no client calls, until all of it is archived.
      if (await node.stop() !== 0) throw new Error(`${node.name} could not ship everything before its stop`)
      const configuration = readFileSync(node.configFile, 'utf8')
      writeFileSync(node.configFile, configuration.replace(`port: ${node.unusedPort} }`, 'port: 0 }').replace(`port: ${node.port} }`, `port: ${node.unusedPort} }`).replace('port: 0 }', `port: ${node.port} }`))
      await node.start()
      await awaitArchived(node)
      await node.stop()
      writeFileSync(node.configFile, configuration)
      rmSync(node.state, { recursive: true, force: true })
      cpSync(copy, node.state, { recursive: true })
      await node.start({ isReadyAwaited: false })
    }
  },
  {
    name: 'records that nobody can read, and records twice',
    timesMin: 3,
    touches: 'kafka',
    run: async ({ kafka, cluster, random }) => {
      const producer = kafka.independent('poison').producer({ allowAutoTopicCreation: false })
      await producer.connect()
      try {
        const partition = Math.floor(random() * cluster.setup.partitions)
        await producer.send({ topic: usageTopic, messages: poison.map((value) => ({ key: '1', value, partition })) })
        await producer.send({ topic: 'hourly-api-usage', messages: poison.map((value, index) => ({ key: `nobody|${index}`, value, partition })) })
      } finally {
        await producer.disconnect()
      }
    }
  }
]
