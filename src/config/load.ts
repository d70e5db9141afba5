// From a file and the environment to a configuration that can be trusted: complete, checked, frozen. The only place that
// reads the environment. All problems are told at once.
import { fstatSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import type { PriceBook } from '../domain/price-book.ts'
import { systemClock } from '../platform/clock.ts'
import { crashPointNames } from '../platform/crash-points.ts'
import type { CrashPointName, CrashPointSpec } from '../platform/crash-points.ts'
import { checkCertificates } from './certificates.ts'
import type { Certificates } from './certificates.ts'
import { overrideFromEnvironment } from './environment.ts'
import { configFileBytesMax, problemsMax } from './limits.ts'
import { readMachine, resolveAutos } from './machine.ts'
import type { AutoSetting, Machine } from './machine.ts'
import { isOfOtherRoles, withoutUnread } from './other-roles.ts'
import { readPriceBookFile } from './price-book-file.ts'
import { ConfigError, pathText } from './problem.ts'
import type { ConfigProblem, Path } from './problem.ts'
import { readSetting } from './read.ts'
import { checkRelations } from './relations.ts'
import { roles as allRoles, roleState } from './role.ts'
import type { Role } from './role.ts'
import { checkRoutes } from './routes.ts'
import { configSetting } from './schema.ts'
import type { Config } from './schema.ts'
import { readSecretFile } from './secret-file.ts'
import { readTextFile } from './text-file.ts'
import { checkUpstreams } from './upstream-tls.ts'
import type { UpstreamTls } from './upstream-tls.ts'
import { readYaml } from './yaml-file.ts'

export { ConfigError } from './problem.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface LoadOptions {
  /** The configuration file. */
  readonly file: string
  readonly env?: Environment
  /** What this process will do: each role has settings that it can't do without. */
  readonly roles?: readonly Role[]
  /** For tests: what the machine has. */
  readonly machine?: Machine
}

export interface LoadedConfig {
  readonly config: Config
  /** Odd, but it works: whole sentences. */
  readonly warnings: readonly string[]
  /** What `auto` stands for here. */
  readonly autos: readonly AutoSetting[]
}

/** For a program that serves. */
export interface LoadedProgram extends LoadedConfig {
  readonly priceBook: PriceBook
  readonly certificates: Certificates
  /** By the upstream's name. */
  readonly upstreamTls: Readonly<Record<string, UpstreamTls>>
  /** Reads the file anew, for the machine as it was the first time: what `auto` stood for, it stands for again. @throws ConfigError */
  readonly again: () => LoadedProgram
}

/** @throws ConfigError with all problems, the price book's included */
export function loadConfig (options: LoadOptions): LoadedProgram {
  const loading = startLoading(options, options.roles ?? allRoles)
  const { priceBookFile } = loading
  const read = priceBookFile === undefined ? undefined : readPriceBookFile(priceBookFile, shownAs(priceBookFile))
  if (read !== undefined && 'problems' in read) loading.problems.push(...read.problems)
  const loaded = finishLoading(loading)
  const { machine, certificates = {}, upstreamTls = {} } = loading
  return { ...loaded, priceBook: (read as { readonly book: PriceBook }).book, certificates, upstreamTls, again: () => loadConfig({ ...options, ...(machine === undefined ? {} : { machine }) }) }
}

/** For a command: no role's settings are needed, and a broken price book stops nobody from revoking a key. @throws ConfigError */
export function loadCommandConfig (options: Omit<LoadOptions, 'roles'>): LoadedConfig {
  return finishLoading(startLoading(options, []))
}

/** Where the program that uses this file keeps its state, whatever else is wrong with the file. @throws ConfigError when not even that can be read */
export function loadStateFolder (options: Pick<LoadOptions, 'file' | 'env'>): string {
  const { state, problems } = startLoading(options, [])
  if (state === undefined) throw new ConfigError(problems.slice(0, problemsMax))
  return state
}

/** The configuration file when none is named on the command line. */
export function defaultConfigFile (env: Environment = process.env): string { return env['TOLLGATE_CONFIG'] ?? 'tollgate.yaml' }

/** Where the packaged file may unpack its native parts, best first; never a folder that others can write. */
export function nativeFolders (env: Environment = process.env): string[] {
  const named = env['TOLLGATE_NATIVE_FOLDER']
  if (named !== undefined && named !== '') return [path.resolve(named)]
  const systemd = env['CACHE_DIRECTORY']?.split(':')[0]
  const user = env['XDG_CACHE_HOME']
  const own = [systemd, user === undefined ? undefined : path.join(user, 'tollgate'), path.join(os.homedir(), '.cache', 'tollgate')]
  return own.filter((folder) => folder !== undefined && path.isAbsolute(folder)) as string[]
}

/** What systemd has said about itself to the process that it has started; undefined without it. */
export function serviceEnvironment (env: Environment = process.env): { readonly notifySocket: string, readonly watchdogMs: number | undefined, readonly path: string } | undefined {
  const notifySocket = env['NOTIFY_SOCKET']
  if (notifySocket === undefined || notifySocket === '') return undefined
  const watchdogUs = Number(env['WATCHDOG_USEC'])
  const isOurs = env['WATCHDOG_PID'] === undefined || Number(env['WATCHDOG_PID']) === process.pid
  return { notifySocket, watchdogMs: isOurs && watchdogUs > 0 ? watchdogUs / 1000 : undefined, path: env['PATH'] ?? '/usr/bin:/bin' }
}

/** True when standard output is the journal of systemd, which then reads a level in front of each line. */
export function isLoggedToJournal (env: Environment = process.env): boolean {
  const [device, inode] = (env['JOURNAL_STREAM'] ?? '').split(':')
  if (inode === undefined) return false
  const { dev, ino } = fstatSync(1, { bigint: true })
  return device === String(dev) && inode === String(ino)
}

/** TOLLGATE_CRASH_POINT=journal.after-write:3, for the crash tests. @throws ConfigError */
export function crashPointFrom (env: Environment = process.env): CrashPointSpec | undefined {
  const text = env['TOLLGATE_CRASH_POINT']
  if (text === undefined || text === '') return undefined
  const [name = '', hit = '1'] = text.split(':')
  if ((crashPointNames as readonly string[]).includes(name) && /^[1-9]\d{0,8}$/.test(hit)) return { name: name as CrashPointName, hit: Number(hit) }
  throw new ConfigError([{ path: 'TOLLGATE_CRASH_POINT', message: `${JSON.stringify(text)} is no crash point`, remedy: `write one of ${crashPointNames.join(', ')}, a colon, and its hit from 1 on; without a test leave the variable out` }])
}

interface Loading {
  readonly problems: ConfigProblem[]
  readonly warnings: string[]
  /** Paths with a problem of their own. */
  readonly unsound: string[]
  config?: Config
  /** Known even when other settings have problems, so that the price book's are told with them. */
  priceBookFile: string | undefined
  autos: readonly AutoSetting[]
  machine?: Machine
  certificates?: Certificates
  upstreamTls?: Readonly<Record<string, UpstreamTls>>
  /** The state folder as the file has it, also when other settings have problems. */
  state?: string
}

function startLoading (options: LoadOptions, roles: readonly Role[]): Loading {
  const { file, env = process.env } = options
  const loading: Loading = { problems: [], warnings: [], unsound: [], priceBookFile: undefined, autos: [] }
  const text = readTextFile(file, configFileBytesMax)
  if ('message' in text) {
    loading.problems.push({ path: '', file: shownAs(file), message: text.message, remedy: `${text.remedy}; tollgate.example.yaml shows every key` })
    return loading
  }
  const yaml = readYaml(text.text)
  loading.problems.push(...yaml.problems.map(({ line, message }) => ({ path: '', file: shownAs(file), line, message, remedy: 'correct the YAML' })))
  if (yaml.problems.length > 0) return loading
  const { document, sources, problems, unknown } = overrideFromEnvironment(configSetting, yaml.value, env)
  loading.problems.push(...problems.map(({ variable, message, remedy }) => ({ path: variable, message, remedy })))
  loading.warnings.push(...unknown.map((variable) => `the environment variable ${variable} is no key of the configuration`))

  const report = (at: Path, message: string, remedy: string): void => {
    const source = sourceOf(at, sources)
    const line = yaml.lineOf(at)
    const place = source === undefined ? { file: shownAs(file), ...(line === undefined ? {} : { line }) } : {}
    loading.unsound.push(pathText(at))
    loading.problems.push({ path: source === undefined ? pathText(at) : `${source} (${pathText(at)})`, ...place, message, remedy })
  }
  const inlineSecrets: Path[] = []
  const unread: Path[] = []
  const draft = readSetting(configSetting, document, [], {
    report,
    absolutePath: (relative) => path.resolve(path.dirname(file), relative),
    secretFrom: (at, secretFile) => {
      if (isOfOtherRoles(at, roles)) { unread.push(at); return undefined }
      const read = readSecretFile(secretFile)
      if ('secret' in read) return read.secret
      report(at, read.message, read.remedy)
      return undefined
    },
    onInlineSecret: (at) => { inlineSecrets.push(at) }
  })
  for (const at of inlineSecrets) if (sourceOf(at, sources) === undefined) loading.warnings.push(`${pathText(at)} stands in the configuration file: put it into a file of mode 0600 and name that (${pathText(at)}File)`)
  loading.priceBookFile = (draft as Config).billing.priceBookFile
  if (!loading.unsound.includes('state') && !loading.unsound.includes('')) loading.state = (draft as Config).state
  const isWhole = loading.unsound.length === 0
  if (!isWhole) loading.unsound.push(...unread.map(pathText))
  // Where the file as a whole is something else, nothing more can be said about it.
  if (!loading.unsound.includes('')) checkWhole(isWhole && unread.length > 0 ? withoutUnread(draft as Config) : draft as Config, { options, roles, loading, report })
  return loading
}

function checkWhole (draft: Config, { options, roles, loading, report }: { readonly options: LoadOptions, readonly roles: readonly Role[], readonly loading: Loading, readonly report: (at: Path, message: string, remedy: string) => void }): void {
  const unsound = [...loading.unsound]
  const isSound = (at: Path): boolean => unsound.every((bad) => bad !== pathText(at) && !bad.startsWith(`${pathText(at)}.`) && !bad.startsWith(`${pathText(at)}[`))
  const machine = options.machine ?? readMachine(isSound(['state']) ? draft.state : path.dirname(path.resolve(options.file)))
  const { config: resolved, autos } = resolveAutos(draft, machine, roles)
  const config = { ...resolved, state: roleState(resolved.state, roles) }
  const checked = { report, warn: (sentence: string): void => { loading.warnings.push(sentence) }, isSound }
  checkRoutes(config, checked)
  checkRelations(config, { roles, machine, checked })
  loading.upstreamTls = checkUpstreams(config, roles, checked)
  loading.certificates = checkCertificates(config, roles, checked, systemClock.nowMs())
  loading.config = config
  loading.machine = machine
  loading.autos = autos
}

function finishLoading ({ problems, warnings, config, autos }: Loading): LoadedConfig {
  if (problems.length > 0 || config === undefined) throw new ConfigError(problems.slice(0, problemsMax))
  return { config: deepFreeze(config), warnings, autos }
}

/** The variable that set the value at `at`, or one above it. */
function sourceOf (at: Path, sources: ReadonlyMap<string, string>): string | undefined {
  for (let length = at.length; length > 0; length--) {
    const source = sources.get(pathText(at.slice(0, length)))
    if (source !== undefined) return source
  }
  return undefined
}

function shownAs (file: string): string {
  const relative = path.relative(process.cwd(), file)
  return relative.startsWith('..') ? path.resolve(file) : relative
}

function deepFreeze<Value> (value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const part of Object.values(value)) deepFreeze(part)
  }
  return value
}
