// Reads the topic gateway-progress into the book of gateways, from its beginning at each start.
import type { PartitionReader } from '../kafka/port.ts'
import { OutOfRangeError } from '../kafka/port.ts'
import { sleepMs } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import type { GatewayBook } from './gateway-book.ts'

export interface FollowGatewaysOptions {
  readonly book: GatewayBook
  /** @throws TollgateError KAFKA_UNREACHABLE, KAFKA_TOPIC_GONE */
  readonly topicId: () => Promise<string>
  readonly openReader: (topicId: string) => PartitionReader
  readonly log: Logger
  readonly bytesMax: number
  /** How long a read waits for something new. */
  readonly waitMs: number
  readonly retryMs: number
}

export interface GatewaysFollower {
  /** The end that could be seen was reached, and nothing has failed since. */
  readonly isCurrent: () => boolean
  /** It was reached once since the start. */
  readonly hasCaughtUp: () => boolean
  readonly problem: () => string | undefined
  /** What is said from here on is newer than now. */
  readonly nextOffset: () => number
  readonly stop: () => Promise<void>
}

export function followGateways ({ book, topicId, openReader, log, bytesMax, waitMs, retryMs }: FollowGatewaysOptions): GatewaysFollower {
  const stopping = new AbortController()
  let reader: PartitionReader | undefined
  let offset = 0
  let endOffset = 0
  let isCurrent = false
  let hasCaughtUp = false
  let problem: string | undefined

  /** What is known is of another topic, or of one that has lost its end. */
  const startOver = (from: number): void => {
    book.clear()
    offset = from
    isCurrent = false
  }

  const readOn = async (): Promise<void> => {
    if (reader === undefined) {
      startOver(0)
      reader = openReader(await topicId())
    }
    const result = await reader.read({ offset, bytesMax, waitMs: isCurrent ? waitMs : 0 })
    book.take(result.records)
    offset = result.nextOffset
    endOffset = result.endOffset
    isCurrent = offset >= endOffset
    hasCaughtUp ||= isCurrent
    if (problem !== undefined) log.info('what the gateways say is read again')
    problem = undefined
  }

  const fail = async (error: unknown): Promise<void> => {
    isCurrent = false
    if (error instanceof OutOfRangeError) { startOver(error.startOffset); return }
    if ((error as { readonly code?: unknown }).code === 'KAFKA_TOPIC_GONE') {
      const gone = reader
      reader = undefined
      await gone?.close()
    }
    const message = error instanceof Error ? error.message : String(error)
    if (problem !== message) log.error({ error }, 'what the gateways say can\'t be read; hours stay as they are, and it is tried again')
    problem = message
    await sleepMs(retryMs, stopping.signal).catch(() => undefined)
  }

  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try { await readOn() } catch (error) {
        if (!stopping.signal.aborted) await fail(error)
      }
    }
  }
  const running = run()
  return {
    isCurrent: () => isCurrent,
    hasCaughtUp: () => hasCaughtUp,
    problem: () => problem,
    nextOffset: () => endOffset,
    stop: async () => {
      stopping.abort()
      await reader?.close()
      await running
    }
  }
}
