// The running program's part of `tollgate backup`: it copies, as of one moment, what changes under a reader's hands, and names
// what doesn't. The command takes the rest from there: a program under systemd may write nowhere but to its state.
import { copyFileSync, mkdirSync, rmSync, statSync, statfsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { ListedFile } from '../../aggregator/backup.ts'
import { TollgateError } from '../../domain/errors.ts'
import { stateFiles } from '../../platform/state-files.ts'
import { copyRegistry } from '../../registry/copy.ts'
import type { ControlHandlers } from '../control-server.ts'
import { filesIn, listName, stagingFolder } from '../backup-files.ts'

/** What makes a backup recognisable. */
export interface StateFacts {
  readonly gatewayId?: string
  readonly journalId?: string
  /** Of the aggregator's database, by partition. */
  readonly counts?: readonly { readonly partition: number, readonly historyId: string, readonly term: number, readonly revision: number }[]
}

export interface StoreCopy extends StateFacts {
  /** Finished files that belong to the copy, which are all of them in the folders `within`: what is newer there is not. */
  readonly files?: readonly ListedFile[]
  readonly within?: readonly string[]
}

export interface BackupParts {
  readonly state: string
  /** Stores that only their owner can copy, put into a folder under their own names; one after the other. */
  readonly copies: readonly ((folder: string) => Promise<StoreCopy>)[]
}

/** Left on the disk beside the copies: the journal must go on. */
const freeBytesMin = 64 * 2 ** 20

export function backupHandlers ({ state, copies }: BackupParts): ControlHandlers {
  const folder = stagingFolder(state)
  let isMaking = false
  const drop = (): void => { rmSync(folder, { recursive: true, force: true }) }
  // What a program that was killed has left.
  drop()
  return {
    'backup.make': async (): Promise<StateFacts & { readonly folder: string }> => {
      if (isMaking) throw new TollgateError('BACKUP_RUNNING', `the copies of another backup of ${state} are being made`)
      isMaking = true
      try {
        drop()
        checkRoom(state)
        return { folder, ...await fill(state, folder, copies) }
      } catch (error) {
        drop()
        if ((error as NodeJS.ErrnoException).code === 'ENOSPC') throw new TollgateError('STATE_NO_ROOM', `the disk of ${state} has no room for a second copy of its databases and its journal`, { cause: error })
        throw error
      } finally { isMaking = false }
    },
    'backup.drop': async () => { drop() }
  }
}

/** The copies of what is open, then the rest: what must never be forgotten, such as revocations, is never older than the copies. */
async function fill (state: string, folder: string, copies: BackupParts['copies']): Promise<StateFacts> {
  mkdirSync(path.join(folder, 'gateway'), { recursive: true, mode: 0o700 })
  const listed: ListedFile[] = []
  const covered: string[] = []
  let facts: StateFacts = {}
  for (const copy of copies) {
    const { files = [], within = [], ...own } = await copy(folder)
    listed.push(...files)
    covered.push(...within)
    facts = { ...facts, ...own }
  }
  await copyRegistry(stateFiles(state).registry, stateFiles(folder).registry)
  for (const name of filesIn(state, { changing: true })) {
    mkdirSync(path.join(folder, path.dirname(name)), { recursive: true, mode: 0o700 })
    copyFileSync(path.join(state, name), path.join(folder, name))
  }
  for (const name of filesIn(state, { finished: true, outside: covered })) listed.push({ path: name, bytes: statSync(path.join(state, name)).size })
  writeFileSync(path.join(folder, listName), listed.map((file) => `${JSON.stringify(file)}\n`).join(''))
  return facts
}

function checkRoom (state: string): void {
  const needed = filesIn(state, { open: true }).reduce((sum, name) => sum + (statSync(path.join(state, name), { throwIfNoEntry: false })?.size ?? 0), 0)
  const { bavail, bsize } = statfsSync(state)
  if (bavail * bsize >= needed + freeBytesMin) return
  throw new TollgateError('STATE_NO_ROOM', `the disk of ${state} has ${Math.floor(bavail * bsize / 2 ** 20)} MiB free: a backup needs ${Math.ceil((needed + freeBytesMin) / 2 ** 20)} MiB there for a while, for copies of its databases and its journal`)
}
