// Starts the aggregator's thread and asks it questions.
import type { MessagePort } from 'node:worker_threads'
import { startThread } from '../platform/thread.ts'
import type { ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import type { EmbeddedUsageLogSpec } from '../usage-log/embedded.ts'
import type { AggregatorThreadOptions, AggregatorThreadSettings } from './thread.ts'

export type { AggregatorThreadSettings } from './thread.ts'

export interface AggregatorStart {
  readonly options: AggregatorThreadSettings
  readonly usageLog: EmbeddedUsageLogSpec
  /** The aggregator's end of the embedded hourly log; it is transferred. */
  readonly hourlyLogPort: MessagePort
  readonly environment: ThreadEnvironment
  readonly onDeath: (name: string, error: Error) => void
}

/** @throws RemoteError AGGREGATOR_DAMAGED, AGGREGATOR_NEWER, ARCHIVE_INCOMPLETE */
export async function startAggregator ({ options, usageLog, hourlyLogPort, environment, onDeath }: AggregatorStart): Promise<ThreadHandle> {
  const all = { ...options, usageLog, hourlyLogPort } satisfies AggregatorThreadOptions
  return await startThread({ name: 'aggregator', entry: new URL('./thread.ts', import.meta.url), environment, options: all, transfer: [hourlyLogPort], onDeath })
}
