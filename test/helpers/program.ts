// The real program as a child process, as an operator runs it: a configuration file, a state folder, signals. It is the
// checkout, or the one file that PACKED_PROGRAM names.
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { mainArguments } from '../../demo/program.ts'
import { eventually } from './eventually.ts'
import { freePorts } from './free-ports.ts'

const root = path.resolve(import.meta.dirname, '../..')
const cache = path.join(root, 'node_modules/.cache')

/** What is started; read each time, because a test may choose it before it loads a suite. */
function command (): { readonly file: string, readonly argv: readonly string[], readonly variables: Readonly<Record<string, string>> } {
  const packed = process.env['PACKED_PROGRAM']
  return packed === undefined
    ? { file: process.execPath, argv: mainArguments, variables: { NODE_COMPILE_CACHE: path.join(cache, 'tollgate'), MALLOC_ARENA_MAX: '2' } }
    : { file: packed, argv: [], variables: { TOLLGATE_NATIVE_FOLDER: path.join(cache, 'tollgate-native') } }
}

export interface ProgramPorts { readonly gateway: number, readonly billing: number, readonly privateBilling: number, readonly operator: number }

export interface ProgramFiles {
  readonly folder: string
  readonly configFile: string
  readonly state: string
  readonly logFile: string
  readonly ports: ProgramPorts
  readonly apiSecret: string
  readonly memberSecret: string
  readonly operatorToken: string
}

export interface ProgramSetup {
  readonly folder: string
  readonly upstreamUrl: string
  /** YAML lines added at the end of the file. */
  readonly extra?: string
  /** YAML of `gateway.routes`; two paths by default, one of them public. */
  readonly routes?: string
  readonly grades?: string
  readonly prices?: string
}

const defaultRoutes = `
    - { id: api, path: "/api/**", upstream: main, trustTraceId: true }
    - { id: open, path: "/open/**", upstream: main, isPublic: true }`

const defaultGrades = `
  GRADE_FREE: { ratePerS: 1000000, burst: 1000000 }
  GRADE_CLASSIC: { ratePerS: 1000000, burst: 1000000 }
  GRADE_PREMIUM: { ratePerS: 1000000, burst: 1000000 }`

/** Two endpoints, 3 and 10 KRW. */
export const defaultPrices = `currency: KRW
groups:
  - { id: 1, name: reads, prices: [{ cost: "3" }] }
  - { id: 2, name: writes, prices: [{ cost: "10" }] }
endpoints:
  - { id: 11, group: 1, method: GET, path: "/api/things/{thing}" }
  - { id: 12, group: 2, method: POST, path: "/api/things" }
`

/** Writes configuration, secrets and prices into `setup.folder` and chooses free ports. */
export async function writeProgramFiles (setup: ProgramSetup): Promise<ProgramFiles> {
  const [gateway, billing, privateBilling, operator] = await freePorts(4) as [number, number, number, number]
  const ports = { gateway, billing, privateBilling, operator }
  const files: ProgramFiles = {
    folder: setup.folder,
    configFile: path.join(setup.folder, 'tollgate.yaml'),
    state: path.join(setup.folder, 'state'),
    logFile: path.join(setup.folder, 'program.log'),
    ports,
    apiSecret: 'test-secret-of-more-than-32-characters',
    memberSecret: 'member-secret-of-more-than-32-characters',
    operatorToken: 'operator-token-of-more-than-32-characters'
  }
  mkdirSync(setup.folder, { recursive: true })
  writeFileSync(path.join(setup.folder, 'prices.yaml'), setup.prices ?? defaultPrices)
  writeFileSync(path.join(setup.folder, 'api.secret'), files.apiSecret, { mode: 0o600 })
  writeFileSync(path.join(setup.folder, 'member.secret'), files.memberSecret, { mode: 0o600 })
  writeFileSync(path.join(setup.folder, 'operator.token'), files.operatorToken, { mode: 0o600 })
  writeFileSync(files.configFile, `state: ./state
gatewayId: test-gateway
gateway:
  listen: { host: 127.0.0.1, port: ${ports.gateway} }
  upstreams:
    main: { url: "${setup.upstreamUrl}" }
  routes:${setup.routes ?? defaultRoutes}
auth:
  secrets: [{ kid: one, secretFile: api.secret }]
grades:${setup.grades ?? defaultGrades}
billing:
  listen: { host: 127.0.0.1, port: ${ports.billing} }
  privateListen: { host: 127.0.0.1, port: ${ports.privateBilling} }
  priceBookFile: prices.yaml
  memberSecretFile: member.secret
  operatorTokens: [{ name: test, tokenFile: operator.token }]
operator:
  listen: { host: 127.0.0.1, port: ${ports.operator} }
${setup.extra ?? ''}
`)
  return files
}

export interface Program {
  readonly process: ChildProcess
  /** Resolves with the exit code or the signal's name. */
  readonly ended: Promise<number | string>
  readonly kill: () => Promise<void>
  /** SIGTERM; resolves with the exit code. */
  readonly stop: () => Promise<number | string>
}

/** What starting a program needs of its files. */
export interface StartFiles extends Pick<ProgramFiles, 'folder' | 'configFile' | 'logFile'> { readonly ports: Pick<ProgramPorts, 'operator'> }

/** Starts the program and, unless told otherwise, waits until it is ready. */
export async function startProgram (files: StartFiles, options: { readonly env?: Readonly<Record<string, string>>, readonly isReadyAwaited?: boolean, readonly readyWithinMs?: number, readonly argv?: readonly string[] } = {}): Promise<Program> {
  const log = createWriteStream(files.logFile, { flags: 'a' })
  const argv = options.argv ?? ['run', '--config', files.configFile]
  const { file, argv: first, variables } = command()
  const child = spawn(file, [...first, ...argv], { cwd: files.folder, env: { ...process.env, ...variables, ...options.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => { log.end(); resolve(signal ?? code ?? -1) })
  })
  const program: Program = {
    process: child,
    ended,
    kill: async () => { child.kill('SIGKILL'); await ended },
    stop: async () => { child.kill('SIGTERM'); return await ended }
  }
  if (options.isReadyAwaited !== false) await awaitReady(files, program, options.readyWithinMs)
  return program
}

/** Resolves when /readyz answers 200; rejects at once when the program has ended. */
export async function awaitReady (files: StartFiles, program: Program, withinMs = 60_000): Promise<void> {
  let end: number | string | undefined
  void program.ended.then((code) => { end = code })
  await eventually(`the program is ready (log: ${files.logFile})`, async () => {
    if (end !== undefined) return 'ended'
    const response = await fetch(`http://127.0.0.1:${files.ports.operator}/readyz`)
    await response.arrayBuffer()
    return response.status === 200
  }, { withinMs, everyMs: 20 })
  if (end !== undefined) throw new ProgramEnded(end, files.logFile)
}

export class ProgramEnded extends Error {
  readonly end: number | string
  constructor (end: number | string, logFile: string) {
    super(`the program ended with ${end} before it was ready; its log: ${logFile}`)
    this.end = end
  }
}

export interface CommandResult { readonly code: number, readonly stdout: string, readonly stderr: string }

/** Runs a command of the program to its end. */
export function runCommand (files: Pick<ProgramFiles, 'folder' | 'configFile'>, argv: readonly string[], options: { readonly withConfig?: boolean, readonly timeoutMs?: number, readonly env?: Readonly<Record<string, string>> } = {}): Promise<CommandResult> {
  const all = options.withConfig === false ? argv : [...argv, '--config', files.configFile]
  return new Promise((resolve) => {
    const { file, argv: first, variables } = command()
    execFile(file, [...first, ...all], { cwd: files.folder, env: { ...process.env, ...variables, ...options.env }, timeout: options.timeoutMs ?? 120_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, stdout, stderr })
    })
  })
}

/** Runs a command with --json and gives its parsed output; throws with its message when it fails. */
export async function runJson<Result> (files: ProgramFiles, argv: readonly string[]): Promise<Result> {
  const result = await runCommand(files, [...argv, '--json'])
  if (result.code !== 0) throw new Error(`tollgate ${argv.join(' ')} ended with ${result.code}: ${result.stderr}${result.stdout}`)
  return JSON.parse(result.stdout) as Result
}
