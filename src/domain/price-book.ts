// What a request costs: groups with a price per unit from an instant on, and endpoints (method and path pattern) that belong
// to a group. The past never changes: a new price starts at the beginning of an hour, and an endpoint that moves to another
// group ends with `until` and goes on under an id of its own. One price of each group has no `from` and holds since ever, so
// no hour is without a price; a request that matches no endpoint is `unpriced`, endpoint 0, and shown as such.
import { readPriceBook } from './price-book-document.ts'
import type { PriceBookDocument, PriceBookProblem, PricedEndpoint, PriceGroup } from './price-book-document.ts'
import { createPathIndex } from './route-pattern.ts'

export type { Price, PriceBookDocument, PriceBookProblem, PricedEndpoint, PriceGroup } from './price-book-document.ts'

export interface PriceBook {
  /** Three capitals, such as KRW. */
  readonly currency: string
  readonly groups: readonly PriceGroup[]
  readonly endpoints: readonly PricedEndpoint[]
  /** What it was made from, plain and structured-cloneable: threads compile it again. */
  readonly document: PriceBookDocument
  /** Undefined for 0 and for an id that the book doesn't have. */
  readonly endpoint: (endpointId: number) => PricedEndpoint | undefined
  /**
   * The endpoint that a request belongs to; 0 when none matches. A path's best pattern counts first (see route-pattern.ts),
   * then an endpoint with this method, then one for every method. A HEAD request is also taken by an endpoint for GET.
   * @param path as received, without query
   */
  readonly endpointOf: (method: string, path: string, requestTimeMs: number) => number
}

/** All problems at once, each with its path in the document, such as `groups[2].prices[1].from`. */
export function compilePriceBook (document: unknown): { readonly book: PriceBook } | { readonly problems: readonly PriceBookProblem[] } {
  const read = readPriceBook(document)
  if ('problems' in read) return read
  const { currency, groups, endpoints } = read
  const byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]))
  // Where patterns match the same paths, the first accepted one wins.
  const inOrder = [...endpoints].sort((a, b) => methodRank(a.method) - methodRank(b.method))
  const index = createPathIndex(inOrder.map((endpoint) => ({ pattern: endpoint.pattern, value: endpoint })))
  return {
    book: {
      currency,
      groups,
      endpoints,
      document: document as PriceBookDocument,
      endpoint: (endpointId) => byId.get(endpointId),
      endpointOf: (method, path, requestTimeMs) => {
        const accepts = (endpoint: PricedEndpoint): boolean => isForMethod(endpoint.method, method) && endpoint.fromMs <= requestTimeMs && requestTimeMs < endpoint.untilMs
        return index.find(path, accepts)?.id ?? 0
      }
    }
  }
}

function methodRank (method: string | undefined): number { return method === undefined ? 2 : method === 'GET' ? 1 : 0 }

function isForMethod (endpointMethod: string | undefined, method: string): boolean {
  return endpointMethod === undefined || endpointMethod === method || (method === 'HEAD' && endpointMethod === 'GET')
}

/** For a document that has been compiled before, such as in another thread. @throws Error with every problem */
export function openPriceBook (document: PriceBookDocument): PriceBook {
  const compiled = compilePriceBook(document)
  if ('book' in compiled) return compiled.book
  throw new Error(`price book: ${compiled.problems.map(({ path, message }) => `${path}: ${message}`).join('; ')}`)
}
