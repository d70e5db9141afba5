// The command line: from a command's name to what it does. Commands are loaded when they are asked for.
import { nearestName } from '../domain/suggest.ts'
import { UsageError } from './arguments.ts'
import { errorText, exitCodes } from './command.ts'
import type { Command, CommandContext } from './command.ts'

interface CommandEntry { readonly name: string, readonly summary: string, readonly load: () => Promise<Command> }

export const commands: readonly CommandEntry[] = [
  { name: 'run', summary: 'runs the gateway, the aggregator and billing', load: async () => (await import('./run.ts')).runCommand },
  { name: 'config', summary: 'checks and prints the configuration, prints its schema', load: loadConfigCommand },
  { name: 'reload', summary: 'lets the running program read the configuration anew', load: async () => (await import('./reload.ts')).reloadCommand },
  { name: 'member', summary: 'members and their tokens for the billing server', load: async () => (await import('./member.ts')).memberCommand },
  { name: 'key', summary: 'API keys: create, list, show, revoke, rotate', load: async () => (await import('./key.ts')).keyCommand },
  { name: 'registry', summary: 'all members, keys and revocations as a file, and back', load: async () => (await import('./registry.ts')).registryCommand },
  { name: 'bill', summary: 'a member\'s bill as a table, JSON or CSV', load: async () => (await import('./bill.ts')).billCommand },
  { name: 'verify', summary: 'proves from the stores that what was answered was counted', load: async () => (await import('./verify.ts')).verifyCommand },
  { name: 'rebuild', summary: 'counts again from the archive and compares', load: async () => (await import('./rebuild.ts')).rebuildCommand },
  { name: 'backup', summary: 'copies the state to a folder, while the program runs', load: async () => (await import('./backup.ts')).backupCommand },
  { name: 'restore', summary: 'brings a backup back, into an empty state', load: async () => (await import('./restore.ts')).restoreCommand },
  { name: 'topics', summary: 'the Kafka topics of a cluster: create, check', load: async () => (await import('./topics.ts')).topicsCommand },
  { name: 'gateway', summary: 'the gateways of a cluster: list, retire', load: async () => (await import('./gateway.ts')).gatewayCommand },
  { name: 'recover', summary: 'decides for an aggregator what it can\'t know: which counts are right, which records never come', load: async () => (await import('./recover.ts')).recoverCommand },
  { name: 'version', summary: 'what this program is', load: async () => (await import('./version.ts')).versionCommand }
]

const width = Math.max(...commands.map(({ name }) => name.length))
export const usage = `Usage: tollgate COMMAND [OPTION]...

Sells an HTTP API by the request: checks keys, limits rates, forwards, and bills every answered request exactly once.

${commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

tollgate COMMAND --help shows its options. Commands talk to the running program, and open the files themselves when none runs.
`

/** @param argv what stands behind the program's name. @returns the exit code: 0 done, 1 failed, 2 the command line is wrong */
export async function runCli (argv: readonly string[], context: CommandContext): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    if (name === undefined) context.io.error(usage)
    else context.io.out(usage)
    return name === undefined ? exitCodes.usage : exitCodes.ok
  }
  const entry = commands.find((each) => each.name === (name === '--version' ? 'version' : name))
  try {
    if (entry === undefined) {
      const nearest = nearestName(name, commands.map((each) => each.name))
      throw new UsageError(`there is no command ${JSON.stringify(name)}`, nearest === undefined ? 'tollgate --help shows all' : `did you mean ${nearest}? tollgate --help shows all`)
    }
    return await (await entry.load())(rest, context)
  } catch (error) {
    if (error instanceof UsageError) {
      context.io.error(`${error.message}\n${error.hint}\n`)
      return exitCodes.usage
    }
    context.io.error(errorText(error))
    return exitCodes.failed
  }
}

async function loadConfigCommand (): Promise<Command> {
  const { configCommand } = await import('./config.ts')
  return (argv, { io }) => configCommand(argv, io)
}
