// Tools from PyPI, each in a folder of the checkout that git ignores, in the versions of its requirements.txt, of which the
// tool's own is the folder's name. Several test files may ask at the same time: one installs under a lock.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const outputBytesMax = 16 * 2 ** 20

// The folder appears whole or not at all: its programs know their own place, so a mark says that it is complete.
const script = `
set -eu
[ -e "$1/complete" ] && exit 0
rm -rf "$1/venv"
python3 -m venv "$1/venv"
"$1/venv/bin/pip" install --disable-pip-version-check --no-input -q -r "$2"
touch "$1/complete"`

/** @returns the folder of the tool's programs. @throws Error when it isn't there and can't be installed: no test passes by not running it */
export async function pipTool (name: string, requirements: string): Promise<string> {
  const version = readFileSync(requirements, 'utf8').split('\n').find((line) => line.startsWith(`${name}==`))?.slice(name.length + 2).trim() ?? ''
  const folder = path.resolve(import.meta.dirname, `../../.tollgate/services/${name}-${version}`)
  if (!existsSync(path.join(folder, 'complete'))) await install(`${name} ${version}`, folder, requirements)
  return path.join(folder, 'venv/bin')
}

async function install (what: string, folder: string, requirements: string): Promise<void> {
  process.stderr.write(`First use: pip installs ${what} into ${path.relative(process.cwd(), folder)} ...\n`)
  mkdirSync(folder, { recursive: true })
  try {
    await run('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'install', folder, requirements], { maxBuffer: outputBytesMax })
  } catch (error) {
    const { stdout, stderr, message } = error as Error & { readonly stdout?: string, readonly stderr?: string }
    throw new Error(`${what} could not be installed (python3 with venv, pip and flock are needed: apt-get install python3-venv):\n${`${stdout ?? ''}${stderr ?? ''}`.slice(-4_000) || message}`)
  }
}
