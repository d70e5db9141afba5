// The OpenAPI documents of the admin API and of both billing listeners against the running program: what they allow is
// answered as they say, what they don't allow is refused, and nothing is answered with 500.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'
import { schemathesis } from '../services/schemathesis/run.ts'

const adminToken = 'an-admin-token-of-more-than-32-characters'
const seed = 7
const maxTimeS = 20
const casesMin = 40

const folder = mkdtempSync(path.join(tmpdir(), 'tollgate-openapi-'))
let files: ProgramFiles
let program: Program
let closeUpstream = (): void => {}

before(async () => {
  const upstream = await openEchoUpstream()
  closeUpstream = upstream.close
  files = await writeProgramFiles({ folder, upstreamUrl: upstream.url })
  writeFileSync(path.join(folder, 'admin.token'), adminToken, { mode: 0o600 })
  writeFileSync(files.configFile, readFileSync(files.configFile, 'utf8').replace('operator:\n', 'operator:\n  admins: [{ name: sign-up, role: write, tokenFile: admin.token }]\n'))
  program = await startProgram(files)
  await runJson(files, ['member', 'create', '--name', 'Ada'])
})
after(async () => {
  await program.kill()
  closeUpstream()
  rmSync(folder, { recursive: true, force: true })
})

/** The sentence why is beside each. */
const documents: Readonly<Record<string, { readonly url: () => string, readonly token: () => Promise<string>, readonly mayRefuse: readonly string[] }>> = {
  admin: {
    url: () => `http://127.0.0.1:${files.ports.operator}/admin/v1/openapi.json`,
    token: async () => adminToken,
    // All numbers may be given away; a name must be printable; an instant must lie ahead.
    mayRefuse: ['^POST /admin/v1/members$', '^POST /admin/v1/keys$']
  },
  // The first day must not lie after the last, and a range has at most 60 days.
  'a member\'s billing': {
    url: () => `http://127.0.0.1:${files.ports.billing}/openapi.json`,
    token: async () => (await runJson<{ token: string }>(files, ['member', 'token', '1'])).token,
    mayRefuse: ['/charge', '/usage/']
  },
  'private billing': {
    url: () => `http://127.0.0.1:${files.ports.privateBilling}/openapi.json`,
    token: async () => files.operatorToken,
    mayRefuse: ['/charge', '/usage/']
  }
}

for (const [name, { url, token, mayRefuse }] of Object.entries(documents)) {
  test(`the OpenAPI document of ${name} is what the server does`, async (t) => {
    const workFolder = path.join(folder, `work ${name}`)
    mkdirSync(workFolder)
    const { code, output, cases } = await schemathesis({ url: url(), token: await token(), seed, maxTimeS, workFolder, mayRefuse })
    t.diagnostic(`note: ${cases} requests, seed ${seed}`)
    assert.equal(code, 0, output.slice(-20_000))
    assert.ok(cases >= casesMin, `only ${cases} requests:\n${output.slice(-4_000)}`)
    assert.equal(program.process.exitCode, null, 'the program lives')
  })
}
