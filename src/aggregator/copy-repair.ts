// Finds finished files of which too few machines have a copy, because a disk was lost after they had been brought: copies
// that a peer kept, or the files of an owner whose own disk it was. Who still has them brings them again.
import path from 'node:path'
import type { Logger } from '../platform/logger.ts'
import { partitionFolder, partitionsWithin } from './cluster-folders.ts'
import { folderOfOwner, namesIn, ownersOfCopies } from './files-for-others.ts'
import type { FileKind } from './files-for-others.ts'
import { filesOfFlush, flushNamed } from './flush-record.ts'
import { aggregatorFolders } from './folders.ts'

/** Finished files of one partition, made by `owner`. */
export interface FinishedFolder { readonly owner: string, readonly partition: number, readonly folder: string }

export interface CopyRepairOptions {
  readonly ownerName: string
  readonly stateFolder: string
  /** Machines that must have each file, this one included. */
  readonly copies: number
  /** What each peer has of them; undefined for one that can't be asked, which may have all of them. */
  readonly namesAtPeers: (source: FinishedFolder, kind: FileKind) => Promise<readonly (ReadonlySet<string> | undefined)[]>
  /** Absolute paths. @returns false when it can't be done now */
  readonly bring: (source: FinishedFolder, files: readonly string[]) => Promise<boolean>
  readonly log: Logger
}

export interface CopyRepair {
  /** One run at a time. @returns how many flushes and segments were brought */
  readonly run: () => Promise<number>
  readonly stop: () => void
}

export function openCopyRepair ({ ownerName, stateFolder, copies, namesAtPeers, bring, log }: CopyRepairOptions): CopyRepair {
  let isStopped = false
  let running: Promise<number> | undefined

  /** A flush's record is brought behind its files, so who names it had them. */
  const tooFewName = async (source: FinishedFolder, kind: 'segment' | 'flush'): Promise<string[]> => {
    const here = namesIn(source.folder, kind)
    if (here.length === 0) return []
    const named = await namesAtPeers(source, kind)
    return here.filter((name) => 1 + named.filter((names) => names === undefined || names.has(name)).length < copies)
  }

  const repair = async (source: FinishedFolder): Promise<number> => {
    const { owner, partition } = source
    const folders = aggregatorFolders(source.folder)
    const [segments, flushes] = [await tooFewName(source, 'segment'), await tooFewName(source, 'flush')]
    if (segments.length + flushes.length > 0) log.info({ owner, partition, segments: segments.length, flushes: flushes.length }, 'files of which too few machines have copies are brought to peers')
    const lacking = [...segments.map((name) => () => [path.join(folders.segments, name)]), ...flushes.map((name) => () => filesOfFlush(folders, flushNamed(name)))]
    for (const [index, filesOf] of lacking.entries()) if (isStopped || !await bring(source, filesOf())) return index
    return lacking.length
  }

  const repairAll = async (): Promise<number> => {
    const owners = [{ owner: ownerName, folder: stateFolder }, ...ownersOfCopies(stateFolder).map((owner) => ({ owner, folder: folderOfOwner(stateFolder, owner) }))]
    let repaired = 0
    for (const { owner, folder } of owners) {
      for (const partition of partitionsWithin(folder)) if (!isStopped) repaired += await repair({ owner, partition, folder: partitionFolder(folder, partition) })
    }
    return repaired
  }

  return {
    run: () => running ??= repairAll().finally(() => { running = undefined }),
    stop: () => { isStopped = true }
  }
}
