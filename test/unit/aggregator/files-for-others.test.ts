// Files for billing, `verify` and peers: only what exists, under names that can't leave the folders; copies by hash.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { openFilesForOthers } from '../../../src/aggregator/files-for-others.ts'
import type { CopiedFile, FileKind } from '../../../src/aggregator/files-for-others.ts'
import { writeFlushRecord } from '../../../src/aggregator/flush-record.ts'
import type { FlushRecord } from '../../../src/aggregator/flush-record.ts'
import { temporaryFolder } from '../../helpers/aggregator-rig.ts'

const record = (flush: string): FlushRecord => ({ schemaVersion: 1, flush, previousFlush: null, files: [], archiveStreams: [], streams: [], voids: [], holes: [], deadLetters: [], streamMarks: [], hourMarks: [] })
const archived = 'date=2025-11-24/hour=16/20251124T160000000Z-abcdef01.parquet'
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

function write (file: string, text: string): void {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, text)
}

test('files of all partitions are found, and nothing else', (t) => {
  const stateFolder = temporaryFolder(t, 'files')
  const files = openFilesForOthers({ ownerName: 'pi-1', stateFolder, flush: async () => {} })
  assert.deepEqual([files.listPartitions(), files.listCopies()], [[], []])
  write(path.join(stateFolder, 'partition-3', 'archive', archived), 'events')
  write(path.join(stateFolder, 'partition-0', 'aggregator', 'segments', 'partition=0-segment=1-abcdef01.parquet'), 'rows')
  write(path.join(stateFolder, 'partition-0', 'aggregator', 'aggregator.duckdb'), 'counts')
  write(path.join(stateFolder, 'secret.json'), 'secret')
  writeFlushRecord(path.join(stateFolder, 'partition-0', 'archive', 'flush'), record('20251124T160000000Z-abcdef01'))
  assert.deepEqual(files.listPartitions(), [0, 3])
  assert.deepEqual([...files.manifest(0)].map(({ flush }) => flush), ['20251124T160000000Z-abcdef01'])
  assert.equal(readFileSync(files.fileOf(3, 'archive', archived) ?? '', 'utf8'), 'events')
  assert.equal(readFileSync(files.fileOf(0, 'segment', 'partition=0-segment=1-abcdef01.parquet') ?? '', 'utf8'), 'rows')
  assert.ok(files.fileOf(0, 'flush', '20251124T160000000Z-abcdef01.json'))
  const others: readonly (readonly [number, FileKind, string])[] = [
    [0, 'archive', archived], [0, 'segment', '../aggregator.duckdb'], [0, 'segment', 'aggregator.duckdb'], [0, 'flush', '../../../secret.json'], [3, 'archive', `../../../${archived}`],
    [3, 'archive', 'date=2025-11-24/hour=16/../../../x.parquet'], [-1, 'archive', archived], [0.5, 'archive', archived], [NaN, 'archive', archived], [0, 'segment', '']
  ]
  for (const [partition, kind, name] of others) assert.equal(files.fileOf(partition, kind, name), undefined, `${partition} ${kind} ${name}`)
})

test('a copy is kept when its hash is right, is found like a file of our own, and stands in the manifest', async (t) => {
  const stateFolder = temporaryFolder(t, 'copies')
  const files = openFilesForOthers({ ownerName: 'pi-1', stateFolder, flush: async () => {} })
  const copy: CopiedFile = { owner: 'pi-2', partition: 4, kind: 'archive', name: archived }
  await assert.rejects(files.storeCopy(copy, Readable.from(['other content']), sha256('content')), { code: 'ARGUMENT_INVALID' })
  assert.equal(files.fileOf(4, 'archive', archived), undefined)
  await files.storeCopy(copy, Readable.from(['con', 'tent']), sha256('content'))
  await files.storeCopy(copy, Readable.from(['content']), sha256('content'))
  assert.equal(readFileSync(files.fileOf(4, 'archive', archived) ?? '', 'utf8'), 'content')
  assert.deepEqual([await files.hasCopy(copy, sha256('content')), await files.hasCopy(copy, sha256('other content')), await files.hasCopy({ ...copy, partition: 5 }, sha256('content'))], [true, false, false])
  const text = JSON.stringify(record('20251124T160000000Z-abcdef01'))
  const content = `${text}\n${sha256(text)}\n`
  await files.storeCopy({ ...copy, kind: 'flush', name: '20251124T160000000Z-abcdef01.json' }, Readable.from([content]), sha256(content))
  assert.deepEqual(files.listCopies().map(({ owner, partition, kind, name }) => [owner, partition, kind, name]), [['pi-2', 4, 'archive', archived], ['pi-2', 4, 'flush', '20251124T160000000Z-abcdef01.json']])
  assert.deepEqual([files.listPartitions(), [...files.manifest(4)].map(({ flush }) => flush)], [[4], ['20251124T160000000Z-abcdef01']])
  assert.deepEqual(globSync('**/*.partial', { cwd: stateFolder }), [])
  const wrong: readonly Partial<CopiedFile>[] = [{ owner: '..' }, { owner: 'a/b' }, { owner: '' }, { partition: -1 }, { name: '../x.parquet' }, { name: '/etc/x.parquet' }, { kind: 'flush' }]
  for (const part of wrong) await assert.rejects(files.storeCopy({ ...copy, ...part }, Readable.from(['content']), sha256('content')), { code: 'ARGUMENT_INVALID' }, JSON.stringify(part))
  for (const part of wrong) await assert.rejects(files.hasCopy({ ...copy, ...part }, sha256('content')), { code: 'ARGUMENT_INVALID' }, JSON.stringify(part))
})

test('a damaged record of our own is told; a damaged copy is no copy', (t) => {
  const stateFolder = temporaryFolder(t, 'damaged')
  const files = openFilesForOthers({ ownerName: 'pi-1', stateFolder, flush: async () => {} })
  write(path.join(stateFolder, 'copies', 'pi-2', 'partition-1', 'archive', 'flush', 'damaged-1.json'), 'no record')
  assert.deepEqual([...files.manifest(1)], [])
  write(path.join(stateFolder, 'partition-1', 'archive', 'flush', 'damaged-1.json'), 'no record')
  assert.throws(() => [...files.manifest(1)], { code: 'ARCHIVE_INCOMPLETE' })
  assert.ok(existsSync(stateFolder))
})
