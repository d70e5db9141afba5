// See owner-world.ts. Wrong variants of the rules must be caught: a simulation can be blind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { planBatch } from '../../src/aggregator/batch-plan.ts'
import { clusterTopics } from '../../src/aggregator/cluster-topics.ts'
import { decideTakeOver } from '../../src/aggregator/take-over-rule.ts'
import { partitionOf } from '../../src/domain/partition.ts'
import { OwnerWorld } from './owner-world.ts'
import type { OwnerVariant } from './owner-world.ts'

const steps = 90
const seeds = Number(process.env['TOLLGATE_SEEDS'] ?? 10)
const mutantSeeds = 40
const { hourly } = clusterTopics('')

/** @returns what is wrong in the end; an error on the way is one thing more */
async function simulate (t: TestContext, seed: number, variant: OwnerVariant): Promise<{ readonly wrong: string[], readonly trace: readonly string[] }> {
  const world = new OwnerWorld(t, seed, variant)
  try {
    for (let step = 0; step < steps; step++) await world.step()
    return { wrong: await world.judge(), trace: world.trace }
  } catch (error) {
    return { wrong: [`error: ${(error as Error).stack ?? ''}`], trace: world.trace }
  } finally {
    await world.close()
  }
}

for (let seed = 1; seed <= seeds; seed++) {
  test(`whoever owns the partition, every request counts once, seed ${seed}`, async (t) => {
    const { wrong, trace } = await simulate(t, seed, {})
    assert.deepEqual(wrong, [], trace.join('\n'))
  })
}

const mutants: Readonly<Record<string, OwnerVariant>> = {
  'take-over by the owner\'s name': { decide: (ownerName) => (facts) => facts.progress === undefined ? decideTakeOver(facts) : { kind: facts.file !== undefined && facts.progress.ownerName === ownerName ? 'keep' : 'load' } },
  'a file is always kept': { decide: () => (facts) => facts.file === undefined ? decideTakeOver(facts) : { kind: 'keep' } },
  'rows and positions in transactions of their own': { split: (parts) => parts.map((part) => [part]) },
  'no fencing': { isFencingOff: true },
  'archived before it is copied': { isCopyAssumed: true },
  // As a producer does by itself where nobody names a partition.
  'hourly rows in the partition of their key\'s hash': { place: (topic, { key }) => topic === hourly && /^\d/.test(key) ? partitionOf(key, 2) : 0 },
  'the last seq instead of the chain': {
    plan: (items, known) => {
      const standing = new Map(known)
      return planBatch(items.map((item) => {
        if (item.kind === 'mark') return item
        const { appliedSeq, stagedSeq } = standing.get(item.streamId) ?? { appliedSeq: 0, stagedSeq: 0 }
        standing.set(item.streamId, { appliedSeq: Math.max(appliedSeq, item.lastSeq), stagedSeq: Math.max(stagedSeq, item.lastSeq) })
        return { ...item, prevSeq: Math.min(item.prevSeq, appliedSeq, stagedSeq) }
      }), known)
    }
  }
}

/** Where the first seeds are known to show nothing. */
const firstSeeds: Readonly<Record<string, number>> = { 'archived before it is copied': 24 }

for (const [name, variant] of Object.entries(mutants)) {
  test(`caught: ${name}`, async (t) => {
    const first = firstSeeds[name] ?? 1
    for (let seed = first; seed < first + mutantSeeds; seed++) {
      const { wrong } = await simulate(t, seed, variant)
      if (wrong.length > 0) return
    }
    assert.fail('the simulation is blind to it')
  })
}
