// `tollgate config`: is the configuration sound, what is allowed in it, what does it say in the end.
import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { configJsonSchema } from '../config/json-schema.ts'
import { eventBytesTypical } from '../config/limits.ts'
import { ConfigError, defaultConfigFile, loadConfig } from '../config/load.ts'
import type { LoadedConfig } from '../config/load.ts'
import { configMarkdown } from '../config/markdown.ts'
import { problemText } from '../config/problem.ts'
import { redactConfig } from '../config/redact.ts'
import { formatSize, roundSize } from '../config/size-text.ts'
import type { Role } from '../config/role.ts'
import type { Io } from './io.ts'
import { rolesOf } from './roles.ts'

const usage = `Usage: tollgate config check|schema|print [--config FILE] [--role ROLE]... [--json]

  check    tells all problems at once, each with file, line and remedy, what \`auto\` stands for here, and how
           long the journal lasts. Exit code 0: sound, 1: problems.
  schema   prints the JSON Schema of the file; with --markdown the page docs/configuration.md
  print    prints the whole configuration, defaults and overrides included, secrets redacted

  --config FILE   the configuration (default: TOLLGATE_CONFIG, else tollgate.yaml); --file is the same
  --role ROLE     check: for these roles, as \`tollgate run\` takes them (default: all)
  --json          check and print: as JSON
`

/** Requests a second for the estimate that people read. */
const estimateRequestsPerS = 1_000
const secondsPerHour = 3_600

const exitCodes = { sound: 0, problems: 1, usage: 2 } as const

/** @param argv what stands behind `tollgate config`. @returns the exit code */
export function configCommand (argv: readonly string[], io: Io): Promise<number> { return Promise.resolve(run(argv, io)) }

interface Arguments { readonly command: string, readonly file: string, readonly roles: readonly Role[], readonly isJson: boolean, readonly isMarkdown: boolean }

function run (argv: readonly string[], io: Io): number {
  const parsed = readArguments(argv)
  if (parsed === 'help') {
    io.out(usage)
    return exitCodes.sound
  }
  if ('message' in parsed) {
    io.error(`${parsed.message}\n\n${usage}`)
    return exitCodes.usage
  }
  if (parsed.command === 'schema') {
    io.out(parsed.isMarkdown ? configMarkdown() : `${JSON.stringify(configJsonSchema(), undefined, 2)}\n`)
    return exitCodes.sound
  }
  try {
    const loaded = loadConfig({ file: parsed.file, roles: parsed.roles })
    if (parsed.command === 'check') reportSound(parsed, loaded, io)
    else io.out(parsed.isJson ? `${JSON.stringify(redactConfig(loaded.config), undefined, 2)}\n` : stringify(redactConfig(loaded.config)))
    return exitCodes.sound
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    reportProblems(parsed, error, io)
    return exitCodes.problems
  }
}

function readArguments (argv: readonly string[]): Arguments | 'help' | { readonly message: string } {
  let parsed
  try {
    parsed = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { config: { type: 'string' }, file: { type: 'string' }, role: { type: 'string', multiple: true }, json: { type: 'boolean' }, markdown: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } }
    })
  } catch (error) { return { message: (error as Error).message } }
  const { values, positionals } = parsed
  if (values.help === true) return 'help'
  const [command, ...rest] = positionals
  if (command === undefined || !['check', 'schema', 'print'].includes(command) || rest.length > 0) return { message: command === undefined ? 'say what to do' : `not a command: ${positionals.join(' ')}` }
  return { command, file: values.config ?? values.file ?? defaultConfigFile(), roles: rolesOf(values.role?.join(',')), isJson: values.json === true, isMarkdown: values.markdown === true }
}

function journalHours (bytesMax: number): number { return bytesMax / (estimateRequestsPerS * eventBytesTypical * secondsPerHour) }

function reportSound ({ file, isJson }: Arguments, { config, warnings, autos }: LoadedConfig, io: Io): void {
  const { bytesMax } = config.journal
  const hours = journalHours(bytesMax)
  if (isJson) {
    io.out(`${JSON.stringify({ isSound: true, problems: [], warnings, autos, journalHoursAt1000PerS: hours }, undefined, 2)}\n`)
    return
  }
  io.out(`${file} is sound: ${config.gateway.routes.length} routes, ${Object.keys(config.gateway.upstreams).length} upstreams\n`)
  for (const { path, value } of autos) io.out(`auto: ${path} is ${path.endsWith('bytesMax') || path.endsWith('BytesMax') ? formatSize(value as number) : value}\n`)
  io.out(`the journal holds ${roundSize(bytesMax)}: ${hours.toFixed(1)} hours at ${estimateRequestsPerS.toLocaleString('en')} requests a second that nobody counts, at about ${eventBytesTypical} bytes a request\n`)
  for (const warning of warnings) io.out(`warning: ${warning}\n`)
}

function reportProblems ({ isJson }: Arguments, { problems }: ConfigError, io: Io): void {
  if (isJson) io.out(`${JSON.stringify({ isSound: false, problems }, undefined, 2)}\n`)
  else io.error(`${problems.map(problemText).join('\n')}\n`)
}
