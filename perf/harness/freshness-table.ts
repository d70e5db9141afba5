// How soon answers are on the bill, at one rate or several: the same table of one process and of a cluster.
import { lookEveryMs, markerEveryMs } from '../load/freshness.ts'
import type { WatchedLoad } from '../load/freshness.ts'
import type { OpenModelOutcome } from '../load/open-model.ts'
import { percentileOf } from './rounds.ts'
import type { Table } from './scenario.ts'
import { short, thousands } from './table.ts'

export interface FreshnessAt extends WatchedLoad<OpenModelOutcome> { readonly ratePerS: number }

export function freshnessTable (loads: readonly FreshnessAt[]): Table {
  return {
    title: 'From an answer to the bill, seconds',
    columns: ['requests/s', 'p50', 'p90', 'p99', 'most', 'answers: p50 ms', 'p99 ms'],
    rows: loads.map(({ ratePerS, outcome, freshnessMs }) => [
      thousands(ratePerS), ...[0.5, 0.9, 0.99, 1].map((share) => short(percentileOf(freshnessMs, share) / 1000)), short(outcome.latencyMsP50), short(outcome.latencyMsP99)
    ]),
    notes: []
  }
}

/** @param sent how many markers there were */
export const markersText = (sent: number): string => `Freshness: beside the load another member sends a request each ${markerEveryMs} ms (${thousands(sent)} in all), and its bill is asked for over HTTP each ${lookEveryMs} ms: from the answer's last byte to the first bill with the request on it.`
