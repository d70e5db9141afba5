// The limiter on Redis, on a clock that a test moves: the script reads the time from a key instead of from the server, and no
// bucket expires by itself, because the server's own clock goes on.
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { openRedisLimiter } from '../../src/limiter/redis.ts'
import type { RedisLimiter, RedisLimiterOptions } from '../../src/limiter/redis.ts'
import type { RateLimit } from '../../src/limiter/port.ts'
import { gcraScript } from '../../src/limiter/redis-script.ts'
import { createLimiterMemory, openSharedMemoryLimiter } from '../../src/limiter/shared-memory.ts'
import { openLogger } from '../../src/platform/logger.ts'
import type { RedisOptions } from '../../src/platform/redis.ts'
import type { RedisServer } from '../services/redis.ts'

const clockKey = 'clock-of-the-test'
/** The whole text of the real script, with these pieces replaced; each stands in it once. */
export function changedScript (changes: readonly (readonly [from: string, to: string])[], script = gcraScript): string {
  return changes.reduce((text, [from, to]) => {
    assert.equal(text.split(from).length, 2, `it must stand there once: ${from}`)
    return text.replace(from, () => to)
  }, script)
}

export const movedClockScript = changedScript([
  ['local time = redis.call(\'TIME\')\nlocal nowS, nowNs = tonumber(time[1]), tonumber(time[2]) * 1000', `local nowS, nowNs = string.match(redis.call('GET', '${clockKey}'), '^(%d+) (%d+)$')\nnowS, nowNs = tonumber(nowS), tonumber(nowNs)`],
  [', \'PX\', string.format(\'%.0f\', aheadS * 1000 + math.ceil(aheadNs / 1000000))', '']
])

/** A point in time for `movedClockScript`. */
export async function setClock (server: RedisServer, ns: bigint): Promise<void> {
  await server.command('SET', clockKey, `${ns / 1_000_000_000n} ${ns % 1_000_000_000n}`)
}

export const testLimits: readonly RateLimit[] = [{ ratePerS: 1, burst: 10_000 }]

export async function openLimiterOn (t: TestContext, redis: RedisOptions, changes: Partial<RedisLimiterOptions> = {}): Promise<RedisLimiter> {
  const limiter = await openRedisLimiter({
    redis,
    limits: testLimits,
    budgetMs: 2_000,
    local: openSharedMemoryLimiter(createLimiterMemory({ keysMax: 1_000 })),
    gatewayCount: () => 1,
    log: openLogger({ level: 'silent', thread: 'test' }),
    ...changes
  })
  t.after(() => { limiter.close() })
  return limiter
}

export interface MovedLimiter { readonly limiter: RedisLimiter, readonly advanceMs: (ms: number) => Promise<void> }

export async function openTestRedisLimiter (t: TestContext, server: RedisServer, redis = server.options()): Promise<MovedLimiter> {
  await server.flush()
  let ns = 1_900_000_000_999_500_000n
  await setClock(server, ns)
  const limiter = await openLimiterOn(t, redis, { script: movedClockScript, nowNs: () => ns })
  return {
    limiter,
    advanceMs: async (ms) => {
      ns += BigInt(ms) * 1_000_000n
      await setClock(server, ns)
    }
  }
}
