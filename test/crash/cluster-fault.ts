// What a fault is, and what all of them need.
import path from 'node:path'
import type { Cluster, ClusterNode } from '../helpers/cluster.ts'
import type { Links } from '../helpers/cluster-links.ts'
import type { SmallDisk } from '../helpers/small-disk.ts'
import type { RunningKafka } from '../services/kafka.ts'
import type { RedisServer } from '../services/redis.ts'

export interface FaultContext {
  readonly cluster: Cluster
  readonly kafka: RunningKafka
  readonly redis: RedisServer
  readonly links: Links
  readonly random: () => number
  /** A node that is stopped most of the time: it comes and goes in rebalance storms. */
  readonly spare: ClusterNode
  /** Has no state of its own, and nobody calls it: it runs on a copy of another gateway's journal. */
  readonly clone: ClusterNode
  /** Of nodes whose state folder is a small file system; none where this user may not mount any. */
  readonly disks: ReadonlyMap<ClusterNode, SmallDisk>
}

/** Says how far the clock of this gateway is from the real one. */
export function clockFileOf (gateway: ClusterNode): string { return path.join(gateway.folder, 'clock-shift') }

export interface Fault {
  readonly name: string
  /** How often it is wanted in the short form, beside what chance adds. */
  readonly timesMin: number
  readonly run: (context: FaultContext) => Promise<void>
}

export const between = (random: () => number, fromMs: number, toMs: number): number => Math.floor(fromMs + random() * (toMs - fromMs))
export const oneOf = <Item>(random: () => number, items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
export const usageTopic = 'api-usage-trace'
