// Runs a scenario with a mutant of a source file in the place of the real one. Posts what the scenario threw.
import { parentPort, workerData } from 'node:worker_threads'
import { loadMutant } from './source-mutant-load.ts'
import type { MutantData } from './source-mutants.ts'

const { file, changes, scenario, seeds } = workerData as MutantData

loadMutant({ file, changes })

const { run } = await import(scenario) as { run: (seed: number) => unknown }
let killedBy: string | undefined
let runs = 0
for (let seed = seeds.from; seed <= seeds.to && killedBy === undefined; seed++) {
  runs++
  try { run(seed) } catch (error) { killedBy = error instanceof Error ? error.message : String(error) }
}
parentPort?.postMessage({ killedBy, runs })
