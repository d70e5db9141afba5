// Ansible: Debian's, which the playbooks must work with, and the current one with its linter, installed once by pip into a
// folder of the checkout that git ignores, in the versions of requirements.txt.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'

const requirements = path.join(import.meta.dirname, 'requirements.txt')
const version = /^ansible-lint==(.+)$/m.exec(readFileSync(requirements, 'utf8'))?.[1] ?? ''
const folder = path.resolve(import.meta.dirname, `../../../.tollgate/services/ansible-lint-${version}`)
export const ansibleFolder = path.resolve(import.meta.dirname, '../../../ansible')

const script = `
set -eu
[ -e "$1/complete" ] && exit 0
rm -rf "$1/venv"
python3 -m venv "$1/venv"
"$1/venv/bin/pip" install --disable-pip-version-check --no-input -q -r "$2"
touch "$1/complete"`

export interface AnsibleResult { readonly code: number | null, readonly output: string }

export interface AnsibleOptions {
  /** The current one instead of Debian's. */
  readonly isCurrent?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** @param command such as ansible-playbook or ansible-lint. @throws Error when it isn't there and can't be installed */
export async function ansible (command: string, argv: readonly string[], { isCurrent = false, env = {} }: AnsibleOptions = {}): Promise<AnsibleResult> {
  if (!isCurrent) return await run(`/usr/bin/${command}`, argv, env)
  if (!existsSync(path.join(folder, 'complete'))) await install()
  const bin = path.join(folder, 'venv/bin')
  return await run(path.join(bin, command), argv, { ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}` })
}

async function install (): Promise<void> {
  process.stderr.write(`First use: pip installs ansible-lint ${version} into ${path.relative(process.cwd(), folder)} ...\n`)
  mkdirSync(folder, { recursive: true })
  const { code, output } = await run('flock', [path.join(folder, 'lock'), 'sh', '-c', script, 'install', folder, requirements], {})
  if (code !== 0) throw new Error(`ansible-lint ${version} could not be installed (python3 with venv, pip and flock are needed: apt-get install python3-venv):\n${output.slice(-4_000)}`)
}

function run (command: string, argv: readonly string[], env: Readonly<Record<string, string>>): Promise<AnsibleResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, argv, { cwd: ansibleFolder, env: { ...process.env, ANSIBLE_NOCOLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: Buffer): void => { output += chunk.toString() }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('exit', (code) => { resolve({ code, output }) })
  })
}
