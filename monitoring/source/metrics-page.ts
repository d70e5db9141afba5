// docs/metrics.md, from the catalogue in src/platform/metrics.ts.
import { metricCatalogue } from '../../src/platform/metrics.ts'

interface Definition { readonly type: string, readonly help: string, readonly labels?: readonly string[], readonly buckets?: readonly number[] }

/** First words of a name behind `tollgate_`, and what stands over their table. */
const sections: readonly (readonly [heading: string, words: readonly string[]])[] = [
  ['Program', ['build', 'price', 'reloads', 'certificate']],
  ['Gateway', ['gateway']],
  ['Limits', ['limiter']],
  ['Registry of members and keys', ['registry']],
  ['Journal', ['journal']],
  ['Shipper', ['shipper']],
  ['Aggregator', ['aggregator', 'usage']],
  ['Archive', ['archive']],
  ['Billing and ledger', ['billing', 'ledger', 'hourly']],
  ['Completeness and conservation', ['complete', 'completeness', 'conservation']]
]

const introduction = `# Metrics

Every process answers \`GET /metrics\` at its operator's port (9464 for a gateway or a single process, 9465 for an aggregator, 9466 for a billing server)
in Prometheus' text format. This page is written from the catalogue in \`src/platform/metrics.ts\` by \`monitoring/generate\`.

- No metric has a label for a key or a member: their number has no bound. What a member uses is in the bill, and in Elasticsearch ([monitoring.md](monitoring.md)).
- A counter starts at 0 with its process. A histogram has \`_bucket\`, \`_sum\` and \`_count\`; its buckets' upper bounds are given below.
- A process has the metrics of its roles, each added up over its threads.
- Rules and alerts are in \`monitoring/prometheus\`; what to do about an alert is in [runbook.md](runbook.md).
`

/** @throws Error for a metric that no section takes */
export function metricsPage (): string {
  const entries = Object.entries(metricCatalogue) as readonly (readonly [string, Definition])[]
  const known = new Set(sections.flatMap(([, words]) => words))
  const stray = entries.filter(([name]) => !known.has(wordOf(name)))
  if (stray.length > 0) throw new Error(`monitoring/source/metrics-page.ts has no section for ${stray.map(([name]) => name).join(', ')}`)
  const tables = sections.map(([heading, words]) => {
    const rows = entries.filter(([name]) => words.includes(wordOf(name))).map(rowOf)
    return `## ${heading}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`
  })
  return [introduction, ...tables].join('\n')
}

function wordOf (name: string): string { return name.split('_')[1] ?? '' }

function rowOf ([name, { type, help, labels = [], buckets }]: readonly [string, Definition]): string {
  const bounds = buckets === undefined ? '' : `. Buckets: ${buckets.join(', ')}`
  return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help.replaceAll('|', '\\|')}${bounds} |`
}
