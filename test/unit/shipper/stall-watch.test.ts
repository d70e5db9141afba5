import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StallWatch } from '../../../src/shipper/stall-watch.ts'

const state = (sentSeq: number, wantedAfter: number, isGap = false): { readonly sentSeq: number, readonly wantedAfter: number, readonly isGap: boolean } => ({ sentSeq, wantedAfter, isGap })

test('what moves, or is counted, is left alone', () => {
  const watch = new StallWatch(60_000)
  for (let second = 0; second < 300; second++) assert.equal(watch.look('a', state(1000, second), second * 1000), 'none')
  for (let second = 300; second < 600; second++) assert.equal(watch.look('a', state(1000, 1000), second * 1000), 'none')
})

test('what stays uncounted is probed, each time later; if exactly the probe is taken, all is sent again', () => {
  const watch = new StallWatch(60_000)
  const verdicts: [number, string][] = []
  for (let second = 0; second <= 1000; second++) {
    const verdict = watch.look('a', state(1000, 10), second * 1000)
    if (verdict !== 'none') verdicts.push([second, verdict])
  }
  assert.deepEqual(verdicts, [[60, 'probe'], [180, 'probe'], [420, 'probe'], [900, 'probe']])
  watch.probed('a', 20)
  assert.equal(watch.look('a', state(1000, 20), 1_001_000), 'none')
  assert.equal(watch.look('a', state(1000, 20), 1_060_000), 'none')
  assert.equal(watch.look('a', state(1000, 20), 1_061_000), 'resend')
})

test('a reported gap is sent again at once, and only later once more', () => {
  const watch = new StallWatch(60_000)
  assert.equal(watch.look('a', state(1000, 10), 0), 'none')
  assert.equal(watch.look('a', state(1000, 10, true), 1_000), 'resend')
  assert.equal(watch.look('a', state(1000, 10, true), 2_000), 'none')
  assert.equal(watch.look('a', state(1000, 10, true), 61_000), 'resend')
})
