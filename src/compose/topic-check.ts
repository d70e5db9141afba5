// The topics are looked at before anything is read or written. While Kafka is away a start goes on - traffic must not wait
// for it - and they are looked at as soon as it is back.
import type { Config } from '../config/schema.ts'
import { openKafka } from '../kafka/client.ts'
import { requireTopics } from '../kafka/topics.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { OperatorSource } from '../platform/operator-http.ts'
import { clusterTopics, kafkaOptionsOf } from '../config/kafka-options.ts'

export interface TopicCheckHandle {
  readonly source: OperatorSource
  readonly stop: () => Promise<void>
}

const retryMs = 5_000

/** @throws TollgateError TOPICS_WRONG, KAFKA_DENIED, when Kafka answers */
export async function startTopicCheck (config: Config, clientId: string, log: Logger): Promise<TopicCheckHandle> {
  const stopping = new AbortController()
  let problem: string | undefined
  const look = async (): Promise<void> => {
    const kafka = openKafka(kafkaOptionsOf(config, clientId))
    const { specs, check } = clusterTopics(config)
    try {
      await requireTopics(kafka.openAdmin(), specs, check)
      if (problem !== undefined) log.info('the topics are as they should be')
      problem = undefined
    } finally {
      await kafka.close()
    }
  }
  const lookAgain = async (): Promise<void> => {
    while (problem !== undefined && !stopping.signal.aborted) {
      await sleepMs(retryMs, stopping.signal).catch(() => undefined)
      if (stopping.signal.aborted) return
      await look().catch((error: unknown) => {
        const { message } = error as Error
        if (problem !== message) log.error({ error }, 'the topics are not as they should be, or can\'t be looked at')
        problem = message
      })
    }
  }
  let looking: Promise<void> = Promise.resolve()
  try {
    await look()
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== 'KAFKA_UNREACHABLE') throw error
    problem = (error as Error).message
    log.warn({ error }, 'Kafka can\'t be reached: its topics are looked at as soon as it can')
    looking = lookAgain()
  }
  return {
    source: { name: 'topics', health: async () => ({ isReady: problem === undefined, reasons: problem === undefined ? [] : [problem] }), metrics: async () => [] },
    stop: async () => {
      stopping.abort()
      await looking
    }
  }
}
