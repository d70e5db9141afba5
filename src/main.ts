// Arguments in, exit code out. What a running program consists of is decided in compose/.
import process from 'node:process'
import { runCli } from './cli/cli.ts'
import { runProgram } from './compose/run.ts'

process.exitCode = await runCli(process.argv.slice(2), {
  io: {
    out: (text) => { process.stdout.write(text) },
    error: (text) => { process.stderr.write(text) }
  },
  run: runProgram
})
