// Starts the thread of an aggregator of a cluster and asks it questions.
import type { MessagePort } from 'node:worker_threads'
import type { KafkaOptions } from '../kafka/port.ts'
import { startThread } from '../platform/thread.ts'
import type { ThreadEnvironment, ThreadHandle } from '../platform/thread.ts'
import type { ClusterAggregatorOptions, ClusterAggregatorSettings, ClusterAggregatorStatus } from './cluster-thread.ts'
import type { PartitionCopy } from './cluster-owners.ts'
import type { GivenUp, GivingUp } from './give-up.ts'
import type { Keep } from './take-over.ts'

export type { ClusterAggregatorSettings, ClusterAggregatorStatus } from './cluster-thread.ts'

export interface ClusterAggregatorStart {
  readonly options: ClusterAggregatorSettings
  readonly kafka: KafkaOptions
  /** Whoever makes copies of finished files answers here; it is transferred. See `ClusterAggregatorOptions.copyPort`. */
  readonly copyPort?: MessagePort
  readonly environment: ThreadEnvironment
  readonly onDeath: (name: string, error: Error) => void
}

export interface ClusterAggregatorHandle extends ThreadHandle {
  readonly status: () => Promise<ClusterAggregatorStatus>
  /** @throws RemoteError ARGUMENT_INVALID when the partition doesn't wait for a decision here */
  readonly recover: (decision: { readonly partition: number, readonly keep: Keep }) => Promise<void>
  /** What is missing of a stream is a void from now on. @throws RemoteError ARGUMENT_INVALID when nothing of it is missing in the partition, or it isn't owned here */
  readonly giveUp: (decision: { readonly partition: number } & GivingUp) => Promise<GivenUp>
  /** Everything counted of the partition is archived and published when it resolves; nothing happens for one that isn't owned here. */
  readonly flush: (partition: number) => Promise<void>
  /** Copies the databases of the partitions that are owned now into their folders below `folder`. */
  readonly backup: (folder: string) => Promise<readonly PartitionCopy[]>
}

export async function startClusterAggregator ({ options, kafka, copyPort, environment, onDeath }: ClusterAggregatorStart): Promise<ClusterAggregatorHandle> {
  const all = { ...options, kafka, copyPort } satisfies ClusterAggregatorOptions
  const thread = await startThread({ name: 'aggregator', entry: new URL('./cluster-thread.ts', import.meta.url), environment, options: all, transfer: copyPort === undefined ? [] : [copyPort], onDeath })
  return {
    ...thread,
    status: () => thread.rpc.ask('status'),
    recover: (decision) => thread.rpc.ask('recover', decision),
    giveUp: (decision) => thread.rpc.ask('giveUp', decision),
    flush: (partition) => thread.rpc.ask('flush', { partition }),
    backup: (folder) => thread.rpc.ask('backup', { folder })
  }
}
