// Rivals that no registry has ready to run: built once from their locked versions into a folder of the checkout that git
// ignores, named by what they were built from.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { root } from './machine.ts'

const outputBytesMax = 16 * 2 ** 20
const outputShown = 4_000

export interface Build {
  /** Of the folder, and for people. */
  readonly name: string
  /** The folder of its sources: every file counts. */
  readonly sources: string
  /** For `sh`; $1 is the folder to build into, $2 that of the sources. */
  readonly script: string
  /** What has to be installed, for whoever reads that it could not be built. */
  readonly needs: string
}

/** @returns the folder that was built, now or earlier. @throws with the end of what the build said */
export async function buildOnce ({ name, sources, script, needs }: Build, say: (line: string) => void): Promise<string> {
  const folder = path.join(root, '.tollgate/rivals', `${name}-${hashOf(sources, script)}`)
  if (existsSync(path.join(folder, 'complete'))) return folder
  say(`building ${name} into ${path.relative(root, folder)}: the first time takes minutes`)
  mkdirSync(folder, { recursive: true })
  // Two runs may want it at the same time: one builds under a lock.
  const locked = `set -eu\n[ -e "$1/complete" ] && exit 0\n${script}\ntouch "$1/complete"`
  try {
    await promisify(execFile)('flock', [path.join(folder, 'lock'), 'sh', '-c', locked, 'build', folder, sources], { maxBuffer: outputBytesMax })
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { readonly stdout?: string, readonly stderr?: string }
    throw new Error(`${name} could not be built (${needs} needed):\n${`${stdout}${stderr}`.slice(-outputShown) || message}`)
  }
  return folder
}

function hashOf (sources: string, script: string): string {
  const hash = createHash('sha256').update(script)
  const files = globSync('**', { cwd: sources }).filter((file) => statSync(path.join(sources, file)).isFile()).sort()
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(path.join(sources, file)))
  return hash.digest('hex').slice(0, 12)
}
