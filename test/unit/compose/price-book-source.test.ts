// Nodes with the same prices show the same digest, and a reload shows at once.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { priceBookSource } from '../../../src/compose/price-book-source.ts'
import { openPriceBook } from '../../../src/domain/price-book.ts'
import type { PriceBook } from '../../../src/domain/price-book.ts'

const bookOf = (cost: number): PriceBook => openPriceBook({ currency: 'KRW', groups: [{ id: 1, name: 'reads', prices: [{ cost }] }], endpoints: [{ id: 1, group: 1, path: '/api/**' }] })

test('the digest is that of the book in force', async () => {
  let inForce = bookOf(3)
  const source = priceBookSource(() => inForce)
  const shown = async (): Promise<unknown> => (await source.metrics()).flat().map(({ name, values }) => [name, values])
  const first = await shown()
  assert.deepEqual(await priceBookSource(() => bookOf(3)).metrics().then(([metrics]) => metrics?.map(({ name, values }) => [name, values])), first)
  inForce = bookOf(4)
  assert.notDeepEqual(await shown(), first)
  assert.match(JSON.stringify(first), /^\[\["tollgate_price_book_info",\[\{"labels":\{"sha256":"[0-9a-f]{16}"\},"value":1\}\]\]\]$/)
})
