// Records of the hourly topic that can't be read: counted, logged once a place, and kept on the dead-letter topic as far as
// that can be done without waiting. The record itself stays where it is in the hourly topic.
import type { PartitionProducer, RecordOut } from '../kafka/port.ts'
import { deadLetterValue } from '../hourly-log/kafka-batch.ts'
import type { MalformedRecord } from '../hourly-log/kafka-batch.ts'
import type { Logger } from '../platform/logger.ts'

export interface HourlyDeadLetters {
  readonly take: (records: readonly MalformedRecord[]) => void
  /** Records since the start. */
  readonly count: () => number
  /** Of them those that could not be put on the dead-letter topic. */
  readonly lost: () => number
  readonly close: () => Promise<void>
}

/** Records that wait to be sent; those beyond are counted and logged only. */
const waitingMax = 1_000
/** Places remembered so that none is logged twice, as after a ledger was made again. */
const placesMax = 10_000
const sendMax = 100

export function openHourlyDeadLetters ({ topic, openProducer, log }: { readonly topic: string, readonly openProducer: () => PartitionProducer, readonly log: Logger }): HourlyDeadLetters {
  const places = new Set<string>()
  const waiting: RecordOut[] = []
  let producer: PartitionProducer | undefined
  let sending: Promise<void> | undefined
  let count = 0
  let lost = 0

  const send = async (): Promise<void> => {
    while (waiting.length > 0) {
      const records = waiting.splice(0, sendMax)
      try {
        producer ??= openProducer()
        await producer.send(records)
      } catch (error) {
        lost += records.length
        log.warn({ error, records: records.length }, 'unreadable records of the hourly topic could not be put on its dead-letter topic; they stay where they are')
        const failed = producer
        producer = undefined
        await failed?.close()
      }
    }
    sending = undefined
  }

  return {
    take: (records) => {
      for (const malformed of records) {
        const { partition, record: { offset, key }, problem } = malformed
        const place = `${partition} ${offset}`
        if (places.has(place)) continue
        if (places.size < placesMax) places.add(place)
        count++
        log.error({ topic, partition, offset, key: key?.slice(0, 100), problem }, 'a record of the hourly topic can\'t be read: it counts in no bill')
        if (waiting.length < waitingMax) waiting.push({ key: place, value: deadLetterValue(topic, malformed) })
        else lost++
      }
      if (waiting.length > 0) sending ??= send()
    },
    count: () => count,
    lost: () => lost,
    close: async () => {
      waiting.length = 0
      await sending
      await producer?.close()
    }
  }
}
