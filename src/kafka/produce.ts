// One batch to the leader of one partition, acknowledged by all replicas in sync. The same bytes are sent again until
// they are acknowledged or the deadline has passed: a broker knows a batch again by its producer and sequence number, so
// nothing is doubled and the order is kept. The library's own send isn't used: it makes a new producer where it shouldn't,
// and several partitions in one send lose or hang when a leader moves.
import { produceV9, initProducerIdV4, Writer } from '@platformatic/kafka'
import { systemClock } from '../platform/clock.ts'
import type { Cluster } from './cluster.ts'
import { exchange } from './connections.ts'
import { encodeBatch, sequenceAfter } from './encode-batch.ts'
import { RequestFailure } from './failure.ts'
import { persist } from './persist.ts'
import type { RecordOut } from './port.ts'

/** How long a broker waits for its replicas before it answers that they are late. */
const replicasTimeoutMs = 5_000
const answerTimeoutMs = replicasTimeoutMs + 3_000

export interface Producer { readonly producerId: bigint, readonly producerEpoch: number, readonly transactionalId: string | null }

export interface Destination { readonly topic: string, readonly partition: number }

/** @returns the sequence number of the next batch to that partition */
export async function produceBatch (cluster: Cluster, { topic, partition }: Destination, { records, producer, sequence, deadlineMs }: {
  readonly records: readonly RecordOut[]
  readonly producer: Producer
  readonly sequence: number
  readonly deadlineMs: number
}): Promise<number> {
  const { producerId, producerEpoch, transactionalId } = producer
  const batch = encodeBatch(records, { producerId, producerEpoch, sequence, isTransactional: transactionalId !== null, nowMs: systemClock.nowMs() })
  await persist(async () => {
    const leader = await cluster.leader(topic, partition)
    try {
      await cluster.ask(leader, (connection) => exchange(connection, {
        apiKey: produceV9.api.key,
        apiVersion: produceV9.api.version,
        request: () => produceRequest({ topic, partition }, { batch, transactionalId }),
        parse: produceV9.parseResponse
      }), answerTimeoutMs)
    } catch (error) {
      // It is there already: an earlier try arrived and only its answer was lost.
      if (!(error instanceof RequestFailure && error.brokerCode === 'DUPLICATE_SEQUENCE_NUMBER')) throw error
    }
  }, { deadlineMs, onFailure: cluster.forget })
  return sequenceAfter(sequence, records.length)
}

function produceRequest ({ topic, partition }: Destination, { batch, transactionalId }: { readonly batch: Buffer, readonly transactionalId: string | null }): Writer {
  return Writer.create()
    .appendString(transactionalId)
    .appendInt16(-1)
    .appendInt32(replicasTimeoutMs)
    .appendArray([topic], (topicWriter, name) => {
      topicWriter.appendString(name).appendArray([partition], (writer, index) => { writer.appendInt32(index).appendUnsignedVarInt(batch.length + 1).append(batch) })
    })
    .appendTaggedFields()
}

/** A number for a producer without transactions; any broker gives it. */
export async function newProducer (cluster: Cluster, deadlineMs: number): Promise<Producer> {
  const { producerId, producerEpoch } = await persist(() => cluster.ask('any', (connection) => initProducerIdV4.api.async(connection, null, 60_000)), { deadlineMs })
  return { producerId, producerEpoch, transactionalId: null }
}
