// A backup that is taken under load, the program killed, the backup restored elsewhere and used on: what was answered before it
// is billed once, what was answered after the restore is billed once, what lies between is on no bill and `verify` says so. The
// old state goes on too, as two machines with one backup would: neither counts anything of the other's.
import assert from 'node:assert/strict'
import { existsSync, globSync, readdirSync, renameSync, statSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { filesIn, madeAgain } from '../../src/cli/backup-files.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { archivedByTrace, query, sqlText } from '../helpers/oracle-archive.ts'
import { runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'
import { RememberingClient } from '../helpers/remembering-client.ts'
import type { Memory } from '../helpers/remembering-client.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

interface BackupView { readonly files: number, readonly bytes: number, readonly madeAt: string, readonly parts: readonly { readonly folder: string, readonly isRunning: boolean, readonly gatewayId?: string, readonly journalId?: string, readonly counts?: readonly { readonly historyId: string }[] }[] }
interface VerifyView { readonly exitCode: number, readonly rows: readonly { readonly gatewayId: string, readonly hour: string, readonly status: string, readonly problems: readonly string[] }[], readonly problems: readonly string[], readonly unchecked: readonly string[] }

// Small segments and frequent flushes: a backup meets recycled segments, closed ones and a growing archive.
const extra = 'log: { level: warn }\narchive: { flushIntervalMs: 250 }\njournal: { bytesMax: 64MiB, segmentBytes: 1MiB }\naggregator: { batchIntervalMs: 20 }\nhourlyLog: { segmentRowsMax: 1000 }\n'

interface World { readonly files: ProgramFiles, readonly token: string, readonly program: Program, readonly upstreamUrl: string }

async function openWorld (t: TestContext): Promise<World> {
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const files = await writeProgramFiles({ folder: temporaryFolder(t, 'backup'), upstreamUrl: upstream.url, extra })
  const program = await startProgram(files)
  t.after(() => program.kill())
  await runJson(files, ['member', 'create', '--name', 'backup'])
  const { token } = await runJson<{ token: string }>(files, ['key', 'create', '--member', '1', '--grade', 'GRADE_PREMIUM'])
  return { files, token, program, upstreamUrl: upstream.url }
}

/** Another machine: the same configuration with an empty state and ports of its own. */
async function otherMachine (t: TestContext, { upstreamUrl }: World): Promise<ProgramFiles> {
  return await writeProgramFiles({ folder: temporaryFolder(t, 'restored'), upstreamUrl, extra })
}

class Load {
  readonly clients: readonly RememberingClient[]
  readonly #running: Promise<unknown>

  constructor ({ ports }: ProgramFiles, token: string) {
    this.clients = Array.from({ length: 6 }, (_, index) => new RememberingClient({
      port: ports.gateway,
      pauseMs: 1,
      next: (traceId) => ({ key: 'paid', head: `GET /api/things/${index % 5 === 4 ? 's404' : 's200'} HTTP/1.1\r\nHost: test\r\nX-API-KEY: ${token}\r\nX-TRACE-ID: ${traceId}\r\n\r\n` })
    }))
    this.#running = Promise.all(this.clients.map((client) => client.run()))
  }

  get memories (): readonly Memory[] { return this.clients.flatMap((client) => client.memories) }
  get complete (): readonly Memory[] { return this.memories.filter(({ outcome }) => outcome === 'complete') }

  async answered (count: number): Promise<void> {
    const before = this.complete.length
    await eventually(`${count} more answers`, async () => this.complete.length >= before + count, { withinMs: 60_000, everyMs: 10 })
  }

  async stop (): Promise<void> {
    for (const client of this.clients) client.stop()
    await this.#running
  }
}

async function billedNow (files: ProgramFiles): Promise<number> {
  const [from, to] = [Date.now() - 86_400_000, Date.now()].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/1/charge/total?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  return (await response.json() as { result: { totalCount: number } }).result.totalCount
}

async function verify (files: ProgramFiles): Promise<VerifyView> {
  const { stdout, stderr } = await runCommand(files, ['verify', '--wait', '60', '--json'])
  assert.ok(stdout !== '', stderr)
  return JSON.parse(stdout) as VerifyView
}

const sent = (memories: readonly Memory[]): Set<string> => new Set(memories.map(({ traceId }) => traceId))

test('backup under load, SIGKILL, restore elsewhere, more load: billed once, or said to be lost; never twice', async (t) => {
  const old = await openWorld(t)
  const load = new Load(old.files, old.token)
  t.after(() => load.stop())
  await load.answered(1_000)
  const before = sent(load.complete)
  const backup = path.join(temporaryFolder(t, 'backup'), 'of-today')
  const made = await runJson<BackupView>(old.files, ['backup', backup])
  const known = sent(load.memories)
  // Each client has one under way that is among the known.
  await load.answered(300 + load.clients.length)
  await old.program.kill()
  await load.stop()
  const [part] = made.parts
  assert.deepEqual([made.parts.length, part?.folder, part?.isRunning, part?.gatewayId, part?.counts?.length], [1, '.', true, 'test-gateway', 1])
  assert.match(part?.journalId ?? '', /^[0-9a-f-]{36}$/)
  assert.ok(!existsSync(path.join(old.files.state, 'backup')), 'the program\'s own copies are gone')

  const fresh = await otherMachine(t, old)
  const restored = await runCommand(fresh, ['restore', backup])
  assert.equal(restored.code, 0, restored.stderr)
  const program = await startProgram(fresh)
  t.after(() => program.kill())
  // Everything agrees, but for what no store can know.
  const [only, ...others] = (await verify(fresh)).rows.filter(({ status }) => status !== 'ok' && status !== 'open')
  assert.deepEqual([only?.status, only?.problems.length, others], ['difference', 1, []])
  assert.match(only?.problems[0] ?? '', /^restored at \S+ from a backup made at \S+: what was answered between is in no store here$/)
  const later = new Load(fresh, old.token)
  t.after(() => later.stop())
  await later.answered(300)
  await later.stop()
  await acknowledged(fresh)
  const billed = await billedNow(fresh)
  await program.stop()
  const archived = await archivedByTrace([fresh.state])
  const times = (traceId: string): number => archived.get(traceId)?.times ?? 0
  const lost = load.complete.filter(({ traceId }) => !known.has(traceId))
  assert.ok(before.size >= 1_000 && lost.length >= 300 && later.complete.length >= 300, 'it was worth the while')
  assert.deepEqual([...before].filter((traceId) => times(traceId) !== 1), [], 'answered before the backup: once')
  assert.deepEqual(lost.filter(({ traceId }) => times(traceId) !== 0), [], 'answered after the backup: not here')
  assert.deepEqual(load.memories.filter(({ traceId }) => times(traceId) > 1), [], 'around it: at most once')
  assert.deepEqual(later.complete.filter(({ traceId }) => times(traceId) !== 1), [], 'answered after the restore: once')
  assert.equal(billed, [...archived.values()].reduce((sum, { billable: count }) => sum + count, 0))

  // The old machine, that was believed dead: its bill is its own, with everything that it has answered.
  const revived = await startProgram(old.files)
  t.after(() => revived.kill())
  const ended = await verify(old.files)
  assert.equal(ended.exitCode, 0, JSON.stringify(ended))
  await toldOfDamage(t, old.files)
  await revived.stop()
  const oldArchive = await archivedByTrace([old.files.state])
  assert.deepEqual(load.complete.filter(({ traceId }) => oldArchive.get(traceId)?.times !== 1), [])
  assert.deepEqual(later.memories.filter(({ traceId }) => oldArchive.has(traceId)), [])
  assert.equal(await identitiesWithTwoEvents([old.files.state, fresh.state]), 0)
})

/** What the state itself lacks is said, and doesn't keep the rest from being backed up. */
async function toldOfDamage (t: TestContext, files: ProgramFiles): Promise<void> {
  const [hidden = ''] = globSync('archive/date=*/**/*.parquet', { cwd: files.state })
  const aside = path.join(files.folder, 'aside.parquet')
  renameSync(path.join(files.state, hidden), aside)
  const backup = path.join(temporaryFolder(t, 'backup'), 'with-a-hole')
  const result = await runCommand(files, ['backup', backup])
  renameSync(aside, path.join(files.state, hidden))
  assert.equal(result.code, 1)
  assert.match(result.stderr, new RegExp(`the state itself is not whole: ${hidden.replaceAll('.', '\\.')} is missing`))
  assert.deepEqual(readdirSync(backup).sort(), ['manifest.ndjson', 'state'])
}

/** Accepts every row that is shown as different; then all is well. */
async function acknowledged (files: ProgramFiles): Promise<void> {
  await eventually('verify is content', async () => {
    const report = await verify(files)
    if (report.exitCode === 0) return true
    assert.deepEqual([report.problems, report.unchecked], [[], []])
    for (const { gatewayId, hour, status } of report.rows.filter((row) => row.status === 'difference')) {
      assert.equal(status, 'difference')
      await runCommand(files, ['verify', 'acknowledge', gatewayId, hour, '--reason', 'the disk died, the members were told'])
    }
    return false
  }, { withinMs: 60_000, everyMs: 50 })
}

/** (streamId, seq) is one event for ever, in whatever archive. */
async function identitiesWithTwoEvents (folders: readonly string[]): Promise<number> {
  const files = folders.flatMap((folder) => globSync('archive/date=*/**/*.parquet', { cwd: folder }).map((file) => path.join(folder, file)))
  const [row] = await query(`select count(*)::integer as wrong from (select streamId, seq from read_parquet([${files.map(sqlText).join(', ')}], union_by_name = true) group by streamId, seq having count(distinct eventId) > 1)`)
  return Number(row?.['wrong'])
}

test('a backup without a program is the same state elsewhere; everything in a state is backed up or made again', async (t) => {
  const old = await openWorld(t)
  const load = new Load(old.files, old.token)
  t.after(() => load.stop())
  await load.answered(200)
  await load.stop()
  assert.equal(await old.program.stop(), 0)
  const backup = path.join(temporaryFolder(t, 'backup'), 'cold')
  const made = await runJson<BackupView>(old.files, ['backup', backup])
  assert.deepEqual(made.parts.map(({ isRunning, gatewayId }) => [isRunning, gatewayId]), [[false, 'test-gateway']])
  // A new kind of file in the state must be decided about.
  const leftOut = /^(?:lock|lock\.pid|lock-journal|control\.sock|journal\/free-\d+\.segment|aggregator\/block\.ndjson|gateway\/registry\.sqlite-shm)$/
  const named = new Set(filesIn(old.files.state, { changing: true, finished: true, open: true }))
  const undecided = globSync('**/*', { cwd: old.files.state }).filter((name) => statSync(path.join(old.files.state, name)).isFile()).filter((name) => !named.has(name) && !leftOut.test(name) && !madeAgain.some((start) => name.startsWith(start)))
  assert.deepEqual(undecided, [])
  const fresh = await otherMachine(t, old)
  assert.equal((await runCommand(fresh, ['restore', backup])).code, 0)
  const program = await startProgram(fresh)
  t.after(() => program.kill())
  await eventually('the bill is the same', async () => await billedNow(fresh) === load.complete.length, { withinMs: 30_000 })
  assert.equal((await fetch(`http://127.0.0.1:${fresh.ports.gateway}/api/things/s200`, { headers: { 'x-api-key': old.token } })).status, 200)
  await eventually('the bill goes on', async () => await billedNow(fresh) === load.complete.length + 1, { withinMs: 30_000 })
})
