// `tollgate run`: the program itself. What it consists of is decided in compose/.
import { defaultConfigFile } from '../config/load.ts'
import { roles } from '../config/role.ts'
import type { Role } from '../config/role.ts'
import { UsageError, configOption } from './arguments.ts'
import { commandOf } from './command.ts'

export const runCommand = commandOf({
  name: 'tollgate run',
  summary: 'Runs the gateway, the aggregator and billing until SIGTERM or SIGINT; a second signal forces the end.',
  options: {
    role: { value: 'ROLE', description: 'What this process does: gateway, aggregator, billing, several with commas, or all (default). Processes of their own need Kafka.' },
    config: configOption
  },
  details: `Logs JSON lines to standard output. Exit code 0: everything was drained.
A process that has not all roles keeps its state in a folder of its own below the state folder: role-gateway and so on.`
}, (given, context) => context.run({ configFile: given.text('config') ?? defaultConfigFile(), roles: rolesOf(given.text('role') ?? 'all') }))

/** @throws UsageError */
function rolesOf (text: string): readonly Role[] {
  const named = text.split(',').map((name) => name.trim())
  const unknown = named.find((name) => name !== 'all' && !roles.some((role) => role === name))
  if (unknown !== undefined) throw new UsageError(`there is no role ${JSON.stringify(unknown)}`, `the roles are ${roles.join(', ')} and all`)
  return named.includes('all') ? roles : roles.filter((role) => named.includes(role))
}
