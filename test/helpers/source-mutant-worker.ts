// Runs a scenario with a mutant of a source file in the place of the real one. Posts what the scenario threw.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { parentPort, workerData } from 'node:worker_threads'
import type { MutantData } from './source-mutants.ts'

const { file, changes, scenario, seeds } = workerData as MutantData

registerHooks({
  load: (url, context, nextLoad) => {
    if (url !== file) return nextLoad(url, context)
    let source = readFileSync(fileURLToPath(url), 'utf8')
    for (const [from, to] of changes) {
      if (source.split(from).length !== 2) throw new Error(`a mutant's text must stand exactly once in ${url}: ${from}`)
      source = source.replace(from, () => to)
    }
    return { format: 'module-typescript', source, shortCircuit: true }
  }
})

const { run } = await import(scenario) as { run: (seed: number) => unknown }
let killedBy: string | undefined
let runs = 0
for (let seed = seeds.from; seed <= seeds.to && killedBy === undefined; seed++) {
  runs++
  try { run(seed) } catch (error) { killedBy = error instanceof Error ? error.message : String(error) }
}
parentPort?.postMessage({ killedBy, runs })
