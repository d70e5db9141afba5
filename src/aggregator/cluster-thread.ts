// The thread of an aggregator of a cluster: a member of the group that deals out the partitions of the usage log, and the
// owner of each that it is dealt.
import { randomUUID } from 'node:crypto'
import type { MessagePort } from 'node:worker_threads'
import { openKafka } from '../kafka/client.ts'
import type { KafkaOptions } from '../kafka/port.ts'
import { metricsJson, openMetrics } from '../platform/metrics.ts'
import { openRpc } from '../platform/thread-rpc.ts'
import { runThread } from '../platform/thread.ts'
import type { Health, ThreadContext, ThreadService } from '../platform/thread.ts'
import { openAggregatorMetrics } from './aggregator-metrics.ts'
import { openClusterMetrics } from './cluster-metrics.ts'
import { ClusterOwners } from './cluster-owners.ts'
import type { PartitionCopy } from './cluster-owners.ts'
import { clusterTopics } from './cluster-topics.ts'
import type { GivingUp } from './give-up.ts'
import type { OwnerSettings, PartitionStatus } from './owner.ts'
import type { Keep } from './take-over.ts'
import type { ArchivedFiles } from './retention.ts'

/** From the configuration. */
export interface ClusterAggregatorSettings extends OwnerSettings {
  readonly topicPrefix: string
  /** Names this aggregator in the group, in the topics and in logs; the same after a restart. */
  readonly ownerName: string
}

export interface ClusterAggregatorOptions extends ClusterAggregatorSettings {
  readonly kafka: KafkaOptions
  /** Asked `archived` with `ArchivedFiles`, answered with whether they have their copies; without it one copy is enough. */
  readonly copyPort: MessagePort | undefined
}

export interface ClusterAggregatorStatus {
  readonly ownerName: string
  readonly isMember: boolean
  readonly partitions: readonly PartitionStatus[]
}

async function start ({ options, log, clock }: ThreadContext<ClusterAggregatorOptions>): Promise<ThreadService> {
  const { ownerName, memoryBytesMax, copyPort } = options
  const kafka = openKafka(options.kafka)
  const topics = clusterTopics(options.topicPrefix)
  const registry = openMetrics()
  const metrics = openAggregatorMetrics(registry)
  const clusterMetrics = openClusterMetrics(registry)
  const copies = copyPort === undefined ? undefined : openRpc(copyPort, {})
  const onArchived = async (files: ArchivedFiles): Promise<boolean> => copies === undefined || await copies.ask<boolean>('archived', files)
  const owners = new ClusterOwners({
    kafka, admin: kafka.openAdmin(), topics, ownerName, onArchived, clock, log, metrics, clusterMetrics, memoryBytesMax,
    settings: options, randomId: randomUUID, isMember: () => group.isMember()
  })
  let problem: string | undefined
  const group = kafka.joinGroup({
    groupId: topics.groupId,
    topic: topics.usage,
    memberName: ownerName,
    onAssigned: (partitions) => {
      problem = undefined
      log.info({ partitions }, 'these partitions are dealt to this aggregator')
      owners.assign(partitions)
    },
    onFailure: (error) => {
      if (problem !== error.message) log.warn({ error }, 'this aggregator is not in the group for now')
      problem = error.message
    }
  })
  const health = (): Health => {
    const reasons = [...(group.isMember() ? [] : [problem ?? 'joining the group of aggregators']), ...owners.health().reasons]
    return { isReady: reasons.length === 0, reasons }
  }
  return {
    health,
    metrics: async () => {
      metrics.measureAll(owners.owners().flatMap(({ ownership }) => ownership ?? []), clock.nowMs())
      clusterMetrics.measure(owners.status(), owners.inLine, clock.nowMs())
      return await metricsJson(registry)
    },
    stop: async () => {
      await owners.stop()
      await group.leave()
      await kafka.close()
      copyPort?.close()
    },
    handlers: {
      status: (): ClusterAggregatorStatus => ({ ownerName, isMember: group.isMember(), partitions: owners.status() }),
      recover: async ({ partition, keep }: { readonly partition: number, readonly keep: Keep }) => { await owners.recover(partition, keep) },
      giveUp: async ({ partition, ...given }: { readonly partition: number } & GivingUp) => await owners.giveUp(partition, given),
      flush: async ({ partition }: { readonly partition: number }) => { await owners.flush(partition) },
      backup: async ({ folder }: { readonly folder: string }): Promise<readonly PartitionCopy[]> => await owners.backup(folder)
    }
  }
}

runThread(start)
