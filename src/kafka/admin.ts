// Topics: what they are, making them, where they begin and end. Every answer is asked for anew.
import { createPartitionsV3, createTopicsV7, deleteRecordsV2, describeConfigsV4, IncrementalAlterConfigOperationTypes, incrementalAlterConfigsV1 } from '@platformatic/kafka'
import { TollgateError } from '../domain/errors.ts'
import { requestTimeoutMs } from './cluster.ts'
import type { Cluster, Topic } from './cluster.ts'
import { RequestFailure, tollgateErrorOf } from './failure.ts'
import { deadlineIn, persist } from './persist.ts'
import type { KafkaAdmin, PartitionOffsets, TopicSpec } from './port.ts'
import { offsetsAt } from './reader.ts'

const adminTimeoutMs = 20_000
/** What brokers may take to make or delete something. */
const workTimeoutMs = 10_000
const topicResource = 2
const anyTransactionalId = 'tollgate-topics'

export function openTopicAdmin (cluster: Cluster): KafkaAdmin {
  const trying = async <Result>(what: string, right: string, attempt: () => Promise<Result>): Promise<Result> => {
    cluster.forget()
    try {
      return await persist(attempt, { deadlineMs: deadlineIn(adminTimeoutMs), onFailure: cluster.forget })
    } catch (error) {
      throw tollgateErrorOf(error, what, right)
    }
  }
  const existing = async (name: string): Promise<Topic> => {
    const topic = await cluster.topic(name)
    if (topic === undefined) throw new TollgateError('KAFKA_TOPIC_GONE', `the brokers know no topic ${name}`)
    return topic
  }
  return {
    topic: (name) => trying(`asking for the topic ${name}`, `Describe and DescribeConfigs on the topic ${name}`, async () => {
      const topic = await cluster.topic(name)
      if (topic === undefined) return undefined
      return {
        name,
        topicId: topic.topicId,
        partitions: topic.partitions.length,
        replicationFactor: Math.min(...topic.partitions.map(({ replicas }) => replicas)),
        settings: await settingsOf(cluster, name)
      }
    }),
    createTopic: async (spec, replicationFactor) => {
      await trying(`making the topic ${spec.name}`, `Create on the topic ${spec.name}`, async () => {
        await unlessThere(cluster.ask('any', (connection) => createTopicsV7.api.async(connection, [newTopic(spec, replicationFactor)], workTimeoutMs, false), workTimeoutMs + requestTimeoutMs))
      })
      await trying(`making the topic ${spec.name}`, `Describe on the topic ${spec.name}`, () => everyLeader(cluster, spec.name, 1))
    },
    setSettings: async (name, settings) => {
      const configs = Object.entries(settings).map(([key, value]) => ({ name: key, configOperation: IncrementalAlterConfigOperationTypes.SET, value }))
      await trying(`setting up ${name}`, `AlterConfigs on the topic ${name}`, () => cluster.ask('any', (connection) => incrementalAlterConfigsV1.api.async(connection, [{ resourceType: topicResource, resourceName: name, configs }], false), workTimeoutMs + requestTimeoutMs))
      // Brokers hear of it one after another: whoever looks now should find it.
      await trying(`setting up ${name}`, `DescribeConfigs on the topic ${name}`, async () => {
        const found = await settingsOf(cluster, name)
        if (Object.entries(settings).some(([key, value]) => found[key] !== value)) throw new RequestFailure('again', `the settings of ${name} aren't known yet`)
      })
    },
    createTransactionState: async () => {
      // Who asks for the coordinator of any transactional id makes the brokers create it.
      await trying('asking for a coordinator of transactions', `Describe on the transactional id ${anyTransactionalId}`, () => cluster.coordinator('transaction', anyTransactionalId))
    },
    addPartitions: async (name, count) => {
      await trying(`adding partitions to ${name}`, `Alter on the topic ${name}`, () => cluster.ask('any', (connection) => createPartitionsV3.api.async(connection, [{ name, count, assignments: null }], workTimeoutMs, false), workTimeoutMs + requestTimeoutMs))
      await trying(`adding partitions to ${name}`, `Describe on the topic ${name}`, () => everyLeader(cluster, name, count))
    },
    offsets: (name) => trying(`asking for the offsets of ${name}`, `Describe on the topic ${name}`, async () => {
      const { partitions } = await existing(name)
      const offsets: PartitionOffsets[] = []
      for (const [leader, own] of Map.groupBy(partitions.keys(), (index) => (partitions[index] as Topic['partitions'][number]).leader)) {
        for (const [partition, found] of await offsetsAt(cluster, { topic: name, leader, partitions: own })) offsets[partition] = found
      }
      return offsets
    }),
    deleteRecordsBefore: async (name, partition, offset) => {
      await trying(`deleting records of ${name}-${partition}`, `Delete on the topic ${name}`, async () => {
        await existing(name)
        const leader = await cluster.leader(name, partition)
        await cluster.ask(leader, (connection) => deleteRecordsV2.api.async(connection, [{ name, partitions: [{ partitionIndex: partition, offset: BigInt(offset) }] }], workTimeoutMs), workTimeoutMs + requestTimeoutMs)
      })
    },
    close: async () => { cluster.close() }
  }
}

async function settingsOf (cluster: Cluster, name: string): Promise<Record<string, string>> {
  const { results: [described] } = await cluster.ask('any', (connection) => describeConfigsV4.api.async(connection, [{ resourceType: topicResource, resourceName: name, configurationKeys: null }], false, false))
  return Object.fromEntries((described?.configs ?? []).map((config) => [config.name, config.value ?? '']))
}

function newTopic ({ name, partitions, settings, minimums }: TopicSpec, replicationFactor: number): Parameters<typeof createTopicsV7.createRequest>[0][number] {
  const configs = Object.entries({ ...settings, ...minimums }).map(([key, value]) => ({ name: key, value: String(value) }))
  return { name, numPartitions: partitions, replicationFactor, assignments: [], configs }
}

async function unlessThere (making: Promise<unknown>): Promise<void> {
  try {
    await making
  } catch (error) {
    if (!(error instanceof RequestFailure && error.brokerCode === 'TOPIC_ALREADY_EXISTS')) throw error
  }
}

/** A topic can be used when each of its partitions has a leader, which comes a moment after it was made. */
async function everyLeader (cluster: Cluster, name: string, partitionsMin: number): Promise<void> {
  const topic = await cluster.topic(name)
  if (topic === undefined || topic.partitions.length < partitionsMin) throw new RequestFailure('again', `the topic ${name} isn't known yet`)
  for (const index of topic.partitions.keys()) await cluster.leader(name, index)
}
