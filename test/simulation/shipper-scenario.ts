// The shipper's simulation as a scenario for mutants and for the suite: the seed also chooses the kind of world.
import { runShipper } from './shipper-run.ts'
import type { ShipperOutcome } from './shipper-run.ts'

const steps = 1_200

export function run (seed: number): ShipperOutcome {
  return runShipper({ seed, steps, partitions: 1 + seed % 4, hasLosses: seed % 3 === 0, hasSendFaults: seed % 2 === 0 || seed % 3 === 0, hasDeaths: seed % 5 < 3 })
}
