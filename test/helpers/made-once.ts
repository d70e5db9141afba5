// Folders that take long to make, kept for every later run: made under another name, so that one that is there is whole.
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'

/** @param make fills the folder that it is given, which isn't there yet. @returns `folder` */
export function madeOnce (folder: string, make: (fresh: string) => void): string {
  if (existsSync(folder)) return folder
  mkdirSync(path.dirname(folder), { recursive: true })
  const fresh = `${folder}.new`
  rmSync(fresh, { recursive: true, force: true })
  make(fresh)
  renameSync(fresh, folder)
  return folder
}
