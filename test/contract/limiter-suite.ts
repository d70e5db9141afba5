// What every limiter promises, whatever it stands on. The implementation's test file names it and opens it.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Limiter, LimiterDecision } from '../../src/limiter/port.ts'

export interface LimiterUnderTest {
  readonly limiter: Limiter
  /** Moves the limiter's clock. */
  readonly advanceMs: (ms: number) => void | Promise<void>
}

const limit = { ratePerS: 100, burst: 500 }

export function limiterContract (name: string, open: (t: TestContext) => LimiterUnderTest | Promise<LimiterUnderTest>): void {
  const allowedOf = async (limiter: Limiter, key: number, times: number, tokens = 1): Promise<number> => {
    let count = 0
    for (let i = 0; i < times; i++) if ((await limiter.take(key, tokens, limit)).isAllowed) count++
    return count
  }

  test(`${name}: a new key has its whole burst, and not one token more`, async (t) => {
    const { limiter } = await open(t)
    assert.deepEqual(await limiter.take(1, 1, limit), { isAllowed: true, remaining: 499, retryAfterMs: 0 } satisfies LimiterDecision)
    assert.equal(await allowedOf(limiter, 1, 600), 499)
  })

  test(`${name}: refills continuously, one token in its time and up to the burst`, async (t) => {
    const { limiter, advanceMs } = await open(t)
    assert.equal(await allowedOf(limiter, 1, 501), 500)
    assert.deepEqual(await limiter.take(1, 1, limit), { isAllowed: false, remaining: 0, retryAfterMs: 10 } satisfies LimiterDecision)
    await advanceMs(9)
    assert.equal(await allowedOf(limiter, 1, 1), 0)
    await advanceMs(1)
    assert.equal(await allowedOf(limiter, 1, 2), 1)
    await advanceMs(250)
    assert.equal(await allowedOf(limiter, 1, 30), 25)
    await advanceMs(3_600_000)
    assert.equal(await allowedOf(limiter, 1, 501), 500)
  })

  test(`${name}: a request that costs many tokens takes all of them or none`, async (t) => {
    const { limiter, advanceMs } = await open(t)
    assert.deepEqual(await limiter.take(1, 450, limit), { isAllowed: true, remaining: 50, retryAfterMs: 0 } satisfies LimiterDecision)
    assert.deepEqual(await limiter.take(1, 100, limit), { isAllowed: false, remaining: 50, retryAfterMs: 500 } satisfies LimiterDecision)
    assert.equal(await allowedOf(limiter, 1, 1, 50), 1)
    await advanceMs(1_000)
    assert.equal(await allowedOf(limiter, 1, 2, 100), 1)
    await advanceMs(5_000)
    assert.equal(await allowedOf(limiter, 1, 2, 500), 1)
  })

  test(`${name}: what it says to wait is enough, and a millisecond less is not`, async (t) => {
    const { limiter, advanceMs } = await open(t)
    assert.equal(await allowedOf(limiter, 7, 500), 500)
    await advanceMs(3)
    const { retryAfterMs } = await limiter.take(7, 33, limit)
    await advanceMs(retryAfterMs - 1)
    assert.equal((await limiter.take(7, 33, limit)).isAllowed, false)
    await advanceMs(1)
    assert.equal((await limiter.take(7, 33, limit)).isAllowed, true)
  })

  test(`${name}: keys don't touch each other, large ones included`, async (t) => {
    const { limiter } = await open(t)
    for (const key of [1, 2, 2 ** 32 + 1, 2 ** 32 + 2, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER - 1]) {
      assert.equal(await allowedOf(limiter, key, 501), 500, `key ${key}`)
    }
  })

  test(`${name}: a key whose grade changes is held to its new limit at once`, async (t) => {
    const { limiter, advanceMs } = await open(t)
    const small = { ratePerS: 50, burst: 100 }
    assert.equal(await allowedOf(limiter, 1, 500), 500)
    assert.equal((await limiter.take(1, 1, small)).isAllowed, false)
    await advanceMs(5_000)
    let count = 0
    for (let i = 0; i < 200; i++) if ((await limiter.take(1, 1, small)).isAllowed) count++
    assert.equal(count, 100)
  })
}
