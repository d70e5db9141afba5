// Imported by each thread of a whole program before anything else: see `mutantEnvironment`.
import process from 'node:process'
import { loadMutant } from './source-mutant-load.ts'
import type { MutantData } from './source-mutants.ts'

loadMutant(JSON.parse(process.env['SOURCE_MUTANT'] ?? '') as MutantData)
