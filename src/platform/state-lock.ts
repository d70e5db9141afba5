// One process on a state folder. The lock is a file lock of the kernel, taken through SQLite, so it goes with the process
// however that ends, and a leftover file locks nothing.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { TollgateError } from '../domain/errors.ts'

export interface StateLock { readonly release: () => void }

/** Names that the lock has in a folder that holds nothing else; the third is SQLite's, while it is held. */
export const lockNames: readonly string[] = ['lock', 'lock.pid', 'lock-journal']

const sqliteBusy = 5

/** Makes the folder, readable by its owner only, when it isn't there. @throws TollgateError STATE_LOCKED, STATE_UNWRITABLE */
export function lockState (folder: string): StateLock {
  const file = path.join(folder, 'lock')
  const pidFile = path.join(folder, 'lock.pid')
  let database: DatabaseSync | undefined
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    database = new DatabaseSync(file, { timeout: 0 })
    // Never committed: the lock is held as long as the transaction is open.
    database.exec('pragma locking_mode = exclusive; begin exclusive')
    writeFileSync(pidFile, `${process.pid}\n`)
  } catch (error) {
    database?.close()
    if (((error as { readonly errcode?: number }).errcode ?? 0) % 256 === sqliteBusy) {
      throw new TollgateError('STATE_LOCKED', `the state folder ${folder} is in use${holderOf(pidFile)}`, { cause: error })
    }
    throw new TollgateError('STATE_UNWRITABLE', `the state folder ${folder} can't be used: ${(error as Error).message}`, { cause: error })
  }
  const held = database
  return {
    release: () => {
      rmSync(pidFile, { force: true })
      held.close()
    }
  }
}

/** A hint only: the process may have ended or not have written it yet. */
function holderOf (pidFile: string): string {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8'))
    return Number.isSafeInteger(pid) && pid > 0 ? ` by process ${pid}` : ''
  } catch {
    return ''
  }
}
