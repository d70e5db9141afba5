// Starts the shipper's thread, which takes usage from the journal to Kafka.
import type { JournalReaderSpec } from '../journal/start.ts'
import { startThread } from '../platform/thread.ts'
import type { ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import type { ShipperOptions } from './options.ts'
import type { ShipperThreadOptions } from './thread.ts'

export { shipperDefaults } from './options.ts'
export type { ShipperOptions } from './options.ts'

export interface ShipperStart {
  readonly options: ShipperOptions
  /** What `startJournal` returns as `reader`. */
  readonly journal: JournalReaderSpec
  readonly environment: ThreadEnvironment
  /** Called as soon as the thread works, before the hello is through: whoever shows health may show that it is waited for. */
  readonly onStarted?: (thread: ThreadHandle) => void
  readonly onDeath: (name: string, error: Error) => void
}

export interface ShipperHandle extends ThreadHandle {
  /** When Kafka took this gateway's hello, milliseconds by the broker's clock; undefined when Kafka is away and knows the gateway. */
  readonly heardMs: number | undefined
}

/**
 * Resolves when the gateway may serve: Kafka has its hello, or knows it from before and is away. Its `stop` drains: call it
 * after the journal's, whose last frame says that the stream has ended.
 * @throws RemoteError GATEWAY_UNHEARD, KAFKA_DENIED
 */
export async function startShipper ({ options, journal, environment, onStarted, onDeath }: ShipperStart): Promise<ShipperHandle> {
  const thread = await startThread({
    name: 'shipper', entry: new URL('./thread.ts', import.meta.url), environment, onDeath, options: { ...options, journal } satisfies ShipperThreadOptions
  })
  onStarted?.(thread)
  try {
    return { ...thread, heardMs: await thread.rpc.ask<number | undefined>('hello') }
  } catch (error) {
    await thread.stop()
    throw error
  }
}
