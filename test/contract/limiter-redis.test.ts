import { after } from 'node:test'
import { openTestRedisLimiter } from '../helpers/redis-limiter.ts'
import { startRedis } from '../services/redis.ts'
import { limiterContract } from './limiter-suite.ts'

const server = await startRedis({ after })
limiterContract('Redis', (t) => openTestRedisLimiter(t, server))
