import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { lockState } from '../../../src/platform/state-lock.ts'

const coded = (code: string, text: RegExp) => (error: unknown): boolean => (error as { code?: string }).code === code && text.test((error as Error).message)
const makeFolder = (): string => mkdtempSync(path.join(os.tmpdir(), 'tollgate-lock-'))

test('the folder is made for its owner only, and a second lock names the folder and the holder', (t) => {
  const folder = path.join(makeFolder(), 'state')
  t.after(() => { rmSync(path.dirname(folder), { recursive: true }) })
  const lock = lockState(folder)
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.throws(() => lockState(folder), coded('STATE_LOCKED', new RegExp(`${folder} is in use by process ${process.pid}`)))
  lock.release()
  lockState(folder).release()
  assert.ok(!existsSync(path.join(folder, 'lock.pid')))
})

test('the lock goes with its process, whatever it leaves behind', async (t) => {
  const folder = makeFolder()
  t.after(() => { rmSync(folder, { recursive: true }) })
  const script = path.join(folder, 'hold.mjs')
  writeFileSync(script, `
    import { lockState } from ${JSON.stringify(pathToFileURL(path.resolve(import.meta.dirname, '../../../src/platform/state-lock.ts')).href)}
    globalThis.lock = lockState(process.argv[2])
    process.stdout.write('held')
    process.stdin.resume()`)
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => { child.kill('SIGKILL') })
  await once(child.stdout, 'data')
  assert.throws(() => lockState(folder), coded('STATE_LOCKED', new RegExp(`by process ${child.pid}`)))
  child.kill('SIGKILL')
  await once(child, 'exit')
  lockState(folder).release()
})

test('a folder that cannot be used is named', (t) => {
  const folder = makeFolder()
  t.after(() => { rmSync(folder, { recursive: true }) })
  writeFileSync(path.join(folder, 'file'), '')
  assert.throws(() => lockState(path.join(folder, 'file', 'state')), coded('STATE_UNWRITABLE', /file\/state/))
  writeFileSync(path.join(folder, 'lock'), 'not a database at all, but longer than a header'.repeat(10))
  assert.throws(() => lockState(folder), coded('STATE_UNWRITABLE', /can't be used/))
})
