// Each store of the real program on a disk of its own that runs full: what can't be recorded is refused, what was answered is
// billed, and with room again all goes on. A program that has ended because of it is started again, as its supervisor would.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'
import { mountSmallDisk } from '../helpers/small-disk.ts'

const diskMebibytes = 64
const requestsAtATime = 8
const noRoom = /ENOSPC|No space left/

interface World {
  readonly files: ProgramFiles
  readonly token: string
  program: Program
  answered: number
  /** Refused before anything was done. */
  refused: number
  /** No complete answer: billed or not. */
  unsure: number
}

async function start (t: TestContext, files: ProgramFiles): Promise<Program> {
  const program = await startProgram(files)
  t.after(() => program.kill())
  return program
}

async function openWorld (t: TestContext, folder: string): Promise<World> {
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url, extra: 'archive: { flushIntervalMs: 300 }\njournal: { bytesMax: 32MiB, segmentBytes: 1MiB }\n' })
  const program = await start(t, files)
  const { memberId } = await runJson<{ memberId: number }>(files, ['member', 'create', '--name', 'full-disk'])
  const { token } = await runJson<{ token: string }>(files, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_PREMIUM'])
  return { files, token, program, answered: 0, refused: 0, unsure: 0 }
}

async function ask (world: World): Promise<void> {
  try {
    const response = await fetch(`http://127.0.0.1:${world.files.ports.gateway}/api/things/s200`, { headers: { 'x-api-key': world.token } })
    const text = await response.text()
    if (response.status === 200) world.answered++
    else if (response.status === 503 && text.includes('G0010')) world.refused++
    else throw new Error(`answered with ${response.status}: ${text}`)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    world.unsure++
  }
}

async function askMany (world: World, count: number): Promise<void> {
  let left = count
  await Promise.all(Array.from({ length: requestsAtATime }, async () => { while (left-- > 0) await ask(world) }))
}

function logOf ({ files }: World): string { return readFileSync(files.logFile, 'utf8') }

async function billed ({ files }: World): Promise<number> {
  const [from, to] = [Date.now() - 86_400_000, Date.now()].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/1/charge/total?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  return (await response.json() as { result: { totalCount: number } }).result.totalCount
}

for (const [part, isFelt] of [
  ['journal', (world: World) => world.refused > 0],
  ['aggregator', (world: World) => noRoom.test(logOf(world))],
  ['archive', (world: World) => noRoom.test(logOf(world))]
] as const) {
  test(`the disk of ${part} is full, and has room again`, async (t) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-full-disk-'))
    const disk = mountSmallDisk(path.join(folder, 'state', part), diskMebibytes)
    if (disk === undefined) {
      assert.notEqual(process.env['CI'], 'true')
      t.skip('no file system can be mounted here')
      return
    }
    t.after(() => {
      disk.unmount()
      rmSync(folder, { recursive: true, force: true })
    })
    const world = await openWorld(t, folder)
    await askMany(world, 200)
    assert.deepEqual([world.answered, world.refused, world.unsure], [200, 0, 0])
    disk.fill()
    await eventually('that is felt', async () => {
      await askMany(world, 50)
      return isFelt(world)
    }, { withinMs: 60_000, everyMs: 50 })
    disk.free()
    if (world.program.process.exitCode !== null) world.program = await start(t, world.files)
    const before = world.answered
    await eventually('requests are answered again', async () => { await ask(world); return world.answered > before }, { withinMs: 60_000, everyMs: 100 })
    const verify = await runCommand(world.files, ['verify', '--wait', '60'])
    assert.equal(verify.code, 0, `${verify.stdout}${verify.stderr}`)
    const count = await billed(world)
    assert.ok(world.answered <= count && count <= world.answered + world.unsure, `${world.answered} answered, ${world.unsure} unsure, ${count} billed`)
  })
}
