// What a topic holds, read by a client that shares no code with the program: kafkajs.
import { randomUUID } from 'node:crypto'
import type { RunningKafka } from './kafka.ts'

export interface OtherRecord { readonly partition: number, readonly offset: number, readonly key: string | undefined, readonly value: string | undefined, readonly headers: Readonly<Record<string, string>> }

/** The committed records of all partitions in the order they came; waits until there are `count`, or until every partition is read to its end. */
export async function recordsOf (kafka: RunningKafka, topic: string, { count, withinMs = 30_000 }: { readonly count: number, readonly withinMs?: number }): Promise<OtherRecord[]> {
  const consumer = kafka.independent().consumer({ groupId: `reader-${randomUUID()}` })
  const records: OtherRecord[] = []
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      if (count === 0) { resolve(); return }
      const timer = setTimeout(() => { reject(new Error(`${records.length} records of ${topic} instead of ${count} within ${withinMs} ms`)) }, withinMs)
      consumer.run({
        eachMessage: async ({ partition, message }) => {
          records.push({
            partition,
            offset: Number(message.offset),
            key: message.key?.toString(),
            value: message.value?.toString(),
            headers: Object.fromEntries(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]))
          })
          if (records.length < count) return
          clearTimeout(timer)
          resolve()
        }
      }).catch(reject)
    })
    return records
  } finally { await consumer.disconnect() }
}
