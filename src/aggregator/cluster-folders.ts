// Where an aggregator of a cluster keeps its partitions: a folder each, so that a take-over replaces one partition's
// database and touches no other.
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { syncFolder } from '../platform/durable-file.ts'
import { aggregatorFolders } from './folders.ts'

export function partitionFolder (stateFolder: string, partition: number): string { return path.join(stateFolder, `partition-${partition}`) }

/** Partitions that have a folder here, owned now or before. */
export function partitionsWithin (stateFolder: string): number[] {
  if (!existsSync(stateFolder)) return []
  return readdirSync(stateFolder).flatMap((name) => { const match = /^partition-(\d{1,6})$/.exec(name); return match === null ? [] : [Number(match[1])] }).sort((a, b) => a - b)
}

const replacedSuffix = '.replaced'

/** Moves the database of a partition out of the way, in the place of the last one that was. Archive and segments stay. */
export function replaceDatabase (folder: string): void {
  const { databaseFile } = aggregatorFolders(folder)
  if (!existsSync(databaseFile)) return
  for (const suffix of ['', '.wal']) rmSync(databaseFile + replacedSuffix + suffix, { force: true })
  for (const suffix of ['.wal', '']) if (existsSync(databaseFile + suffix)) renameSync(databaseFile + suffix, databaseFile + replacedSuffix + suffix)
  syncFolder(path.dirname(databaseFile))
}
