// Starts Tollgate for the demo as an operator would: a configuration file, a price book, secrets in files, the CLI.
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Customer } from './bills.ts'
import type { DemoElastic } from './elastic.ts'

const root = path.resolve(import.meta.dirname, '..')
const grades = [
  { grade: 'GRADE_FREE', ratePerS: 50, burst: 100, name: 'Ada' },
  { grade: 'GRADE_CLASSIC', ratePerS: 100, burst: 500, name: 'Bela' },
  { grade: 'GRADE_PREMIUM', ratePerS: 200, burst: 1000, name: 'Caro' }
] as const
const unlimited = 1_000_000

export interface DemoFiles { readonly folder: string, readonly configFile: string, readonly logFile: string, readonly port: number, readonly isUnlimited: boolean }
export interface CommandResult { readonly code: number, readonly stdout: string, readonly stderr: string }

export interface DemoProgram {
  readonly isUnlimited: boolean
  readonly urls: { readonly gateways: readonly string[], readonly billing: string, readonly operator: string }
  readonly command: (argv: readonly string[]) => Promise<CommandResult>
  /** The same command as a person would type it. */
  readonly commandLine: (argv: readonly string[]) => string
  /** Today in UTC, yyyy-MM-dd. */
  readonly today: () => string
  readonly elastic?: DemoElastic
  readonly stop: () => Promise<void>
}

export const prices = `# What the demo charges, in whole won a request.
currency: KRW
groups:
  - { id: 1, name: tokens, prices: [{ cost: "1" }] }
  - { id: 2, name: tours, prices: [{ cost: "20" }] }
  - { id: 3, name: positions, prices: [{ cost: "3" }] }
endpoints:
  - { id: 1, group: 1, method: POST, path: "/api/v1/location/generate-token" }
  - { id: 2, group: 2, method: POST, path: "/api/v1/location/start" }
  - { id: 3, group: 3, method: POST, path: "/api/v1/location/tracking/{tour}" }
  - { id: 4, group: 2, method: POST, path: "/api/v1/location/end/{tour}" }
  - { id: 5, group: 1, method: GET, path: "/api/v1/location/broken" }
`

/** Lines of `grades`. */
export function limitsOf (isUnlimited: boolean): string {
  return grades.map(({ grade, ratePerS, burst }) => `  ${grade}: { ratePerS: ${isUnlimited ? unlimited : ratePerS}, burst: ${isUnlimited ? unlimited : burst} }`).join('\n')
}

function configuration ({ port, isUnlimited }: { readonly port: number, readonly isUnlimited: boolean }): string {
  return `state: ./state
gatewayId: demo
gateway:
  listen: { host: 127.0.0.1, port: ${port} }
  upstreams:
    location: { url: "http://127.0.0.1:${port + 3}" }
  routes:
    - { id: location, path: "/api/v1/location/**", upstream: location }
auth:
  secrets: [{ kid: demo, secretFile: api.secret }]
grades:
${limitsOf(isUnlimited)}
billing:
  listen: { host: 127.0.0.1, port: ${port + 1} }
  privateListen: { host: 127.0.0.1, port: ${port + 2} }
  priceBookFile: prices.yaml
  memberSecretFile: member.secret
  operatorTokens: [{ name: demo, tokenFile: operator.token }]
operator:
  listen: { host: 127.0.0.1, port: ${port + 4} }
`
}

/** Those of an earlier run are kept, so that its keys go on working. @param source a folder whose secrets are taken over */
export function writeSecrets (folder: string, source?: string): void {
  for (const name of ['api.secret', 'member.secret', 'operator.token']) {
    const file = path.join(folder, name)
    const secret = source === undefined ? randomBytes(32).toString('base64url') : readFileSync(path.join(source, name), 'utf8')
    if (!existsSync(file)) writeFileSync(file, secret, { mode: 0o600 })
  }
}

/** Writes what is missing. */
export function writeConfiguration (options: { readonly folder: string, readonly port: number, readonly isUnlimited: boolean }): DemoFiles {
  mkdirSync(options.folder, { recursive: true })
  writeSecrets(options.folder)
  writeFileSync(path.join(options.folder, 'prices.yaml'), prices)
  const configFile = path.join(options.folder, 'tollgate.yaml')
  writeFileSync(configFile, configuration(options))
  return { folder: options.folder, configFile, logFile: path.join(options.folder, 'tollgate.log'), port: options.port, isUnlimited: options.isUnlimited }
}

/** As bin/tollgate starts it. */
export const mainArguments = ['--max-semi-space-size=8', '--single-threaded-gc', '--expose-gc', '--disable-warning=ExperimentalWarning', path.join(root, 'src/main.ts')]

export function runCommand (configFile: string, argv: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...mainArguments, ...argv, '--config', configFile], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1, stdout, stderr })
    })
  })
}

/** The same command as a person would type it. */
export function commandLineOf (configFile: string, argv: readonly string[]): string {
  const inCheckout = (file: string): string => path.relative(process.cwd(), file) || '.'
  return [inCheckout(path.join(root, 'bin/tollgate')), ...argv, '--config', inCheckout(configFile)].join(' ')
}

/** In UTC, yyyy-MM-dd. */
export function today (): string { return new Date().toISOString().slice(0, 10) }

export async function awaitReady (url: string, hasEnded: () => boolean, logFile: string): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (hasEnded()) throw new Error(`Tollgate ended before it was ready:\n${readFileSync(logFile, 'utf8').trim().split('\n').slice(-5).join('\n')}`)
    const isReady = await fetch(url).then(async (response) => { await response.arrayBuffer(); return response.ok }, () => false)
    if (isReady) return
    await sleep(100)
  }
  throw new Error(`Tollgate was not ready within a minute; its log: ${logFile}`)
}

export async function startTollgate (files: DemoFiles): Promise<DemoProgram> {
  const log = createWriteStream(files.logFile)
  await new Promise((resolve) => { log.once('open', resolve) })
  const child = spawn(process.execPath, [...mainArguments, 'run', '--config', files.configFile], { stdio: ['ignore', log, log] })
  let hasEnded = false
  const ended = new Promise<void>((resolve) => { child.once('exit', () => { hasEnded = true; resolve() }) })
  const urls = { gateways: [`http://127.0.0.1:${files.port}`], billing: `http://127.0.0.1:${files.port + 1}`, operator: `http://127.0.0.1:${files.port + 4}` }
  try {
    await awaitReady(`${urls.operator}/readyz`, () => hasEnded, files.logFile)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  }
  return {
    isUnlimited: files.isUnlimited,
    urls,
    command: (argv) => runCommand(files.configFile, argv),
    commandLine: (argv) => commandLineOf(files.configFile, argv),
    today,
    stop: async () => { child.kill('SIGTERM'); await ended }
  }
}

async function commandJson<Result> (program: DemoProgram, argv: readonly string[]): Promise<Result> {
  const result = await program.command([...argv, '--json'])
  if (result.code !== 0) throw new Error(`tollgate ${argv.join(' ')} failed: ${result.stderr.trim()}`)
  return JSON.parse(result.stdout) as Result
}

/** A member with a key for each grade, made with the CLI. */
export async function createCustomers (program: DemoProgram): Promise<Customer[]> {
  const customers: Customer[] = []
  for (const { grade, ratePerS, name } of grades) {
    const { memberId } = await commandJson<{ memberId: number }>(program, ['member', 'create', '--name', name])
    const { apiKeyId, token } = await commandJson<{ apiKeyId: number, token: string }>(program, ['key', 'create', '--member', String(memberId), '--grade', grade])
    const member = await commandJson<{ token: string }>(program, ['member', 'token', String(memberId)])
    customers.push({ name, memberId, apiKeyId, grade, token, memberToken: member.token, ratePerS: program.isUnlimited ? unlimited : ratePerS })
  }
  return customers
}
