// What a fault is, and what all of them need.
import path from 'node:path'
import type { Cluster, ClusterNode } from '../helpers/cluster.ts'
import type { Links } from '../helpers/cluster-links.ts'
import { eventually } from '../helpers/eventually.ts'
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
  /** Clients call this gateway while `work` goes on, and remember their answers for the oracle. @param options.path `/api/things/s200` by default */
  readonly callWhile: (gateway: ClusterNode, work: () => Promise<void>, options?: { readonly path: string }) => Promise<void>
}

/** Says how far the clock of this gateway is from the real one. */
export function clockFileOf (gateway: ClusterNode): string { return path.join(gateway.folder, 'clock-shift') }

export interface Fault {
  readonly name: string
  /** How often it is wanted in the short form, beside what chance adds. */
  readonly timesMin: number
  /** What it takes away. Two faults of different parts may come together; one that needs everything else to work comes `alone`. */
  readonly touches: 'gateways' | 'aggregators' | 'billings' | 'kafka' | 'redis' | 'network' | 'group' | 'alone'
  readonly run: (context: FaultContext) => Promise<void>
}

export const between = (random: () => number, fromMs: number, toMs: number): number => Math.floor(fromMs + random() * (toMs - fromMs))
export const oneOf = <Item>(random: () => number, items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item
export const hourMs = 3_600_000
export const usageTopic = 'api-usage-trace'
export const patience = { withinMs: 90_000, everyMs: 250 } as const

/** Events in a gateway's journal that wait; each state includes the one before. */
export async function backlogOf (gateway: ClusterNode, state: 'unsent' | 'uncounted' | 'unarchived'): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${gateway.operatorPort}/metrics`, { signal: AbortSignal.timeout(5_000) })).text()
  const name = `tollgate_shipper_backlog_events{state="${state}"} `
  return Number(text.split('\n').find((line) => line.startsWith(name))?.slice(name.length) ?? NaN)
}

/** Nobody may call this gateway meanwhile. */
export async function awaitArchived (gateway: ClusterNode): Promise<void> {
  await eventually(`all of ${gateway.name} is archived`, async () => await backlogOf(gateway, 'unarchived') === 0, { ...patience, withinMs: 180_000 })
}
