import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CompletenessWorld, allRules, faults } from './completeness-scenario.ts'
import type { Fault, GatewayRules } from './completeness-scenario.ts'

const seeds = 250
const steps = 300

function run (faultSet: readonly Fault[], rules: GatewayRules): { readonly wrong: number, readonly first: string | undefined, readonly said: number, readonly completeHours: number } {
  let [wrong, said, completeHours] = [0, 0, 0]
  let first: string | undefined
  for (let seed = 1; seed <= seeds; seed++) {
    const world = new CompletenessWorld(seed, faultSet, rules)
    world.run(steps)
    said += world.said
    completeHours += world.completeHours
    if (world.problems.length === 0) continue
    wrong++
    first ??= `seed ${seed}: ${world.problems.slice(0, 3).join('; ')}`
  }
  return { wrong, first, said, completeHours }
}

for (const faultSet of [[], ...faults.map((fault) => [fault]), [...faults]] as const) {
  test(`nothing is counted into an hour that was called complete, and every hour becomes complete: ${faultSet.join(', ') || 'no faults'}`, () => {
    const { first, said, completeHours } = run(faultSet, allRules)
    assert.equal(first, undefined)
    assert.ok(said > seeds * 20 && completeHours > seeds * 2, `only ${said} marks were said and ${completeHours} hours complete before the end`)
  })
}

const mutants: readonly (readonly [rule: keyof GatewayRules, faultSet: readonly Fault[]])[] = [['hasInFlightMark', ['long']], ['saysHello', ['new', 'stop']], ['clampsClock', ['clock']]]
for (const [rule, faultSet] of mutants) {
  test(`a gateway without ${rule} is noticed`, () => { assert.ok(run(faultSet, { ...allRules, [rule]: false }).wrong > 0) })
}
