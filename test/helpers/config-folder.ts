// A folder with a configuration that is sound: what tests of the configuration break, one thing at a time.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { TestContext } from 'node:test'
import type { Machine } from '../../src/config/machine.ts'
import { parsePath } from '../../src/config/problem.ts'
import type { ConfigError } from '../../src/config/problem.ts'

export const machine: Machine = { hostName: 'host-of-the-test', cores: 4, memoryBytes: 4 * 2 ** 30, freeDiskBytes: 100e9, journalBytes: 0 }

export const soundConfig = `gateway:
  upstreams:
    main: { url: "http://127.0.0.1:3000" }
  routes:
    - { id: api, path: "/api/**", upstream: main }
auth:
  secrets: [{ secretFile: api.secret }]
billing:
  priceBookFile: prices.yaml
  memberSecretFile: member.secret
  operatorTokens: [{ name: payment, tokenFile: payment.token }]
`

export const soundPrices = `currency: KRW
groups:
  - { id: 1, name: reads, prices: [{ cost: 3 }] }
endpoints:
  - { id: 1, group: 1, path: "/api/**" }
`

/** Each problem has its place and a remedy of some words. A line, unless the file has nothing of the path. */
export function assertExplained ({ problems }: ConfigError): void {
  for (const problem of problems) {
    assert.match(problem.path, /^[a-z]/i, JSON.stringify(problem))
    assert.ok(problem.remedy.split(' ').length >= 3, JSON.stringify(problem))
    const text = problem.file === undefined ? '' : readFileSync(problem.file, 'utf8')
    const isInFile = new RegExp(`(?:^|[ {])${parsePath(problem.path)[0]}:`, 'm').test(text)
    assert.equal(problem.line !== undefined, isInFile, JSON.stringify(problem))
  }
}

export interface ConfigFolder {
  readonly folder: string
  readonly file: string
  readonly write: (name: string, text: string | Buffer, mode?: number) => string
}

export function openConfigFolder (t: TestContext, config = soundConfig, prices = soundPrices): ConfigFolder {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-config-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const write = (name: string, text: string | Buffer, mode = 0o600): string => {
    const file = path.join(folder, name)
    mkdirSync(path.dirname(file), { recursive: true })
    writeFileSync(file, text)
    // The umask would take bits away from a mode given at creation.
    chmodSync(file, mode)
    return file
  }
  write('prices.yaml', prices)
  for (const name of ['api.secret', 'member.secret', 'payment.token']) write(name, `${name}-of-more-than-thirty-two-characters\n`)
  return { folder, file: write('tollgate.yaml', config), write }
}
