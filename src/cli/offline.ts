// Opens what one command needs of the state, when no program runs that has it open. What is heavy is loaded only then.
import type { Config } from '../config/schema.ts'
import { TollgateError } from '../domain/errors.ts'
import { systemClock } from '../platform/clock.ts'
import type { RedisSettings } from '../platform/redis.ts'
import { stateFiles } from '../platform/state-files.ts'
import type { Registry } from '../registry/port.ts'
import { registryHandlers } from './handlers/registry.ts'
import type { OpenedHandlers } from './opened-handlers.ts'

/** @param command such as `key.create`: its first part names the store. The state's lock is held. */
export async function openOffline (config: Config, command: string): Promise<OpenedHandlers> {
  switch (command.split('.')[0]) {
    case 'member':
    case 'registry':
    case 'key': return await openRegistry(config)
    case 'bill': return await (await import('./offline-stores.ts')).openOfflineBill(config)
    case 'verify':
    case 'rebuild': return await (await import('./offline-stores.ts')).openOfflineProof(config)
    default: throw new TollgateError('COMMAND_UNKNOWN', `there is no command ${command}`)
  }
}

async function openRegistry (config: Config): Promise<OpenedHandlers> {
  const registry = await (config.redis === undefined ? openFile(config) : openRedis(config.redis))
  return {
    handlers: registryHandlers({ registry, signing: () => config.auth.secrets[0], memberSecret: () => config.billing.memberSecret, clock: systemClock }),
    close: () => registry.close()
  }
}

async function openFile (config: Config): Promise<Registry> {
  const { openSqliteRegistry } = await import('../registry/sqlite.ts')
  const { registry: file, refusals: refusalFile } = stateFiles(config.state)
  return openSqliteRegistry({ file, refusalFile, clock: systemClock })
}

async function openRedis (settings: RedisSettings): Promise<Registry> {
  const [{ openRedisRegistry }, { redisOptionsOf }] = await Promise.all([import('../registry/redis.ts'), import('../platform/redis.ts')])
  return await openRedisRegistry({ redis: redisOptionsOf(settings), clock: systemClock })
}
