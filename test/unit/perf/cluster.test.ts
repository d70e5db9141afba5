// The pure parts of the cluster's scenarios.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { threadTable } from '../../../perf/harness/thread-table.ts'
import { Freshness } from '../../../perf/load/freshness.ts'
import { Workload } from '../../../perf/pipeline/workload.ts'
import type { Caller } from '../../../src/gateway/authentication.ts'

test('the n-th answer is on the bill when the bill has n requests', () => {
  const freshness = new Freshness()
  freshness.answer(100)
  freshness.answer(200)
  freshness.look(0, 300, 3)
  freshness.look(1, 1_000, 3)
  // The third is counted, but its answer has not come yet.
  freshness.look(3, 1_500, 3)
  assert.deepEqual([freshness.seen, freshness.answered], [2, 2])
  freshness.answer(1_510)
  freshness.look(3, 1_550, 3)
  assert.deepEqual(freshness.latenciesMs, [900, 1_300, 40])
})

test('a bill with more requests than were sent is a mistake, and so is one that shrinks', () => {
  const freshness = new Freshness()
  freshness.answer(0)
  assert.throws(() => { freshness.look(2, 10, 1) }, /1 requests were sent, 2 are on the bill/)
  freshness.look(1, 10, 1)
  assert.throws(() => { freshness.look(0, 20, 1) }, /shrunk/)
})

test('a workload of distinct rows calls no endpoint twice with a key', () => {
  const callerOf = (memberId: number, apiKeyId: number): Caller => ({
    claims: { memberId, apiKeyId, grade: 'GRADE_FREE', iatS: 0 }, isOpaque: false, apiKeyIdText: String(apiKeyId), memberIdText: String(memberId), partition: 0, state: 'active', stateUntilMs: Infinity, stateVersion: 0
  })
  const workload = new Workload(callerOf, 1_010)
  const rows = Array.from({ length: 1_010 }, () => workload.next(0, 'trace'))
  assert.ok(rows.every(({ caller }) => caller !== undefined))
  assert.equal(new Set(rows.map(({ caller, path }) => `${caller?.apiKeyIdText} ${path.split('/')[3]}`)).size, 1_010)
})

test('threads in the order of what they cost, medians over the rounds', () => {
  const samples = [{ cpuSByThread: { a: 1, b: 3 } }, { cpuSByThread: { a: 2 } }, { cpuSByThread: { a: 3, b: 5 } }]
  assert.deepEqual(threadTable('T', samples, 1_000_000).rows, [['b', '3.00'], ['a', '2.00']])
})
