// The registry in Redis with a gateway's mirror of it and a directory on that, on a clock that a test moves.
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { Clock } from '../../src/platform/clock.ts'
import { openLogger } from '../../src/platform/logger.ts'
import type { RedisOptions } from '../../src/platform/redis.ts'
import { openKeyDirectory } from '../../src/registry/directory.ts'
import { startMirror } from '../../src/registry/mirror.ts'
import type { MirrorHandle, MirrorOptions } from '../../src/registry/mirror.ts'
import type { KeyDirectory, Registry } from '../../src/registry/port.ts'
import { openRedisRegistry } from '../../src/registry/redis.ts'

export interface TestGateway {
  readonly folder: string
  readonly file: string
  readonly mirror: MirrorHandle
  readonly directory: KeyDirectory
  readonly stop: () => Promise<void>
}

export interface RedisRegistryRig {
  readonly clock: Clock
  readonly nowMs: () => number
  readonly advanceMs: (ms: number) => void
  /** Closed at the end of the test. */
  readonly openRegistry: (changes?: { readonly onChange?: () => void, readonly redis?: RedisOptions }) => Promise<Registry>
  /** Another gateway with a folder of its own, or the one whose folder is given, started again. */
  readonly startGateway: (changes?: Partial<MirrorOptions>, folder?: string) => Promise<TestGateway>
  readonly makeFolder: () => string
}

const log = openLogger({ level: 'silent', thread: 'test' })

export function makeRedisRegistryRig (t: TestContext, redis: RedisOptions): RedisRegistryRig {
  let timeMs = Date.UTC(2026, 0, 15, 12, 0, 0, 250)
  const clock: Clock = { nowMs: () => timeMs, monotonicMs: () => timeMs }
  const open: (() => Promise<void>)[] = []
  const folders: string[] = []
  t.after(async () => {
    for (const close of open.reverse()) await close()
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })
  const makeFolder = (): string => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-mirror-'))
    folders.push(folder)
    return folder
  }
  return {
    clock,
    nowMs: () => timeMs,
    advanceMs: (ms) => { timeMs += ms },
    makeFolder,
    openRegistry: async ({ onChange, redis: other } = {}) => {
      const registry = await openRedisRegistry({ redis: other ?? redis, clock, ...(onChange === undefined ? {} : { onChange }) })
      open.push(() => registry.close())
      return registry
    },
    startGateway: async (changes = {}, folder = makeFolder()) => {
      const file = path.join(folder, 'registry.sqlite')
      const mirror = await startMirror({ redis, file, refusalFile: path.join(folder, 'revocations.ndjson'), stalenessMsMax: 900_000, clock, log, sweepMs: 100, ...changes })
      const directory = openKeyDirectory({ file, cacheKeysMax: 1_000, pollIntervalMs: 20, log, staleness: mirror.staleness })
      let isRunning = true
      const stop = async (): Promise<void> => {
        if (!isRunning) return
        isRunning = false
        directory.close()
        await mirror.stop()
      }
      open.push(stop)
      return { folder, file, mirror, directory, stop }
    }
  }
}

/** For the contract: a registry and a directory of another process's. */
export async function openTestRedisRegistry (t: TestContext, redis: RedisOptions): Promise<{ readonly registry: Registry, readonly directory: KeyDirectory, readonly nowMs: () => number, readonly advanceMs: (ms: number) => void }> {
  const rig = makeRedisRegistryRig(t, redis)
  const { directory } = await rig.startGateway()
  return { registry: await rig.openRegistry(), directory, nowMs: rig.nowMs, advanceMs: rig.advanceMs }
}
