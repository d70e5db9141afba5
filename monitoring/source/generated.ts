// Every file of the checkout that is written from a source here, and what it must say.
import { metricsPage } from './metrics-page.ts'

/** By path from the checkout's root. */
export function generatedFiles (): ReadonlyMap<string, string> {
  return new Map([
    ['docs/metrics.md', metricsPage()]
  ])
}
