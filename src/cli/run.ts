// `tollgate run`: the program itself. What it consists of is decided in main.ts.
import { defaultConfigFile } from '../config/load.ts'
import { configOption } from './arguments.ts'
import { commandOf } from './command.ts'

export const runCommand = commandOf({
  name: 'tollgate run',
  summary: 'Runs the gateway, the aggregator and billing until SIGTERM or SIGINT; a second signal forces the end.',
  options: { config: configOption },
  details: 'Logs JSON lines to standard output. Exit code 0: everything was drained.'
}, (given, context) => context.run({ configFile: given.text('config') ?? defaultConfigFile() }))
