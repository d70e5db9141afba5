// What this program is. A test holds the version to package.json's.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** What this program was made from. */
export interface BuildFacts {
  /** `+changes` behind it: and something else. Absent where nobody knows. */
  readonly commit?: string
  readonly duckdb: string
  readonly uWebSockets: string
}

/** Written in by the build of the one file. */
declare const TOLLGATE_BUILD_FACTS: BuildFacts | undefined

export const version = '0.1.0'

/**
 * When this version was released, milliseconds since the epoch. A clock that says less is wrong: a small machine without
 * a battery starts in the past, and requests must not be counted there.
 */
export const releasedAtMs = Date.UTC(2026, 10, 1)

export function buildFacts (): BuildFacts {
  if (typeof TOLLGATE_BUILD_FACTS !== 'undefined') return TOLLGATE_BUILD_FACTS
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')) as { readonly packages: Readonly<Record<string, { readonly version: string }>> }
  const locked = (name: string): string => lock.packages[`node_modules/${name}`]?.version ?? ''
  const commit = checkoutCommit(root)
  return { ...(commit === undefined ? {} : { commit }), duckdb: locked('@duckdb/node-bindings'), uWebSockets: locked('uWebSockets.js') }
}

/** Undefined outside of a checkout, or without git. */
function checkoutCommit (root: string): string | undefined {
  const git = (...argv: readonly string[]): string => execFileSync('git', argv, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  try {
    return `${git('rev-parse', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+changes'}`
  } catch {
    return undefined
  }
}
