// The registry in SQLite with a directory on it, in a folder of its own, on a clock that a test moves.
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import type { Clock } from '../../src/platform/clock.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { openKeyDirectory } from '../../src/registry/directory.ts'
import type { KeyDirectory, Registry } from '../../src/registry/port.ts'
import { openSqliteRegistry } from '../../src/registry/sqlite.ts'

export interface RegistryFolder {
  readonly folder: string
  readonly file: string
  readonly refusalFile: string
  readonly clock: Clock
  readonly nowMs: () => number
  readonly advanceMs: (ms: number) => void
  /** Closed at the end of the test, if not before. */
  readonly openRegistry: () => Registry
  readonly openDirectory: () => KeyDirectory
}

export function makeRegistryFolder (t: TestContext): RegistryFolder {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-registry-'))
  let timeMs = Date.UTC(2026, 0, 15, 12, 0, 0, 250)
  const clock: Clock = { nowMs: () => timeMs, monotonicMs: () => timeMs }
  const file = path.join(folder, 'registry.sqlite')
  const refusalFile = path.join(folder, 'revocations.ndjson')
  const open: { close: () => unknown }[] = []
  t.after(async () => {
    for (const each of open) await each.close()
    rmSync(folder, { recursive: true })
  })
  /** A test may close what it opened. */
  const closing = <Part extends { close: () => unknown }>(part: Part): Part => {
    let isOpen = true
    const close = part.close.bind(part)
    Object.assign(part, { close: () => { if (isOpen) { isOpen = false; return close() } } })
    open.unshift(part)
    return part
  }
  return {
    folder,
    file,
    refusalFile,
    clock,
    nowMs: () => timeMs,
    advanceMs: (ms) => { timeMs += ms },
    openRegistry: () => closing(openSqliteRegistry({ file, refusalFile, clock })),
    openDirectory: () => closing(openKeyDirectory({ file, cacheKeysMax: 1_000, pollIntervalMs: 20, log: openLogger({ level: 'silent', thread: 'test' }) }))
  }
}

/** What the first version left: a member with a key. */
export async function makeFirstVersionRegistry (t: TestContext): Promise<RegistryFolder> {
  const made = makeRegistryFolder(t)
  const registry = made.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.close()
  toFirstVersion(made.file)
  return made
}

/** Makes a closed registry's file what the first version left. */
export function toFirstVersion (file: string): void {
  const database = new DatabaseSync(file)
  database.exec('drop table key_secret; pragma user_version = 1')
  database.close()
}

export function openTestRegistry (t: TestContext): { readonly registry: Registry, readonly directory: KeyDirectory, readonly nowMs: () => number, readonly advanceMs: (ms: number) => void } {
  const made = makeRegistryFolder(t)
  return { registry: made.openRegistry(), directory: made.openDirectory(), nowMs: made.nowMs, advanceMs: made.advanceMs }
}
