// Schemathesis: asks a running server what its OpenAPI document says that may be asked, and what it says that may not, and
// compares the answers with it. Installed once by pip, in the versions of requirements.txt.
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { pipTool } from '../pip-tool.ts'

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
  const bin = await pipTool('schemathesis', path.join(import.meta.dirname, 'requirements.txt'))
  const config = mayRefuse.map((operation) => `[[operations]]\ninclude-name-regex = ${JSON.stringify(operation)}\nchecks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "400", "401", "403", "404", "409", "429", "5xx"]\n`)
  writeFileSync(path.join(workFolder, 'schemathesis.toml'), config.join('\n'))
  const { code, output } = await run(path.join(bin, 'schemathesis'), [
    'run', url, '-H', `Authorization: Bearer ${token}`, '--seed', String(seed), '--max-time', String(maxTimeS), '--max-examples', '50', '--phases', 'examples,coverage,fuzzing', '--continue-on-failure',
    '--no-shrink', '--generation-database', 'none', '--warnings', 'off', '--no-color', '--wait-for-schema', '10'
  ], workFolder)
  return { code, output, cases: Number(/(\d+) generated/.exec(output)?.[1] ?? 0) }
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
