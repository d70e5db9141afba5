// Rating: the parts are the whole, a price rules from its hour on and never before, and what is added changes no past.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatMoney } from '../../src/domain/money.ts'
import { openPriceBook } from '../../src/domain/price-book.ts'
import type { PriceBook, PriceBookDocument } from '../../src/domain/price-book.ts'
import { priceAt, rate } from '../../src/domain/rating.ts'
import type { Rated, UsageRow } from '../../src/domain/rating.ts'
import { formatTimeMs, hourStartMs } from '../../src/domain/window.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

const hourMax = 40
const cost = fc.bigInt({ min: 0n, max: 5_000_000n })
/** Prices by hour: the first since ever. */
const prices = fc.record({ first: cost, later: fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: hourMax }), cost), { selector: ([hour]) => hour, maxLength: 5 }) })
type Prices = { readonly first: bigint, readonly later: readonly (readonly [number, bigint])[] }
const groups = fc.array(prices, { minLength: 1, maxLength: 3 })
const rows = fc.array(fc.record({ apiEndpointId: fc.integer({ min: 0, max: 4 }), hour: fc.integer({ min: 0, max: hourMax + 2 }), units: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), fc.bigInt({ min: 0n, max: 2n ** 63n })) }), { maxLength: 30 })

function documentOf (given: readonly Prices[]): PriceBookDocument {
  return {
    currency: 'KRW',
    groups: given.map(({ first, later }, at) => ({ id: at + 1, name: `group ${at + 1}`, prices: [...later.map(([hour, micros]) => ({ from: formatTimeMs(hourStartMs(hour)), cost: formatMoney(micros) })), { cost: formatMoney(first) }] })),
    endpoints: given.map((_, at) => ({ id: at + 1, group: at + 1, path: `/${at}` }))
  }
}
/** What a price is, told in the simplest way: walk the hours. */
function modelPrice (given: readonly Prices[], endpointId: number, hour: number): bigint | undefined {
  const group = given[endpointId - 1]
  if (group === undefined) return undefined
  let price = group.first
  for (let at = 0; at <= hour; at++) price = group.later.find(([from]) => from === at)?.[1] ?? price
  return price
}

type PriceAt = (book: PriceBook, endpointId: number, hour: number) => bigint | undefined
const pricesOf = (book: PriceBook, endpointId: number) => book.endpoint(endpointId)?.group.prices ?? []

test('a price is the last one that began', () => {
  assertHoldsAndKills<PriceAt>(
    (price) => fc.property(groups, fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: hourMax + 2 }), (given, endpointId, hour) => {
      assert.equal(price(openPriceBook(documentOf(given)), endpointId, hour), modelPrice(given, endpointId, hour))
    }),
    priceAt,
    {
      'begins an hour late': (book, id, hour) => pricesOf(book, id).findLast((entry) => entry.fromHour < hour)?.costMicros,
      'begins an hour early': (book, id, hour) => pricesOf(book, id).findLast((entry) => entry.fromHour <= hour + 1)?.costMicros,
      'the newest price for all time': (book, id) => pricesOf(book, id).at(-1)?.costMicros,
      'the oldest price for all time': (book, id) => pricesOf(book, id)[0]?.costMicros,
      'free when unknown': (book, id, hour) => priceAt(book, id, hour) ?? 0n
    }
  )
})

test('the sum of the parts is the whole, however the rows are split', () => {
  assertHoldsAndKills<(rows: readonly UsageRow[], book: PriceBook) => Rated>(
    (rateBy) => fc.property(groups, rows, fc.double({ min: 0, max: 1, noNaN: true }), (given, all, part) => {
      const book = openPriceBook(documentOf(given))
      const whole = rateBy(all, book)
      assert.equal(whole.costsMicros.reduce((sum, costMicros) => sum + costMicros, 0n), whole.totalMicros)
      const at = Math.floor(all.length * part)
      assert.equal(rateBy(all.slice(0, at), book).totalMicros + rateBy(all.slice(at), book).totalMicros, whole.totalMicros)
      for (const [index, row] of all.entries()) assert.equal(whole.costsMicros[index], BigInt(row.units) * (modelPrice(given, row.apiEndpointId, row.hour) ?? 0n))
    }),
    rate,
    {
      'rounded row by row': (all, book) => { const { costsMicros } = rate(all, book); return { costsMicros, totalMicros: costsMicros.reduce((sum, costMicros) => sum + costMicros / 1_000_000n * 1_000_000n, 0n) } },
      'through floats': (all, book) => { const costsMicros = all.map((row) => BigInt(Math.round(Number(row.units) * Number(priceAt(book, row.apiEndpointId, row.hour) ?? 0n)))); return { costsMicros, totalMicros: costsMicros.reduce((sum, costMicros) => sum + costMicros, 0n) } },
      'per request instead of per unit': (all, book) => rate(all.map((row) => ({ ...row, units: 1 })), book),
      'one price for all rows': (all, book) => rate(all.map((row) => ({ ...row, hour: all[0]?.hour ?? 0 })), book)
    }
  )
})

test('a new price changes no hour before it', () => {
  const grown: (given: readonly Prices[], hour: number, micros: bigint) => readonly Prices[] = (given, hour, micros) =>
    given.map((group, at) => at === 0 ? { ...group, later: [...group.later.filter(([from]) => from !== hour), [hour, micros] as const] } : group)
  assertHoldsAndKills<typeof grown>(
    (add) => fc.property(groups, fc.integer({ min: 1, max: hourMax }), cost, (given, hour, micros) => {
      const [before, after] = [given, add(given, hour, micros)].map((each) => openPriceBook(documentOf(each))) as [PriceBook, PriceBook]
      for (let at = 0; at < hour; at++) assert.equal(priceAt(after, 1, at), priceAt(before, 1, at))
      assert.equal(priceAt(after, 1, hour), micros)
    }),
    grown,
    {
      'replaces the price since ever': (given, _hour, micros) => given.map((group, at) => at === 0 ? { ...group, first: micros } : group),
      'begins an hour early': (given, hour, micros) => hour > 1 ? grown(grown(given, hour, micros), hour - 1, micros) : grown(given, hour, micros)
    }
  )
})
