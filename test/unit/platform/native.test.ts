// Native parts of the packaged file: whole or not at all, private, checked at every start, whoever starts at the same time.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { unpackNative } from '../../../src/platform/native.ts'
import type { NativeSource } from '../../../src/platform/native.ts'

const contents: Readonly<Record<string, Buffer>> = { 'one.node': Buffer.from('one'), 'two.so': Buffer.alloc(3_000_000, 'two') }
const sourceOf = (id: string): NativeSource => ({
  manifest: { id, files: Object.entries(contents).map(([name, content]) => ({ name, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') })) },
  content: (name) => contents[name] ?? Buffer.alloc(0)
})
const source = sourceOf('first')

function makeFolder (t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-native-'))
  t.after(() => { rmSync(folder, { recursive: true, force: true }) })
  return folder
}

function assertWhole (unpacked: string): void {
  for (const [name, content] of Object.entries(contents)) assert.ok(readFileSync(path.join(unpacked, name)).equals(content), name)
}

test('unpacked once, for the owner alone, and found again', (t) => {
  const folder = path.join(makeFolder(t), 'deep', 'cache')
  const unpacked = unpackNative(source, [folder])
  assertWhole(unpacked)
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  assert.equal(statSync(unpacked).mode & 0o777, 0o700)
  assert.equal(statSync(path.join(unpacked, 'one.node')).mode & 0o777, 0o500)
  const before = statSync(path.join(unpacked, 'two.so')).ino
  assert.equal(unpackNative(source, [folder]), unpacked)
  assert.equal(statSync(path.join(unpacked, 'two.so')).ino, before, 'it was written again')
  assert.deepEqual(readdirSync(folder), [path.basename(unpacked)])
})

const damages: Readonly<Record<string, (unpacked: string) => void>> = {
  'a changed byte': (unpacked) => { chmodSync(path.join(unpacked, 'two.so'), 0o700); writeFileSync(path.join(unpacked, 'two.so'), Buffer.alloc(3_000_000, 'tow')) },
  'a file cut short': (unpacked) => { truncateSync(path.join(unpacked, 'two.so'), 100) },
  'a missing file': (unpacked) => { rmSync(path.join(unpacked, 'one.node')) },
  'a link to elsewhere': (unpacked) => { rmSync(path.join(unpacked, 'one.node')); symlinkSync('/etc/hostname', path.join(unpacked, 'one.node')) },
  'files that others can write': (unpacked) => { chmodSync(path.join(unpacked, 'one.node'), 0o777) },
  'a folder that others can read': (unpacked) => { chmodSync(unpacked, 0o755) }
}
for (const [name, damage] of Object.entries(damages)) {
  test(`${name} is put aside and unpacked again`, (t) => {
    const folder = makeFolder(t)
    const unpacked = unpackNative(source, [folder])
    damage(unpacked)
    assert.equal(unpackNative(source, [folder]), unpacked)
    assertWhole(unpacked)
    assert.equal(statSync(unpacked).mode & 0o077, 0)
    assert.deepEqual(readdirSync(folder), [path.basename(unpacked)], 'nothing is left of what was damaged')
  })
}

test('a source whose content is not what it says is never used', (t) => {
  const folder = makeFolder(t)
  assert.throws(() => unpackNative({ ...source, content: () => Buffer.from('no') }, [folder]), { code: 'NATIVE_FOLDER_UNUSABLE', message: /was changed, also after it was unpacked again/ })
})

test('other versions go when nobody starts them any more; other files stay', (t) => {
  const folder = makeFolder(t)
  const old = unpackNative(sourceOf('old'), [folder])
  const recent = unpackNative(sourceOf('recent'), [folder])
  const left = path.join(folder, '.unpacking-killed')
  mkdirSync(left)
  writeFileSync(path.join(folder, 'somebody-elses'), '')
  for (const other of [old, left, path.join(folder, 'somebody-elses')]) utimesSync(other, 1, 1)
  unpackNative(source, [folder])
  assert.ok(!existsSync(old), 'the old version is gone')
  assert.ok(!existsSync(left), 'so is what was never finished')
  assert.ok(existsSync(recent), 'a version that started a moment ago may still be loading')
  assert.ok(existsSync(path.join(folder, 'somebody-elses')))
})

test('the first folder that can be used is used; where none can, the error says why and names the setting', (t) => {
  const folder = makeFolder(t)
  writeFileSync(path.join(folder, 'file'), '')
  assert.equal(path.dirname(unpackNative(source, [path.join(folder, 'file', 'below'), '/proc/tollgate', path.join(folder, 'good')])), path.join(folder, 'good'))
  assert.throws(() => unpackNative(source, ['/proc/tollgate']), { code: 'NATIVE_FOLDER_UNUSABLE', message: /\/proc\/tollgate: ENOENT/ })
  assert.throws(() => unpackNative(source, []), { code: 'NATIVE_FOLDER_UNUSABLE' })
})

test('of processes that start for the first time together each finds whole files', async (t) => {
  const folder = makeFolder(t)
  const script = path.join(folder, 'start.ts')
  const cache = path.join(folder, 'cache')
  writeFileSync(script, `import { unpackNative } from ${JSON.stringify(path.resolve(import.meta.dirname, '../../../src/platform/native.ts'))}
import { createHash } from 'node:crypto'
const content = Buffer.alloc(3_000_000, 'two')
process.on('message', () => {
  unpackNative({ manifest: { id: 'together', files: [{ name: 'two.so', bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') }] }, content: () => content }, [${JSON.stringify(cache)}])
  process.exit(0)
})
process.send('ready')
`)
  const children = Array.from({ length: 4 }, () => fork(script, { execArgv: ['--disable-warning=ExperimentalWarning'] }))
  await Promise.all(children.map((child) => new Promise((resolve) => { child.once('message', resolve) })))
  const codes = Promise.all(children.map((child) => new Promise((resolve) => { child.once('exit', resolve) })))
  for (const child of children) child.send('go')
  assert.deepEqual(await codes, [0, 0, 0, 0])
  const [only, ...others] = readdirSync(cache)
  assert.deepEqual(others, [])
  assert.ok(readFileSync(path.join(cache, only ?? '', 'two.so')).equals(contents['two.so'] ?? Buffer.alloc(0)))
})
