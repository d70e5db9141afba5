// Transactions under one transactional id. Opening takes a new epoch of the id, and with it everybody who had it before
// is fenced: the coordinator accepts nothing of an older epoch. The epoch is taken once, at the opening, and never again:
// a publisher that is fenced must not come back by itself, or two would own a partition. The library's own transactions
// aren't used, because they take a new epoch without asking.
import { addPartitionsToTxnV3, endTxnV3, initProducerIdV4 } from '@platformatic/kafka'
import type { Cluster } from './cluster.ts'
import { batchesOf } from './encode-batch.ts'
import { RequestFailure, tollgateErrorOf } from './failure.ts'
import { deadlineIn, persist } from './persist.ts'
import type { PartitionRecords, TransactionalPublisher } from './port.ts'
import { produceBatch } from './produce.ts'
import type { Destination, Producer } from './produce.ts'

export interface PublisherOptions { readonly transactionalId: string, readonly transactionTimeoutMs: number }

const publishTimeoutMs = 30_000
/** The former owner's open transaction is aborted first, which takes its partitions' leaders. */
const openTimeoutMs = 30_000
const abortTimeoutMs = 3_000

/** @throws TollgateError */
export async function openPublisher (cluster: Cluster, options: PublisherOptions): Promise<TransactionalPublisher> {
  const { transactionalId, transactionTimeoutMs } = options
  try {
    const { producerId, producerEpoch } = await atCoordinator(cluster, transactionalId, deadlineIn(openTimeoutMs), (coordinator) =>
      cluster.ask(coordinator, (connection) => initProducerIdV4.api.async(connection, transactionalId, transactionTimeoutMs)))
    return publisher(cluster, { producerId, producerEpoch, transactionalId }, Math.min(publishTimeoutMs, transactionTimeoutMs))
  } catch (error) {
    cluster.close()
    throw tollgateErrorOf(error, `opening the transactional id ${transactionalId}`, `Write on the transactional id ${transactionalId}`)
  }
}

function publisher (cluster: Cluster, producer: Producer & { readonly transactionalId: string }, timeoutMs: number): TransactionalPublisher {
  const what = `publishing as ${producer.transactionalId}`
  /** Of the next batch, by partition: one count for as long as the epoch lasts. */
  const sequences = new Map<string, number>()
  let state: 'idle' | 'publishing' | 'dead' = 'idle'

  const publish = async (parts: AsyncIterable<PartitionRecords> | Iterable<PartitionRecords>): Promise<void> => {
    const added = new Set<string>()
    // `for await` takes both kinds; the type of what it gives is known of one kind at a time.
    for await (const { topic, partition, records } of parts as AsyncIterable<PartitionRecords>) {
      const key = `${topic}-${partition}`
      // Of each part anew: the brokers themselves end a transaction that takes too long as a whole.
      const deadlineMs = deadlineIn(timeoutMs)
      if (records.length > 0 && !added.has(key)) await addPartition(cluster, producer, { topic, partition }, deadlineMs)
      for (const batch of batchesOf(records)) {
        added.add(key)
        sequences.set(key, await produceBatch(cluster, { topic, partition }, { records: batch, producer, sequence: sequences.get(key) ?? 0, deadlineMs }))
      }
    }
    if (added.size > 0) await endTransaction(cluster, producer, true, deadlineIn(timeoutMs))
  }
  const fail = async (error: unknown): Promise<unknown> => {
    state = 'dead'
    // So that readers needn't wait until the coordinator does it by itself; after a commit that arrived it changes nothing.
    if (!(error instanceof RequestFailure && error.kind === 'fenced')) await endTransaction(cluster, producer, false, deadlineIn(abortTimeoutMs)).catch(() => undefined)
    cluster.close()
    return tollgateErrorOf(error, what, 'Write on its transactional id and on every topic that it writes to')
  }
  return {
    publish: async (parts) => {
      if (state !== 'idle') throw new Error(`${what}: ${state === 'dead' ? 'this publisher has failed or is closed' : 'one transaction at a time'}`)
      state = 'publishing'
      try {
        await publish(parts)
      } catch (error) {
        throw await fail(error)
      }
      state = 'idle'
    },
    close: async () => {
      state = 'dead'
      cluster.close()
    }
  }
}

async function addPartition (cluster: Cluster, { producerId, producerEpoch, transactionalId }: Producer & { readonly transactionalId: string }, { topic, partition }: Destination, deadlineMs: number): Promise<void> {
  const topics = [{ name: topic, partitions: [partition] }]
  await atCoordinator(cluster, transactionalId, deadlineMs, (coordinator) =>
    cluster.ask(coordinator, (connection) => addPartitionsToTxnV3.api.async(connection, [{ transactionalId, producerId, producerEpoch, verifyOnly: false, topics }])))
}

/** Asked again, an end that took place already is answered as if it were the first time. */
async function endTransaction (cluster: Cluster, { producerId, producerEpoch, transactionalId }: Producer & { readonly transactionalId: string }, isCommit: boolean, deadlineMs: number): Promise<void> {
  await atCoordinator(cluster, transactionalId, deadlineMs, (coordinator) =>
    cluster.ask(coordinator, (connection) => endTxnV3.api.async(connection, transactionalId, producerId, producerEpoch, isCommit)))
}

function atCoordinator<Result> (cluster: Cluster, transactionalId: string, deadlineMs: number, request: (coordinator: number) => Promise<Result>): Promise<Result> {
  return persist(async () => request(await cluster.coordinator('transaction', transactionalId)), { deadlineMs, onFailure: cluster.forget })
}
