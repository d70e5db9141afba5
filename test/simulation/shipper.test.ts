// The shipper on the real journal, on a disk that forgets, to a Kafka that forgets: every event is counted exactly once in the
// end, nothing is recycled that is not archived, and what a gateway says of itself adds up.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run as runCopies } from './shipper-copies-scenario.ts'
import { run as runDamage } from './shipper-damage-scenario.ts'
import { run } from './shipper-scenario.ts'

const firstSeed = 1000

function sumOf (outcomes: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const outcome of outcomes) for (const [name, value] of Object.entries(outcome)) sums[name] = (sums[name] ?? 0) + value
  return sums
}

test('every event is counted once, whatever fails, is lost, blocked or started again', (t) => {
  const sums = sumOf(Array.from({ length: 120 }, (_, index) => ({ ...run(firstSeed + index) })))
  t.diagnostic(JSON.stringify(sums))
  for (const [name, min] of Object.entries({ answered: 10_000, lostRecords: 1_000, failures: 500, resends: 50, probes: 50, recycled: 50, restarts: 500 })) assert.ok((sums[name] ?? 0) >= min, `only ${sums[name]} ${name}`)
})

test('copies of a journal send and say what is theirs, and take nothing back', (t) => {
  const sums = sumOf(Array.from({ length: 60 }, (_, index) => ({ ...runCopies(firstSeed + index) })))
  t.diagnostic(JSON.stringify(sums))
  assert.ok((sums['isClone'] ?? 0) >= 10)
})

test('what is lost of a journal of several partitions is void where it was lost, and the chains go on', (t) => {
  const outcomes = Array.from({ length: 120 }, (_, index) => runDamage(firstSeed + index))
  const sums = sumOf(outcomes.map(({ voids, lost, gaps }) => ({ voids, lost, gaps })))
  t.diagnostic(JSON.stringify(sums))
  assert.ok((sums['voids'] ?? 0) >= 100)
  for (const kind of ['flip', 'zero', 'cut', 'lose', 'header']) assert.ok(outcomes.some((outcome) => outcome.kind === kind), kind)
})
