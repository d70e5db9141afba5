// Puts a mutant of a source file in the place of the real one, in this thread.
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { MutantData } from './source-mutants.ts'

/** Before the file is imported. */
export function loadMutant ({ file, changes }: Pick<MutantData, 'file' | 'changes'>): void {
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
}
