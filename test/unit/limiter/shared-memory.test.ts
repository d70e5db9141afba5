import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLimiterMemory } from '../../../src/limiter/shared-memory.ts'
import { openTestLimiter } from '../../helpers/shared-memory-limiter.ts'

const limit = { ratePerS: 10, burst: 10 }

test('the memory is what its documentation says', () => {
  for (const keysMax of [1, 16, 1_000, 65_536, 100_000]) {
    const { byteLength } = createLimiterMemory({ keysMax })
    assert.ok(byteLength >= keysMax * 32, `${keysMax} keys: ${byteLength} bytes`)
    assert.ok(byteLength <= Math.max(keysMax, 16) * 64 + 33 * 1024, `${keysMax} keys: ${byteLength} bytes`)
  }
  for (const keysMax of [0, -1, 1.5, NaN]) assert.throws(() => createLimiterMemory({ keysMax }), RangeError)
})

test('as many keys as promised have buckets of their own at the same time', () => {
  const { limiter } = openTestLimiter({ keysMax: 10_000 })
  for (let key = 1; key <= 10_000; key++) assert.equal(limiter.take(key, 10, limit).isAllowed, true)
  assert.equal(limiter.overflowCount(), 0)
  for (let key = 1; key <= 10_000; key++) assert.equal(limiter.take(key, 1, limit).isAllowed, false)
})

test('slots of full buckets are used again: any number of keys over time', () => {
  const { limiter, advanceMs } = openTestLimiter({ keysMax: 16 })
  for (let round = 0; round < 1_000; round++) {
    for (let key = 0; key < 16; key++) {
      assert.equal(limiter.take(round * 16 + key + 1, 10, limit).isAllowed, true)
      assert.equal(limiter.take(round * 16 + key + 1, 1, limit).isAllowed, false)
    }
    advanceMs(1_000)
  }
  assert.equal(limiter.overflowCount(), 0)
})

test('keys beyond the room are limited together: neither freely nor shut out', () => {
  const { limiter, advanceMs } = openTestLimiter({ keysMax: 16 })
  for (let key = 1; key <= 32; key++) limiter.take(key, 10, limit)
  // Nobody has room for this key: it shares a bucket, here with nobody else.
  let count = 0
  for (let i = 0; i < 100; i++) if (limiter.take(1_000, 1, limit).isAllowed) count++
  assert.equal(count, 10)
  assert.equal(limiter.overflowCount(), 10)
  advanceMs(100)
  assert.equal(limiter.take(1_000, 1, limit).isAllowed, true)
  assert.equal(limiter.take(1_000, 1, limit).isAllowed, false)
})

test('a key that gets a slot after sharing a bucket has gained nothing', () => {
  const { limiter, advanceMs } = openTestLimiter({ keysMax: 16 })
  const slow = { ratePerS: 1, burst: 10 }
  for (let key = 1; key <= 32; key++) limiter.take(key, 10, limit)
  for (let i = 0; i < 10; i++) assert.equal(limiter.take(1_000, 1, slow).isAllowed, true)
  advanceMs(1_000)
  // The 32 slots are reusable now, and the key has earned one token.
  assert.equal(limiter.take(1_000, 1, slow).isAllowed, true)
  assert.equal(limiter.take(1_000, 1, slow).isAllowed, false)
})

test('what configuration must never let through is a programmer error', () => {
  const { limiter } = openTestLimiter({ keysMax: 16 })
  for (const tokens of [0, -1, 11, 1.5, NaN]) assert.throws(() => limiter.take(1, tokens, limit), RangeError)
  for (const wrong of [{ ratePerS: 0, burst: 1 }, { ratePerS: 1, burst: 0 }, { ratePerS: 0.5, burst: 1 }, { ratePerS: 1e10, burst: 1 }]) assert.throws(() => limiter.take(1, 1, wrong), RangeError)
  for (const key of [-1, 1.5, NaN, 2 ** 53]) assert.throws(() => limiter.take(key, 1, limit), RangeError)
})
