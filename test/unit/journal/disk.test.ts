import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { alignedBuffer, openDisk, probeDisk } from '../../../src/journal/disk.ts'

function temporaryFolder (t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-disk-'))
  t.after(() => { fs.rmSync(folder, { recursive: true, force: true }) })
  return folder
}

for (const isDirect of [true, false]) {
  test(`files are written in blocks and read back, ${isDirect ? 'as this disk likes it best' : 'without direct writes'}`, (t) => {
    const folder = path.join(temporaryFolder(t), 'made')
    const kind = probeDisk(folder)
    const disk = openDisk(isDirect ? kind : { ...kind, isDirect: false })
    const name = path.join(folder, 'a')
    assert.throws(() => disk.open(name, 'commit'), { code: 'ENOENT' })
    const buffer = alignedBuffer(8192)
    const fill = disk.open(name, 'fill')
    fill.write(buffer, 8192, 0)
    fill.sync()
    assert.equal(fill.sizeBytes(), 8192)
    fill.close()
    const commit = disk.open(name, 'commit')
    buffer.write('hello')
    commit.write(buffer, disk.blockBytes, 4096)
    commit.close()
    const read = disk.open(name, 'read')
    buffer.fill(0xff)
    assert.equal(read.read(buffer, 8192, 4096), 4096)
    assert.equal(buffer.toString('utf8', 0, 6), 'hello\0')
    assert.equal(read.read(buffer, 4096, 8192), 0)
    read.close()
    disk.rename(name, path.join(folder, 'b'))
    disk.syncFolder(folder)
    assert.deepEqual(disk.names(folder), ['b'])
    disk.remove(path.join(folder, 'b'))
    assert.deepEqual(disk.names(folder), [])
    assert.ok(disk.freeBytes(folder) > 0)
  })
}

test('a file whose end is no block\'s boundary is read to its end', (t) => {
  const folder = temporaryFolder(t)
  const disk = openDisk(probeDisk(folder))
  const name = path.join(folder, 'a')
  fs.writeFileSync(name, Buffer.alloc(5000, 7))
  const file = disk.open(name, 'read')
  assert.equal(file.read(alignedBuffer(8192), 8192, 0), 5000)
  file.close()
})

test('probing leaves nothing behind, and a folder that can\'t be written is an error', (t) => {
  const folder = temporaryFolder(t)
  const { blockBytes } = probeDisk(folder)
  assert.ok(blockBytes === 512 || blockBytes === 4096)
  assert.deepEqual(fs.readdirSync(folder), [])
  fs.writeFileSync(path.join(folder, 'file'), '')
  assert.throws(() => probeDisk(path.join(folder, 'file')), { code: 'EEXIST' })
})
