// A journal restored from an old copy, and a cloned one, issue no identity twice.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './restored-scenario.ts'

test('restored and cloned journals: every event that still exists is counted once', () => {
  let answered = 0
  for (let seed = 1; seed <= 150; seed++) {
    try { answered += run(seed).answered } catch (error) { throw new Error(`seed ${seed}`, { cause: error }) }
  }
  assert.ok(answered >= 3_000, `only ${answered} events`)
})
