// A Debian for arm64 beside this machine's own: its C libraries from Debian's archive, and the one file in it under
// qemu-user. Made once and kept.
import { execFileSync } from 'node:child_process'
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { debianMirror } from './debian-mirror.ts'
import { madeOnce } from './made-once.ts'

const root = path.resolve(import.meta.dirname, '../..')
const cache = path.join(root, 'node_modules/.cache/tollgate-build')

export type Release = 'bookworm' | 'trixie'

function libraries (release: Release): string {
  return madeOnce(path.join(cache, `arm64-${release}`), (fresh) => {
    // Unpacked only: no script of a package runs, so nothing of arm64 need run for it.
    execFileSync('mmdebstrap', ['--quiet', '--arch=arm64', '--variant=extract', '--include=libc6,libstdc++6', release, fresh, debianMirror()], { stdio: ['ignore', 'ignore', 'inherit'] })
    if (!existsSync(path.join(fresh, 'lib'))) symlinkSync('usr/lib', path.join(fresh, 'lib'))
  })
}

export interface Arm64Options {
  readonly release: Release
  /** Such as cortex-a72, a Pi 4's. */
  readonly cpu: string
  /** Of the pages that the program sees. */
  readonly pageBytes: number
}

/** A script that runs `file` as on a Pi. @param folder where it is written */
export function arm64Program (folder: string, file: string, { release, cpu, pageBytes }: Arm64Options): string {
  const script = path.join(folder, `${release}-${cpu}-${pageBytes}`)
  // qemu-user can't start a program of another architecture from within: the one file needn't start itself once more.
  writeFileSync(script, `#!/bin/sh\nexport MALLOC_ARENA_MAX=2\nexec qemu-aarch64-static -cpu ${cpu} -p ${pageBytes} -L '${libraries(release)}' '${file}' "$@"\n`, { mode: 0o755 })
  return script
}
