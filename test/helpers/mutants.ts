// A property that can't tell wrong code from right code proves nothing: each mutant must be caught by it.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { IProperty } from 'fast-check'

/** Enough runs that a mutant is caught every time, few enough to be quick. */
const mutantRuns = 3_000

/** The property holds for `real` and catches every mutant. */
export function assertHoldsAndKills<Subject> (property: (subject: Subject) => IProperty<never> | fc.IRawProperty<unknown>, real: Subject, mutants: Readonly<Record<string, Subject>>, numRuns = 200): void {
  fc.assert(property(real) as fc.IRawProperty<unknown, false>, { numRuns })
  for (const [name, mutant] of Object.entries(mutants)) {
    const details = fc.check(property(mutant) as fc.IRawProperty<unknown, false>, { numRuns: mutantRuns, endOnFailure: true })
    assert.equal(details.failed, true, `the property is blind to: ${name}`)
  }
}
