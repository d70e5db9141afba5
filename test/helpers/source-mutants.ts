// Mutants of real source files: a property that a deliberate mistake does not break is blind. The changed text must stand
// exactly once in the file, so a mutant can't silently become a copy of the real thing.
import { Worker } from 'node:worker_threads'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

export interface Mutant {
  readonly name: string
  /** From the root of the repository. */
  readonly file: string
  readonly changes: readonly (readonly [from: string, to: string])[]
}

export interface MutantData {
  readonly file: string
  readonly changes: Mutant['changes']
  readonly scenario: string
  readonly seeds: { readonly from: number, readonly to: number }
}

/** Of a program whose threads all have the mutant. */
export function mutantEnvironment ({ file, changes }: Pick<Mutant, 'file' | 'changes'>): Readonly<Record<string, string>> {
  return { NODE_OPTIONS: `--import=${new URL('./source-mutant-preload.ts', import.meta.url).href}`, SOURCE_MUTANT: JSON.stringify({ file: hrefOf(file), changes }) }
}

const root = path.resolve(import.meta.dirname, '../..')

function hrefOf (file: string): string { return pathToFileURL(path.join(root, file)).href }

/**
 * Runs `scenario` (a module that exports `run (seed)`) with the mutant for seed after seed.
 * @returns what killed the mutant and after how many runs; undefined when it survived all of them
 */
export async function huntMutant (mutant: Pick<Mutant, 'file' | 'changes'>, scenario: URL, seeds: MutantData['seeds']): Promise<{ readonly killedBy: string | undefined, readonly runs: number }> {
  const workerData: MutantData = { file: hrefOf(mutant.file), changes: mutant.changes, scenario: scenario.href, seeds }
  const worker = new Worker(new URL('./source-mutant-worker.ts', import.meta.url), { workerData, execArgv: ['--disable-warning=ExperimentalWarning'] })
  try {
    return await new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', (code) => { reject(new Error(`the mutant's thread ended with code ${code}`)) })
    })
  } finally { await worker.terminate() }
}
