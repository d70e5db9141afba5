// Which files of a state folder a backup has, by how they change. What stands in no list is made again or of no worth to
// anybody else: ledgers, segments that billing has brought, free segments of the journal, locks, sockets, unfinished files.
import { globSync, statSync } from 'node:fs'
import path from 'node:path'
import { stateVersionName } from '../platform/state-version.ts'

/** On one machine and, in a cluster, of each partition; files of other aggregators, kept for them, have the same names. */
const everyPartition = (pattern: string): string[] => [pattern, `partition-*/${pattern}`, `copies/*/partition-*/${pattern}`]

/** Small, and replaced or written to at any moment. */
const changing = [
  stateVersionName, 'audit.ndjson', 'restores.ndjson', 'gateway/revocations.ndjson', 'gateway/gateways', 'gateway/registry-set-aside-*.ndjson', 'shipper/gateway.json',
  'billing/acknowledgements.ndjson', ...everyPartition('aggregator/acknowledgements.ndjson')
] as const

/** Complete under their names; some grow, at their end. */
const finished = [
  'audit-*.ndjson', 'journal/quarantine/*.bytes', ...everyPartition('aggregator/dead-letter/*.ndjson'),
  ...everyPartition('archive/date=*/hour=*/*.parquet'), ...everyPartition('archive/flush/*.json'), ...everyPartition('aggregator/segments/*.parquet')
] as const

/** In use by the running program, which has to copy them itself. */
const open = ['journal/[0-9]*.segment', 'gateway/registry.sqlite', 'gateway/registry.sqlite-wal', ...everyPartition('aggregator/aggregator.duckdb'), ...everyPartition('aggregator/aggregator.duckdb.wal')] as const

/** Made again by the program from what a backup has. */
export const madeAgain = ['billing/ledger.duckdb', 'billing/segments'] as const

/** Names within the state folder, sorted. @param kinds.outside folders that aren't looked into */
export function filesIn (state: string, kinds: { readonly changing?: boolean, readonly finished?: boolean, readonly open?: boolean, readonly outside?: readonly string[] }): string[] {
  const patterns = [...(kinds.changing === true ? changing : []), ...(kinds.finished === true ? finished : []), ...(kinds.open === true ? open : [])]
  const isOutside = (name: string): boolean => kinds.outside?.some((folder) => name.startsWith(`${folder}/`)) !== true
  return globSync(patterns.filter(isOutside), { cwd: state }).filter((name) => isOutside(name) && statSync(path.join(state, name)).isFile()).sort()
}

/** Where the running program puts its copies: on the state's own disk, gone when the backup is made. */
export function stagingFolder (state: string): string { return path.join(state, 'backup') }

/** In it: what else belongs to the backup, a line each. */
export const listName = 'files.ndjson'
