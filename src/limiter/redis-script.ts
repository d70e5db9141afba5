// The bucket arithmetic of gcra.ts in Redis, for many buckets at a time, on the clock of Redis. A bucket is a string, its TAT:
// seconds and nanoseconds since the epoch, as two numbers because Lua's numbers hold no such instant as one. It expires
// when it is full, so that only keys in use take memory.
import { createHash } from 'node:crypto'
import type { GcraLimit } from './gcra.ts'

const nsPerS = 1_000_000_000n

/** A name with a hash tag: in a Redis cluster the keys spread over its slots. */
export function bucketKey (keyPrefix: string, apiKeyId: number | string): string { return `${keyPrefix}limit:{${apiKeyId}}` }

/**
 * KEYS: the buckets. ARGV: the longest burst of all limits, then for each bucket price and burst; each as seconds and
 * nanoseconds. Answers two numbers for each: seconds, and nanoseconds * 2 + 1 when it was allowed, of how far the TAT lies ahead
 * (after an allowed take, before a refused one); -1 and 0 for a bucket that holds something else.
 *
 * No TAT lies further ahead than the longest burst unless the clock was set back: then it is drawn in, also by a refused
 * take, so that a wrong clock costs a key no more than the time of one burst.
 */
export const gcraScript = `
local second = 1000000000
local time = redis.call('TIME')
local nowS, nowNs = tonumber(time[1]), tonumber(time[2]) * 1000
local longestS, longestNs = tonumber(ARGV[1]), tonumber(ARGV[2])

local function isMore (aS, aNs, bS, bNs) return aS > bS or (aS == bS and aNs > bNs) end

local function store (key, aheadS, aheadNs)
  local tatS, tatNs = nowS + aheadS, nowNs + aheadNs
  if tatNs >= second then tatS, tatNs = tatS + 1, tatNs - second end
  redis.call('SET', key, string.format('%.0f %.0f', tatS, tatNs), 'PX', string.format('%.0f', aheadS * 1000 + math.ceil(aheadNs / 1000000)))
end

local answers = {}
for index, key in ipairs(KEYS) do
  local costS, costNs, burstS, burstNs = tonumber(ARGV[index * 4 - 1]), tonumber(ARGV[index * 4]), tonumber(ARGV[index * 4 + 1]), tonumber(ARGV[index * 4 + 2])
  local stored = redis.pcall('GET', key)
  local tatS, tatNs = nowS, nowNs
  if type(stored) == 'string' then
    tatS, tatNs = string.match(stored, '^(%d+) (%d+)$')
    tatS, tatNs = tonumber(tatS), tonumber(tatNs)
  elseif stored then
    tatS = nil
  end
  if not tatS or not tatNs or tatNs >= second then
    answers[index * 2 - 1], answers[index * 2] = -1, 0
  else
    local aheadS, aheadNs = tatS - nowS, tatNs - nowNs
    if aheadNs < 0 then aheadS, aheadNs = aheadS - 1, aheadNs + second end
    if aheadS < 0 then aheadS, aheadNs = 0, 0 end
    local isDrawnIn = isMore(aheadS, aheadNs, longestS, longestNs)
    if isDrawnIn then aheadS, aheadNs = longestS, longestNs end
    local nextS, nextNs = aheadS + costS, aheadNs + costNs
    if nextNs >= second then nextS, nextNs = nextS + 1, nextNs - second end
    if isMore(nextS, nextNs, burstS, burstNs) then
      if isDrawnIn then store(key, aheadS, aheadNs) end
      answers[index * 2 - 1], answers[index * 2] = aheadS, aheadNs * 2
    else
      store(key, nextS, nextNs)
      answers[index * 2 - 1], answers[index * 2] = nextS, nextNs * 2 + 1
    end
  end
end
return answers
`

export function scriptHash (script: string): string { return createHash('sha1').update(script).digest('hex') }

/** A time as the script reads it: seconds, nanoseconds. */
export function scriptTime (ns: bigint): readonly [string, string] { return [String(ns / nsPerS), String(ns % nsPerS)] }

/** What of a limit and a price stands in ARGV. */
export function scriptArguments (limit: GcraLimit, costNs: bigint): readonly [string, string, string, string] { return [...scriptTime(costNs), ...scriptTime(limit.burstNs)] }

/** How far ahead the TAT lies, of one bucket's two answers. Undefined: the bucket holds something else. */
export function scriptAnswer (seconds: number, rest: number): { readonly isAllowed: boolean, readonly aheadNs: bigint } | undefined {
  return seconds < 0 ? undefined : { isAllowed: rest % 2 === 1, aheadNs: BigInt(seconds) * nsPerS + BigInt(Math.floor(rest / 2)) }
}
