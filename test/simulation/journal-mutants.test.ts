// Each deliberate mistake in the journal is noticed by the simulation: what stays green proves something.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { huntMutant } from '../helpers/source-mutants.ts'
import { journalMutants } from './journal-mutants.ts'

for (const mutant of journalMutants) {
  test(`noticed: ${mutant.name}`, async (t) => {
    const { killedBy, runs } = await huntMutant(mutant, new URL(mutant.scenario, import.meta.url), { from: 1, to: mutant.runsMax })
    assert.notEqual(killedBy, undefined, `survived ${runs} runs`)
    t.diagnostic(`after ${runs} runs: ${killedBy?.split('\n')[0]}`)
  })
}
