import { openTestLimiter } from '../helpers/shared-memory-limiter.ts'
import { limiterContract } from './limiter-suite.ts'

limiterContract('shared memory', () => openTestLimiter({ keysMax: 100 }))
