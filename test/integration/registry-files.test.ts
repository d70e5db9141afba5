// The registry's files when something happened to them, and its promises to other threads.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { DatabaseSync } from 'node:sqlite'
import { digestOfSecret } from '../../src/domain/opaque-key.ts'
import { eventually } from '../helpers/eventually.ts'
import { makeFirstVersionRegistry, makeRegistryFolder } from '../helpers/sqlite-registry.ts'
import type { RegistryFolder } from '../helpers/sqlite-registry.ts'

const coded = (code: string) => (error: unknown): boolean => (error as { code?: string }).code === code
const removeDatabase = ({ file }: RegistryFolder): void => { for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true }) }

test('an old copy of the database un-revokes nothing, un-rotates nothing and gives no number away twice', async (t) => {
  const made = makeRegistryFolder(t)
  const registry = made.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  const { createdAtMs } = await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.close()
  copyFileSync(made.file, `${made.file}.old`)
  const later = made.openRegistry()
  made.advanceMs(5_000)
  await later.createMember({ name: 'Bela' })
  await later.createKey({ memberId: 2, grade: 'GRADE_FREE' })
  await later.revokeKey(1)
  await later.revokeKey(3)
  await later.revokeKey(77)
  await later.rotateKey(2, { overlapMs: 0 })
  await later.close()
  removeDatabase(made)
  copyFileSync(`${made.file}.old`, made.file)
  const restored = made.openRegistry()
  const directory = made.openDirectory()
  const stateOf = (apiKeyId: number, atMs: number): string => directory.stateOf(apiKeyId, Math.floor(atMs / 1000), made.nowMs()).state
  assert.deepEqual([1, 3, 77].map((id) => stateOf(id, made.nowMs())), ['revoked', 'revoked', 'revoked'])
  assert.equal(stateOf(2, createdAtMs), 'rotated')
  assert.equal(stateOf(2, made.nowMs()), 'active')
  assert.equal((await restored.createMember({ name: 'Caro' })).memberId, 3)
  assert.equal((await restored.createKey({ memberId: 3, grade: 'GRADE_FREE' })).apiKeyId, 4)
})

test('an emptied database un-revokes nothing, and a lost log is made again from the database', async (t) => {
  const made = makeRegistryFolder(t)
  const registry = made.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  await registry.revokeKey(1)
  await registry.close()
  removeDatabase(made)
  const emptied = made.openRegistry()
  assert.equal(made.openDirectory().stateOf(1, 0, made.nowMs()).state, 'revoked')
  assert.equal((await emptied.createMember({ name: 'Bela' })).memberId, 2)
  await emptied.createKey({ memberId: 2, grade: 'GRADE_FREE' })
  await emptied.close()
  rmSync(made.refusalFile)
  await made.openRegistry().close()
  removeDatabase(made)
  const again = made.openRegistry()
  assert.equal((await again.createMember({ name: 'Caro' })).memberId, 3)
  assert.equal((await again.createKey({ memberId: 3, grade: 'GRADE_FREE' })).apiKeyId, 3)
  assert.equal(made.openDirectory().stateOf(1, 0, made.nowMs()).state, 'revoked')
})

test('a damaged, foreign or newer database is refused with its remedy', async (t) => {
  const made = makeRegistryFolder(t)
  const registry = made.openRegistry()
  await registry.createMember({ name: 'Ada' })
  for (let i = 0; i < 2_000; i++) await registry.createKey({ memberId: 1, grade: 'GRADE_FREE', label: `a label that fills the pages ${i}` })
  await registry.close()
  const good = readFileSync(made.file)
  const refusedWith = (code: string, bytes: Buffer): void => {
    removeDatabase(made)
    writeFileSync(made.file, bytes)
    assert.throws(() => made.openRegistry(), coded(code))
  }
  refusedWith('REGISTRY_CORRUPT', Buffer.from('this is no database, whatever its name says'.repeat(100)))
  refusedWith('REGISTRY_CORRUPT', good.subarray(0, Math.floor(good.length / 2)))
  const flipped = Buffer.from(good)
  for (let at = 4096; at < flipped.length; at += 4096) flipped.fill(0xa5, at, at + 64)
  refusedWith('REGISTRY_CORRUPT', flipped)
  const newer = new DatabaseSync(`${made.file}.newer`)
  newer.exec(`pragma application_id = ${0x54475247}; pragma user_version = 99; create table t (a)`)
  newer.close()
  refusedWith('REGISTRY_NEWER', readFileSync(`${made.file}.newer`))
  const foreign = new DatabaseSync(`${made.file}.foreign`)
  foreign.exec('create table t (a)')
  foreign.close()
  refusedWith('REGISTRY_CORRUPT', readFileSync(`${made.file}.foreign`))
  removeDatabase(made)
  writeFileSync(made.file, good)
  assert.equal((await made.openRegistry().listKeys({})).length, 1_000)
})

test('a file of the first version is brought up to date, and keeps what is in it', async (t) => {
  const made = await makeFirstVersionRegistry(t)
  const later = made.openRegistry()
  assert.equal((await later.showKey(1)).type, 'jwt')
  await later.createKey({ memberId: 1, grade: 'GRADE_FREE', secretDigest: digestOfSecret('one') })
  assert.deepEqual((await later.listKeys({})).map(({ type }) => type), ['jwt', 'opaque'])
  await later.close()
  assert.equal((await made.openRegistry().listKeys({})).length, 2)
})

test('a revocation is seen by another thread within a second', async (t) => {
  const made = makeRegistryFolder(t)
  const registry = made.openRegistry()
  await registry.createMember({ name: 'Ada' })
  await registry.createKey({ memberId: 1, grade: 'GRADE_FREE' })
  const url = (file: string): string => pathToFileURL(new URL(file, import.meta.url).pathname).href
  const source = `
    const { parentPort, workerData } = require('node:worker_threads')
    Promise.all([import(workerData.directoryUrl), import(workerData.loggerUrl)]).then(([{ openKeyDirectory }, { openLogger }]) => {
      const directory = openKeyDirectory({ file: workerData.file, cacheKeysMax: 10, pollIntervalMs: 250, log: openLogger({ level: 'silent', thread: 'test' }) })
      let known = directory.version()
      parentPort.postMessage(directory.stateOf(1, 2e9, workerData.nowMs).state)
      const timer = setInterval(() => {
        if (directory.version() === known) return
        known = directory.version()
        parentPort.postMessage(directory.stateOf(1, 2e9, workerData.nowMs).state)
      }, 1)
      parentPort.once('message', () => { clearInterval(timer); directory.close() })
    })`
  const worker = new Worker(source, { eval: true, workerData: { file: made.file, nowMs: made.nowMs(), directoryUrl: url('../../src/registry/directory.ts'), loggerUrl: url('../../src/platform/logger.ts') } })
  t.after(async () => { worker.postMessage('end'); await once(worker, 'exit') })
  const states: string[] = []
  worker.on('message', (state: string) => { states.push(state) })
  await eventually('the other thread sees the key', () => states[0] === 'active')
  await registry.revokeKey(1)
  await eventually('the other thread sees the revocation', () => states.includes('revoked'), { withinMs: 1_000, everyMs: 5 })
})

test('changes that were answered survive a kill at any moment', async (t) => {
  const made = makeRegistryFolder(t)
  const source = `
    import { openSqliteRegistry } from ${JSON.stringify(pathToFileURL(new URL('../../src/registry/sqlite.ts', import.meta.url).pathname).href)}
    import { systemClock } from ${JSON.stringify(pathToFileURL(new URL('../../src/platform/clock.ts', import.meta.url).pathname).href)}
    import { writeSync } from 'node:fs'
    const registry = openSqliteRegistry({ file: process.argv[2], refusalFile: process.argv[3], clock: systemClock })
    const { memberId } = await registry.createMember({ name: 'Ada' })
    writeSync(1, 'member ' + memberId + '\\n')
    for (;;) {
      const { apiKeyId } = await registry.createKey({ memberId, grade: 'GRADE_FREE' })
      writeSync(1, 'key ' + apiKeyId + '\\n')
      if (apiKeyId % 3 === 0) { await registry.revokeKey(apiKeyId); writeSync(1, 'revoked ' + apiKeyId + '\\n') }
    }`
  const script = `${made.folder}/change.mjs`
  writeFileSync(script, source)
  const answered: { what: string, id: number }[] = []
  for (let round = 1; round <= 5; round++) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, made.file, made.refusalFile], { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (bytes: Buffer) => { output += bytes.toString() })
    await eventually('some changes are answered', () => output.split('\n').length > 20 * round)
    child.kill('SIGKILL')
    await once(child, 'close')
    for (const line of output.split('\n').slice(0, -1)) answered.push({ what: line.split(' ')[0] ?? '', id: Number(line.split(' ')[1]) })
  }
  const registry = made.openRegistry()
  const members = new Set((await registry.listMembers()).map((member) => member.memberId))
  const keys = new Map((await registry.listKeys({})).map((key) => [key.apiKeyId, key]))
  assert.equal(new Set(answered.filter(({ what }) => what === 'key').map(({ id }) => id)).size, answered.filter(({ what }) => what === 'key').length)
  for (const { what, id } of answered) {
    if (what === 'member') assert.ok(members.has(id), `member ${id}`)
    else assert.ok(keys.has(id) && (what === 'key' || keys.get(id)?.revokedAtMs !== undefined), `${what} ${id}`)
  }
  assert.ok(answered.length >= 100, `${answered.length} answered changes`)
})
