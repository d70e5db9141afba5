// The demo's usage events in a real Elasticsearch: rsyslog brings them from Kafka, and the dashboards' questions are asked.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { dashboards } from '../monitoring/source/dashboards.ts'
import { panelQuery, panelRows } from '../monitoring/source/panel-query.ts'
import type { PanelAnswer, PanelRow } from '../monitoring/source/panel-query.ts'
import { eventually } from '../test/helpers/eventually.ts'
import { startElasticsearch } from '../test/services/elasticsearch.ts'
import { startRsyslog } from '../test/services/rsyslog.ts'
import { table } from './report.ts'

export interface DemoElastic {
  readonly url: string
  /** Waits until so many documents are there. @returns how many there are. @throws Error when they don't come */
  readonly awaitDocuments: (documents: number) => Promise<number>
  /** What each panel of usage events shows. */
  readonly panels: () => Promise<string>
  readonly stop: () => Promise<void>
}

const template = path.resolve(import.meta.dirname, '../monitoring/elasticsearch/index-template.json')
const rowsMax = 8
const indexWaitMs = 120_000

/** @param port this one and the next are taken */
export async function startElastic ({ folder, port, brokers }: { readonly folder: string, readonly port: number, readonly brokers: readonly string[] }): Promise<DemoElastic> {
  const elasticsearch = await startElasticsearch(undefined, { port, folder: path.join(folder, 'elasticsearch') })
  await elasticsearch.ask('PUT', '/_index_template/api_usage_trace', JSON.parse(readFileSync(template, 'utf8')))
  const rsyslog = startRsyslog(undefined, { brokers, topic: 'api-usage-trace', url: elasticsearch.url, folder: path.join(folder, 'rsyslog') })
  const count = async (): Promise<number> => {
    await elasticsearch.ask('POST', '/api_usage_trace-*/_refresh')
    return (await elasticsearch.ask<{ readonly count: number }>('GET', '/api_usage_trace-*/_count')).count
  }
  return {
    url: elasticsearch.url,
    awaitDocuments: async (documents) => await eventually(`${documents} documents are in Elasticsearch`, async () => {
      const found = await count()
      return found >= documents ? found : undefined
    }, { withinMs: indexWaitMs, everyMs: 500 }),
    panels: async () => {
      const asked = dashboards.flatMap(({ panels }) => panels).filter(({ source, chart }) => source === 'usage' && chart !== 'map')
      const texts = await Promise.all(asked.map(async (panel) => {
        const rows = panelRows(panel, await elasticsearch.ask<PanelAnswer>('POST', '/api_usage_trace/_search', panelQuery(panel)))
        return `  ${panel.title}\n${table(headOf(rows), rows.slice(0, rowsMax).map((row) => row.map((value) => String(typeof value === 'number' ? Math.round(value * 10) / 10 : value))))}`
      }))
      return texts.join('\n\n')
    },
    stop: async () => {
      await rsyslog.close()
      await elasticsearch.close()
    }
  }
}

function headOf ([first = []]: readonly PanelRow[]): readonly string[] {
  return first.map((value, index) => index === 0 ? 'of' : typeof value === 'number' ? 'number' : 'class')
}
