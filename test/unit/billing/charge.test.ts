import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chargeOf, rangeOf, usageGroupings, usageOf } from '../../../src/billing/charge.ts'
import { roundToWhole } from '../../../src/domain/money.ts'
import { rate } from '../../../src/domain/rating.ts'
import { parseDate } from '../../../src/domain/window.ts'
import type { MemberHour } from '../../../src/ledger/ledger-types.ts'
import { book, completeBeforeHour, memberHours } from '../../helpers/billing-ledger.ts'

const midnight = parseDate('2026-01-15') as number
const anyRows = fc.uniqueArray(fc.record({
  apiKeyId: fc.integer({ min: 1, max: 3 }),
  hour: fc.integer({ min: midnight - 30, max: midnight + 60 }),
  apiEndpointId: fc.constantFrom(0, 11, 12, 99),
  count: fc.integer({ min: 1, max: 1_000 }),
  units: fc.bigInt({ min: 0n, max: 1_000_000n })
}), { maxLength: 60, selector: ({ apiKeyId, hour, apiEndpointId }) => `${apiKeyId}|${hour}|${apiEndpointId}` }).map((rows) => rows
  .map((row): MemberHour => ({ ...row, errorCount: row.count % 3, requestBytes: row.count * 7, responseBytes: row.count * 11 }))
  .sort((a, b) => a.apiKeyId - b.apiKeyId || a.hour - b.hour || a.apiEndpointId - b.apiEndpointId))

test('every total of a charge is the sum of what is shown below it, and the whole is rounded once', () => {
  fc.assert(fc.property(anyRows, (rows) => {
    const charge = chargeOf({ memberId: 7, rows, completeBeforeHour }, book)
    const sum = (parts: readonly { totalCost: bigint, totalCount: number }[]): [bigint, number] => [parts.reduce((all, part) => all + part.totalCost, 0n), parts.reduce((all, part) => all + part.totalCount, 0)]
    assert.deepEqual([charge.totalCost, charge.totalCount], sum(charge.apiKeys))
    for (const key of charge.apiKeys) {
      assert.deepEqual([key.totalCost, key.totalCount], sum(key.dayCharges))
      for (const day of key.dayCharges) {
        assert.equal(day.totalCost, day.hours.reduce((all, hour) => all + hour.cost, 0n))
        assert.equal(day.totalCount, day.hours.reduce((all, hour) => all + hour.count, 0))
      }
    }
    assert.equal(charge.totalCost, roundToWhole(rate(rows, book).totalMicros))
    assert.equal(charge.totalCount, rows.reduce((all, { count }) => all + count, 0))
    assert.equal(charge.unpriced, rows.filter(({ apiEndpointId }) => apiEndpointId === 0 || apiEndpointId === 99).reduce((all, { count }) => all + count, 0))
  }), { numRuns: 200 })
})

test('every grouping of the same usage has the same exact total', () => {
  fc.assert(fc.property(anyRows, (rows) => {
    const range = { fromHour: midnight - 48, toHour: midnight + 72 }
    const totals = usageGroupings.map((by) => usageOf({ memberId: 7, rows, completeBeforeHour }, range, by, book))
    for (const usage of totals) {
      assert.deepEqual(usage.total, totals[0]?.total)
      assert.equal(String(usage.lines.reduce((all, line) => all + BigInt(line.costMicros), 0n)), usage.total.costMicros)
      assert.equal(String(usage.lines.reduce((all, line) => all + BigInt(line.units), 0n)), usage.total.units)
      assert.equal(usage.lines.reduce((all, line) => all + line.count, 0), usage.total.count)
    }
  }), { numRuns: 100 })
})

test('a day is complete with its last hour', () => {
  const day = (beforeHour: number): boolean | undefined => usageOf({ memberId: 7, rows: memberHours.slice(1, 2), completeBeforeHour: beforeHour }, { fromHour: midnight, toHour: midnight + 24 }, 'day', book).lines[0]?.isComplete
  assert.deepEqual([day(0), day(midnight + 23), day(midnight + 24)], [false, false, true])
})

test('a range is both its days, whole', () => {
  assert.deepEqual(rangeOf({ from: '2026-01-15', to: '2026-01-15', daysMax: 1 }), { fromHour: midnight, toHour: midnight + 24 })
  assert.throws(() => rangeOf({ from: '2026-01-15', to: '2026-01-16', daysMax: 1 }), { code: 'M0007' })
  assert.throws(() => rangeOf({ from: '2026-01-15', to: '2026-01-14', daysMax: 1 }), { code: 'M0002' })
  assert.throws(() => rangeOf({ from: undefined, to: '2026-01-14', daysMax: 1 }), { code: 'M0002' })
})
