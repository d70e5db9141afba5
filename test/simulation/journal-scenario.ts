// The journal's simulation as a scenario for mutants and for the suite: the seed also chooses the kind of world.
import { runJournal } from './journal-run.ts'
import type { Outcome } from './journal-run.ts'

const steps = 600

export function run (seed: number): Outcome {
  return runJournal({ seed, steps, ack: seed % 5 === 0 ? 'buffered' : 'durable', hasDeaths: seed % 3 !== 0, hasFaults: seed % 2 === 0, hasShortLives: seed % 7 === 1 })
}
