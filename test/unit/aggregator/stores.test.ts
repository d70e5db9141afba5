import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { acknowledge, acknowledgedBy, readAcknowledgements } from '../../../src/aggregator/acknowledgements.ts'
import { archiveFileName, flushName } from '../../../src/aggregator/archive.ts'
import { writeDeadLetters } from '../../../src/aggregator/dead-letters.ts'
import { listFlushes, readFlushRecord, writeFlushRecord } from '../../../src/aggregator/flush-record.ts'
import type { FlushRecord } from '../../../src/aggregator/flush-record.ts'
import { gatewayWatermarks } from '../../../src/aggregator/state.ts'
import type { AggregatorState, StreamMark } from '../../../src/aggregator/state.ts'
import type { VerifyReport, VerifyRow } from '../../../src/aggregator/verify.ts'
import { appendLinesDurable, sha256OfFile, writeFileDurable } from '../../../src/platform/durable-file.ts'
import { temporaryFolder } from '../../helpers/aggregator-rig.ts'
import { testHour, testTimeMs } from '../../helpers/memory-usage-log.ts'

const record: FlushRecord = { schemaVersion: 1, flush: 'a', previousFlush: null, files: [], archiveStreams: [], streams: [], voids: [], holes: [], deadLetters: [], streamMarks: [], hourMarks: [] }

test('a flush record is read back, and damage or loss is told', (t) => {
  const folder = temporaryFolder(t)
  writeFlushRecord(folder, record)
  writeFlushRecord(folder, { ...record, flush: 'b', previousFlush: 'a' })
  assert.deepEqual(listFlushes(folder), ['a', 'b'])
  assert.deepEqual(readFlushRecord(folder, 'a'), record)
  const file = path.join(folder, 'a.json')
  writeFileSync(file, readFileSync(file, 'utf8').replace('"flush":"a"', '"flush":"c"'))
  assert.throws(() => readFlushRecord(folder, 'a'), { code: 'ARCHIVE_INCOMPLETE', message: /damaged/ })
  assert.throws(() => readFlushRecord(folder, 'c'), { code: 'ARCHIVE_INCOMPLETE', message: /missing/ })
  assert.deepEqual(listFlushes(path.join(folder, 'nowhere')), [])
})

test('names of flushes sort by time, and files lie by date and hour', () => {
  const flush = flushName(Date.UTC(2026, 0, 5, 7, 8, 9, 10), '0123456789abcdef')
  assert.equal(flush, '20260105T070809010Z-01234567')
  assert.ok(flushName(Date.UTC(2026, 0, 5, 7, 8, 9, 11), '00000000') > flush)
  assert.equal(archiveFileName(Math.floor(Date.UTC(2026, 0, 5, 7) / 3_600_000), flush), path.join('date=2026-01-05', 'hour=07', `${flush}.parquet`))
})

test('a dead letter is kept with its reason and without a token', (t) => {
  const folder = temporaryFolder(t)
  const text = '{"apiKey":"eyJhbGciOi.secret\\"x","seq":1'
  writeDeadLetters(folder, [{ streamId: 's', seq: 1, prevSeq: 0, text, reason: 'line: not JSON', hour: testHour, gatewayId: 'g' }], testTimeMs)
  writeDeadLetters(folder, [], testTimeMs)
  const [file = ''] = readdirSync(folder)
  const letter = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as Record<string, unknown>
  assert.deepEqual(letter, { at: new Date(testTimeMs).toISOString(), gatewayId: 'g', streamId: 's', seq: 1, prevSeq: 0, reason: 'line: not JSON', line: '{"apiKey":"(removed)","seq":1' })
})

test('lines are added behind a torn one without spoiling either', (t) => {
  const file = path.join(temporaryFolder(t), 'new', 'lines.ndjson')
  appendLinesDurable(file, ['one'])
  appendFileSync(file, 'to')
  appendLinesDurable(file, ['two', 'three'])
  assert.equal(readFileSync(file, 'utf8'), 'one\nto\ntwo\nthree\n')
})

test('a durable file replaces what was there, and its hash is that of its content', async (t) => {
  const file = path.join(temporaryFolder(t), 'a', 'b', 'file')
  writeFileDurable(file, 'old')
  writeFileDurable(file, 'abc')
  assert.equal(readFileSync(file, 'utf8'), 'abc')
  assert.equal(await sha256OfFile(file), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  assert.deepEqual(readdirSync(path.dirname(file)), ['file'])
})

const row: VerifyRow = {
  gatewayId: 'g', hour: testHour, answered: 3, recovered: 0, journaled: 3, countedOnly: 0, archived: 2, deadLettered: 1, voided: 0, billable: 2, notBillable: 0, ledgerCount: 2, status: 'dead-letter', problems: ['1 dead-lettered']
}
const reportOf = (...rows: VerifyRow[]): VerifyReport => ({ rows, problems: [], unchecked: [], exitCode: 1 })

test('an acknowledgement covers exactly the numbers that were shown', (t) => {
  const file = path.join(temporaryFolder(t), 'acknowledgements.ndjson')
  assert.equal(acknowledgedBy(readAcknowledgements(file))(row), false)
  acknowledge(file, reportOf(row), { gatewayId: 'g', hour: testHour, reason: 'a broken line', nowMs: testTimeMs })
  appendFileSync(file, '{"torn')
  const isAcknowledged = acknowledgedBy(readAcknowledgements(file))
  assert.ok(isAcknowledged(row))
  assert.ok(isAcknowledged({ ...row, status: 'acknowledged' }))
  assert.ok(isAcknowledged({ ...row, ledgerCount: 3 }), 'another gateway answered something in this hour')
  for (const other of [{ ...row, deadLettered: 2 }, { ...row, hour: testHour + 1 }, { ...row, gatewayId: 'h' }, { ...row, problems: ['2 dead-lettered'] }]) assert.equal(isAcknowledged(other), false)
  assert.equal(readAcknowledgements(file)[0]?.reason, 'a broken line')
})

test('only what needs it can be acknowledged', (t) => {
  const file = path.join(temporaryFolder(t), 'acknowledgements.ndjson')
  const ask = (report: VerifyReport, hour = testHour) => () => acknowledge(file, report, { gatewayId: 'g', hour, reason: 'r', nowMs: testTimeMs })
  for (const status of ['ok', 'open', 'acknowledged'] as const) assert.throws(ask(reportOf({ ...row, status })), { code: 'NOTHING_TO_ACKNOWLEDGE' })
  assert.throws(ask(reportOf(row), testHour + 1), { code: 'NOTHING_TO_ACKNOWLEDGE' })
})

const stateOf = (marks: Readonly<Record<string, StreamMark>>, unmarked: Readonly<Record<string, string>> = {}): AggregatorState => ({
  historyId: 'h', term: 1, revision: 1, flushedRevision: 0, lastFlush: undefined, streamMarks: new Map(Object.entries(marks)),
  partitions: new Map([[0, { segment: 0, segmentRows: 0, voids: new Map(), streams: new Map(Object.entries(unmarked).map(([streamId, gatewayId]) => [streamId, { gatewayId, appliedSeq: 1, stagedSeq: 1, archivedSeq: 1 }])) }]])
})
const markOf = (gatewayId: string, watermarkMs: number, state: StreamMark['state'] = 'open'): StreamMark => ({ gatewayId, seq: 1, watermarkMs, state })

test('a gateway is as far as its slowest open stream, and ended when all have ended', () => {
  assert.deepEqual(gatewayWatermarks(stateOf({ a: markOf('g', 50, 'closed'), b: markOf('g', 70), c: markOf('g', 60), d: markOf('h', 10, 'recovered') })), [{ gatewayId: 'g', watermarkMs: 60 }, { gatewayId: 'h', watermarkMs: null }])
})

test('a stream that has said nothing yet holds its gateway at what it has said before', () => {
  assert.deepEqual(gatewayWatermarks(stateOf({ a: markOf('g', 50, 'closed') }, { b: 'g' })), [{ gatewayId: 'g', watermarkMs: 50 }])
  assert.deepEqual(gatewayWatermarks(stateOf({}, { b: 'g' })), [{ gatewayId: 'g', watermarkMs: 0 }])
})

test('making a folder that is there is no error', (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(path.join(folder, 'x'))
  writeFileDurable(path.join(folder, 'x', 'y'), '')
  assert.deepEqual(readdirSync(path.join(folder, 'x')), ['y'])
})
