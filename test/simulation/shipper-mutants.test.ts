// Each deliberate mistake in the shipper is noticed by its simulation.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { huntMutant } from '../helpers/source-mutants.ts'
import { shipperMutants } from './shipper-mutants.ts'

const runsMax = 300

for (const mutant of shipperMutants) {
  test(`noticed: ${mutant.name}`, async (t) => {
    const { killedBy, runs } = await huntMutant(mutant, new URL(mutant.scenario, import.meta.url), { from: 1, to: runsMax })
    assert.notEqual(killedBy, undefined, `survived ${runs} runs`)
    t.diagnostic(`after ${runs} runs: ${killedBy?.split('\n')[0]}`)
  })
}
