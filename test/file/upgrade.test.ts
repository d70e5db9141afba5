// Upgrade and downgrade of the one file with traffic on: three builds of it serve one state in turn. One of the same state goes up
// and down freely; one of a newer state migrates it, keeps what was, and is refused by the older until that is put back. Clients
// remember what they were answered, and the bill is that.
import assert from 'node:assert/strict'
import { globSync, readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { stateVersion, storeVersions } from '../../src/platform/state-version.ts'
import { version } from '../../src/platform/version.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { archivedByTrace, wronglyBilled } from '../helpers/oracle-archive.ts'
import { laterFile, laterVersion, otherFile } from '../helpers/other-builds.ts'
import type { Edit } from '../helpers/other-builds.ts'
import { ownTarget, packedFile } from '../helpers/packed-file.ts'
import { ProgramEnded, runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'
import { RememberingClient } from '../helpers/remembering-client.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const newerVersion = '0.9.2'
/** As a change of the counts' format would be made. */
const isNewerState: readonly Edit[] = [
  ['src/platform/state-version.ts', `aggregator: ${storeVersions.aggregator},`, `aggregator: ${storeVersions.aggregator + 1},`],
  ['src/platform/state-version.ts', `stateVersion = ${stateVersion}\n`, `stateVersion = ${stateVersion + 1}\n`],
  ['src/aggregator/aggregator-sql.ts', '  terms: {', '  notes: { keys: { note: \'VARCHAR\' }, values: { text: \'VARCHAR\' } },\n  terms: {'],
  ['src/aggregator/aggregator-sql.ts', 'Readonly<Record<number, string>> = {', `Readonly<Record<number, string>> = {\n  ${storeVersions.aggregator}: createTable('notes'),`]
]

interface Builds { readonly own: string, readonly later: string, readonly newer: string }

function makeBuilds (t: TestContext): Builds {
  return { own: packedFile(ownTarget), later: laterFile(t), newer: otherFile(t, temporaryFolder(t, 'newer'), { name: newerVersion, edits: isNewerState }) }
}

class Traffic {
  readonly #clients: readonly RememberingClient[]
  readonly #running: Promise<unknown>

  constructor (files: ProgramFiles, token: string) {
    this.#clients = Array.from({ length: 4 }, () => new RememberingClient({
      port: files.ports.gateway, pauseMs: 5, next: (traceId) => ({ key: 'paid', head: `GET /api/things/s200 HTTP/1.1\r\nHost: test\r\nX-API-KEY: ${token}\r\nX-TRACE-ID: ${traceId}\r\n\r\n` })
    }))
    this.#running = Promise.all(this.#clients.map((client) => client.run()))
  }

  get memories (): RememberingClient['memories'] { return this.#clients.flatMap(({ memories }) => memories) }
  get complete (): RememberingClient['memories'] { return this.memories.filter(({ outcome, status }) => outcome === 'complete' && status === 200) }

  async answered (count: number): Promise<void> {
    const before = this.complete.length
    await eventually(`${count} more answers`, async () => this.complete.length >= before + count, { withinMs: 60_000, everyMs: 10 })
  }

  async stop (): Promise<void> {
    for (const client of this.#clients) client.stop()
    await this.#running
  }
}

test('up and down between builds, with traffic on: the bill is what clients were answered', async (t) => {
  const former = process.env['PACKED_PROGRAM']
  t.after(() => { if (former === undefined) delete process.env['PACKED_PROGRAM']; else process.env['PACKED_PROGRAM'] = former })
  const builds = makeBuilds(t)
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const files = await writeProgramFiles({ folder: temporaryFolder(t, 'upgrade'), upstreamUrl: upstream.url, extra: 'log: { level: warn }\narchive: { flushIntervalMs: 300 }\njournal: { bytesMax: 64MiB, segmentBytes: 1MiB }\n' })
  const serve = async (file: string): Promise<Program> => {
    process.env['PACKED_PROGRAM'] = file
    const program = await startProgram(files)
    t.after(() => program.kill())
    return program
  }
  const first = await serve(builds.own)
  await runJson(files, ['member', 'create', '--name', 'upgrade'])
  const { token } = await runJson<{ token: string }>(files, ['key', 'create', '--member', '1', '--grade', 'GRADE_PREMIUM'])
  const traffic = new Traffic(files, token)
  t.after(() => traffic.stop())
  const handOver = async (program: Program, file: string): Promise<Program> => {
    await traffic.answered(200)
    assert.equal(await program.stop(), 0, 'stopped in order, with everything drained')
    return await serve(file)
  }

  // The same state: up, and down again.
  const later = await handOver(first, builds.later)
  assert.match((await runCommand(files, ['version'], { withConfig: false })).stdout, new RegExp(`^tollgate ${laterVersion} `))
  const again = await handOver(later, builds.own)
  assert.deepEqual(keptIn(files), [])

  // A newer state: up.
  const newer = await handOver(again, builds.newer)
  assert.deepEqual(keptIn(files), [`aggregator/aggregator.duckdb.version-${storeVersions.aggregator}`, `version.json.version-${stateVersion}`])
  await traffic.answered(200)
  assert.equal(await newer.stop(), 0)

  // Down is refused, by the program and by commands, until what was kept is back.
  await assert.rejects(serve(builds.own), ProgramEnded)
  const told = `${path.join(files.state, 'version.json')}: Tollgate ${newerVersion} has made this state version ${stateVersion + 1}; this program, ${version}, knows up to ${stateVersion}; kept from before: `
  assert.ok(readFileSync(files.logFile, 'utf8').includes(told))
  const refused = await runCommand(files, ['key', 'list'])
  assert.ok(refused.code === 1 && refused.stderr.includes(`STATE_NEWER: ${told}`) && refused.stderr.includes('docs/backup.md'), refused.stderr)
  putBack(files)
  const last = await serve(builds.own)
  await traffic.answered(200)
  await traffic.stop()
  const verify = await runCommand(files, ['verify', '--wait', '60'])
  assert.equal(verify.code, 0, `${verify.stdout}${verify.stderr}`)
  const billed = await billedNow(files)
  assert.equal(await last.stop(), 0)

  const archived = await archivedByTrace([files.state])
  assert.deepEqual(wronglyBilled(traffic.memories, archived), [])
  assert.equal(billed, [...archived.values()].reduce((sum, { billable }) => sum + billable, 0))
  t.diagnostic(`note: ${traffic.complete.length} answers by three builds, ${traffic.memories.length - traffic.complete.length} cut or not sent while they changed`)
})

function keptIn (files: ProgramFiles): string[] { return globSync('**/*.version-*', { cwd: files.state }).sort() }

/** As docs/backup.md says. */
function putBack ({ state }: ProgramFiles): void {
  const counts = path.join(state, 'aggregator/aggregator.duckdb')
  renameSync(path.join(state, `version.json.version-${stateVersion}`), path.join(state, 'version.json'))
  renameSync(`${counts}.version-${storeVersions.aggregator}`, counts)
  for (const name of ['aggregator/aggregator.duckdb.wal', 'billing/ledger.duckdb', 'billing/ledger.duckdb.wal']) rmSync(path.join(state, name), { force: true })
}

async function billedNow (files: ProgramFiles): Promise<number> {
  const [from, to] = [Date.now() - 86_400_000, Date.now()].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/1/charge/total?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  return (await response.json() as { result: { totalCount: number } }).result.totalCount
}
