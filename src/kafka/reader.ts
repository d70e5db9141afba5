// Reads one partition from offsets of our own: no group, no stream, nothing committed in Kafka. A fetch that isn't
// answered is asked anew on another connection; a leader that moves is found again.
import { fetchV13, listOffsetsV7 } from '@platformatic/kafka'
import type { Reader } from '@platformatic/kafka'
import { TollgateError } from '../domain/errors.ts'
import { systemClock } from '../platform/clock.ts'
import { requestTimeoutMs } from './cluster.ts'
import type { Cluster } from './cluster.ts'
import { exchange } from './connections.ts'
import { failureOf, failureOfCode, RequestFailure, tollgateErrorOf } from './failure.ts'
import { Fetched } from './fetched.ts'
import type { AbortedTransaction } from './fetched.ts'
import { deadlineIn, persist } from './persist.ts'
import { OutOfRangeError } from './port.ts'
import type { PartitionOffsets, PartitionReader, ReaderOptions, ReadPosition, ReadResult } from './port.ts'

const timeoutMsDefault = 15_000
/** A topic that was just made isn't known to every broker at once. */
const unknownTopicMsMax = 3_000
/** A broker answers with the first batch whole, however large. */
const fetchBytesMin = 64 * 1024

interface FetchAnswer {
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly startOffset: number
  readonly aborted: readonly AbortedTransaction[]
  readonly batches: Buffer
}

/** What a fetch brought and what hasn't been handed out of it. */
interface Rest { readonly fetched: Fetched, readonly startOffset: number, readonly endOffset: number }

export function openReader (cluster: Cluster, options: ReaderOptions): PartitionReader {
  const { topic, partition, isolation, timeoutMs = timeoutMsDefault } = options
  const what = `reading ${topic}-${partition}`
  const right = `Read on the topic ${topic}`
  let topicId = options.topicId
  let rest: Rest | undefined
  let isReading = false

  const target = async (): Promise<{ readonly leader: number, readonly topicId: string }> => {
    const found = await cluster.topic(topic)
    if (found === undefined) throw new RequestFailure('again', `the brokers know no topic ${topic}`, { brokerCode: 'UNKNOWN_TOPIC_OR_PARTITION' })
    topicId ??= found.topicId
    if (found.topicId !== topicId) throw new TollgateError('KAFKA_TOPIC_GONE', `${what}: the topic was deleted and made anew (${topicId} is now ${found.topicId})`)
    return { leader: await cluster.leader(topic, partition), topicId }
  }
  const fetch = async ({ offset, bytesMax, waitMs }: ReadPosition): Promise<Rest> => {
    const { leader, topicId } = await target()
    const answer = await cluster.ask(leader, (connection) => exchange<FetchAnswer>(connection, {
      apiKey: fetchV13.api.key,
      apiVersion: fetchV13.api.version,
      request: () => fetchV13.createRequest(waitMs, 1, Math.max(bytesMax, fetchBytesMin), isolation === 'committed' ? 1 : 0, 0, -1, [{ topicId, partitions: [{ partition, currentLeaderEpoch: -1, fetchOffset: BigInt(offset), lastFetchedEpoch: -1, partitionMaxBytes: Math.max(bytesMax, fetchBytesMin) }] }], [], ''),
      parse: parseFetch
    }), waitMs + requestTimeoutMs)
    if (answer.errorCode !== 0) throw failureOfCode(answer.errorCode, `${topic}-${partition}`)
    return {
      fetched: new Fetched(answer.batches, { offset, aborted: isolation === 'committed' ? answer.aborted : [] }),
      startOffset: answer.startOffset,
      endOffset: isolation === 'committed' ? answer.lastStableOffset : answer.highWatermark
    }
  }
  const outOfRange = async (offset: number, deadlineMs: number): Promise<OutOfRangeError> => {
    const offsets = await persist(async () => offsetsAt(cluster, { topic, leader: await cluster.leader(topic, partition), partitions: [partition] }), { deadlineMs, onFailure: cluster.forget })
    const { startOffset, endOffset } = offsets.get(partition) as PartitionOffsets
    return new OutOfRangeError(`${what}: offset ${offset} lies outside of what the topic holds, ${startOffset} up to ${endOffset}`, { startOffset, endOffset })
  }
  const read = async (position: ReadPosition): Promise<ReadResult> => {
    const startedMs = systemClock.monotonicMs()
    const deadlineMs = deadlineIn(position.waitMs + timeoutMs)
    const onFailure = (failure: RequestFailure): void => {
      cluster.forget()
      if (failure.brokerCode === 'UNKNOWN_TOPIC_OR_PARTITION' && systemClock.monotonicMs() - startedMs > unknownTopicMsMax) throw new TollgateError('KAFKA_TOPIC_GONE', `${what}: ${failure.message}`, { cause: failure })
    }
    try {
      if (rest?.fetched.nextOffset !== position.offset || rest.fetched.isDone) rest = undefined
      const current = rest ?? await persist(() => fetch(position), { deadlineMs, onFailure })
      const { records, memory } = current.fetched.take(position.bytesMax)
      rest = current.fetched.isDone ? undefined : current
      return { records, memory, nextOffset: current.fetched.nextOffset, endOffset: current.endOffset, startOffset: current.startOffset }
    } catch (error) {
      rest = undefined
      cluster.forget()
      if (error instanceof RequestFailure && error.kind === 'range') throw await outOfRange(position.offset, deadlineIn(timeoutMs)).catch((failure: unknown) => tollgateErrorOf(failure, what, right))
      throw tollgateErrorOf(error, what, right)
    }
  }
  return {
    read: async (position) => {
      if (isReading) throw new Error(`${what}: one read at a time`)
      isReading = true
      try { return await read(position) } finally { isReading = false }
    },
    close: async () => { cluster.close() }
  }
}

/** Start and committed end of partitions of one leader. @throws RequestFailure */
export async function offsetsAt (cluster: Cluster, { topic, leader, partitions }: { readonly topic: string, readonly leader: number, readonly partitions: readonly number[] }): Promise<Map<number, PartitionOffsets>> {
  const list = async (timestamp: bigint): Promise<Map<number, number>> => {
    const asked = partitions.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp }))
    const { topics } = await cluster.ask(leader, (connection) => listOffsetsV7.api.async(connection, -1, 1, [{ name: topic, partitions: asked }]))
    return new Map((topics[0]?.partitions ?? []).map(({ partitionIndex, offset }) => [partitionIndex, Number(offset)]))
  }
  const starts = await list(-2n)
  const ends = await list(-1n)
  return new Map(partitions.map((partition) => {
    const [startOffset, endOffset] = [starts.get(partition), ends.get(partition)]
    if (startOffset === undefined || endOffset === undefined) throw failureOf(new Error(`the broker did not answer for ${topic}-${partition}`), topic)
    return [partition, { startOffset, endOffset }]
  }))
}

/** Fetch, version 13, of one partition. The library's own parser makes an object of every record at once. */
function parseFetch (_correlationId: number, _apiKey: number, _apiVersion: number, reader: Reader): FetchAnswer {
  reader.readInt32()
  const errorCode = reader.readInt16()
  reader.readInt32()
  const answers = reader.readArray((topic) => {
    topic.readUUID()
    return topic.readArray((partition): FetchAnswer => {
      partition.readInt32()
      return {
        errorCode: partition.readInt16(),
        highWatermark: Number(partition.readInt64()),
        lastStableOffset: Number(partition.readInt64()),
        startOffset: Number(partition.readInt64()),
        aborted: partition.readNullableArray((aborted) => ({ producerId: aborted.readInt64(), firstOffset: Number(aborted.readInt64()) })) ?? [],
        batches: readBatches(partition)
      }
    })
  }).flat()
  if (errorCode !== 0) throw failureOfCode(errorCode, 'fetch')
  const [answer] = answers
  if (answer === undefined) throw new RequestFailure('again', 'the broker answered without the partition')
  return answer
}

function readBatches (partition: Reader): Buffer {
  // Which replica would be nearer: we read from the leader.
  partition.readInt32()
  return partition.readNullableBytes() ?? Buffer.alloc(0)
}
