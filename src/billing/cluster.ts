// The parts of a cluster's billing server but for its listeners: readers of the two topics, the ledger, completeness, and
// what operators ask.
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { openKafkaHourlyLog } from '../hourly-log/kafka.ts'
import type { KafkaHourlyLog } from '../hourly-log/kafka.ts'
import { hourlyTopics } from '../hourly-log/kafka-topics.ts'
import { openKafka } from '../kafka/client.ts'
import type { PartitionProducer } from '../kafka/port.ts'
import { followPartitions } from '../ledger/follow-partitions.ts'
import type { PartitionsFollower } from '../ledger/follow-partitions.ts'
import { openLedger } from '../ledger/ledger.ts'
import type { Ledger } from '../ledger/ledger-types.ts'
import type { Clock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { Health } from '../platform/thread.ts'
import { usageTopics } from '../usage-log/kafka-topics.ts'
import { openAcceptedHours } from './accepted-hours.ts'
import { openAggregatorFiles } from './aggregator-files.ts'
import type { AggregatorFiles } from './aggregator-files.ts'
import { openClockAlarm } from './clock-alarm.ts'
import type { ClusterBillingState } from './cluster-metrics.ts'
import type { ClusterBillingOptions } from './cluster-options.ts'
import { openClusterVerify } from './cluster-verify.ts'
import type { ClusterVerify } from './cluster-verify.ts'
import { Completeness } from './completeness.ts'
import { openHourlyDeadLetters } from './dead-letters.ts'
import { followGateways } from './follow-gateways.ts'
import type { GatewaysFollower } from './follow-gateways.ts'
import { GatewayBook } from './gateway-book.ts'
import { openGateways } from './gateways.ts'
import type { Gateways } from './gateways.ts'
import { repeat } from './repeat.ts'
import { openSegmentFiles } from './segment-files.ts'

export interface ClusterBilling {
  readonly ledger: Ledger
  readonly completeness: Completeness
  readonly verify: ClusterVerify
  readonly gateways: Gateways
  readonly health: () => Health
  readonly state: () => ClusterBillingState
  readonly close: () => Promise<void>
}

/** Read at a time of all partitions together, as it comes from the brokers. */
const readBytesMax = 4 * 2 ** 20
const readBytesMin = 64 * 2 ** 10
const readWaitMs = 1_000
const followIntervalMs = 100
const retryMs = 1_000
const completenessIntervalMs = 1_000
/** How often the topic is asked for its partitions. */
const topicIntervalMs = 10_000

export async function openClusterBilling ({ options, log, clock }: { readonly options: ClusterBillingOptions, readonly log: Logger, readonly clock: Clock }): Promise<ClusterBilling> {
  const { folder, graceMs, memoryBytesMax, threads } = options.ledger
  const partitions = Array.from({ length: options.partitions }, (_, partition) => partition)
  const ledger = await openLedger({ ...options.ledger, partitions, log })
  const topics = openTopics(options, log)
  const acknowledgementsFile = path.join(folder, 'acknowledgements.ndjson')
  const accepted = openAcceptedHours(acknowledgementsFile)
  const { book } = topics
  const completeness = new Completeness({ book, graceMs, isAccepted: accepted.has })
  const saying = topics.followGateways()
  const follower = followPartitions({
    ledger, reader: topics.hourlyLog, partitions, log, intervalMs: followIntervalMs, retryMs,
    onApplied: ({ isReset, account }) => {
      if (isReset) completeness.checkAll()
      completeness.noteCounted((account?.tallies ?? []).map(({ hour }) => hour))
    }
  })
  const repeating = [
    repeat(completenessIntervalMs, async () => {
      const account = saying.isCurrent() && ledger.isReady() ? await ledger.account(completeness.question()) : undefined
      if (account !== undefined) completeness.evaluate(account, clock.nowMs())
    }, log),
    repeat(topicIntervalMs, async () => {
      for (let partition = options.partitions; partition < await topics.hourlyPartitions(); partition++) follower.add(partition)
    }, log)
  ]
  const health = (): Health => healthOf({ ledger, partitions, follower, saying })
  const archive = { aggregators: topics.aggregators, folder: path.join(folder, 'verify'), memoryBytesMax, threads, copies: options.archiveCopies }
  const onAcknowledged = (): void => {
    accepted.reload()
    completeness.checkAll()
  }
  return {
    ledger,
    completeness,
    verify: openClusterVerify({ ledger, book, gateways: saying, completeness, archive, acknowledgementsFile, onAcknowledged, clock }),
    gateways: openGateways({ book, follower: saying, completeness, ledger, openProducer: topics.openGatewayProducer, clock }),
    health,
    state: () => ({ isReady: health().isReady, steps: follower.steps(), behind: ledger.behind().length, report: completeness.report, ...topics.counts() }),
    close: async () => {
      // A read that waits for Kafka ends with its connections.
      const stopped = Promise.all([...repeating, follower, saying].map((each) => each.stop()))
      await topics.close()
      await stopped
      await ledger.close()
    }
  }
}

function healthOf ({ ledger, partitions, follower, saying }: { readonly ledger: Ledger, readonly partitions: readonly number[], readonly follower: PartitionsFollower, readonly saying: GatewaysFollower }): Health {
  const waiting = partitions.filter((partition) => !follower.caughtUp().has(partition))
  const problem = saying.problem()
  const reasons = [
    ...ledger.isReady() && waiting.length === 0 ? [] : [`the ledger is still reading the hourly counts${waiting.length === 0 ? '' : ` of partitions ${waiting.join(', ')}`}`],
    ...follower.problems().map((each) => `the ledger can't follow the hourly counts of partition ${each.partition}: ${each.problem}`),
    ...problem === undefined ? [] : [`what the gateways say can't be read: ${problem}`],
    ...saying.hasCaughtUp() || problem !== undefined ? [] : ['what the gateways say is still being read']
  ]
  return { isReady: reasons.length === 0, reasons }
}

interface Topics {
  readonly hourlyLog: KafkaHourlyLog
  readonly book: GatewayBook
  readonly aggregators: readonly AggregatorFiles[]
  readonly followGateways: () => GatewaysFollower
  readonly openGatewayProducer: () => PartitionProducer
  /** 0 while there is no topic. */
  readonly hourlyPartitions: () => Promise<number>
  readonly counts: () => Pick<ClusterBillingState, 'missingSegments' | 'malformed' | 'malformedLost' | 'clocksAhead'>
  readonly close: () => Promise<void>
}

/** What is read of the cluster, and from whom. */
function openTopics ({ kafka: kafkaOptions, topicPrefix, ledger: { folder }, aggregators: addresses, partitions }: ClusterBillingOptions, log: Logger): Topics {
  const kafka = openKafka(kafkaOptions)
  const admin = kafka.openAdmin()
  const { hourly, deadLetter } = hourlyTopics(topicPrefix)
  const { gatewayProgress } = usageTopics(topicPrefix)
  const topicIdOf = async (topic: string): Promise<string> => {
    const facts = await admin.topic(topic)
    if (facts === undefined) throw new TollgateError('KAFKA_TOPIC_GONE', `there is no topic ${topic}`)
    return facts.topicId
  }
  const aggregators = addresses.map(openAggregatorFiles)
  const segments = openSegmentFiles(path.join(folder, 'segments'), aggregators)
  const deadLetters = openHourlyDeadLetters({ topic: hourly, openProducer: () => kafka.openPartitionProducer({ topic: deadLetter, partition: 0 }), log })
  const alarm = openClockAlarm(log)
  const book = new GatewayBook({
    onAhead: alarm.take,
    onMalformed: ({ offset, key }) => { log.warn({ topic: gatewayProgress, offset, key: key?.slice(0, 100) }, 'a record of gateway-progress can\'t be read: it is passed over') }
  })
  const hourlyLog = openKafkaHourlyLog({
    topicId: async () => await topicIdOf(hourly),
    openReader: (partition, topicId) => kafka.openPartitionReader({ topic: hourly, partition, isolation: 'committed', topicId }),
    closedFile: segments.bring,
    onMalformed: deadLetters.take,
    bytesMax: Math.max(readBytesMin, Math.floor(readBytesMax / partitions)),
    waitMs: readWaitMs
  })
  return {
    hourlyLog,
    book,
    aggregators,
    followGateways: () => followGateways({
      book,
      topicId: async () => await topicIdOf(gatewayProgress),
      openReader: (topicId) => kafka.openPartitionReader({ topic: gatewayProgress, partition: 0, isolation: 'committed', topicId }),
      log, bytesMax: readBytesMax, waitMs: readWaitMs, retryMs
    }),
    openGatewayProducer: () => kafka.openPartitionProducer({ topic: gatewayProgress, partition: 0 }),
    hourlyPartitions: async () => (await admin.topic(hourly))?.partitions ?? 0,
    counts: () => ({ missingSegments: segments.missing().length, malformed: deadLetters.count(), malformedLost: deadLetters.lost(), clocksAhead: alarm.count() }),
    close: async () => {
      const sent = deadLetters.close()
      await hourlyLog.close()
      await kafka.close()
      await sent
      for (const aggregator of aggregators) aggregator.close()
    }
  }
}
