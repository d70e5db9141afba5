// Command lines: what a command takes is data, from which it is read, checked and explained.
import { parseArgs } from 'node:util'
import { nearestName } from '../domain/suggest.ts'
import { parseDate, parseInstantMs, hourStartMs } from '../domain/window.ts'

export interface OptionSpec {
  /** What stands for the value in the help; an option without it takes none. */
  readonly value?: string
  readonly description: string
  readonly isRequired?: boolean
  /** Given several times, its values are joined with commas. */
  readonly isRepeatable?: boolean
}

export interface CommandSpec {
  /** `tollgate key create` */
  readonly name: string
  readonly summary: string
  /** Each is required. */
  readonly positionals?: readonly { readonly name: string, readonly description: string }[]
  readonly options?: Readonly<Record<string, OptionSpec>>
  /** More to say, as paragraphs or an example. */
  readonly details?: string
}

export interface Arguments {
  readonly positionals: readonly string[]
  /** Undefined where it wasn't given. */
  readonly text: (option: string) => string | undefined
  readonly has: (option: string) => boolean
  /** @throws UsageError for anything but a whole number from `min` to `max` */
  readonly integer: (option: string, bounds: Bounds) => number | undefined
}
export interface Bounds { readonly min: number, readonly max: number }

/** The command line is wrong: exit code 2. */
export class UsageError extends Error {
  readonly hint: string
  constructor (message: string, hint: string) {
    super(message)
    this.name = 'UsageError'
    this.hint = hint
  }
}

const helpOption: OptionSpec = { description: 'Show this.' }
export const configOption: OptionSpec = { value: 'FILE', description: 'The configuration; else TOLLGATE_CONFIG, else ./tollgate.yaml.' }
export const jsonOption: OptionSpec = { description: 'Print JSON.' }

/** 'help' when `--help` or `-h` stands among the arguments. @throws UsageError */
export function readArguments (argv: readonly string[], spec: CommandSpec): Arguments | 'help' {
  const hint = `${spec.name} --help shows what it takes`
  const options = spec.options ?? {}
  const { tokens, values } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(Object.entries(options).map(([name, { value, isRepeatable }]) => [name, { type: value === undefined ? 'boolean' as const : 'string' as const, multiple: isRepeatable === true }]))
    }
  })
  const positionals: string[] = []
  const seen = new Set<string>()
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    if (token.name === 'help') return 'help'
    const option = Object.hasOwn(options, token.name) ? options[token.name] : undefined
    if (option === undefined) throw unknownOption(token.rawName, Object.keys(options), hint)
    if (seen.has(token.name) && option.isRepeatable !== true) throw new UsageError(`--${token.name} stands there twice`, hint)
    if (option.value !== undefined && (token.value === undefined || (token.value.startsWith('-') && token.inlineValue === false))) throw new UsageError(`--${token.name} needs a value: --${token.name} ${option.value}`, hint)
    if (option.value === undefined && token.value !== undefined) throw new UsageError(`--${token.name} takes no value`, hint)
    seen.add(token.name)
  }
  checkPositionals(positionals, spec, hint)
  for (const [name, { isRequired, value }] of Object.entries(options)) {
    if (isRequired === true && !seen.has(name)) throw new UsageError(`--${name} ${value ?? ''} is missing`, hint)
  }
  const text = (option: string): string | undefined => {
    const given = values[option] as string | string[] | undefined
    return Array.isArray(given) ? given.join(',') : given
  }
  return {
    positionals,
    text,
    has: (option) => seen.has(option),
    integer: (option, bounds) => {
      const given = text(option)
      return given === undefined ? undefined : readInteger(`--${option}`, given, bounds, hint)
    }
  }
}

function unknownOption (rawName: string, known: readonly string[], hint: string): UsageError {
  const nearest = nearestName(rawName.replace(/^-+/, ''), [...known, 'help'])
  return new UsageError(`there is no option ${rawName}`, nearest === undefined ? hint : `did you mean --${nearest}? ${hint}`)
}

function checkPositionals (given: readonly string[], { positionals = [] }: CommandSpec, hint: string): void {
  const missing = positionals[given.length]
  if (missing !== undefined) throw new UsageError(`${missing.name} is missing`, hint)
  const extra = given[positionals.length]
  if (extra !== undefined) throw new UsageError(`${JSON.stringify(extra)} is one argument too many`, hint)
}

/** @throws UsageError */
export function readInteger (name: string, text: string, { min, max }: Bounds, hint: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN
  if (!Number.isSafeInteger(value) || value < min || value > max) throw new UsageError(`${name} must be a whole number${min > 0 || max < Number.MAX_SAFE_INTEGER ? ` from ${min}${max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : ' on'}` : ''}, not ${JSON.stringify(text)}`, hint)
  return value
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `90s`, `15m`, `24h`, `30d`, or 0. @throws UsageError */
export function readDurationMs (name: string, text: string, hint: string): number {
  const parts = /^(\d{1,9})([smhd])$/.exec(text)
  if (parts === null && text !== '0') throw new UsageError(`${name} must be a duration such as 90s, 15m, 24h or 30d, not ${JSON.stringify(text)}`, hint)
  return parts === null ? 0 : Number(parts[1]) * unitMs[parts[2] as keyof typeof unitMs]
}

/** A day (its first instant, UTC) or an instant with its zone, as milliseconds since the epoch. @throws UsageError */
export function readInstantMs (name: string, text: string, hint: string): number {
  const hour = parseDate(text)
  const instantMs = hour === undefined ? parseInstantMs(text) : hourStartMs(hour)
  if (instantMs === undefined) throw new UsageError(`${name} must be a day such as 2027-01-31 or an instant such as 2027-01-31T12:00:00Z, not ${JSON.stringify(text)}`, hint)
  return instantMs
}

/** What `--help` prints. */
export function helpText (spec: CommandSpec): string {
  const { name, summary, positionals = [], options = {}, details } = spec
  const rows = [
    ...positionals.map((positional) => [positional.name, positional.description] as const),
    ...Object.entries({ ...options, help: helpOption }).map(([option, { value, description, isRequired }]) => [`--${option}${value === undefined ? '' : ` ${value}`}`, isRequired === true ? `${description} Required.` : description] as const)
  ]
  const required = Object.entries(options).filter(([, option]) => option.isRequired === true).map(([option, { value }]) => ` --${option} ${value ?? ''}`)
  const usage = `Usage: ${name}${positionals.map((positional) => ` ${positional.name}`).join('')}${required.join('')} [OPTION]...`
  const width = Math.max(...rows.map(([left]) => left.length))
  return `${usage}\n\n${summary}\n\n${rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n')}\n${details === undefined ? '' : `\n${details}\n`}`
}
