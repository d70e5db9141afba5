// Arguments in, exit code out. What a running program consists of is decided in compose/.
import process from 'node:process'
import { runCli } from './cli/cli.ts'

void runCli(process.argv.slice(2), {
  io: {
    out: (text) => { process.stdout.write(text) },
    error: (text) => { process.stderr.write(text) }
  },
  // Most commands only ask a running program: they don't load what it consists of.
  run: async (options) => (await import('./compose/run.ts')).runProgram(options)
}).then((code) => { process.exitCode = code })
