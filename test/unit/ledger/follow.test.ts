import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { HourlyBatch, HourlyLogReader, HourlyPosition } from '../../../src/hourly-log/port.ts'
import { followHourlyLog } from '../../../src/ledger/follow.ts'
import type { HourlyLogFollower } from '../../../src/ledger/follow.ts'
import type { Ledger } from '../../../src/ledger/ledger-types.ts'
import { silent } from '../../helpers/aggregator-rig.ts'
import { eventually } from '../../helpers/eventually.ts'

class FakeLog implements HourlyLogReader {
  revision = 0
  failure: Error | undefined
  readonly #callbacks: (() => void)[] = []
  next = async (partition: number, position: HourlyPosition | undefined): Promise<HourlyBatch | undefined> => {
    if (this.failure !== undefined) throw this.failure
    const from = position?.revision ?? 0
    if (from >= this.revision) return undefined
    return { isReset: position === undefined, partition, position: { historyId: 'h', term: 1, revision: from + 1 }, closed: [], rowsNdjson: '', watermarks: [], hasMore: from + 1 < this.revision }
  }

  onChange = (callback: () => void): void => { this.#callbacks.push(callback) }
  change (revision: number): void {
    this.revision = revision
    for (const callback of this.#callbacks) callback()
  }
}

function follow (t: TestContext, log: FakeLog): { readonly applied: number[], readonly follower: HourlyLogFollower } {
  const applied: number[] = []
  let position: HourlyPosition | undefined
  const ledger = {
    position: async () => position,
    apply: async (batch: HourlyBatch) => {
      applied.push(batch.position.revision)
      position = batch.position
    }
  } as unknown as Ledger
  const follower = followHourlyLog({ ledger, reader: log, partitions: [0], log: silent, intervalMs: 1, retryMs: 5 })
  t.after(() => follower.stop())
  return { applied, follower }
}

test('everything is folded at once, then each change', async (t) => {
  const log = new FakeLog()
  log.revision = 3
  const { applied, follower } = follow(t, log)
  await eventually('it has caught up', () => applied.length === 3)
  log.change(5)
  await eventually('it follows', () => applied.length === 5)
  assert.deepEqual(applied, [1, 2, 3, 4, 5])
  assert.equal(follower.steps(), 5)
  assert.equal(follower.problem(), undefined)
})

test('an error is shown and tried again', async (t) => {
  const log = new FakeLog()
  log.failure = new Error('damaged')
  log.revision = 1
  const { applied, follower } = follow(t, log)
  await eventually('the problem is shown', () => follower.problem() === 'damaged')
  log.failure = undefined
  await eventually('it goes on', () => applied.length === 1 && follower.problem() === undefined)
})

test('a stop ends it also while nothing changes', async (t) => {
  const log = new FakeLog()
  const { follower, applied } = follow(t, log)
  await follower.stop()
  log.change(2)
  assert.deepEqual(applied, [])
})
