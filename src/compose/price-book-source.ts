// Which prices a node has, as a metric: nodes that bill by different ones would give two answers to one question.
import { createHash } from 'node:crypto'
import type { PriceBook } from '../domain/price-book.ts'
import { metricJson } from '../platform/metrics.ts'
import { metricsSource } from '../platform/operator-http.ts'
import type { OperatorSource } from '../platform/operator-http.ts'

const digestLength = 16

/** @param inForce read at each question */
export function priceBookSource (inForce: () => PriceBook): OperatorSource {
  return metricsSource('price book', async () => [[metricJson('tollgate_price_book_info', [{ labels: { sha256: digestOf(inForce()) }, value: 1 }])]])
}

/** Of what the file says: comments and spaces of it make no difference. */
function digestOf ({ document }: PriceBook): string {
  return createHash('sha256').update(JSON.stringify(document)).digest('hex').slice(0, digestLength)
}
