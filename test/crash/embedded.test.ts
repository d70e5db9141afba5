// The real program in `all` mode under load, killed again and again, at random and at every named point. The oracle has
// three values: a complete answer is billed once, a cut one at most once, one never sent never.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { crashPointNames } from '../../src/platform/crash-points.ts'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { archivedByTrace } from '../helpers/oracle-archive.ts'
import { runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { ProgramFiles } from '../helpers/program.ts'
import { RememberingClient } from '../helpers/remembering-client.ts'
import type { Memory } from '../helpers/remembering-client.ts'
import { seededRandom } from '../helpers/seeded-random.ts'

const isLong = process.env['TOLLGATE_LONG'] === 'crash'
const firstSeed = Number(process.env['TOLLGATE_SEED'] ?? Date.now() % 1_000_000)
/** The long form is ten programs, one after another, each judged by itself. */
const rounds = Number(process.env['TOLLGATE_ROUNDS'] ?? (isLong ? 10 : 1))
/** The short form of the one file proves that it is the same program. */
const isPacked = process.env['PACKED_PROGRAM'] !== undefined
const killsPerRound = isLong ? 100 : isPacked ? 30 : 74
const killsPerPoint = isPacked ? 1 : 2
const clientCount = 16
const keyCount = 12
const namedWaitMsMax = 60_000

interface Kill { readonly point: string | undefined, readonly hit: number, readonly afterMs: number }

/** Every named point as often as is wanted, the rest at random moments, shuffled. */
function planKills (random: () => number): Kill[] {
  const kills: Kill[] = []
  for (const point of crashPointNames) for (let i = 0; i < killsPerPoint; i++) kills.push({ point, hit: 1 + Math.floor(random() * 3), afterMs: 0 })
  while (kills.length < killsPerRound) kills.push({ point: undefined, hit: 0, afterMs: Math.floor(50 + random() * 1_200) })
  return kills.map((kill) => ({ kill, order: random() })).sort((a, b) => a.order - b.order).map(({ kill }) => kill)
}

async function createKeys (files: ProgramFiles): Promise<string[]> {
  const tokens: string[] = []
  const { memberId } = await runJson<{ memberId: number }>(files, ['member', 'create', '--name', 'crash'])
  for (let i = 0; i < keyCount; i++) {
    tokens.push((await runJson<{ token: string }>(files, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_PREMIUM'])).token)
  }
  return tokens
}

const requestHead = (line: string, token: string | undefined, traceId: string): string =>
  `${line} HTTP/1.1\r\nHost: test\r\n${token === undefined ? '' : `X-API-KEY: ${token}\r\n`}X-TRACE-ID: ${traceId}\r\n\r\n`

function openClients (files: ProgramFiles, tokens: readonly string[], random: () => number): RememberingClient[] {
  const paths = ['GET /api/things/s200', 'GET /api/things/s200', 'GET /api/things/s200', 'GET /api/things/s404', 'GET /api/things/s500', 'GET /api/other/s200']
  return Array.from({ length: clientCount }, (_, index) => new RememberingClient({
    port: files.ports.gateway,
    pauseMs: 2,
    next: (traceId) => {
      const line = paths[Math.floor(random() * paths.length)] ?? ''
      const token = random() < 0.03 ? undefined : tokens[(index + Math.floor(random() * 4)) % tokens.length]
      return { key: token === undefined ? 'none' : line, head: requestHead(line, token, traceId) }
    }
  }))
}

interface Tally { kills: number, withInFlight: number, readonly byPoint: Map<string, number>, readonly missed: Kill[] }

/** Waits, bounded, until a client has a request in flight: a kill between two requests proves little. */
async function isAnyInFlight (clients: readonly RememberingClient[]): Promise<boolean> {
  for (let i = 0; i < 2_000; i++) {
    if (clients.some((client) => client.inFlight)) return true
    await sleep(1)
  }
  return false
}

async function killOnce (files: ProgramFiles, kill: Kill, clients: readonly RememberingClient[], tally: Tally): Promise<void> {
  const env: Record<string, string> = kill.point === undefined ? {} : { TOLLGATE_CRASH_POINT: `${kill.point}:${kill.hit}` }
  const program = await startProgram(files, { env, isReadyAwaited: kill.point === undefined })
  if (kill.point === undefined) {
    await sleep(kill.afterMs)
    if (await isAnyInFlight(clients)) tally.withInFlight++
    await program.kill()
    tally.kills++
    return
  }
  const end = await Promise.race([program.ended, sleep(namedWaitMsMax, 'late', { ref: false })])
  if (end === 'late') {
    // A machine that is busy with other things may not get there in time: a kill at a random moment, and the point is tried again.
    tally.missed.push(kill)
    tally.kills++
    await program.kill()
    return
  }
  assert.equal(end, 'SIGKILL', `on its way to ${kill.point} the program ended by itself`)
  tally.kills++
  tally.byPoint.set(kill.point, (tally.byPoint.get(kill.point) ?? 0) + 1)
}

async function judge (files: ProgramFiles, memories: readonly Memory[]): Promise<{ readonly wrong: string[], readonly complete: number, readonly cut: number, readonly unsent: number, readonly billable: number }> {
  const archived = await archivedByTrace([files.state])
  const wrong: string[] = []
  const count = { complete: 0, cut: 0, unsent: 0 }
  let billable = 0
  for (const { billable: times } of archived.values()) billable += times
  for (const memory of memories) {
    count[memory.outcome]++
    const seen = archived.get(memory.traceId) ?? { times: 0, billable: 0 }
    const isBillable = memory.outcome === 'complete' && memory.status < 500 && memory.key !== 'none'
    // A refusal is recorded without holding its answer, so a crash may take its event with it; it is never billed.
    const isHeld = memory.outcome === 'complete' && memory.key !== 'none'
    const isRight = memory.outcome === 'unsent' ? seen.times === 0
      : seen.times <= 1 && (!isHeld || (seen.times === 1 && seen.billable === (isBillable ? 1 : 0))) && (memory.key !== 'none' || seen.billable === 0)
    if (!isRight && wrong.length < 20) wrong.push(`${memory.traceId} ${memory.key} ${memory.outcome} ${memory.status}: in the archive ${seen.times} times, ${seen.billable} billable`)
  }
  return { wrong, ...count, billable }
}

async function billedCount (files: ProgramFiles): Promise<number> {
  const today = Math.floor(Date.now() / 86_400_000) * 86_400_000
  const [from, to] = [today - 86_400_000, today].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const url = `http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/1/charge/total?startDate=${from}&endDate=${to}`
  const response = await fetch(url, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  const content = await response.json() as { result: { totalCount: number } }
  return content.result.totalCount
}

/** Every stream but the last has ended, so that nearly all hours are compared. */
async function differencesMetric (files: ProgramFiles): Promise<string | undefined> {
  const text = await (await fetch(`http://127.0.0.1:${files.ports.operator}/metrics`)).text()
  return /^tollgate_conservation_differences (\d+)$/m.exec(text)?.[1]
}

/** @returns the kills */
async function runRound (t: TestContext, seed: number): Promise<number> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-crash-'))
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const random = seededRandom(seed)
  const files = await writeProgramFiles({
    folder,
    upstreamUrl: upstream.url,
    extra: `log: { level: warn }
journal: { bytesMax: 128MiB, segmentBytes: 1MiB }
aggregator: { batchIntervalMs: 50 }
archive: { flushIntervalMs: 400 }
hourlyLog: { segmentRowsMax: 20 }
`
  })
  const first = await startProgram(files)
  const tokens = await createKeys(files)
  await first.stop()
  const clients = openClients(files, tokens, random)
  const running = clients.map((client) => client.run())
  const tally: Tally = { kills: 0, withInFlight: 0, byPoint: new Map(), missed: [] }
  for (const kill of planKills(random)) {
    await killOnce(files, kill, clients, tally)
    if (isLong && tally.kills % 25 === 0) process.stdout.write(`${new Date().toISOString()} ${tally.kills} of ${killsPerRound} kills, ${clients.reduce((sum, { memories }) => sum + memories.length, 0)} requests\n`)
  }
  for (const kill of tally.missed.splice(0)) await killOnce(files, kill, clients, tally)
  const last = await startProgram(files)
  t.after(() => last.kill())
  await sleep(500)
  for (const client of clients) client.stop()
  await Promise.all(running)
  const verify = await runCommand(files, ['verify', '--wait', '60'])
  const memories = clients.flatMap((client) => client.memories)
  const verdict = await judge(files, memories)
  const billed = await billedCount(files)
  t.diagnostic(`note: seed ${seed}: ${tally.kills} kills, ${tally.withInFlight} of the random ones with a request in flight, ${verdict.complete} complete, ${verdict.cut} cut, ${verdict.unsent} unsent`)
  assert.deepEqual(verdict.wrong, [])
  assert.equal(verify.code, 0, `verify: ${verify.stdout}${verify.stderr}`)
  assert.equal(await differencesMetric(files), '0', 'the metric of conservation')
  assert.equal(billed, verdict.billable, 'the bill over HTTP is the billable events of the archive')
  assert.deepEqual(tally.missed, [], 'every named point was reached, at the second try at the latest')
  for (const point of crashPointNames) assert.ok((tally.byPoint.get(point) ?? 0) >= killsPerPoint, `${point} was hit ${tally.byPoint.get(point) ?? 0} times`)
  assert.ok(verdict.complete >= killsPerRound * 130, `only ${verdict.complete} complete answers`)
  assert.ok(tally.withInFlight >= (killsPerRound - crashPointNames.length * killsPerPoint) * 0.58, `only ${tally.withInFlight} kills with a request in flight`)
  assert.ok(tally.kills >= killsPerRound * 0.8)
  assert.equal(await last.stop(), 0)
  rmSync(folder, { recursive: true })
  return tally.kills
}

let kills = 0
for (let round = 0; round < rounds; round++) {
  const seed = firstSeed + round
  test(`${killsPerRound} kills of the program in all mode, seed ${seed}`, async (t) => { kills += await runRound(t, seed) })
}
if (isLong) {
  test('the long form as a whole', (t) => {
    t.diagnostic(`note: seeds ${firstSeed} to ${firstSeed + rounds - 1}: ${kills} kills`)
    if (rounds >= 10) assert.ok(kills >= 1_000, 'at least 1,000 kills')
  })
}
