import { after } from 'node:test'
import { openTestRedisRegistry } from '../helpers/redis-registry.ts'
import { startRedis } from '../services/redis.ts'
import { registryContract } from './registry-suite.ts'

const server = await startRedis({ after })
registryContract('Redis', async (t) => { await server.flush(); return await openTestRedisRegistry(t, server.options()) })

// As docs/registry.md says that the user should be.
const secured = await startRedis({ after }, { tls: true, acl: ['user default off', 'user admin on >admin-password ~* &* +@all', 'user tollgate on >tollgate-password ~tollgate:* &tollgate:* +@all -@dangerous -@admin'] })
registryContract('Redis with TLS and a user of its own', async (t) => {
  await secured.flush()
  return await openTestRedisRegistry(t, secured.options({ username: 'tollgate', password: 'tollgate-password' }))
})
