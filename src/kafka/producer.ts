// Appends to one partition, in order. After any failure it is unknown what was appended, so the producer is dead: whoever
// sends opens another one and goes on from the first record that nobody has confirmed.
import type { Cluster } from './cluster.ts'
import { batchesOf } from './encode-batch.ts'
import { tollgateErrorOf } from './failure.ts'
import { deadlineIn } from './persist.ts'
import type { PartitionProducer } from './port.ts'
import { newProducer, produceBatch } from './produce.ts'
import type { Destination, Producer } from './produce.ts'

/** In all, for one `send`. */
const sendTimeoutMs = 30_000

/** @param firstSequence for tests of what happens where sequence numbers begin again */
export function openProducer (cluster: Cluster, target: Destination, firstSequence = 0): PartitionProducer {
  const what = `sending to ${target.topic}-${target.partition}`
  let producer: Producer | undefined
  let sequence = firstSequence
  let state: 'idle' | 'sending' | 'dead' = 'idle'
  return {
    send: async (records) => {
      if (state !== 'idle') throw new Error(`${what}: ${state === 'dead' ? 'this producer has failed or is closed' : 'one send at a time'}`)
      state = 'sending'
      try {
        const deadlineMs = deadlineIn(sendTimeoutMs)
        for (const batch of batchesOf(records)) {
          producer ??= await newProducer(cluster, deadlineMs)
          sequence = await produceBatch(cluster, target, { records: batch, producer, sequence, deadlineMs })
        }
        state = 'idle'
      } catch (error) {
        state = 'dead'
        cluster.close()
        throw tollgateErrorOf(error, what, `Write on the topic ${target.topic}`)
      }
    },
    close: async () => {
      state = 'dead'
      cluster.close()
    }
  }
}
