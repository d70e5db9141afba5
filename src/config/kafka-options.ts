// From the configuration to what a thread needs for its Kafka: plain data, with the certificates' texts in it.
import { configFileBytesMax } from './limits.ts'
import type { Config } from './schema.ts'
import { readTextFile } from './text-file.ts'
import { TollgateError } from '../domain/errors.ts'
import { hourlyTopics, hourlyTopicSpecs } from '../hourly-log/kafka-topics.ts'
import type { KafkaOptions, TopicSpec } from '../kafka/port.ts'
import { transactionStateSpec } from '../kafka/topics.ts'
import type { TopicCheck } from '../kafka/topics.ts'
import { usageTopics, usageTopicSpecs } from '../usage-log/kafka-topics.ts'

/** @param clientId names the process in the brokers' logs @throws TollgateError CONFIG_INVALID */
export function kafkaOptionsOf (config: Pick<Config, 'kafka'>, clientId: string): KafkaOptions {
  const { brokers, tls, sasl } = kafkaOf(config)
  return {
    brokers,
    clientId,
    ...(tls === undefined ? {} : { tls: tlsOf(tls) }),
    ...(sasl === undefined ? {} : { sasl: { mechanism: sasl.mechanism, username: sasl.username, password: sasl.password } })
  }
}

/** Every topic that a cluster has, and how it must be. @throws TollgateError CONFIG_INVALID */
export function clusterTopics (config: Pick<Config, 'kafka' | 'usageLog'>): { readonly specs: readonly TopicSpec[], readonly check: TopicCheck } {
  const { brokers, topicPrefix = '', replicationFactor, minInsyncReplicas } = kafkaOf(config)
  const options = { prefix: topicPrefix, partitions: config.usageLog.partitions, minInsyncReplicas }
  const usage = usageTopics(topicPrefix)
  return {
    specs: [...usageTopicSpecs(options), ...hourlyTopicSpecs(options), transactionStateSpec(minInsyncReplicas)],
    check: { replicationFactor, alike: [usage.usage, usage.usageProgress, hourlyTopics(topicPrefix).hourly], broker: brokers[0] ?? '' }
  }
}

type KafkaConfig = NonNullable<Config['kafka']>

function kafkaOf ({ kafka }: Pick<Config, 'kafka'>): KafkaConfig {
  if (kafka === undefined) throw new TollgateError('CONFIG_INVALID', 'the configuration has no `kafka`: this is one machine with nothing beside it, and has no topics')
  if (kafka.brokers.length === 0) throw new TollgateError('CONFIG_INVALID', '`kafka.brokers` names no broker')
  return kafka
}

function tlsOf ({ caFile, certificateFile, keyFile }: NonNullable<KafkaConfig['tls']>): NonNullable<KafkaOptions['tls']> {
  return {
    ...(caFile === undefined ? {} : { ca: pemOf('kafka.tls.caFile', caFile) }),
    ...(certificateFile === undefined ? {} : { certificate: pemOf('kafka.tls.certificateFile', certificateFile) }),
    ...(keyFile === undefined ? {} : { key: pemOf('kafka.tls.keyFile', keyFile) })
  }
}

function pemOf (setting: string, file: string): string {
  const read = readTextFile(file, configFileBytesMax)
  if (!('text' in read)) throw new TollgateError('CONFIG_INVALID', `${setting}: ${file} ${read.message}: ${read.remedy}`)
  if (!read.text.includes('-----BEGIN ')) throw new TollgateError('CONFIG_INVALID', `${setting}: ${file} is no PEM file: it holds no line -----BEGIN ...-----`)
  return read.text
}
