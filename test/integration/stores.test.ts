// Each store of the real program restored alone from an old copy, lost, or damaged: afterwards the bill is right, or the
// program refuses and says what to do. Nothing in between.
import assert from 'node:assert/strict'
import { cpSync, existsSync, globSync, mkdtempSync, openSync, closeSync, readFileSync, readSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { openEchoUpstream } from '../helpers/echo-upstream.ts'
import { eventually } from '../helpers/eventually.ts'
import { ProgramEnded, runCommand, runJson, startProgram, writeProgramFiles } from '../helpers/program.ts'
import type { Program, ProgramFiles } from '../helpers/program.ts'

interface World { readonly files: ProgramFiles, readonly token: string, answered: number }

async function send (world: World, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const response = await fetch(`http://127.0.0.1:${world.files.ports.gateway}/api/things/s200`, { headers: { 'x-api-key': world.token } })
    await response.arrayBuffer()
    assert.equal(response.status, 200)
    world.answered++
  }
}

async function billedNow ({ files }: World): Promise<number> {
  const [from, to] = [Date.now() - 86_400_000, Date.now()].map((ms) => new Date(ms).toISOString().slice(0, 10))
  const response = await fetch(`http://127.0.0.1:${files.ports.privateBilling}/private/aggregation/v1/member/1/charge/total?startDate=${from}&endDate=${to}`, { headers: { authorization: `Bearer ${files.operatorToken}` } })
  return (await response.json() as { result: { totalCount: number } }).result.totalCount
}

/** A program that has answered, stopped, been copied, answered more and stopped again: state is there, the old copy beside it. */
async function openWorld (t: TestContext): Promise<World> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-stores-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  const upstream = await openEchoUpstream()
  t.after(upstream.close)
  const files = await writeProgramFiles({ folder, upstreamUrl: upstream.url, extra: 'archive: { flushIntervalMs: 300 }\njournal: { bytesMax: 256MiB, segmentBytes: 1MiB }\n' })
  const first = await startProgram(files)
  t.after(() => first.kill())
  const { memberId } = await runJson<{ memberId: number }>(files, ['member', 'create', '--name', 'stores'])
  const { token } = await runJson<{ token: string }>(files, ['key', 'create', '--member', String(memberId), '--grade', 'GRADE_PREMIUM'])
  const world: World = { files, token, answered: 0 }
  await send(world, 40)
  assert.equal(await first.stop(), 0)
  cpSync(files.state, oldCopyOf(files), { recursive: true, filter: (source) => !source.endsWith('.sock') })
  const second = await startProgram(files)
  t.after(() => second.kill())
  await send(world, 25)
  assert.equal(await second.stop(), 0)
  return world
}

const oldCopyOf = (files: ProgramFiles): string => path.join(files.folder, 'old-copy')

function restore (files: ProgramFiles, part: string): void {
  rmSync(path.join(files.state, part), { recursive: true, force: true })
  const copy = path.join(oldCopyOf(files), part)
  if (existsSync(copy)) cpSync(copy, path.join(files.state, part), { recursive: true })
}

async function restart (t: TestContext, world: World): Promise<Program> {
  const program = await startProgram(world.files)
  t.after(() => program.kill())
  return program
}

/** Everything answered so far, and ten more, are on the bill, and verify agrees. */
async function assertRight (world: World): Promise<void> {
  await send(world, 10)
  const verify = await runCommand(world.files, ['verify', '--wait', '30'])
  assert.equal(verify.code, 0, `${verify.stdout}${verify.stderr}`)
  assert.equal(await billedNow(world), world.answered)
}

for (const [store, parts] of [['the ledger', ['billing']], ['the aggregator', ['aggregator']], ['the journal', ['journal']]] as const) {
  test(`${store} restored alone from an old copy: the bill is right`, async (t) => {
    const world = await openWorld(t)
    for (const part of parts) restore(world.files, part)
    await restart(t, world)
    await assertRight(world)
  })

  test(`${store} lost: the bill is right`, async (t) => {
    const world = await openWorld(t)
    for (const part of parts) rmSync(path.join(world.files.state, part), { recursive: true })
    await restart(t, world)
    await assertRight(world)
  })
}

test('the archive restored alone from an old copy: the bill is right and verify says what the archive lacks', async (t) => {
  const world = await openWorld(t)
  restore(world.files, 'archive')
  const program = await startProgram(world.files, { isReadyAwaited: false })
  t.after(() => program.kill())
  const end = await Promise.race([program.ended, eventually('the gateway answers', async () => (await fetch(`http://127.0.0.1:${world.files.ports.operator}/healthz`)).ok)])
  if (typeof end === 'boolean') {
    await eventually('the bill can be read', async () => await billedNow(world) === world.answered)
    const verify = await runCommand(world.files, ['verify', '--wait', '20'])
    assert.notEqual(verify.code, 0, verify.stdout)
    assert.match(verify.stdout + verify.stderr, /archive/i)
  } else {
    assert.match(readFileSync(world.files.logFile, 'utf8'), /ARCHIVE_INCOMPLETE|restore/i)
  }
})

test('the registry restored alone from an old copy un-revokes nothing', async (t) => {
  const world = await openWorld(t)
  const program = await restart(t, world)
  const { apiKeyId } = await runJson<{ apiKeyId: number }>(world.files, ['key', 'show', '1'])
  await runJson(world.files, ['key', 'revoke', String(apiKeyId)])
  await program.stop()
  cpSync(path.join(oldCopyOf(world.files), 'gateway', 'registry.sqlite'), path.join(world.files.state, 'gateway', 'registry.sqlite'))
  for (const suffix of ['-wal', '-shm']) rmSync(path.join(world.files.state, 'gateway', `registry.sqlite${suffix}`), { force: true })
  await restart(t, world)
  const response = await fetch(`http://127.0.0.1:${world.files.ports.gateway}/api/things/s200`, { headers: { 'x-api-key': world.token } })
  assert.equal(response.status, 401)
  assert.equal((await response.json() as { code: string }).code, 'G0002')
})

function flipByte (file: string, at: number): void {
  const descriptor = openSync(file, 'r+')
  const byte = Buffer.alloc(1)
  readSync(descriptor, byte, 0, 1, at)
  byte[0] = (byte[0] ?? 0) ^ 0xff
  writeSync(descriptor, byte, 0, 1, at)
  closeSync(descriptor)
}

/** The program either serves and the bill is right, or ends at once and its log names `file` and a remedy. */
async function assertRightOrRefused (t: TestContext, world: World, file: string): Promise<'right' | 'refused'> {
  try {
    await restart(t, world)
  } catch (error) {
    if (!(error instanceof ProgramEnded)) throw error
    const log = readFileSync(world.files.logFile, 'utf8').trimEnd().split('\n').slice(-6).join('\n')
    assert.match(log, new RegExp(path.basename(file).replaceAll('.', '\\.')), `the refusal names ${file}: ${log}`)
    return 'refused'
  }
  await assertRight(world)
  return 'right'
}

const damages: readonly (readonly [string, (file: string) => void])[] = [
  ['truncated to half', (file) => { truncateSync(file, Math.floor(statSync(file).size / 2)) }],
  ['with a flipped byte in its middle', (file) => { flipByte(file, Math.floor(statSync(file).size / 2)) }],
  ['with a flipped byte in its head', (file) => { flipByte(file, 10) }]
]

for (const [pattern, allowed] of [['billing/ledger.duckdb', ['right']], ['aggregator/aggregator.duckdb', ['right']], ['gateway/registry.sqlite', ['right', 'refused']]] as const) {
  for (const [name, damage] of damages) {
    test(`${pattern} ${name}: ${allowed.join(' or ')}`, async (t) => {
      const world = await openWorld(t)
      const [file] = globSync(pattern, { cwd: world.files.state }).map((found) => path.join(world.files.state, found))
      assert.ok(file !== undefined)
      damage(file)
      const outcome = await assertRightOrRefused(t, world, file)
      assert.ok((allowed as readonly string[]).includes(outcome), `it was ${outcome}`)
    })
  }
}
