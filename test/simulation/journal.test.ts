// The real journal, its recovery and its reader on a disk that forgets: whatever dies, fails or fills up, an answered event is
// counted and archived exactly once, one that was not answered at most once, and every hour adds up.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from './journal-scenario.ts'
import type { Outcome } from './journal-run.ts'

/** Seeds of a test: the scenario makes every third one free of deaths, every second one free of faults, every fifth buffered. */
const suites: readonly { readonly name: string, readonly from: number, readonly to: number }[] = [
  { name: 'seeds 1 to 600', from: 1, to: 600 },
  { name: 'seeds 601 to 1200', from: 601, to: 1200 }
]

for (const { name, from, to } of suites) {
  test(`nothing answered is lost or doubled, and every hour adds up: ${name}`, (t) => {
    const sum: Record<keyof Outcome, number> = { answered: 0, failed: 0, lost: 0, powerCuts: 0, kills: 0, streams: 0, recycled: 0, refused: 0, countedOnly: 0, recovered: 0 }
    for (let seed = from; seed <= to; seed++) {
      let outcome: Outcome
      try { outcome = run(seed) } catch (error) { throw new Error(`seed ${seed}`, { cause: error }) }
      for (const key of Object.keys(sum) as (keyof Outcome)[]) sum[key] += outcome[key]
    }
    t.diagnostic(`note: ${JSON.stringify(sum)}`)
    assert.ok(sum.answered >= 50_000 && sum.failed >= 2_000 && sum.lost >= 1_000, 'too little happened')
    assert.ok(sum.powerCuts >= 600 && sum.kills >= 600 && sum.streams >= 3_000, 'too little died')
    assert.ok(sum.recycled >= 1_000 && sum.countedOnly >= 500 && sum.recovered >= 2_000 && sum.refused >= 1_000, 'too little was at its bound')
  })
}
