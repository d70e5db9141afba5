// Records of a topic, read by another client than the program's own and its rivals'.
import { randomUUID } from 'node:crypto'
import type { RunningKafka } from '../../test/services/kafka.ts'

const readMsMax = 600_000

/** How many records have been written to the topic. */
export async function recordCount (kafka: RunningKafka, topic: string): Promise<number> {
  const admin = kafka.independent('bench-count').admin()
  await admin.connect()
  try {
    return (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0)
  } finally { await admin.disconnect() }
}

export interface ReadRecord { readonly partition: number, readonly key: string, readonly value: string }

/** Resolves when `count` records were read; those of a partition come in their order. */
export async function eachRecord (kafka: RunningKafka, topic: string, count: number, take: (record: ReadRecord) => Promise<void> | void): Promise<void> {
  const consumer = kafka.independent('bench-read').consumer({ groupId: `bench-${randomUUID()}` })
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    let read = 0
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => { reject(new Error(`${read} records of ${topic} instead of ${count} within ${readMsMax} ms`)) }, readMsMax)
      const end = (): void => { clearTimeout(timer); resolve() }
      if (count === 0) { end(); return }
      consumer.run({
        eachMessage: async ({ partition, message }) => {
          await take({ partition, key: message.key?.toString() ?? '', value: message.value?.toString() ?? '' })
          read++
          if (read === count) end()
        }
      }).catch(reject)
    })
  } finally { await consumer.disconnect() }
}
