// The archive on real files: what is written, and what a start does with files that the database doesn't know, and the reverse.
import assert from 'node:assert/strict'
import { cpSync, existsSync, globSync, readFileSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { readArchive } from '../../src/aggregator/archive-sql.ts'
import type { OpenedAggregator } from '../../src/aggregator/open.ts'
import { flushAll, foldAll, openTestAggregator, openTestLedger, query, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { MemoryUsageLog, lineOf, testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'
import type { TestStream } from '../helpers/memory-usage-log.ts'

const parquet = (folder: string): string[] => globSync('archive/date=*/hour=*/*.parquet', { cwd: folder }).map((file) => path.join(folder, file)).sort()
const flushes = (folder: string): string[] => globSync('archive/flush/*.json', { cwd: folder }).map((file) => path.join(folder, file)).sort()
const events = (count: number, given = {}) => Array.from({ length: count }, () => usageEvent(given))

/** What the ledger would bill, from a new ledger. */
async function billed (t: TestContext, opened: OpenedAggregator): Promise<number> {
  const ledger = await openTestLedger(temporaryFolder(t, 'bill'))
  await foldAll(opened, ledger)
  const { count } = await ledger.totals()
  await ledger.close()
  return count
}

interface Filled { readonly folder: string, readonly log: MemoryUsageLog, readonly stream: TestStream }

/** A state folder whose aggregator has made two flushes of three events each and has been closed. */
async function fill (t: TestContext): Promise<Filled> {
  const folder = temporaryFolder(t, 'archive')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  const opened = await openTestAggregator(folder)
  for (let flush = 0; flush < 2; flush++) {
    stream.append(events(3, { requestTimeMs: testTimeMs + flush * 3_600_000 }))
    stream.mark({ watermarkMs: testTimeMs + flush })
    await takeAll(opened, log)
    await flushAll(opened, log)
  }
  opened.close()
  return { folder, log, stream }
}

test('events lie by date and hour, typed, with every field, under a name that says which flush', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const log = new MemoryUsageLog()
  const opened = await openTestAggregator(folder)
  const stream = log.openStream()
  const event = usageEvent({ errorCode: 'G0008', clientAgent: 'agent', traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', requestTimeMs: testTimeMs + 1 })
  stream.append([event, usageEvent({ requestTimeMs: testTimeMs + 3_600_000 })])
  await takeAll(opened, log)
  await flushAll(opened, log)
  opened.close()
  const files = parquet(folder)
  const day = new Date(testTimeMs).toISOString()
  assert.deepEqual(files.map((file) => path.relative(path.join(folder, 'archive'), path.dirname(file))), [`date=${day.slice(0, 10)}/hour=${day.slice(11, 13)}`, `date=${day.slice(0, 10)}/hour=${String(Number(day.slice(11, 13)) + 1).padStart(2, '0')}`])
  assert.deepEqual(new Set(files.map((file) => path.basename(file, '.parquet'))), new Set(flushes(folder).map((file) => path.basename(file, '.json'))))
  const [row] = await query<Record<string, unknown>>(':memory:', `SELECT * FROM read_parquet('${files[0]}', hive_partitioning = false)`)
  const { requestTimeMs, responseTimeMs, ...same } = event
  assert.deepEqual(Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value])), {
    ...same, requestTime: new Date(requestTimeMs), responseTime: new Date(responseTimeMs), streamId: stream.streamId, seq: 1, prevSeq: 0, schemaVersion: 1, sourcePartition: 0
  })
  const [codec] = await query<{ compression: string }>(':memory:', `SELECT DISTINCT compression FROM parquet_metadata('${files[0]}')`)
  assert.equal(codec?.compression, 'ZSTD')
})

test('what is archived may go from the usage log, and only that', async (t) => {
  const { log, stream, folder } = await fill(t)
  assert.ok(log.dropped > 0)
  stream.append(events(2))
  const opened = await openTestAggregator(folder)
  t.after(() => { opened.close() })
  log.rewind()
  await takeAll(opened, log)
  log.reportProgress(0, opened.aggregator.progress(0))
  assert.ok(log.items.some((item) => item.kind === 'events' && item.lastSeq === 8))
  assert.equal(await billed(t, opened), 8)
})

test('counted and not archived at a restart: read again for the archive, not counted again', async (t) => {
  const { log, stream, folder } = await fill(t)
  stream.append(events(4))
  const first = await openTestAggregator(folder)
  log.rewind()
  await takeAll(first, log)
  first.close()
  const second = await openTestAggregator(folder)
  t.after(() => { second.close() })
  log.rewind()
  stream.append(events(1))
  await takeAll(second, log)
  await flushAll(second, log)
  assert.equal(await billed(t, second), 11)
  const [row] = await query<{ all: bigint, distinct: bigint }>(':memory:', `SELECT count(*) AS "all", count(DISTINCT seq) AS "distinct" FROM read_parquet([${parquet(folder).map((file) => `'${file}'`).join()}])`)
  assert.deepEqual([Number(row?.all), Number(row?.distinct)], [11, 11])
})

test('the database lost: the counts are made again from the archive alone, marks, voids and dead letters too', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const log = new MemoryUsageLog()
  const opened = await openTestAggregator(folder)
  const stream = log.openStream()
  stream.append(events(3), new Map([[1, 'rubbish']]))
  stream.void(events(2))
  stream.append(events(1))
  stream.mark({ watermarkMs: testTimeMs + 7, state: 'closed' })
  await takeAll(opened, log)
  await flushAll(opened, log)
  const tables = ['tallies', 'streams', 'hour_marks', 'stream_marks', 'voids', 'dead_letters', 'archive_files', 'archive_streams', 'flushes']
  const dump = async ({ aggregator }: OpenedAggregator): Promise<unknown> => await Promise.all(tables.map(async (table) => await aggregator.parts.writer.rows(`SELECT * EXCLUDE (${/_marks$|^(?:tallies|streams|voids)$/.test(table) ? 'revision' : 'dummy'}) FROM (SELECT *, 0 AS dummy FROM ${table}) ORDER BY ALL`)))
  const before = await dump(opened)
  const { historyId } = opened.aggregator.state
  opened.close()
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  const again = await openTestAggregator(folder)
  t.after(() => { again.close() })
  assert.deepEqual(await dump(again), before)
  assert.notEqual(again.aggregator.state.historyId, historyId)
  assert.equal(await billed(t, again), 3)
})

test('an older copy of the database is filled from the archive', async (t) => {
  const { folder, log, stream } = await fill(t)
  const copy = path.join(temporaryFolder(t, 'copy'), 'aggregator')
  cpSync(path.join(folder, 'aggregator'), copy, { recursive: true })
  const opened = await openTestAggregator(folder)
  for (let flush = 0; flush < 3; flush++) {
    stream.append(events(2))
    log.rewind()
    await takeAll(opened, log)
    await flushAll(opened, log)
  }
  opened.close()
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  cpSync(copy, path.join(folder, 'aggregator'), { recursive: true })
  const restored = await openTestAggregator(folder)
  t.after(() => { restored.close() })
  assert.deepEqual(restored.problems, [])
  assert.equal(await billed(t, restored), 12)
  log.rewind()
  await takeAll(restored, log)
  assert.deepEqual(restored.aggregator.gaps, [])
  assert.equal(await billed(t, restored), 12)
})

test('a crash between the files and their record: they are adopted, and counted once', async (t) => {
  const { folder, log, stream } = await fill(t)
  stream.append([...events(2), ...events(2, { requestTimeMs: testTimeMs + 3_600_000 })])
  const copy = path.join(temporaryFolder(t, 'copy'), 'aggregator')
  const opened = await openTestAggregator(folder)
  log.rewind()
  await takeAll(opened, log)
  cpSync(path.join(folder, 'aggregator'), copy, { recursive: true })
  await opened.aggregator.flush()
  opened.close()
  // As the crash leaves it: the database before the flush, the files there, the record not.
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  cpSync(copy, path.join(folder, 'aggregator'), { recursive: true })
  const [last = ''] = flushes(folder).slice(-1)
  rmSync(last)
  writeFileSync(path.join(folder, 'archive', 'x.parquet.partial'), 'half a file')
  const again = await openTestAggregator(folder)
  t.after(() => { again.close() })
  assert.deepEqual(again.problems, [])
  assert.ok(existsSync(last), 'they have a record now')
  assert.deepEqual(globSync('**/*.partial', { cwd: folder }), [])
  assert.equal(again.aggregator.progress(0)[0]?.archivedSeq, 10)
  log.rewind()
  await takeAll(again, log)
  assert.equal(again.aggregator.stagedEvents, 0)
  assert.equal(await billed(t, again), 10)
})

test('a crash between the files of one flush: what is archived twice is one event', async (t) => {
  const { folder, log, stream } = await fill(t)
  stream.append([...events(2), ...events(2, { requestTimeMs: testTimeMs + 3_600_000 })])
  const copy = path.join(temporaryFolder(t, 'copy'), 'aggregator')
  const opened = await openTestAggregator(folder)
  log.rewind()
  await takeAll(opened, log)
  cpSync(path.join(folder, 'aggregator'), copy, { recursive: true })
  const known = new Set(parquet(folder))
  await opened.aggregator.flush()
  opened.close()
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  cpSync(copy, path.join(folder, 'aggregator'), { recursive: true })
  rmSync(flushes(folder).at(-1) ?? '')
  rmSync(parquet(folder).find((file) => !known.has(file)) ?? '')
  const again = await openTestAggregator(folder)
  assert.deepEqual(again.problems, [])
  assert.equal(again.aggregator.progress(0)[0]?.archivedSeq, 6, 'the second half does not continue the archive')
  log.rewind()
  await takeAll(again, log)
  await flushAll(again, log)
  assert.equal(await billed(t, again), 10)
  again.close()
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  const made = await openTestAggregator(folder)
  t.after(() => { made.close() })
  assert.equal(await billed(t, made), 10)
})

test('an orphan that is ahead of an older database is counted from', async (t) => {
  const { folder, log, stream } = await fill(t)
  const copy = path.join(temporaryFolder(t, 'copy'), 'aggregator')
  cpSync(path.join(folder, 'aggregator'), copy, { recursive: true })
  stream.append(events(2))
  const opened = await openTestAggregator(folder)
  log.rewind()
  await takeAll(opened, log)
  await opened.aggregator.flush()
  opened.close()
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  cpSync(copy, path.join(folder, 'aggregator'), { recursive: true })
  rmSync(flushes(folder).at(-1) ?? '')
  const again = await openTestAggregator(folder)
  t.after(() => { again.close() })
  assert.equal(await billed(t, again), 8)
  assert.equal(again.aggregator.progress(0)[0]?.archivedSeq, 8)
})

test('a file that the database knows and the disk has lost: billing goes on, and it is told', async (t) => {
  const { folder, log, stream } = await fill(t)
  const [gone = '', short = ''] = parquet(folder)
  rmSync(gone)
  truncateSync(short, 10)
  rmSync(flushes(folder)[0] ?? '')
  stream.append(events(1))
  const opened = await openTestAggregator(folder)
  t.after(() => { opened.close() })
  assert.deepEqual(opened.problems.map(({ file, problem, hour }) => [file, problem.replace(/^10 bytes.*/, 'short'), hour]), [
    [path.relative(path.join(folder, 'archive'), gone), 'missing', testHour],
    [path.relative(path.join(folder, 'archive'), short), 'short', testHour + 1],
    [path.relative(path.join(folder, 'archive'), flushes(folder)[0] ?? '').replace(/[^/]+$/, path.basename(gone, '.parquet') + '.json'), 'missing', undefined]
  ])
  log.rewind()
  await takeAll(opened, log)
  assert.equal(await billed(t, opened), 7)
})

for (const [what, damage] of [
  ['a file is missing', (folder: string) => { rmSync(parquet(folder)[0] ?? '') }],
  ['a file has changed', (folder: string) => { cpSync(parquet(folder)[1] ?? '', parquet(folder)[0] ?? '') }],
  ['a record is missing', (folder: string) => { rmSync(flushes(folder)[0] ?? ''); rmSync(parquet(folder)[0] ?? '') }],
  ['a record is damaged', (folder: string) => { const file = flushes(folder)[0] ?? ''; writeFileSync(file, readFileSync(file, 'utf8').replace('"lastSeq":3', '"lastSeq":2')) }]
] as const) {
  test(`no database, and ${what}: refused, and nothing is changed`, async (t) => {
    const { folder } = await fill(t)
    rmSync(path.join(folder, 'aggregator'), { recursive: true })
    damage(folder)
    await assert.rejects(openTestAggregator(folder), { code: 'ARCHIVE_INCOMPLETE', message: /can't be made again.*(parquet|json)/ })
    assert.deepEqual(readdirSync(path.join(folder, 'aggregator')).filter((file) => file.includes('duckdb')), [])
    await assert.rejects(openTestAggregator(folder), { code: 'ARCHIVE_INCOMPLETE' })
  })
}

const damages: readonly (readonly [string, (file: string) => void])[] = [
  ['truncated', (file) => { truncateSync(file, 5_000) }],
  ['not DuckDB\'s', (file) => { writeFileSync(file, 'x'.repeat(20_000)) }],
  ['with flipped bytes', (file) => {
    const bytes = readFileSync(file)
    for (let at = 13_000; at < bytes.length; at += 997) bytes[at] = (bytes[at] ?? 0) ^ 0xff
    writeFileSync(file, bytes)
  }]
]
for (const [what, damage] of damages) {
  test(`a database ${what} is moved aside, and its counts are made again`, async (t) => {
    const { folder, log, stream } = await fill(t)
    const file = path.join(folder, 'aggregator', 'aggregator.duckdb')
    damage(file)
    stream.append(events(1))
    const opened = await openTestAggregator(folder)
    t.after(() => { opened.close() })
    assert.equal(readdirSync(path.dirname(file)).filter((name) => name.startsWith('aggregator.duckdb.damaged-')).length, 1)
    log.rewind()
    await takeAll(opened, log)
    assert.equal(await billed(t, opened), 7)
  })

  test(`a database ${what}, and the archive is incomplete: refused, both are left as they are`, async (t) => {
    const { folder } = await fill(t)
    const file = path.join(folder, 'aggregator', 'aggregator.duckdb')
    damage(file)
    const bytes = readFileSync(file)
    const [hidden = ''] = parquet(folder)
    renameSync(hidden, `${hidden}.hidden`)
    await assert.rejects(openTestAggregator(folder), { code: 'AGGREGATOR_DAMAGED', message: /aggregator\.duckdb is damaged.*archive is incomplete.*\.parquet: missing/ })
    assert.ok(readFileSync(file).equals(bytes))
    renameSync(`${hidden}.hidden`, hidden)
    const opened = await openTestAggregator(folder)
    t.after(() => { opened.close() })
    assert.equal(await billed(t, opened), 6)
  })
}

test('a database of a newer version is refused', async (t) => {
  const { folder } = await fill(t)
  await query(path.join(folder, 'aggregator', 'aggregator.duckdb'), 'UPDATE meta SET databaseVersion = 99')
  await assert.rejects(openTestAggregator(folder), { code: 'AGGREGATOR_NEWER' })
})

test('a database lost with an archive that ends early: what follows in the usage log is a gap, never a smaller bill', async (t) => {
  const { folder, log, stream } = await fill(t)
  stream.append(events(2))
  rmSync(path.join(folder, 'aggregator'), { recursive: true })
  rmSync(parquet(folder).at(-1) ?? '')
  rmSync(flushes(folder).at(-1) ?? '')
  const opened = await openTestAggregator(folder)
  t.after(() => { opened.close() })
  log.items = log.items.filter((item) => item.kind !== 'events' || item.lastSeq > 6)
  log.rewind()
  await takeAll(opened, log)
  assert.deepEqual(opened.aggregator.gaps.map(({ afterSeq }) => afterSeq), [3])
  assert.equal(await billed(t, opened), 3)
})

test('a line of another gateway\'s making never leaves its token in the archive', async (t) => {
  const folder = temporaryFolder(t, 'archive')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  stream.append([usageEvent()], new Map([[0, lineOf(usageEvent(), { streamId: stream.streamId, seq: 1, prevSeq: 0 }).replace('{', '{"apiKey":"secret-token",')]]))
  const opened = await openTestAggregator(folder)
  await takeAll(opened, log)
  await flushAll(opened, log)
  opened.close()
  for (const file of globSync('**/*', { cwd: folder, withFileTypes: true })) {
    if (file.isFile()) assert.ok(!readFileSync(path.join(file.parentPath, file.name)).includes('secret-token'), file.name)
  }
})

test('files of a version without some columns are read beside newer ones, and alone', async (t) => {
  const folder = temporaryFolder(t, 'columns')
  const log = new MemoryUsageLog()
  const opened = await openTestAggregator(folder)
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  log.openStream().append([usageEvent({ traceparent }), usageEvent()])
  await takeAll(opened, log)
  await flushAll(opened, log)
  opened.close()
  const [newer = ''] = parquet(folder)
  const older = path.join(folder, 'older.parquet')
  await query(':memory:', `COPY (SELECT * EXCLUDE (traceparent) FROM read_parquet('${newer}', hive_partitioning = false)) TO '${older}' (FORMAT parquet)`)
  const read = async (...files: readonly string[]): Promise<unknown[]> =>
    (await query<{ seq: bigint, traceparent: string | null }>(':memory:', `SELECT seq, traceparent FROM ${readArchive(files)} ORDER BY ALL`)).map(({ seq, traceparent: text }) => [Number(seq), text])
  assert.deepEqual(await read(older), [[1, null], [2, null]])
  for (const files of [[older, newer], [newer, older]]) assert.deepEqual(await read(...files), [[1, traceparent], [1, null], [2, null], [2, null]])
})
