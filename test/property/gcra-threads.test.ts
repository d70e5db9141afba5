// The shared-memory limiter under every order of its threads' steps: the real code in real threads, one step at a time, the
// order chosen by a seed. Then the same threads running freely on one key.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { createLimiterMemory } from '../../src/limiter/shared-memory.ts'
import { openInterleaving } from '../helpers/interleaving.ts'

const limiterFile = path.resolve(import.meta.dirname, '../../src/limiter/shared-memory.ts')
const ordersOfReal = 1_500
const ordersOfMutantMax = 3_000

/** Each is the real source with one piece replaced. */
const mutants: readonly { readonly name: string, readonly from: string, readonly to: string }[] = [
  {
    name: 'a take is stored without looking whether another came between (lost update)',
    from: 'return Atomics.compareExchange(this.#cells, cell, tatNs, nextNs) === tatNs ? allowed',
    to: 'return Atomics.store(this.#cells, cell, nextNs) === nextNs ? allowed'
  },
  {
    name: 'a new key does not look for another copy of itself',
    from: 'if (!this.#isOnlyCopy(key, hash, cell.index)) return',
    to: 'if (cell.index < 0) return'
  },
  {
    name: 'two pending copies of a key are both confirmed',
    from: 'Atomics.compareExchange(this.#cells, cell, pending, killed)',
    to: ''
  },
  {
    name: 'a slot is confirmed although it was killed',
    from: 'if (Atomics.compareExchange(this.#cells, cell.index, pending, nextNs) === pending) return',
    to: 'if (Atomics.store(this.#cells, cell.index, nextNs) === nextNs) return'
  },
  {
    name: 'a key that comes back from a shared bucket starts full',
    from: 'const tatNs = Atomics.add(this.#cells, overflowCellAt(hash), 1n)',
    to: 'const tatNs = Atomics.add(this.#cells, overflowCellAt(hash), 1n) * 0n'
  },
  {
    name: 'a slot is used again before its bucket is full',
    from: 'tatNs > nowNs) continue',
    to: 'tatNs > nowNs + 2n) continue'
  }
]

function mutantUrl (t: TestContext, { from, to }: { readonly from: string, readonly to: string }): string {
  const source = readFileSync(limiterFile, 'utf8')
  assert.ok(source.includes(from), `the source has changed, change the mutant too: ${from}`)
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-mutant-'))
  t.after(() => { rmSync(folder, { recursive: true }) })
  const file = path.join(folder, 'shared-memory.ts')
  writeFileSync(file, source.replace(from, to).replaceAll(/from '(\.[^']+)'/g, (_, target: string) => `from '${pathToFileURL(path.resolve(path.dirname(limiterFile), target)).href}'`))
  return pathToFileURL(file).href
}

test('never more than burst + rate x time, whatever the order of steps', async (t) => {
  const interleaving = await openInterleaving(pathToFileURL(limiterFile).href)
  t.after(() => interleaving.close())
  let taken = 0
  for (let seed = 1; seed <= ordersOfReal; seed++) {
    const result = interleaving.run(seed)
    assert.equal(result.broken, undefined, `order ${seed}`)
    taken += result.taken
  }
  // Not vacuous: most of the 15 takes of an order were allowed.
  assert.ok(taken > ordersOfReal * 8, `${taken} takes were allowed`)
})

for (const mutant of mutants) {
  test(`some order of steps catches: ${mutant.name}`, async (t) => {
    const interleaving = await openInterleaving(mutantUrl(t, mutant))
    t.after(() => interleaving.close())
    for (let seed = 1; seed <= ordersOfMutantMax; seed++) if (interleaving.run(seed).broken !== undefined) return
    assert.fail(`survived ${ordersOfMutantMax} orders`)
  })
}

test('threads that hammer one key get together what one would get', async (t) => {
  const memory = createLimiterMemory({ keysMax: 100 })
  const limit = { ratePerS: 1_000, burst: 5_000 }
  const source = `
    import { parentPort, workerData } from 'node:worker_threads'
    const { openSharedMemoryLimiter } = await import(workerData.limiterUrl)
    const limiter = openSharedMemoryLimiter(workerData.memory)
    const fromNs = process.hrtime.bigint()
    let taken = 0
    for (let i = 0; i < workerData.attempts; i++) if (limiter.take(7, 1, workerData.limit).isAllowed) taken++
    parentPort.postMessage({ fromNs, toNs: process.hrtime.bigint(), taken })`
  const file = path.join(mkdtempSync(path.join(os.tmpdir(), 'tollgate-hammer-')), 'hammer.mjs')
  writeFileSync(file, source)
  t.after(() => { rmSync(path.dirname(file), { recursive: true }) })
  const workerData = { limiterUrl: pathToFileURL(limiterFile).href, memory, limit, attempts: 60_000 }
  const parts = await Promise.all(Array.from({ length: 4 }, () => new Promise<{ fromNs: bigint, toNs: bigint, taken: number }>((resolve, reject) => {
    const worker = new Worker(file, { workerData })
    worker.once('message', resolve)
    worker.once('error', reject)
  })))
  const fromNs = parts.map((part) => part.fromNs).reduce((a, b) => a < b ? a : b)
  const toNs = parts.map((part) => part.toNs).reduce((a, b) => a > b ? a : b)
  const taken = parts.reduce((sum, part) => sum + part.taken, 0)
  assert.ok(BigInt(taken) * 1_000_000_000n <= BigInt(limit.burst) * 1_000_000_000n + BigInt(limit.ratePerS) * (toNs - fromNs), `${taken} taken in ${toNs - fromNs} ns`)
  assert.ok(taken >= limit.burst, `${taken} taken`)
})
