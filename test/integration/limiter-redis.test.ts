// The limiter on a real Redis and its real clock: the bound of the contract while gateways are cut off, and what Redis may do.
import assert from 'node:assert/strict'
import { createServer, connect } from 'node:net'
import type { Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { startGatewayCount } from '../../src/limiter/gateway-count.ts'
import type { Limiter, RateLimit } from '../../src/limiter/port.ts'
import type { RedisLimiter } from '../../src/limiter/redis.ts'
import { bucketKey, gcraScript } from '../../src/limiter/redis-script.ts'
import { createLimiterMemory, openSharedMemoryLimiter } from '../../src/limiter/shared-memory.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { eventually } from '../helpers/eventually.ts'
import { changedScript, openLimiterOn } from '../helpers/redis-limiter.ts'
import { startRedis } from '../services/redis.ts'

const server = await startRedis({ after })
const log = openLogger({ level: 'silent', thread: 'test' })
const valueOf = (limiter: RedisLimiter, name: string): number => limiter.metrics().filter((metric) => metric.name === name).flatMap(({ values }) => values).reduce((sum, { value }) => sum + value, 0)

/** Between a gateway and Redis, until it is cut. */
async function startProxy (t: TestContext): Promise<{ readonly port: number, readonly cut: () => void, readonly mend: () => void }> {
  const sockets = new Set<Socket>()
  let isCut = false
  const proxy = createServer((near) => {
    if (isCut) { near.destroy(); return }
    const far = connect(server.port, '127.0.0.1')
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => {})
      from.on('close', () => { sockets.delete(from); to.destroy() })
    }
  })
  await new Promise<void>((resolve) => { proxy.listen(0, '127.0.0.1', resolve) })
  t.after(() => { proxy.close(); for (const socket of sockets) socket.destroy() })
  return {
    port: (proxy.address() as AddressInfo).port,
    cut: () => { isCut = true; for (const socket of sockets) socket.destroy() },
    mend: () => { isCut = false }
  }
}

/** Takes as fast as it is answered, until told to end. @returns tokens taken */
async function flood (limiter: Limiter, apiKeyId: number, tokens: number, limit: RateLimit, isOver: () => boolean): Promise<number> {
  let taken = 0
  while (!isOver()) {
    const decisions = await Promise.all(Array.from({ length: 8 }, async () => await limiter.take(apiKeyId, tokens, limit)))
    taken += tokens * decisions.filter(({ isAllowed }) => isAllowed).length
    await sleep(1)
  }
  return taken
}

for (const { cutOff, tokens } of [{ cutOff: 0, tokens: 1 }, { cutOff: 1, tokens: 1 }, { cutOff: 2, tokens: 30 }, { cutOff: 4, tokens: 1 }]) {
  test(`with ${cutOff} of 4 gateways cut off, requests of ${tokens} tokens: no more than the contract's bound, and not shut out`, async (t) => {
    await server.flush()
    const limit = { ratePerS: 200, burst: 100 }
    const gateways = 4
    const proxies = await Promise.all(Array.from({ length: gateways }, () => startProxy(t)))
    const limiters = await Promise.all(proxies.map(({ port }) => openLimiterOn(t, server.options({ port }), { limits: [limit], budgetMs: 5_000, gatewayCount: () => gateways })))
    for (const proxy of proxies.slice(0, cutOff)) proxy.cut()
    const startMs = performance.now()
    let isOver = false
    const floods = limiters.map((limiter) => flood(limiter, 1, tokens, limit, () => isOver))
    await sleep(2_000)
    isOver = true
    const takenOf = await Promise.all(floods)
    const seconds = (performance.now() - startMs) / 1000
    const taken = takenOf.reduce((sum, each) => sum + each, 0)
    const bound = (1 + cutOff / gateways) * (limit.burst + limit.ratePerS * seconds) + cutOff * tokens
    t.diagnostic(`note: ${cutOff} of ${gateways} cut off: ${taken} tokens of at most ${Math.floor(bound)}, by gateway ${takenOf.join(', ')}`)
    assert.ok(taken <= bound, `${taken} tokens taken, the bound is ${bound}`)
    // Neither fails closed: who is cut off has its share, and the others theirs together.
    const least = (limit.burst + limit.ratePerS * 1.5) / gateways - tokens
    for (const each of takenOf.slice(0, cutOff)) assert.ok(each >= least, `a gateway that is cut off allowed only ${each}`)
    if (cutOff < gateways) assert.ok(takenOf.slice(cutOff).reduce((sum, each) => sum + each, 0) >= limit.burst + limit.ratePerS * 1.5)
    assert.deepEqual(limiters.map((limiter) => limiter.isLocal()), limiters.map((_, index) => index < cutOff))
  })
}

test('gateways that come and go between Redis and their share stay within the bound', async (t) => {
  await server.flush()
  const limit = { ratePerS: 100, burst: 50 }
  const proxies = [await startProxy(t), await startProxy(t)]
  const limiters = await Promise.all(proxies.map(({ port }) => openLimiterOn(t, server.options({ port }), { limits: [limit], budgetMs: 5_000, gatewayCount: () => 2 })))
  const startMs = performance.now()
  let isOver = false
  const floods = limiters.map((limiter) => flood(limiter, 1, 1, limit, () => isOver))
  for (let round = 0; round < 4; round++) {
    const proxy = proxies[round % 2]
    const limiter = limiters[round % 2]
    proxy?.cut()
    await eventually('it limits by itself', () => limiter?.isLocal() === true, { everyMs: 5 })
    proxy?.mend()
    await eventually('it is back', () => limiter?.isLocal() === false, { everyMs: 5 })
  }
  isOver = true
  const taken = (await Promise.all(floods)).reduce((sum, each) => sum + each, 0)
  const seconds = (performance.now() - startMs) / 1000
  assert.ok(taken <= 2 * (limit.burst + limit.ratePerS * seconds) + 2)
  assert.ok(taken >= limit.burst + limit.ratePerS * seconds * 0.5)
})

test('takes of one turn of the loop are one question, and a refused key is not asked for again', async (t) => {
  await server.flush()
  const limiter = await openLimiterOn(t, server.options())
  const limit = { ratePerS: 1, burst: 20 }
  const decisions = await Promise.all(Array.from({ length: 50 }, async (_, index) => await limiter.take(index % 2, 1, limit)))
  assert.equal(decisions.filter(({ isAllowed }) => isAllowed).length, 40)
  assert.equal(valueOf(limiter, 'tollgate_limiter_redis_trips_total'), 1)
  const again = limiter.take(1, 1, limit)
  assert.ok(!(again instanceof Promise), 'it is answered at once')
  assert.ok(!again.isAllowed && again.retryAfterMs > 0 && again.retryAfterMs <= 1_000 && again.remaining === 0)
  assert.equal(valueOf(limiter, 'tollgate_limiter_redis_trips_total'), 1)
  assert.equal(valueOf(limiter, 'tollgate_limiter_repeated_refusals_total'), 1)
  // When its time has come it is asked for, and allowed.
  await sleep(again.retryAfterMs + 5)
  assert.equal((await limiter.take(1, 1, limit)).isAllowed, true)
})

test('a bucket is gone from Redis when it is full', async (t) => {
  await server.flush()
  const limiter = await openLimiterOn(t, server.options())
  for (let key = 1; key <= 100; key++) await limiter.take(key, 1, { ratePerS: 5, burst: 5 })
  assert.ok(Number(await server.command('DBSIZE')) >= 100)
  await eventually('they are gone', async () => Number(await server.command('DBSIZE')) === 0)
})

test('a Redis that has lost the script is sent it again, and one that was emptied starts with full buckets', async (t) => {
  await server.flush()
  const limiter = await openLimiterOn(t, server.options())
  const limit = { ratePerS: 1, burst: 5 }
  assert.equal((await limiter.take(1, 5, limit)).isAllowed, true)
  await server.command('SCRIPT', 'FLUSH')
  assert.equal((await limiter.take(2, 5, limit)).isAllowed, true)
  await server.flush()
  assert.equal((await limiter.take(1, 5, limit)).isAllowed, true)
  assert.equal(valueOf(limiter, 'tollgate_limiter_local_takes_total'), 0)
})

test('a bucket that holds something else: its key alone is limited by the share, and it is counted', async (t) => {
  await server.flush()
  const limiter = await openLimiterOn(t, server.options(), { gatewayCount: () => 2 })
  await server.command('SET', bucketKey('tollgate:', 1), 'not ours')
  await server.command('HSET', bucketKey('tollgate:', 2), 'not', 'ours')
  const limit = { ratePerS: 1, burst: 10 }
  const allowed = async (key: number): Promise<number> => (await Promise.all(Array.from({ length: 20 }, async () => await limiter.take(key, 1, limit)))).filter(({ isAllowed }) => isAllowed).length
  assert.deepEqual([await allowed(1), await allowed(2), await allowed(3)], [5, 5, 10])
  assert.equal(valueOf(limiter, 'tollgate_limiter_failures_total'), 40)
  assert.equal(limiter.isLocal(), false)
  assert.equal(await server.command('GET', bucketKey('tollgate:', 1)), 'not ours')
})

test('a Redis that refuses to write: the share, until it does', async (t) => {
  await server.flush()
  const limiter = await openLimiterOn(t, server.options())
  const limit = { ratePerS: 1, burst: 10 }
  await server.command('CONFIG', 'SET', 'min-replicas-to-write', '1')
  t.after(() => server.command('CONFIG', 'SET', 'min-replicas-to-write', '0'))
  assert.equal((await limiter.take(1, 1, limit)).isAllowed, true)
  assert.equal(limiter.isLocal(), true)
  await server.command('CONFIG', 'SET', 'min-replicas-to-write', '0')
  await eventually('Redis counts again', () => !limiter.isLocal())
})

test('a clock of Redis that was set back costs a key no more than one burst', async (t) => {
  await server.flush()
  const limit = { ratePerS: 10, burst: 10 }
  const hourAhead = changedScript([['tonumber(time[1])', '(tonumber(time[1]) + 3600)']], gcraScript)
  const ahead = await openLimiterOn(t, server.options(), { limits: [limit], script: hourAhead })
  assert.equal((await ahead.take(1, 5, limit)).isAllowed, true)
  const limiter = await openLimiterOn(t, server.options(), { limits: [limit] })
  assert.equal((await limiter.take(1, 1, limit)).isAllowed, false)
  await eventually('it is allowed', async () => (await limiter.take(1, 1, limit)).isAllowed, { withinMs: 3_000 })
})

test('wrong passwords and users without the right to write are told, and the share goes on', async (t) => {
  const secured = await startRedis(t, { acl: ['user default off', 'user admin on >admin-password ~* &* +@all', 'user reader on >reader-password ~* &* +@read +@connection'] })
  for (const credentials of [{ username: 'reader', password: 'wrong' }, { username: 'reader', password: 'reader-password' }]) {
    const limiter = await openLimiterOn(t, secured.options(credentials))
    assert.equal(limiter.isLocal(), true)
    assert.equal((await limiter.take(1, 1, { ratePerS: 1, burst: 10 })).isAllowed, true)
  }
})

test('gateways are counted, at once when they come, after a while when they go, and remembered', async (t) => {
  await server.flush()
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-count-'))
  t.after(() => { rmSync(folder, { recursive: true }) })
  const start = (gatewayId: string): ReturnType<typeof startGatewayCount> => startGatewayCount({ redis: server.options(), gatewayId, file: path.join(folder, gatewayId), log, periodMs: 40 })
  const [a, b] = [start('a'), start('b')]
  t.after(async () => { await a.stop() })
  await eventually('both know of both', () => a.count() === 2 && b.count() === 2)
  assert.equal(readFileSync(path.join(folder, 'a'), 'utf8'), '2\n')
  await server.flush()
  await b.stop()
  await eventually('one is left', () => a.count() === 1)
  const again = start('b')
  assert.equal(again.count(), 2, 'what was last known holds before Redis has answered')
  await eventually('both know of both', () => a.count() === 2 && again.count() === 2)
  server.pause()
  await again.stop()
  assert.equal(a.count(), 2)
  server.resume()
})

test('the share is exact across the workers of a gateway', async (t) => {
  const memory = createLimiterMemory({ keysMax: 1_000 })
  const nowhere = { host: '127.0.0.1', port: 1, keyPrefix: 'tollgate:' }
  const workers = await Promise.all([0, 1].map(() => openLimiterOn(t, nowhere, { local: openSharedMemoryLimiter(memory), gatewayCount: () => 3 })))
  const limit = { ratePerS: 1, burst: 30 }
  let allowed = 0
  for (let i = 0; i < 40; i++) if ((await (workers[i % 2] as RedisLimiter).take(1, 1, limit)).isAllowed) allowed++
  assert.equal(allowed, 10)
  // A request that costs more than the share of the burst is let through all the same, alone.
  assert.deepEqual([(await (workers[0] as RedisLimiter).take(2, 25, limit)).isAllowed, (await (workers[1] as RedisLimiter).take(2, 25, limit)).isAllowed], [true, false])
})
