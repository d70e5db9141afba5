import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compareStores } from '../../../src/aggregator/verify.ts'
import type { Counted, HourStores, HourSums, SaidHour, StreamHour, VerifyInput, VerifyReport } from '../../../src/aggregator/verify.ts'
import type { StreamMark } from '../../../src/aggregator/state.ts'
import { testHour, testTimeMs } from '../../helpers/memory-usage-log.ts'

const counted = (billable: number, given: Partial<Counted> = {}): Counted => ({ billable, notBillable: 0, deadLettered: 0, voided: 0, ...given })
const said = (answered: number, given: Partial<SaidHour> = {}): SaidHour => ({ seq: answered, answered, journaled: answered, countedOnly: 0, recovered: 0, counted: counted(answered), ...given })
const hourOf = (count: number, given: Partial<StreamHour> = {}): StreamHour => ({ streamId: 's', gatewayId: 'g', hour: testHour, said: said(count), counted: counted(count), archived: count, archivedAtMark: count, isArchivePending: false, ...given })
const sums = (count: number): HourSums => ({ count: BigInt(count), keyedCount: BigInt(count * 7), units: BigInt(count), requestBytes: 0n, responseBytes: 0n, errorCount: 0n })
const stores = (count: number, given: Partial<HourStores> = {}): HourStores => ({ hour: testHour, rows: sums(count), archive: sums(count), ledger: sums(count), isLedgerBehind: false, isArchivePending: false, ...given })
const closed: StreamMark = { gatewayId: 'g', seq: 9, watermarkMs: testTimeMs, state: 'closed' }
const moving: StreamMark = { ...closed, state: 'open' }

function compare (given: Partial<VerifyInput> = {}, isAcknowledged = false): VerifyReport {
  const input: VerifyInput = { streamHours: [hourOf(3)], streamMarks: new Map([['s', closed]]), hours: [stores(3)], uncertain: [], problems: [], unchecked: [], hasLedger: true, ...given }
  return compareStores(input, () => isAcknowledged)
}
const statusOf = (report: VerifyReport): string => report.rows.map(({ status }) => status).join()

test('equal stores are ok', () => {
  const report = compare()
  assert.deepEqual(report.rows, [{
    gatewayId: 'g', hour: testHour, answered: 3, recovered: 0, journaled: 3, countedOnly: 0, archived: 3, deadLettered: 0, voided: 0, billable: 3, notBillable: 0, ledgerCount: 3, status: 'ok', problems: []
  }])
  assert.equal(report.exitCode, 0)
})

test('recovered and counted-only answers belong to the account', () => {
  assert.equal(statusOf(compare({ streamHours: [hourOf(3, { said: said(2, { seq: 3, journaled: 3, recovered: 1 }) })] })), 'ok')
  assert.equal(statusOf(compare({ streamHours: [hourOf(3, { said: said(8, { seq: 3, journaled: 3, countedOnly: 5 }) })] })), 'ok')
})

for (const [what, streamHour] of [
  ['an answer too many', hourOf(3, { said: said(4, { journaled: 3 }) })],
  ['an answer too few', hourOf(3, { said: said(2, { journaled: 3 }) })],
  ['an event that was not journaled', hourOf(3, { said: said(2) })],
  ['an event missing in the archive', hourOf(3, { archived: 2 })],
  ['an event that was not counted', hourOf(3, { counted: counted(2) })],
  ['no account of the gateway', hourOf(3, { said: undefined })]
] as const) {
  test(`a difference: ${what}`, () => {
    const report = compare({ streamHours: [streamHour] })
    assert.equal(statusOf(report), 'difference')
    assert.equal(report.exitCode, 1)
    assert.ok((report.rows[0]?.problems.length ?? 0) > 0)
  })
}

test('a moving hour is compared at the last mark and shown open', () => {
  const report = compare({ streamHours: [hourOf(5, { said: said(3), archivedAtMark: 3 })], streamMarks: new Map([['s', moving]]), hours: [stores(5)] })
  assert.equal(statusOf(report), 'open')
  assert.deepEqual([report.rows[0]?.answered, report.rows[0]?.billable, report.rows[0]?.archived], [3, 3, 3])
  assert.equal(report.exitCode, 0)
  assert.equal(statusOf(compare({ streamHours: [hourOf(5, { said: said(3, { counted: counted(2) }), archivedAtMark: 3 })], streamMarks: new Map([['s', moving]]), hours: [stores(5)] })), 'difference')
  assert.equal(statusOf(compare({ streamHours: [hourOf(5, { said: said(3), archivedAtMark: 2 })], streamMarks: new Map([['s', moving]]), hours: [stores(5)] })), 'difference')
})

test('while an hour moves, more may be journaled than answered, never the reverse', () => {
  const at = (answered: number): string => statusOf(compare({ streamHours: [hourOf(3, { said: said(3, { answered }) })], streamMarks: new Map([['s', moving]]) }))
  assert.equal(at(2), 'open')
  assert.equal(at(4), 'difference')
})

test('an hour that the watermark has passed is settled, though its stream is open', () => {
  const passed = new Map([['s', { ...moving, watermarkMs: testTimeMs + 3_600_000 }]])
  assert.equal(statusOf(compare({ streamMarks: passed })), 'ok')
  assert.equal(statusOf(compare({ streamMarks: passed, streamHours: [hourOf(3, { said: said(2, { journaled: 3 }) })] })), 'difference')
})

test('dead letters and voids add up, and need an acknowledgement', () => {
  const dead = { streamHours: [hourOf(3, { counted: counted(2, { deadLettered: 1 }), archived: 2 })], hours: [stores(2)] }
  assert.equal(statusOf(compare(dead)), 'dead-letter')
  assert.equal(compare(dead).exitCode, 1)
  assert.equal(statusOf(compare(dead, true)), 'acknowledged')
  assert.equal(compare(dead, true).exitCode, 0)
  assert.equal(statusOf(compare({ streamHours: [hourOf(3, { counted: counted(2, { voided: 1 }), archived: 2 })], hours: [stores(2)] })), 'void')
  assert.equal(statusOf(compare({ uncertain: [{ gatewayId: 'g', hour: testHour }] })), 'void')
})

test('a void that doesn\'t know what it took explains what is missing, and nothing else', () => {
  const uncertain = [{ gatewayId: 'g', hour: testHour }]
  const missing = compare({ uncertain, streamHours: [hourOf(3, { said: said(5), counted: counted(3), archived: 3 })] })
  assert.equal(statusOf(missing), 'void')
  assert.match(missing.rows[0]?.problems.join() ?? '', /unknown number of events: 2 by/)
  assert.equal(statusOf(compare({ uncertain, streamHours: [hourOf(3, { said: said(2), counted: counted(3), archived: 3 })] })), 'difference')
  assert.equal(statusOf(compare({ uncertain, streamHours: [hourOf(3, { archived: 2 })] })), 'difference')
})

test('an acknowledgement never hides an hour that is ok or open', () => {
  assert.equal(statusOf(compare({}, true)), 'ok')
})

for (const [what, hour] of [
  ['a row of the aggregator', stores(3, { rows: sums(4) })],
  ['a row of the ledger', stores(3, { ledger: sums(2) })],
  ['no row in the ledger', stores(3, { ledger: undefined })],
  ['units', stores(3, { ledger: { ...sums(3), units: 9n } })],
  ['bytes', stores(3, { ledger: { ...sums(3), responseBytes: 9n } })],
  ['another member\'s key', stores(3, { ledger: { ...sums(3), keyedCount: 22n } })]
] as const) {
  test(`a difference between the stores of an hour: ${what}`, () => { assert.equal(statusOf(compare({ hours: [hour] })), 'difference') })
}

test('an hour that a store has and no gateway knows is named', () => {
  const report = compare({ hours: [stores(3), { hour: testHour + 1, rows: sums(1), archive: undefined, ledger: undefined, isLedgerBehind: false, isArchivePending: false }] })
  assert.deepEqual(report.rows.map(({ gatewayId, hour, status }) => [gatewayId, hour, status]), [['g', testHour, 'ok'], ['g', testHour + 1, 'difference']])
})

test('a ledger that has not come along yet is no difference', () => {
  const report = compare({ hours: [stores(3, { ledger: sums(1), isLedgerBehind: true })] })
  assert.equal(statusOf(report), 'open')
})

test('what is not archived yet is not compared with the archive', () => {
  const report = compare({ streamHours: [hourOf(3, { archived: 0, archivedAtMark: 0, isArchivePending: true })], hours: [stores(3, { archive: undefined, isArchivePending: true })], unchecked: ['pending'] })
  assert.equal(statusOf(report), 'open')
  assert.equal(report.exitCode, 2)
})

test('what could not be checked is said, and is not ok', () => {
  const report = compare({ hasLedger: false, unchecked: ['no ledger was asked'] })
  assert.equal(report.exitCode, 2)
  assert.equal(report.rows[0]?.ledgerCount, null)
  assert.equal(compare({ unchecked: ['x'], problems: [{ problem: 'y' }] }).exitCode, 1)
})

test('problems go to the gateway and hour that they name, to all of the hour, or to nobody alone', () => {
  const report = compare({
    streamHours: [hourOf(3), hourOf(2, { streamId: 't', gatewayId: 'h' })], streamMarks: new Map([['s', closed], ['t', closed]]), hours: [stores(5)],
    problems: [{ gatewayId: 'h', hour: testHour, problem: 'file' }, { hour: testHour, problem: 'both' }, { problem: 'whole' }]
  })
  assert.deepEqual(report.rows.map(({ gatewayId, problems }) => [gatewayId, problems]), [['g', ['both']], ['h', ['file', 'both']]])
  assert.deepEqual(report.problems, ['whole'])
})
