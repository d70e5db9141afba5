// `tollgate run`: the program itself. What it consists of is decided in compose/.
import { defaultConfigFile } from '../config/load.ts'
import { configOption } from './arguments.ts'
import { commandOf } from './command.ts'
import { roleOption, rolesOf } from './roles.ts'

export const runCommand = commandOf({
  name: 'tollgate run',
  summary: 'Runs the gateway, the aggregator and billing until SIGTERM or SIGINT; a second signal forces the end.',
  options: {
    role: roleOption,
    config: configOption
  },
  details: `Logs JSON lines to standard output. Exit code 0: everything was drained.
A process that has not all roles keeps its state in a folder of its own below the state folder: role-gateway and so on.`
}, (given, context) => context.run({ configFile: given.text('config') ?? defaultConfigFile(), roles: rolesOf(given.text('role')) }))
