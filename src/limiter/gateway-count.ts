// How many gateways share the rates: each says that it is there, in Redis. While Redis is away the last known number holds, also
// over a restart, because it is kept in a file: a gateway that took itself for the only one would hand out the whole rate.
import { existsSync, readFileSync } from 'node:fs'
import { writeFileDurable } from '../platform/durable-file.ts'
import { every, systemClock } from '../platform/clock.ts'
import type { Logger } from '../platform/logger.ts'
import { metricJson } from '../platform/metrics.ts'
import { RedisLink } from '../platform/redis.ts'
import type { RedisOptions } from '../platform/redis.ts'
import type { MetricsJson } from '../platform/thread.ts'

export interface GatewayCountOptions {
  readonly redis: RedisOptions
  readonly gatewayId: string
  /** Where the last known number is kept. */
  readonly file: string
  readonly log: Logger
  /** How often it says that it is there; a tenth of the time after which others forget it. */
  readonly periodMs?: number
}

export interface GatewayCountHandle {
  /** For `gatewayCountIn`, in any thread. */
  readonly memory: SharedArrayBuffer
  readonly count: () => number
  readonly metrics: () => MetricsJson
  /** Says goodbye, so that the others share the rates at once. */
  readonly stop: () => Promise<void>
}

const periodMsDefault = 2_000
const askWithinMs = 1_000
const forgottenAfterPeriods = 10
export const gatewayCountMax = 10_000

/** The last known number, from 1 on. */
export function gatewayCountIn (memory: SharedArrayBuffer): () => number {
  const cell = new Int32Array(memory)
  return () => Atomics.load(cell, 0)
}

// KEYS: the gateways by when they last said that they are there. ARGV: which one says it ('' for none), and after how many
// milliseconds one is forgotten.
const script = `
local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], string.format('%.0f', nowMs), ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', nowMs - tonumber(ARGV[2])))
return redis.call('ZCARD', KEYS[1])
`

export function startGatewayCount ({ redis, gatewayId, file, log, periodMs = periodMsDefault }: GatewayCountOptions): GatewayCountHandle {
  const memory = new SharedArrayBuffer(4)
  const cell = new Int32Array(memory)
  const key = `${redis.keyPrefix}gateways`
  const forgottenMs = periodMs * forgottenAfterPeriods
  Atomics.store(cell, 0, readCount(file))
  let lowerSinceMs: number | undefined
  let isFailing = false

  const take = (seen: number): void => {
    const known = Atomics.load(cell, 0)
    const nowMs = systemClock.monotonicMs()
    // More share at once. Fewer only after a while: an emptied Redis learns of all of us one by one.
    if (seen >= known) lowerSinceMs = undefined
    else lowerSinceMs ??= nowMs
    if (seen === known || (lowerSinceMs !== undefined && nowMs - lowerSinceMs < forgottenMs)) return
    lowerSinceMs = undefined
    Atomics.store(cell, 0, seen)
    log.info({ gateways: seen }, 'gateways that share the rates')
    writeFileDurable(file, `${seen}\n`)
  }
  const say = async (): Promise<void> => {
    try {
      const seen = Number(await link.ask(['EVAL', script, '1', key, gatewayId, String(forgottenMs)], askWithinMs))
      isFailing = false
      take(Math.min(Math.max(seen, 1), gatewayCountMax))
    } catch (error) {
      if (!isFailing) log.warn({ error, key, gateways: Atomics.load(cell, 0) }, 'the gateways that share the rates can\'t be counted in Redis: their last known number holds')
      isFailing = true
    }
  }
  const link = new RedisLink(redis, () => { void say() })
  const timer = every(periodMs, () => { void say() })
  return {
    memory,
    count: gatewayCountIn(memory),
    metrics: () => [metricJson('tollgate_limiter_gateways', [{ value: Atomics.load(cell, 0) }])],
    stop: async () => {
      timer.cancel()
      // Without an answer the others forget this gateway after a while.
      await link.ask(['ZREM', key, gatewayId], askWithinMs).catch(() => {})
      link.close()
    }
  }
}

/** 1 where nothing is known, or the file is none of ours. */
function readCount (file: string): number {
  const count = existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : 1
  return Number.isSafeInteger(count) && count >= 1 && count <= gatewayCountMax ? count : 1
}
