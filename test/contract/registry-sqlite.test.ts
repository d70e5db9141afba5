import { openTestRegistry } from '../helpers/sqlite-registry.ts'
import { registryContract } from './registry-suite.ts'

registryContract('SQLite', openTestRegistry)
