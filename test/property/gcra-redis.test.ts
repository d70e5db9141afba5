// The script in Redis against the arithmetic of gcra.ts: the same takes on the same clock, decision by decision. Each wrong
// script below must be told apart.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { allowed, gcraAllows, gcraCostNs, gcraLimitOf, gcraNextNs, refused } from '../../src/limiter/gcra.ts'
import type { GcraLimit } from '../../src/limiter/gcra.ts'
import type { LimiterDecision } from '../../src/limiter/port.ts'
import { bucketKey, scriptAnswer, scriptArguments, scriptTime } from '../../src/limiter/redis-script.ts'
import { RedisLink } from '../../src/platform/redis.ts'
import { changedScript, movedClockScript, setClock } from '../helpers/redis-limiter.ts'
import { startRedis } from '../services/redis.ts'

const server = await startRedis({ after })
const link = new RedisLink(server.options())
await link.ready(10_000)
after(() => { link.close() })

const startNs = 1_900_000_000_000_000_000n
const decision = (limit: GcraLimit, costNs: bigint, isAllowed: boolean, aheadNs: bigint): LimiterDecision => isAllowed ? allowed(limit, aheadNs, 0n) : refused(limit, aheadNs, gcraNextNs(aheadNs, 0n, costNs), 0n)

interface Take { readonly waitNs: bigint, /** A nanosecond before it would be allowed, where it isn't yet. */ readonly isAtEdge: boolean, readonly bucket: number, readonly limit: number, readonly part: number }

const limits = fc.array(fc.record({ ratePerS: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 1_000_000_000 })), burst: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.integer({ min: 1, max: 1_000_000_000 })) }), { minLength: 1, maxLength: 3 })
const takes = fc.array(fc.record({
  waitNs: fc.oneof(fc.constant(0n), fc.bigInt({ min: 0n, max: 3_000_000_000n }), fc.bigInt({ min: 0n, max: 1_000n }), fc.bigInt({ min: -400_000_000_000_000_000n, max: -1n })),
  isAtEdge: fc.boolean(),
  bucket: fc.integer({ min: 0, max: 1 }),
  limit: fc.integer({ min: 0, max: 2 }),
  part: fc.double({ min: 0, max: 1, noNaN: true })
}), { minLength: 1, maxLength: 25 })

let run = 0
/** The first difference, as a sentence. */
async function differs (script: string, configured: readonly { readonly ratePerS: number, readonly burst: number }[], steps: readonly Take[]): Promise<string | undefined> {
  const prefix = `run-${++run}:`
  const compiled = configured.map(gcraLimitOf)
  const longestNs = compiled.reduce((longest, { burstNs }) => burstNs > longest ? burstNs : longest, 0n)
  const model = new Map<number, bigint>()
  let nowNs = startNs
  for (const [at, { waitNs, isAtEdge, bucket, limit: wanted, part }] of steps.entries()) {
    nowNs = nowNs + waitNs > startNs / 2n ? nowNs + waitNs : nowNs
    const limit = compiled[wanted % compiled.length] as GcraLimit
    const costNs = gcraCostNs(limit, Math.max(1, Math.round(part * limit.burst)))
    const overNs = gcraNextNs(drawnIn(model.get(bucket) ?? 0n, nowNs, longestNs), nowNs, costNs) - nowNs - limit.burstNs
    if (isAtEdge && overNs > 1n) nowNs += overNs - 1n
    await setClockQuickly(nowNs)
    const [seconds, rest] = await link.ask(['EVAL', script, '1', bucketKey(prefix, bucket), ...scriptTime(longestNs), ...scriptArguments(limit, costNs)], 5_000) as [number, number]
    const answer = scriptAnswer(seconds, rest)
    const tatNs = drawnIn(model.get(bucket) ?? 0n, nowNs, longestNs)
    const nextNs = gcraNextNs(tatNs, nowNs, costNs)
    const isAllowed = gcraAllows(limit, nextNs, nowNs)
    const expected = isAllowed ? allowed(limit, nextNs, nowNs) : refused(limit, tatNs, nextNs, nowNs)
    model.set(bucket, isAllowed ? nextNs : tatNs)
    const found = answer === undefined ? undefined : decision(limit, costNs, answer.isAllowed, answer.aheadNs)
    if (JSON.stringify(found) !== JSON.stringify(expected)) return `take ${at}: ${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`
  }
  return undefined
}

/** The clock was set back: no bucket is further from full than its longest burst. */
function drawnIn (tatNs: bigint, nowNs: bigint, longestNs: bigint): bigint { return tatNs - nowNs > longestNs ? nowNs + longestNs : tatNs }

async function setClockQuickly (ns: bigint): Promise<void> { await link.ask(['SET', 'clock-of-the-test', `${ns / 1_000_000_000n} ${ns % 1_000_000_000n}`], 5_000) }

const mutants: Readonly<Record<string, readonly [string, string]>> = {
  'one nanosecond too generous': ['if isMore(nextS, nextNs, burstS, burstNs) then', 'if isMore(nextS, nextNs - 1, burstS, burstNs) then'],
  'a full bucket saves up time': ['if aheadS < 0 then aheadS, aheadNs = 0, 0 end', ''],
  'nanoseconds are not carried on': ['if nextNs >= second then nextS, nextNs = nextS + 1, nextNs - second end', ''],
  'stored nanoseconds are not carried on': ['if tatNs >= second then tatS, tatNs = tatS + 1, tatNs - second end', ''],
  'nanoseconds are not borrowed': ['if aheadNs < 0 then aheadS, aheadNs = aheadS - 1, aheadNs + second end', ''],
  'a refused take is paid for': ['if isDrawnIn then store(key, aheadS, aheadNs) end', 'store(key, nextS, nextNs)'],
  'a bucket is not drawn in': ['if isDrawnIn then aheadS, aheadNs = longestS, longestNs end', ''],
  'what is drawn in is not stored': ['if isDrawnIn then store(key, aheadS, aheadNs) end', ''],
  'seconds alone are compared': ['return aS > bS or (aS == bS and aNs > bNs)', 'return aS > bS']
}

const holds = (script: string) => fc.asyncProperty(limits, takes, async (configured, steps) => {
  const difference = await differs(script, configured, steps)
  assert.equal(difference, undefined)
})

test('the script decides as gcra.ts does, to the nanosecond', async () => {
  await setClock(server, startNs)
  await fc.assert(holds(movedClockScript), { numRuns: 150 })
})

for (const [name, change] of Object.entries(mutants)) {
  test(`a wrong script is noticed: ${name}`, async () => {
    const details = await fc.check(holds(changedScript([change], movedClockScript)), { numRuns: 1_500, endOnFailure: true })
    assert.equal(details.failed, true)
  })
}
