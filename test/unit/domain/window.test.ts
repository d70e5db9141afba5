import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dayEndHour, dayOf, daysBetween, earliestOpenMs, formatDate, formatTimeMs, hourEndMs, hourOf, hourOfDay, hourStartMs, isHourBoundary, parseDate, parseInstantMs, parseTimeMs, timeMsMax } from '../../../src/domain/window.ts'

test('an hour holds its first millisecond and not its end', () => {
  assert.equal(hourOf(0), 0)
  assert.equal(hourOf(3_599_999), 0)
  assert.equal(hourOf(3_600_000), 1)
  assert.equal(hourEndMs(0), hourStartMs(1))
  assert.ok(isHourBoundary(7_200_000) && !isHourBoundary(7_200_001))
})

test('an hour is open until its grace is over', () => {
  assert.equal(earliestOpenMs(hourStartMs(7) + 59_999, 60_000), hourStartMs(6))
  assert.equal(earliestOpenMs(hourStartMs(7) + 60_000, 60_000), hourStartMs(7))
})

test('days have 24 hours in UTC', () => {
  const hour = hourOf(Date.UTC(2024, 1, 29, 23, 59))
  assert.deepEqual(dayOf(hour), { date: '2024-02-29', firstHour: hour - 23, endHour: hour + 1 })
  assert.equal(hourOfDay(hour), 23)
  assert.equal(dayEndHour(hour - 23), hour + 1)
  assert.equal(daysBetween(hour, hour + 1), 1)
  assert.equal(daysBetween(hour - 23, hour), 0)
  assert.equal(daysBetween(hour + 1, hour), -1)
})

test('times are written in one form and read back only in it', () => {
  const timeMs = Date.UTC(2026, 0, 2, 3, 4, 5, 6)
  assert.equal(formatTimeMs(timeMs), '2026-01-02T03:04:05.006Z')
  assert.equal(parseTimeMs('2026-01-02T03:04:05.006Z'), timeMs)
  assert.equal(formatTimeMs(timeMsMax), '9999-12-31T23:59:59.999Z')
  for (const wrong of ['', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05.006', '2026-01-02 03:04:05.006Z', '2026-01-02T24:00:00.000Z', '2026-02-29T00:00:00.000Z', '2026-13-01T00:00:00.000Z', '2026-01-02T03:04:60.000Z', '+12026-01-02T03:04:05.006Z', '1969-12-31T23:59:59.999Z', '2026-01-02T03:04:05.006z', '２026-01-02T03:04:05.006Z']) assert.equal(parseTimeMs(wrong), undefined, wrong)
  for (const wrong of [-1, 1.5, NaN, timeMsMax + 1]) assert.throws(() => formatTimeMs(wrong), RangeError)
})

test('dates are real days', () => {
  const firstHour = hourOf(Date.UTC(2024, 1, 29))
  assert.equal(parseDate('2024-02-29'), firstHour)
  assert.equal(formatDate(firstHour + 23), '2024-02-29')
  for (const wrong of ['2023-02-29', '2024-2-29', '2024-02-30', '2024-00-10', '2024-01-00', '20240101', '2024-01-01 ', ' 2024-01-01', '2024-01-01T00:00:00.000Z', '\'; drop table --', '1969-12-31', '']) assert.equal(parseDate(wrong), undefined, wrong)
})

test('instants in files name their zone', () => {
  assert.equal(parseInstantMs('2026-01-01T00:00:00Z'), Date.UTC(2026, 0, 1))
  assert.equal(parseInstantMs('2026-01-01T00:00Z'), Date.UTC(2026, 0, 1))
  assert.equal(parseInstantMs('2026-01-01T00:00:00.5Z'), Date.UTC(2026, 0, 1) + 500)
  assert.equal(parseInstantMs('2026-01-01T00:00:00+09:00'), Date.UTC(2025, 11, 31, 15))
  assert.equal(parseInstantMs('2026-01-01T00:00:00-03:30'), Date.UTC(2026, 0, 1, 3, 30))
  for (const wrong of ['2026-01-01T00:00:00', '2026-01-01', '2026-01-32T00:00:00Z', '2026-01-01T00:00:00+19:00', '2026-01-01T00:00:00+01:60', '1970-01-01T00:00:00+09:00', '2026-01-01T00:00:00 Z']) assert.equal(parseInstantMs(wrong), undefined, wrong)
})
