// Kafka for one thread.
import { openTopicAdmin } from './admin.ts'
import { openCluster } from './cluster.ts'
import type { Cluster } from './cluster.ts'
import { joinGroup } from './group.ts'
import type { GroupMembership, KafkaClient, KafkaOptions } from './port.ts'
import { openProducer } from './producer.ts'
import { openPublisher } from './publisher.ts'
import { openReader } from './reader.ts'

/** Opens no connection by itself. */
export function openKafka (options: KafkaOptions): KafkaClient {
  const clusters = new Set<Cluster>()
  const memberships = new Set<GroupMembership>()
  const cluster = (): Cluster => {
    const opened = openCluster(options)
    const own = { ...opened, close: () => { clusters.delete(own); opened.close() } }
    clusters.add(own)
    return own
  }
  return {
    openPartitionProducer: (target) => openProducer(cluster(), target),
    openTransactionalPublisher: (publisher) => openPublisher(cluster(), publisher),
    openPartitionReader: (reader) => openReader(cluster(), reader),
    openAdmin: () => openTopicAdmin(cluster()),
    joinGroup: (group) => {
      const joined = joinGroup(cluster(), group)
      const membership = { ...joined, leave: async () => { memberships.delete(membership); await joined.leave() } }
      memberships.add(membership)
      return membership
    },
    close: async () => {
      await Promise.all([...memberships].map((membership) => membership.leave()))
      for (const each of [...clusters]) each.close()
    }
  }
}
