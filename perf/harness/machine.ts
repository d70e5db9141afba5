// What a figure is worth nothing without: the machine, the versions, the commit, the date.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'

export const root = path.resolve(import.meta.dirname, '../..')

export interface Circumstances {
  readonly machine: string
  readonly versions: Readonly<Record<string, string>>
  readonly commit: string
  /** yyyy-MM-dd, UTC */
  readonly date: string
}

/** The first line that a program prints to either stream; undefined when it isn't installed. */
export function firstLineOf (program: string, argv: readonly string[]): string | undefined {
  try {
    // nginx speaks on stderr, and wrk ends with 1 after it has told its version.
    return execFileSync('/bin/sh', ['-c', 'command -v "$0" >/dev/null || exit 9; "$0" "$@" 2>&1 || true', program, ...argv], { encoding: 'utf8' }).split('\n')[0]?.trim()
  } catch { return undefined }
}

/** The version of an installed package: the benchmark's own copy, else the product's. */
function packageVersion (name: string): string {
  const file = [path.join(root, 'perf/node_modules', name, 'package.json'), path.join(root, 'node_modules', name, 'package.json')].find(existsSync)
  return file === undefined ? 'not installed' : (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

function machineText (): string {
  const cpus = os.cpus()
  const distribution = /^PRETTY_NAME="?([^"\n]*)/m.exec(existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '')?.[1] ?? 'Linux'
  return `${cpus[0]?.model.trim() ?? 'unknown CPU'}, ${cpus.length} cores (${process.arch}), ${(os.totalmem() / 1024 ** 3).toFixed(1)} GiB memory, ${distribution}, kernel ${os.release()}`
}

function commitText (): string {
  try {
    const git = (...argv: string[]): string => execFileSync('git', argv, { cwd: root, encoding: 'utf8' }).trim()
    const isChanged = git('status', '--porcelain', '--untracked-files=no', '--', 'src', 'perf') !== ''
    return git('rev-parse', '--short=10', 'HEAD') + (isChanged ? ' with local changes' : '')
  } catch { return 'unknown (no git)' }
}

export function readCircumstances (): Circumstances {
  const packages = ['uWebSockets.js', '@duckdb/node-api', 'undici', 'autocannon', 'fastify', '@fastify/http-proxy', '@platformatic/kafka', 'redis']
  return {
    machine: machineText(),
    versions: {
      Node: process.versions.node,
      ...Object.fromEntries(packages.map((name) => [name, packageVersion(name)])),
      nginx: firstLineOf('nginx', ['-v'])?.replace(/^.*nginx\//, '') ?? 'not installed',
      wrk: firstLineOf('wrk', ['-v'])?.split(' ')[1] ?? 'not installed'
    },
    commit: commitText(),
    date: new Date().toISOString().slice(0, 10)
  }
}
