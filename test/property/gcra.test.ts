// The arithmetic of a bucket: never more than burst + rate x time in any interval, and never less than the bucket holds.
// Each wrong variant below must be caught: a property can be blind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { gcraAllows, gcraCostNs, gcraLimitOf, gcraNextNs } from '../../src/limiter/gcra.ts'
import { rateBoundBroken } from '../helpers/rate-bound.ts'
import type { Taken } from '../helpers/rate-bound.ts'

interface Bucket { readonly ratePerS: number, readonly burst: number }
interface Attempt { readonly waitNs: bigint, readonly tokens: number }
/** The TAT after the take; undefined: refused. */
type Take = (bucket: Bucket, tatNs: bigint, nowNs: bigint, tokens: number) => bigint | undefined

const take: Take = (bucket, tatNs, nowNs, tokens) => {
  const limit = gcraLimitOf(bucket)
  const nextNs = gcraNextNs(tatNs, nowNs, gcraCostNs(limit, tokens))
  return gcraAllows(limit, nextNs, nowNs) ? nextNs : undefined
}

const perToken = ({ ratePerS }: Bucket): bigint => (1_000_000_000n + BigInt(ratePerS) - 1n) / BigInt(ratePerS)
const later = (a: bigint, b: bigint): bigint => a > b ? a : b
const within = (nextNs: bigint, nowNs: bigint, burstNs: bigint): bigint | undefined => nextNs - nowNs <= burstNs ? nextNs : undefined

const mutants: Readonly<Record<string, Take>> = {
  'whole-second refill': (bucket, tatNs, nowNs, tokens) => {
    const secondNs = (nowNs + 999_999_999n) / 1_000_000_000n * 1_000_000_000n
    return within(later(tatNs, secondNs) + BigInt(tokens) * perToken(bucket), secondNs, BigInt(bucket.burst) * perToken(bucket))
  },
  'one more than the burst': (bucket, tatNs, nowNs, tokens) =>
    within(later(tatNs, nowNs) + BigInt(tokens) * perToken(bucket), nowNs, BigInt(bucket.burst + 1) * perToken(bucket)),
  'a price rounded down': (bucket, tatNs, nowNs, tokens) => {
    const tokenNs = 1_000_000_000n / BigInt(bucket.ratePerS)
    return within(later(tatNs, nowNs) + BigInt(tokens) * tokenNs, nowNs, BigInt(bucket.burst) * tokenNs)
  },
  'one token whatever was asked': (bucket, tatNs, nowNs) => within(later(tatNs, nowNs) + perToken(bucket), nowNs, BigInt(bucket.burst) * perToken(bucket)),
  'time saved up while the bucket was full': (bucket, tatNs, nowNs, tokens) =>
    within(tatNs + BigInt(tokens) * perToken(bucket), nowNs, BigInt(bucket.burst) * perToken(bucket)),
  'only checked before the take': (bucket, tatNs, nowNs, tokens) =>
    tatNs - nowNs <= BigInt(bucket.burst) * perToken(bucket) ? later(tatNs, nowNs) + BigInt(tokens) * perToken(bucket) : undefined
}

const bucket = fc.record({
  ratePerS: fc.oneof(fc.constantFrom(1, 3, 7, 50, 200, 999, 1_000_000), fc.integer({ min: 1, max: 1_000_000_000 })),
  burst: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1_000_000 }))
})
/** Waits around the time of one token, where the interesting decisions are; tokens as parts of the burst. */
const attempts = fc.array(fc.record({ wait: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 3, noNaN: true })), part: fc.double({ min: 0, max: 1, noNaN: true }) }), { minLength: 1, maxLength: 60 })

function concrete ({ ratePerS, burst }: Bucket, given: readonly { readonly wait: number, readonly part: number }[]): Attempt[] {
  return given.map(({ wait, part }) => ({
    waitNs: BigInt(Math.round(wait * 1e9 / ratePerS)),
    tokens: part < 0.7 ? 1 : Math.max(1, Math.round(part * burst))
  }))
}

function run (by: Take, limits: Bucket, given: readonly Attempt[]): Taken[] {
  let nowNs = 1_000_000_000_000n
  let tatNs = 0n
  const taken: Taken[] = []
  for (const { waitNs, tokens } of given) {
    nowNs += waitNs
    const nextNs = by(limits, tatNs, nowNs, tokens)
    if (nextNs === undefined) continue
    tatNs = nextNs
    taken.push({ atNs: nowNs, tokens })
  }
  return taken
}

const neverMore = (by: Take): fc.IProperty<[Bucket, { wait: number, part: number }[]]> => fc.property(bucket, attempts, (limits, given) => {
  const broken = rateBoundBroken(run(by, limits, concrete(limits, given)), limits)
  if (broken !== undefined) throw new Error(broken)
})

/** Where a token's time is whole nanoseconds, decisions are exactly those of a bucket counted in billionths of a token. */
const neverLess = (by: Take): fc.IProperty<[Bucket, { wait: number, part: number }[]]> => fc.property(
  fc.record({ ratePerS: fc.constantFrom(1, 2, 50, 100, 200, 1_000, 1_000_000, 1_000_000_000), burst: fc.integer({ min: 1, max: 2_000 }) }), attempts,
  (limits, given) => {
    let level = BigInt(limits.burst) * 1_000_000_000n
    let nowNs = 1_000_000_000_000n
    let tatNs = 0n
    for (const { waitNs, tokens } of concrete(limits, given)) {
      nowNs += waitNs
      level += waitNs * BigInt(limits.ratePerS)
      if (level > BigInt(limits.burst) * 1_000_000_000n) level = BigInt(limits.burst) * 1_000_000_000n
      const nextNs = by(limits, tatNs, nowNs, tokens)
      const expected = level >= BigInt(tokens) * 1_000_000_000n
      assert.equal(nextNs !== undefined, expected)
      if (nextNs === undefined) continue
      tatNs = nextNs
      level -= BigInt(tokens) * 1_000_000_000n
    }
  })

test('never more than burst + rate x time in any interval', () => {
  fc.assert(neverMore(take), { numRuns: 400 })
})

test('never less than the bucket holds', () => {
  fc.assert(neverLess(take), { numRuns: 300 })
  const refusesAll = fc.check(neverLess(() => undefined), { numRuns: 50 })
  assert.ok(refusesAll.failed)
})

for (const [name, mutant] of Object.entries(mutants)) {
  test(`the property catches: ${name}`, () => {
    assert.ok(fc.check(neverMore(mutant), { numRuns: 2_000, seed: 7 }).failed)
  })
}
