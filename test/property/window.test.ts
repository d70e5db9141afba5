// Hours: every instant is in exactly one, days are made of 24, and text goes back and forth. Judged by the platform's Date.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { dayOf, formatDate, formatTimeMs, hourEndMs, hourOf, hourOfDay, hourStartMs, parseDate, parseInstantMs, parseTimeMs, timeMsMax } from '../../src/domain/window.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

const timeMs = fc.oneof(
  fc.integer({ min: 0, max: timeMsMax }),
  // Around the edges of hours.
  fc.tuple(fc.integer({ min: 1, max: 70_000_000 }), fc.integer({ min: -2, max: 2 })).map(([hour, off]) => hour * 3_600_000 + off)
)

test('an instant is in the hour that the clock shows', () => {
  assertHoldsAndKills(
    (hour) => fc.property(timeMs, (time) => {
      const date = new Date(time)
      const start = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours())
      // Date.UTC reads years below 100 as 19xx; none are here, since the epoch is 1970.
      assert.equal(hourStartMs(hour(time)), start)
      assert.ok(hourStartMs(hour(time)) <= time && time < hourEndMs(hour(time)))
    }),
    hourOf,
    {
      'nearest hour': (time) => Math.round(time / 3_600_000),
      'the hour\'s end belongs to it': (time) => Math.ceil(time / 3_600_000) - 1,
      '32 bits': (time) => (time / 3_600_000 * 1000 | 0) / 1000 | 0,
      'a minute late': (time) => Math.floor((time + 60_000) / 3_600_000)
    }
  )
})

test('text of times: the platform\'s, and only that', () => {
  assertHoldsAndKills(
    ({ parse, format }) => fc.property(fc.array(timeMs, { minLength: 2, maxLength: 5 }), (times) => {
      for (const time of times) {
        assert.equal(format(time), new Date(time).toISOString())
        assert.equal(parse(format(time)), time)
      }
    }),
    { parse: parseTimeMs, format: formatTimeMs },
    {
      'seconds cached too long': (() => {
        let cached: string | undefined
        return { parse: parseTimeMs, format: (time: number) => { cached ??= new Date(time).toISOString().slice(0, 20); return `${cached}${String(time % 1000).padStart(3, '0')}Z` } }
      })(),
      'milliseconds without zeros': { parse: parseTimeMs, format: (time) => new Date(time).toISOString().replace(/\.0*(\d+)Z$/, '.$1Z') }
    }
  )
})

test('text that is no time is refused, whatever the platform makes of it', () => {
  const almost = fc.tuple(fc.integer({ min: 0, max: 9999 }), fc.integer({ min: 0, max: 19 }), fc.integer({ min: 0, max: 39 }), fc.integer({ min: 0, max: 29 }), fc.integer({ min: 0, max: 69 }))
    .map(([year, month, day, hour, minute]) => ({ year, month, day, hour, minute, date: `${String(year).padStart(4, '0')}-${String(month).padStart(2, '0')}-${String(day).padStart(2, '0')}`, time: `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}` }))
  const isReal = (year: number, month: number, day: number): boolean => {
    const isLeap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0
    const days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return year >= 1970 && month >= 1 && month <= 12 && day >= 1 && day <= (days[month - 1] as number)
  }
  assertHoldsAndKills(
    ({ date: readDate, time: readTime }) => fc.property(almost, ({ year, month, day, hour, minute, date, time }) => {
      assert.equal(readDate(date) !== undefined, isReal(year, month, day), date)
      const isTime = isReal(year, month, day) && hour <= 23 && minute <= 59
      assert.equal(readTime(`${date}T${time}:00.000Z`) !== undefined, isTime)
      assert.equal(parseInstantMs(`${date}T${time}Z`) !== undefined, isTime)
    }),
    { date: parseDate, time: parseTimeMs },
    {
      'as lenient as Date': { date: parseDate, time: (text) => Number.isNaN(Date.parse(text)) ? undefined : Date.parse(text) },
      'days run over': { date: (text) => { const [year = 0, month = 0, day = 0] = text.split('-').map(Number); return month > 12 || day > 31 ? undefined : hourOf(Date.UTC(year, month - 1, day)) }, time: parseTimeMs }
    },
    500
  )
})

test('a day is its 24 hours, under one date', () => {
  fc.assert(fc.property(timeMs, (time) => {
    const hour = hourOf(time)
    const day = dayOf(hour)
    assert.equal(day.endHour - day.firstHour, 24)
    assert.equal(day.firstHour + hourOfDay(hour), hour)
    assert.equal(day.date, new Date(time).toISOString().slice(0, 10))
    assert.equal(parseDate(day.date), day.firstHour)
    assert.equal(formatDate(day.endHour - 1), day.date)
  }), { numRuns: 300 })
})
