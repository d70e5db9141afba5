// Commands in this process, as main.ts would run them, with what they print.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { runCli } from '../../src/cli/cli.ts'

export interface Printed { readonly code: number, readonly out: string, readonly error: string }

export async function runTestCli (argv: readonly string[], run: () => Promise<number> = () => Promise.resolve(0)): Promise<Printed> {
  const printed = { out: '', error: '' }
  const code = await runCli(argv, { io: { out: (text) => { printed.out += text }, error: (text) => { printed.error += text } }, run })
  return { code, ...printed }
}

export interface CliFolder {
  readonly folder: string
  readonly configFile: string
  readonly state: string
  /** With `--config`. */
  readonly run: (...argv: readonly string[]) => Promise<Printed>
  readonly json: <Result>(...argv: readonly string[]) => Promise<Result>
}

export const apiSecret = 'an api secret of enough characters'
export const memberSecret = 'a member secret of enough characters'

const prices = `currency: KRW
groups:
  - { id: 1, name: reads, prices: [{ cost: "3" }] }
endpoints:
  - { id: 11, group: 1, method: GET, path: "/api/things/{thing}" }
`

/** A folder with a configuration, for commands. */
export function makeCliFolder (t: TestContext, yaml = ''): CliFolder {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-cli-'))
  t.after(() => { rmSync(folder, { recursive: true }) })
  writeFileSync(path.join(folder, 'api.secret'), apiSecret, { mode: 0o600 })
  writeFileSync(path.join(folder, 'member.secret'), memberSecret, { mode: 0o600 })
  const configFile = path.join(folder, 'tollgate.yaml')
  writeFileSync(configFile, `state: ./state\nauth:\n  secrets: [{ kid: one, secretFile: api.secret }]\nbilling:\n  priceBookFile: prices.yaml\n  memberSecretFile: member.secret\n${yaml}`)
  writeFileSync(path.join(folder, 'prices.yaml'), prices)
  const run = (...argv: readonly string[]): Promise<Printed> => runTestCli([...argv, '--config', configFile])
  return {
    folder,
    configFile,
    state: path.join(folder, 'state'),
    run,
    json: async <Result>(...argv: readonly string[]) => {
      const { code, out, error } = await run(...argv, '--json')
      if (code !== 0) throw new Error(`exit ${code}: ${error}`)
      return JSON.parse(out) as Result
    }
  }
}
