import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compilePriceBook, openPriceBook } from '../../../src/domain/price-book.ts'
import type { PriceBook, PriceBookDocument } from '../../../src/domain/price-book.ts'
import { isPriced, priceAt, rate, wholeCosts } from '../../../src/domain/rating.ts'
import { hourOf } from '../../../src/domain/window.ts'

const at = Date.UTC(2026, 10, 23)

const document: PriceBookDocument = {
  currency: 'KRW',
  groups: [
    { id: 1, name: 'reads', prices: [{ cost: '1.5' }, { from: '2027-01-01T00:00:00+09:00', cost: 2 }] },
    { id: 2, name: 'writes', prices: [{ from: '2026-06-01', cost: '20' }, { cost: '10' }] }
  ],
  endpoints: [
    { id: 11, group: 1, method: 'GET', path: '/things/{thing}' },
    { id: 12, group: 2, method: 'POST', path: '/things' },
    { id: 13, group: 1, path: '/files/**', until: '2026-12-01' },
    { id: 14, group: 2, path: '/files/**', from: '2026-12-01' },
    { id: 15, group: 2, method: 'PUT', path: '/files/**', from: '2026-12-01' }
  ]
}
const book: PriceBook = openPriceBook(document)

/** The paths of all problems of a changed document. */
function problemsOf (change: (copy: Mutable<PriceBookDocument>) => void): readonly (readonly [string, string])[] {
  const copy = structuredClone(document) as Mutable<PriceBookDocument>
  change(copy)
  const compiled = compilePriceBook(copy)
  if (!('problems' in compiled)) return []
  for (const problem of compiled.problems) assert.ok(problem.message !== '' && problem.remedy !== '')
  return compiled.problems.map(({ path, message }) => [path, message])
}
type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] extends object ? Mutable<Value[Key]> : Value[Key] | undefined }

test('a request finds its endpoint by method, path and time', () => {
  for (const [method, path, endpointId] of [
    ['GET', '/things/5', 11], ['HEAD', '/things/5', 11], ['POST', '/things/5', 0], ['POST', '/things', 12], ['GET', '/things', 0], ['DELETE', '/files/a', 13], ['GET', '/', 0], ['get', '/things/5', 0]
  ] as const) assert.equal(book.endpointOf(method, path, at), endpointId, `${method} ${path}`)
  const change = Date.UTC(2026, 11, 1)
  assert.equal(book.endpointOf('GET', '/files/a', change - 1), 13)
  assert.equal(book.endpointOf('GET', '/files/a', change), 14)
  assert.equal(book.endpointOf('PUT', '/files/a', change), 15, 'an endpoint for the method comes first')
})

test('a new price from an instant on changes no hour before it', () => {
  const from = hourOf(Date.UTC(2026, 11, 31, 15))
  assert.equal(priceAt(book, 11, from - 1), 1_500_000n)
  assert.equal(priceAt(book, 11, from), 2_000_000n)
  assert.equal(priceAt(book, 11, 0), 1_500_000n, 'the price without `from` holds since ever')
  assert.equal(priceAt(book, 12, hourOf(Date.UTC(2026, 4, 31, 23))), 10_000_000n)
  assert.equal(priceAt(book, 12, hourOf(Date.UTC(2026, 5, 1))), 20_000_000n, 'in whatever order they are written')
  assert.equal(priceAt(book, 0, from), undefined)
  assert.equal(priceAt(book, 99, from), undefined)
  assert.ok(isPriced(book, 11) && !isPriced(book, 0) && !isPriced(book, 99))
})

test('costs are exact, and shown in whole units that add up', () => {
  const rated = rate([{ apiEndpointId: 11, hour: hourOf(at), units: 3 }, { apiEndpointId: 0, hour: hourOf(at), units: 5 }, { apiEndpointId: 12, hour: hourOf(at), units: 2n ** 62n }], book)
  assert.deepEqual(rated, { costsMicros: [4_500_000n, 0n, 2n ** 62n * 20_000_000n], totalMicros: 4_500_000n + 2n ** 62n * 20_000_000n })
  assert.deepEqual(wholeCosts([400_000n, 400_000n, 400_000n]), { costs: [0n, 1n, 0n], total: 1n })
})

test('the first system\'s two tables can be written as they are', () => {
  const groups = [[1, 'start and end', 10], [2, 'position', 1]] as const
  const endpoints = [[1, 1, '/api/location-tracking/v1/tracking/{trackingId}/start', 'POST'], [2, 1, '/api/location-tracking/v1/tracking/{trackingId}/end', 'POST'], [3, 2, '/api/location-tracking/v1/tracking/{trackingId}', 'POST'], [4, 2, '/api/location-tracking/v1/tracking/{trackingId}', 'GET']] as const
  const first = openPriceBook({
    currency: 'KRW',
    groups: groups.map(([id, name, cost]) => ({ id, name, prices: [{ cost }] })),
    endpoints: endpoints.map(([id, group, path, method]) => ({ id, group, path, method }))
  })
  for (const [id, group, path, method] of endpoints) {
    assert.equal(first.endpointOf(method, path.replace('{trackingId}', '77'), at), id)
    assert.equal(priceAt(first, id, hourOf(at)), BigInt(groups.find(([groupId]) => groupId === group)?.[2] ?? -1) * 1_000_000n)
  }
})

test('what a thread is given compiles to the same book', () => {
  const again = openPriceBook(structuredClone(book.document))
  assert.deepEqual(again.endpoints, book.endpoints)
  assert.throws(() => openPriceBook({ ...document, currency: 'won' }), /currency/)
})

test('each mistake is refused with its place', () => {
  const cases: readonly (readonly [(copy: Mutable<PriceBookDocument>) => void, string, RegExp])[] = [
    [(copy) => { copy.currency = 'won' }, 'currency', /three capitals/],
    [(copy) => { delete (copy as { currency?: unknown }).currency }, 'currency', /missing/],
    [(copy) => { (copy as Record<string, unknown>)['curency'] = 1 }, 'curency', /unknown key/],
    [(copy) => { (copy as Record<string, unknown>)['groups'] = {} }, 'groups', /not a list/],
    [(copy) => { (copy.groups as unknown[])[1] = 5 }, 'groups[1]', /not an object/],
    [(copy) => { (copy.groups[1] as Mutable<PriceBookDocument['groups'][0]>).id = 1 }, 'groups[1].id', /twice/],
    [(copy) => { (copy.groups[0] as { id: unknown }).id = 0 }, 'groups[0].id', /not an id/],
    [(copy) => { (copy.groups[0] as { name: unknown }).name = '' }, 'groups[0].name', /not a name/],
    [(copy) => { (copy.groups[0] as { prices: unknown }).prices = [] }, 'groups[0].prices', /without a price/],
    [(copy) => { (copy.groups[0]?.prices as unknown[]).push({ cost: 1 }) }, 'groups[0].prices[2]', /second price without/],
    [(copy) => { (copy.groups[0]?.prices as unknown[]).push({ cost: 1, from: '2026-12-31T15:00:00Z' }) }, 'groups[0].prices[2].from', /same hour/],
    [(copy) => { (copy.groups[0]?.prices as unknown[]).shift() }, 'groups[0].prices', /since ever/],
    [(copy) => { (copy.groups[0]?.prices[1] as { from: unknown }).from = '2027-01-01T00:30:00Z' }, 'groups[0].prices[1].from', /beginning of an hour/],
    [(copy) => { (copy.groups[0]?.prices[1] as { from: unknown }).from = '2027-02-30' }, 'groups[0].prices[1].from', /not an instant/],
    [(copy) => { (copy.groups[0]?.prices[1] as { from: unknown }).from = '2027-01-01T00:00:00' }, 'groups[0].prices[1].from', /not an instant/],
    [(copy) => { (copy.groups[0]?.prices[0] as { cost: unknown }).cost = -1 }, 'groups[0].prices[0].cost', /below zero/],
    [(copy) => { (copy.groups[0]?.prices[0] as { cost: unknown }).cost = '1.0000001' }, 'groups[0].prices[0].cost', /not an amount/],
    [(copy) => { (copy.groups[0]?.prices[0] as { cost: unknown }).cost = 123456789012.123456 }, 'groups[0].prices[0].cost', /not an amount/],
    [(copy) => { (copy.groups[0]?.prices[0] as { cost: unknown }).cost = NaN }, 'groups[0].prices[0].cost', /not an amount/],
    [(copy) => { delete (copy.groups[0]?.prices[0] as { cost?: unknown }).cost }, 'groups[0].prices[0].cost', /missing/],
    [(copy) => { (copy.groups[0]?.prices[0] as Record<string, unknown>)['until'] = '2027-01-01' }, 'groups[0].prices[0].until', /unknown key/],
    [(copy) => { (copy.endpoints[1] as { id: unknown }).id = 11 }, 'endpoints[1].id', /twice/],
    [(copy) => { (copy.endpoints[1] as { group: unknown }).group = 3 }, 'endpoints[1].group', /no such group/],
    [(copy) => { (copy.endpoints[1] as { group: unknown }).group = '2' }, 'endpoints[1].group', /no such group/],
    [(copy) => { (copy.endpoints[1] as { method: unknown }).method = 'post' }, 'endpoints[1].method', /capitals/],
    [(copy) => { (copy.endpoints[1] as { path: unknown }).path = 'things' }, 'endpoints[1].path', /slash/],
    [(copy) => { (copy.endpoints[1] as { path: unknown }).path = '/a/../b' }, 'endpoints[1].path', /refused/],
    [(copy) => { delete (copy.endpoints[1] as { path?: unknown }).path }, 'endpoints[1].path', /missing/],
    [(copy) => { (copy.endpoints[2] as { until: unknown }).until = '2026-12-02' }, 'endpoints[3]', /in effect together with endpoints\[2\]/],
    [(copy) => { (copy.endpoints as unknown[]).push({ id: 16, group: 1, method: 'GET', path: '/things/{other}' }) }, 'endpoints[5]', /in effect together with endpoints\[0\]/],
    [(copy) => { (copy.endpoints[3] as { until: unknown }).until = '2026-11-01' }, 'endpoints[3].until', /not after/],
    [(copy) => { (copy.endpoints[3] as { from: unknown }).from = '2026-12-01T00:00:01Z' }, 'endpoints[3].from', /beginning of an hour/]
  ]
  for (const [change, path, message] of cases) {
    const found = problemsOf(change).find(([where]) => where === path)
    assert.ok(found !== undefined, `${path}: ${JSON.stringify(problemsOf(change))}`)
    assert.match(found[1], message)
  }
  for (const nothing of [undefined, null, 5, 'x', []]) assert.ok('problems' in compilePriceBook(nothing))
})

test('all mistakes are told at once', () => {
  assert.deepEqual(problemsOf((copy) => {
    copy.currency = ''
    ;(copy.groups[0]?.prices[0] as { cost: unknown }).cost = -1
    ;(copy.endpoints[0] as { group: unknown }).group = 9
    ;(copy.endpoints[1] as { path: unknown }).path = '/{'
  }).map(([path]) => path), ['currency', 'groups[0].prices[0].cost', 'endpoints[0].group', 'endpoints[1].path'])
})

test('an endpoint that ends long after a third one began still overlaps it', () => {
  assert.deepEqual(problemsOf((copy) => {
    ;(copy.endpoints as unknown[]).push(
      { id: 20, group: 1, path: '/x', from: '2026-01-01', until: '2027-01-01' },
      { id: 21, group: 1, path: '/x', from: '2026-02-01', until: '2026-03-01' },
      { id: 22, group: 1, path: '/x', from: '2026-06-01', until: '2026-07-01' }
    )
  }).map(([path]) => path), ['endpoints[6]', 'endpoints[7]'])
})
