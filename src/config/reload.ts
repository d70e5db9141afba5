// What of a configuration that was read anew takes effect in a running program: the keys named here. Every other one stays as
// it was, and is named, until the program is started again.
import { isDeepStrictEqual } from 'node:util'
import { configSetting } from './schema.ts'
import type { Config } from './schema.ts'
import type { Setting } from './setting.ts'

/** Each with all below it. */
export const reloadedKeys: readonly string[] = [
  'gateway.routes', 'gateway.upstreams', 'gateway.requestBytesMax', 'gateway.connectionsMax', 'gateway.addressConnectionsMax',
  'gateway.addressInFlightMax', 'gateway.clientBytesPerSMin', 'gateway.clientTimeoutMs', 'gateway.trustedProxies', 'gateway.clientIp',
  'auth.secrets', 'registry.unknownKeys', 'grades',
  'billing.priceBookFile', 'billing.rangeDaysMax', 'billing.memberSecret', 'billing.operatorTokens',
  'operator.tokens', 'operator.admins',
  'gateway.listen.tls.certificateFile', 'gateway.listen.tls.keyFile', 'gateway.listen.tls.clientCaFile', 'operator.listen.tls.certificateFile', 'operator.listen.tls.keyFile'
]

/** Taken where it was given and still is: with it and without it the port is served in another way. */
const neverSwitchedKeys: readonly string[] = ['gateway.listen.tls.clientCaFile']

export interface MergedConfig {
  /** The new values of the keys that a reload takes, the old ones of all others. */
  readonly config: Config
  /** Keys that take effect. */
  readonly changed: readonly string[]
  /** Keys that differ and stay as they were. */
  readonly needsRestart: readonly string[]
}

/** @param next read for the same roles and machine, so that `auto` stands for the same */
export function mergeConfig (current: Config, next: Config): MergedConfig {
  const changed: string[] = []
  const needsRestart: string[] = []
  const merge = (setting: Setting, path: string, former: unknown, given: unknown): unknown => {
    if (isDeepStrictEqual(former, given)) return former
    const isSwitched = (former === undefined) !== (given === undefined)
    if (reloadedKeys.includes(path) && !(isSwitched && neverSwitchedKeys.includes(path))) {
      changed.push(path)
      return given
    }
    if (setting.kind === 'group' && former !== undefined && given !== undefined) return mergeGroup(setting, path, former as Values, given as Values)
    needsRestart.push(path)
    return former
  }
  const mergeGroup = ({ properties }: Setting & { readonly kind: 'group' }, path: string, former: Values, given: Values): Values => Object.fromEntries(
    Object.entries(properties)
      .map(([key, setting]) => [key, merge(setting, path === '' ? key : `${path}.${key}`, former[key], given[key])] as const)
      .filter(([, value]) => value !== undefined)
  )
  return { config: mergeGroup(configSetting, '', current, next) as unknown as Config, changed, needsRestart }
}

type Values = Readonly<Record<string, unknown>>
