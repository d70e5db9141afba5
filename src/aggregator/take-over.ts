// Taking a partition over: fence whoever had it, put a record of our own behind everything that they published, read up to
// it, compare with the file that is here, and go on from whichever of the two is ahead. Everything is decided before the
// first event is counted, and a failure at any step leaves topic and file as they were.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { encodeTakeOver } from '../hourly-log/kafka-record.ts'
import type { ProgressValue } from '../hourly-log/kafka-record.ts'
import type { KafkaAdmin, KafkaClient, PartitionReader, TransactionalPublisher } from '../kafka/port.ts'
import type { Logger } from '../platform/logger.ts'
import { parseStreamProgress } from '../usage-log/usage-progress.ts'
import type { Aggregator } from './aggregator.ts'
import { replaceDatabase } from './cluster-folders.ts'
import type { ClusterTopics } from './cluster-topics.ts'
import { aggregatorFolders } from './folders.ts'
import { HourlyLoader } from './hourly-load.ts'
import { readAppliedSeqs, readFrom, readProgress, readState } from './hourly-scan.ts'
import type { HourlyScan } from './hourly-scan.ts'
import { isInOurPast, readMeta } from './lineage.ts'
import { openAggregator } from './open.ts'
import type { AggregatorOptions, OpenedAggregator } from './open.ts'
import { replacePositions } from './replace-positions.ts'
import { partitionOf } from './state.ts'
import { decideTakeOver } from './take-over-rule.ts'
import type { TakeOverDecision, TakeOverFacts } from './take-over-rule.ts'

export type TakeOverStep = 'fencing' | 'reading' | 'comparing' | 'loading'

/** What an operator has decided: which side of a partition goes on. */
export type Keep = 'file' | 'topic'

export interface TakeOverParts {
  readonly partition: number
  readonly kafka: Pick<KafkaClient, 'openTransactionalPublisher' | 'openPartitionReader'>
  readonly admin: Pick<KafkaAdmin, 'topic' | 'offsets'>
  readonly topics: ClusterTopics
  /** Of the partition alone. */
  readonly folder: string
  readonly ownerName: string
  readonly aggregator: Omit<AggregatorOptions, 'stateFolder' | 'partitions' | 'isArchiveShared' | 'keepsClosedRows'>
  readonly onStep: (step: TakeOverStep) => void
  readonly isCancelled: () => boolean
  readonly onMalformed: (key: string, problem: string) => void
  readonly log: Logger
  /** Tests bring wrong ones, to see that they are caught. */
  readonly decide?: (facts: TakeOverFacts) => TakeOverDecision
}

/** A partition that is ours, until publishing fails. */
export interface OwnedPartition {
  readonly opened: OpenedAggregator
  readonly publisher: TransactionalPublisher
  /** What the topic has of our history; -1 when it has nothing. */
  readonly publishedRevision: number
  readonly decision: Exclude<TakeOverDecision['kind'], 'ask'> | 'recover'
  readonly topicIds: TopicIds
}

export interface TopicIds { readonly usageTopicId: string, readonly hourlyTopicId: string }

/** Brokers abort a transaction that takes longer. */
const transactionTimeoutMs = 60_000

/** @throws TollgateError RECOVER_NEEDED: a person has to say which side goes on; KAFKA_UNREACHABLE, KAFKA_TOPIC_GONE and what else the brokers say */
export async function takeOver (parts: TakeOverParts, keep?: Keep): Promise<OwnedPartition> {
  const { partition, kafka, topics, onStep } = parts
  onStep('fencing')
  const topicIds = await idsOf(parts)
  const publisher = await kafka.openTransactionalPublisher({ transactionalId: topics.transactionalId(partition), transactionTimeoutMs })
  try {
    const takeOverId = parts.aggregator.randomId()
    await publisher.publish([{ topic: topics.hourly, partition, records: [encodeTakeOver(partition, { takeOverId, ownerName: parts.ownerName })] }])
    return { publisher, topicIds, ...await settle(parts, { topicIds, takeOverId, keep }) }
  } catch (error) {
    await publisher.close()
    throw error
  }
}

async function idsOf ({ admin, topics }: TakeOverParts): Promise<TopicIds> {
  const [usage, hourly] = [await admin.topic(topics.usage), await admin.topic(topics.hourly)]
  const gone = usage === undefined ? topics.usage : topics.hourly
  if (usage === undefined || hourly === undefined) throw new TollgateError('KAFKA_TOPIC_GONE', `there is no topic ${gone}`)
  return { usageTopicId: usage.topicId, hourlyTopicId: hourly.topicId }
}

interface Fenced { readonly topicIds: TopicIds, readonly takeOverId: string, readonly keep: Keep | undefined }
type Settled = Pick<OwnedPartition, 'opened' | 'publishedRevision' | 'decision'>

async function settle (parts: TakeOverParts, { topicIds, takeOverId, keep }: Fenced): Promise<Settled> {
  const { partition, topics, onStep, kafka } = parts
  const { hourlyTopicId } = topicIds
  const scanning: Scanning = async (work) => {
    const reader = kafka.openPartitionReader({ topic: topics.hourly, partition, isolation: 'committed', topicId: hourlyTopicId })
    try {
      return await work({ reader, partition, takeOverId, isCancelled: parts.isCancelled, onMalformed: parts.onMalformed })
    } finally {
      await reader.close()
    }
  }
  const file = await openFile(parts)
  let isKept = false
  try {
    onStep('reading')
    const progress = await scanning(readProgress)
    onStep('comparing')
    const decision = await decide(parts, { progress, file, hourlyTopicId, keep, scanning })
    if (file !== undefined && (decision === 'keep' || decision === 'recover')) {
      await settlePositions(parts, file.aggregator, topicIds)
      isKept = true
      return { opened: file, publishedRevision: decision === 'keep' ? progress?.revision ?? -1 : -1, decision }
    }
  } finally {
    if (!isKept) file?.close()
  }
  replaceDatabase(parts.folder)
  onStep('loading')
  return await loadNew(parts, { topicIds, scanning })
}

/** The file that is here, if it was ever finished. */
async function openFile (parts: TakeOverParts): Promise<OpenedAggregator | undefined> {
  if (!existsSync(aggregatorFolders(parts.folder).databaseFile)) return undefined
  const opened = await openShared(parts)
  if (partitionOf(opened.aggregator.state, parts.partition).positions !== undefined) return opened
  opened.close()
  return undefined
}

async function openShared ({ aggregator, folder, partition }: TakeOverParts): Promise<OpenedAggregator> {
  return await openAggregator({ ...aggregator, stateFolder: folder, partitions: [partition], isArchiveShared: true, keepsClosedRows: true })
}

type Scanning = <Result>(work: (scan: HourlyScan) => Promise<Result>) => Promise<Result>

interface Comparison { readonly progress: ProgressValue | undefined, readonly file: OpenedAggregator | undefined, readonly hourlyTopicId: string, readonly keep: Keep | undefined, readonly scanning: Scanning }

async function decide (parts: TakeOverParts, { progress, file, hourlyTopicId, keep, scanning }: Comparison): Promise<OwnedPartition['decision']> {
  const { partition, log } = parts
  const own = file === undefined ? undefined : await factsOf(file.aggregator, partition, { progress, hourlyTopicId, scanning })
  const facts: TakeOverFacts = { hourlyTopicId, progress, file: own, wasEverCounted: progress === undefined && own?.hasCounted !== true && await wasEverCounted(parts) }
  const decision = (parts.decide ?? decideTakeOver)(facts)
  if (decision.kind !== 'ask') return decision.kind
  if (keep === undefined) throw new TollgateError('RECOVER_NEEDED', `partition ${partition}: ${decision.reason}${await heldBy(file, partition)}`)
  if (keep === 'file' && file === undefined) throw new TollgateError('RECOVER_NEEDED', `partition ${partition}: there is no file here that could go on; ${decision.reason}`)
  log.warn({ partition, keep, reason: decision.reason }, 'an operator has decided which side goes on')
  if (keep === 'file') return 'recover'
  return progress === undefined ? 'begin' : 'load'
}

/** So that a person can tell whose file has most. */
async function heldBy (file: OpenedAggregator | undefined, partition: number): Promise<string> {
  if (file === undefined) return ''
  const [row] = await file.aggregator.parts.writer.rows<{ events: bigint }>('SELECT coalesce(sum(billable + notBillable + deadLettered + voided), 0)::BIGINT AS events FROM tallies WHERE sourcePartition = $1', [partition])
  return ` (the file here has counted ${row?.events ?? 0n} events)`
}

async function factsOf ({ state, parts: { writer } }: Aggregator, partition: number, { progress, hourlyTopicId, scanning }: Pick<Comparison, 'progress' | 'hourlyTopicId' | 'scanning'>): Promise<NonNullable<TakeOverFacts['file']>> {
  const { positions, streams, segment } = partitionOf(state, partition)
  const hasCounted = streams.size > 0 || segment > 0
  const isOthers = hasCounted && positions?.hourlyTopicId !== hourlyTopicId
  const counted = isOthers && progress !== undefined ? await scanning(readAppliedSeqs) : undefined
  return {
    hasCounted,
    hourlyTopicId: positions?.hourlyTopicId ?? '',
    isAhead: progress !== undefined && await isInOurPast(writer, await readMeta(writer), progress),
    isCovered: counted !== undefined && [...streams].every(([streamId, { appliedSeq }]) => appliedSeq <= (counted.get(streamId) ?? 0))
  }
}

/** @throws TollgateError KAFKA_UNREACHABLE */
async function wasEverCounted ({ partition, kafka, topics }: TakeOverParts): Promise<boolean> {
  const reader: PartitionReader = kafka.openPartitionReader({ topic: topics.usageProgress, partition, isolation: 'committed' })
  try {
    for (let offset = 0; ;) {
      const { records, nextOffset, endOffset } = await readFrom(reader, offset)
      if (records.some((record) => (parseStreamProgress(record)?.appliedSeq ?? 0) > 0)) return true
      if (nextOffset >= endOffset || nextOffset === offset) return false
      offset = nextOffset
    }
  } finally {
    await reader.close()
  }
}

/** Topics that were made anew, or have lost their end: the old offsets say nothing. All of the usage log is read again, and the chain decides. */
async function settlePositions ({ partition, admin, topics, log }: TakeOverParts, aggregator: Aggregator, { usageTopicId, hourlyTopicId }: TopicIds): Promise<void> {
  const { positions } = partitionOf(aggregator.state, partition)
  const { endOffset = 0 } = (await admin.offsets(topics.usage))[partition] ?? {}
  const isAnew = positions?.usageTopicId !== usageTopicId || positions.appliedOffset > endOffset
  if (!isAnew && positions.hourlyTopicId === hourlyTopicId) return
  if (isAnew) log.warn({ partition, was: positions, usageTopicId, endOffset }, 'the usage log was made anew or has lost its end: it is read from its beginning, and what is missing in it shows as a gap')
  const offsets = isAnew ? { appliedOffset: 0, archivedOffset: 0 } : { appliedOffset: positions.appliedOffset, archivedOffset: positions.archivedOffset }
  await replacePositions(aggregator, partition, { usageTopicId, hourlyTopicId, ...offsets })
}

interface Loading { readonly topicIds: TopicIds, readonly scanning: Scanning }

/** A new database out of the topic; one that begins with nothing when the topic has no progress. */
async function loadNew (parts: TakeOverParts, { topicIds, scanning }: Loading): Promise<Settled> {
  const { partition, folder, onMalformed, log } = parts
  const opened = await openShared(parts)
  try {
    const { aggregator } = opened
    const { writer } = aggregator.parts
    const loader = new HourlyLoader({ writer, partition, scratchFile: path.join(folder, 'aggregator', 'load.ndjson'), onMalformed: (key) => { onMalformed(key, 'the row can\'t be read') } })
    const progress = await scanning(async (scan) => await readState(scan, (record) => loader.add(record)))
    if (progress === undefined) {
      await replacePositions(aggregator, partition, { ...topicIds, appliedOffset: 0, archivedOffset: 0 })
      return { opened, publishedRevision: -1, decision: 'begin' }
    }
    const { usageTopicId, appliedOffset, archivedOffset } = progress
    await loader.finish(progress, { usageTopicId, hourlyTopicId: topicIds.hourlyTopicId, appliedOffset, archivedOffset }, parts.aggregator.nowMs())
    await aggregator.reset()
    await settlePositions(parts, aggregator, topicIds)
    log.info({ partition, revision: progress.revision, rows: partitionOf(aggregator.state, partition).segmentRows }, 'the partition\'s state was loaded from the topic of hourly counts')
    return { opened, publishedRevision: progress.revision, decision: 'load' }
  } catch (error) {
    opened.close()
    throw error
  }
}
