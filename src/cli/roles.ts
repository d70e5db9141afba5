// `--role`, as `run` and `config` take it.
import { roles } from '../config/role.ts'
import type { Role } from '../config/role.ts'
import { UsageError } from './arguments.ts'
import type { OptionSpec } from './arguments.ts'

export const roleOption: OptionSpec = {
  value: 'ROLE',
  description: 'What this process does: gateway, aggregator, billing, several with commas or one after another, or all (default). Processes of their own need Kafka.',
  isRepeatable: true
}

/** @param text with commas; undefined stands for all. @throws UsageError */
export function rolesOf (text: string | undefined): readonly Role[] {
  const named = (text ?? 'all').split(',').map((name) => name.trim())
  const unknown = named.find((name) => name !== 'all' && !roles.some((role) => role === name))
  if (unknown !== undefined) throw new UsageError(`there is no role ${JSON.stringify(unknown)}`, `the roles are ${roles.join(', ')} and all`)
  return named.includes('all') ? roles : roles.filter((role) => named.includes(role))
}
