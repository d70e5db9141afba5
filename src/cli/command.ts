// What every command shares: its parts, its way of failing, and its question to the running program or the files.
import { TollgateError, remedyOf } from '../domain/errors.ts'
import { defaultConfigFile, loadCommandConfig } from '../config/load.ts'
import type { Role } from '../config/role.ts'
import type { Config } from '../config/schema.ts'
import { helpText, readArguments } from './arguments.ts'
import type { Arguments, CommandSpec } from './arguments.ts'
import type { Io } from './io.ts'

export const exitCodes = { ok: 0, failed: 1, usage: 2 } as const

export interface CommandContext {
  readonly io: Io
  /** Starts the program and resolves with its exit code when it has ended. */
  readonly run: (options: { readonly configFile: string, readonly roles: readonly Role[] }) => Promise<number>
}

/** @param argv what stands behind the command's name. @returns the exit code */
export type Command = (argv: readonly string[], context: CommandContext) => Promise<number>

/** A command from its description: help is printed, everything else is `execute`'s. */
export function commandOf (spec: CommandSpec, execute: (given: Arguments, context: CommandContext) => Promise<number>): Command {
  return async (argv, context) => {
    const given = readArguments(argv, spec)
    if (given !== 'help') return await execute(given, context)
    context.io.out(helpText(spec))
    return exitCodes.ok
  }
}

/** A command of commands: `tollgate key create`. */
export function commandGroup (name: string, summary: string, members: Readonly<Record<string, { readonly summary: string, readonly command: Command }>>): Command {
  return async ([first, ...rest], context) => {
    const member = first !== undefined && Object.hasOwn(members, first) ? members[first] : undefined
    if (member !== undefined) return await member.command(rest, context)
    const isAsked = first === '--help' || first === '-h'
    const width = Math.max(...Object.keys(members).map((each) => each.length))
    const lines = Object.entries(members).map(([each, { summary: text }]) => `  ${each.padEnd(width)}  ${text}\n`).join('')
    const usage = `Usage: ${name} COMMAND [OPTION]...\n\n${summary}\n\n${lines}\n${name} COMMAND --help shows its options.\n`
    if (isAsked) {
      context.io.out(usage)
      return exitCodes.ok
    }
    context.io.error(`${first === undefined ? 'say what to do' : `${name} has no command ${JSON.stringify(first)}`}\n\n${usage}`)
    return exitCodes.usage
  }
}

/** @throws ConfigError */
export function configOf (given: Arguments, { io }: CommandContext): Config {
  const { config, warnings } = loadCommandConfig({ file: given.text('config') ?? defaultConfigFile() })
  for (const warning of warnings) io.error(`warning: ${warning}\n`)
  return config
}

export function printJson ({ io }: CommandContext, value: unknown): void { io.out(`${JSON.stringify(value, undefined, 2)}\n`) }

/** An error as an operator reads it: what happened, and what to do about it. */
export function errorText (error: unknown): string {
  if (!(error instanceof Error)) return `${String(error)}\n`
  const { code } = error as { readonly code?: unknown }
  const name = typeof code === 'string' && (error instanceof TollgateError || remedyOf(code) !== undefined || /^[GM]\d{4}$/.test(code)) ? `${code}: ` : ''
  const remedy = remedyOf(typeof code === 'string' ? code : undefined)
  return `${name}${error.message}\n${remedy === undefined ? '' : `${remedy}\n`}`
}
