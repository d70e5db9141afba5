// Ansible: Debian's, which the playbooks must work with, and the current one with its linter, installed once by pip in the
// versions of requirements.txt.
import { spawn } from 'node:child_process'
import path from 'node:path'
import process from 'node:process'
import { pipTool } from '../pip-tool.ts'

export const ansibleFolder = path.resolve(import.meta.dirname, '../../../ansible')

export interface AnsibleResult { readonly code: number | null, readonly output: string }

export interface AnsibleOptions {
  /** The current one instead of Debian's. */
  readonly isCurrent?: boolean
  readonly env?: Readonly<Record<string, string>>
}

/** @param command such as ansible-playbook or ansible-lint. @throws Error when it isn't there and can't be installed */
export async function ansible (command: string, argv: readonly string[], { isCurrent = false, env = {} }: AnsibleOptions = {}): Promise<AnsibleResult> {
  if (!isCurrent) return await run(`/usr/bin/${command}`, argv, env)
  const bin = await pipTool('ansible-lint', path.join(import.meta.dirname, 'requirements.txt'))
  return await run(path.join(bin, command), argv, { ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}` })
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
