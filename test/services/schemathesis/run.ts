// Schemathesis: asks a running server what its OpenAPI document says that may be asked, and what it says that may not, and
// compares the answers with it. Installed once into a folder of the checkout that git ignores, by pip, in the versions of
// requirements.txt. Several test files may ask at the same time: one installs under a lock.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

const requirements = path.join(import.meta.dirname, 'requirements.txt')
const version = /^schemathesis==(.+)$/m.exec(readFileSync(requirements, 'utf8'))?.[1] ?? ''
const folder = path.resolve(import.meta.dirname, `../../../.tollgate/services/schemathesis-${version}`)
const program = path.join(folder, 'venv/bin/schemathesis')

// The folder appears whole or not at all: its programs know their own place, so a mark says that it is complete.
const script = `
set -eu
[ -e "$1/complete" ] && exit 0
rm -rf "$1/venv"
python3 -m venv "$1/venv"
"$1/venv/bin/pip" install --disable-pip-version-check --no-input -q -r "$2"
touch "$1/complete"`

export interface SchemathesisOptions {
  /** Of the document. */
  readonly url: string
  readonly token: string
  readonly seed: number
  readonly maxTimeS: number
  /** Empty, and the caller's to remove. */
  readonly workFolder: string
  /** Regular expressions of operations, as `POST /keys`, that may refuse what the document allows, because a rule joins several fields or depends on what is there. */
  readonly mayRefuse: readonly string[]
}

export interface SchemathesisResult { readonly code: number | null, readonly output: string, readonly cases: number }

/** @throws Error when it isn't there and can't be installed: no test of it passes by not running */
export async function schemathesis ({ url, token, seed, maxTimeS, workFolder, mayRefuse }: SchemathesisOptions): Promise<SchemathesisResult> {
  if (!existsSync(path.join(folder, 'complete'))) await install()
  const config = mayRefuse.map((operation) => `[[operations]]\ninclude-name-regex = ${JSON.stringify(operation)}\nchecks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "429", "5xx"]\n`)
  writeFileSync(path.join(workFolder, 'schemathesis.toml'), config.join('\n'))
  const { code, output } = await run(program, [
    'run', url, '-H', `Authorization: Bearer ${token}`, '--seed', String(seed), '--max-time', String(maxTimeS), '--max-examples', '50', '--phases', 'examples,coverage,fuzzing', '--continue-on-failure',
    '--no-shrink', '--generation-database', 'none', '--warnings', 'off', '--no-color', '--wait-for-schema', '10'
  ], workFolder)
  return { code, output, cases: Number(/(\d+) generated/.exec(output)?.[1] ?? 0) }
}

async function install (): Promise<void> {
  process.stderr.write(`First use: pip installs Schemathesis ${version} into ${path.relative(process.cwd(), folder)} ...\n`)
  mkdirSync(folder, { recursive: true })
  const { code, output } = await run('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'install', folder, requirements], folder)
  if (code !== 0) throw new Error(`Schemathesis ${version} could not be installed (python3 with venv, pip and flock are needed: apt-get install python3-venv):\n${output.slice(-4_000)}`)
}

function run (command: string, argv: readonly string[], cwd: string): Promise<{ readonly code: number | null, readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { cwd, env: { ...process.env, PYTHONHASHSEED: '0' }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: Buffer): void => { output = `${output}${chunk.toString()}`.slice(-100_000) }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('close', (code) => { resolve({ code, output }) })
  })
}
