// A file system of its own for what must run out of room, as far as this user may mount one.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'

export interface SmallDisk {
  /** Takes all room that is left. */
  readonly fill: () => void
  readonly free: () => void
  readonly unmount: () => void
}

/** @returns undefined where mounting isn't allowed */
export function mountSmallDisk (folder: string, mebibytes: number): SmallDisk | undefined {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=755`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  const filler = path.join(folder, 'filler')
  return {
    fill: () => {
      try {
        execFileSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64K'], { stdio: 'ignore' })
      } catch {
        // It ends when there is no room left, which is what is wanted.
      }
    },
    free: () => { rmSync(filler, { force: true }) },
    unmount: () => { execFileSync('umount', ['-l', folder], { stdio: 'ignore' }) }
  }
}
