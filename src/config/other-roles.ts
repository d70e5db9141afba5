// Secrets that only other roles use. A process doesn't open their files, so that it needs no right to, and what it hasn't read
// counts as not given. Secrets that stand in the configuration file itself are read with it.
import type { Path } from './problem.ts'
import type { Role } from './role.ts'
import type { Config } from './schema.ts'

/** Who uses the secrets below a setting; all roles use every other. Member tokens are checked by billing, and made where members are kept. */
const users: readonly (readonly [settings: Path, roles: readonly Role[]])[] = [
  [['auth'], ['gateway']],
  [['gateway'], ['gateway']],
  [['redis'], ['gateway']],
  [['archive'], ['aggregator']],
  [['aggregators'], ['billing']],
  [['billing', 'memberSecretFile'], ['gateway', 'billing']],
  [['billing', 'operatorTokens'], ['billing']]
]

/** @param at where the file of the secret is named. @param roles none: a command, which may need any */
export function isOfOtherRoles (at: Path, roles: readonly Role[]): boolean {
  if (roles.length === 0) return false
  const found = users.find(([settings]) => settings.every((part, index) => at[index] === part))
  return found !== undefined && !found[1].some((role) => roles.includes(role))
}

/** Without the entries whose secrets weren't read. */
export function withoutUnread (config: Config): Config {
  const { auth, billing, gateway, archive, aggregators } = config
  const isRead = (secret: string | undefined): boolean => secret !== undefined
  return {
    ...config,
    auth: { ...auth, secrets: auth.secrets.filter(({ secret }) => isRead(secret)) },
    gateway: {
      ...gateway,
      upstreams: Object.fromEntries(Object.entries(gateway.upstreams).map(([name, { secretHeader, ...upstream }]) => [name, secretHeader === undefined || !isRead(secretHeader.value) ? upstream : { ...upstream, secretHeader }]))
    },
    archive: { ...archive, peers: archive.peers.filter(({ token }) => isRead(token)) },
    aggregators: aggregators.filter(({ token }) => isRead(token)),
    billing: { ...billing, operatorTokens: billing.operatorTokens.filter(({ token }) => isRead(token)) }
  }
}
