// Every file of the checkout that is written from a source here, and what it must say.
import { indexTemplate, locationPipeline } from './elasticsearch.ts'
import { kibanaObjects } from './kibana.ts'
import { logstashJvmOptions, logstashPipeline, logstashSettings } from './logstash.ts'
import { metricbeatConfiguration } from './metricbeat.ts'
import { metricsPage } from './metrics-page.ts'
import { rsyslogConfiguration } from './rsyslog.ts'

const json = (value: object): string => `${JSON.stringify(value, null, 2)}\n`

/** By path from the checkout's root. */
export function generatedFiles (): ReadonlyMap<string, string> {
  return new Map([
    ['docs/metrics.md', metricsPage()],
    ['monitoring/elasticsearch/index-template.json', json(indexTemplate())],
    ['monitoring/elasticsearch/location-pipeline.json', json(locationPipeline())],
    ['monitoring/logstash/pipeline.conf', logstashPipeline()],
    ['monitoring/logstash/pipeline-secured.conf', logstashPipeline({ isSecured: true })],
    ['monitoring/logstash/logstash.yml', logstashSettings()],
    ['monitoring/logstash/jvm.options', logstashJvmOptions()],
    ['monitoring/rsyslog/usage.conf', rsyslogConfiguration()],
    ['monitoring/rsyslog/usage-secured.conf', rsyslogConfiguration({ isSecured: true })],
    ['monitoring/kibana/dashboards.ndjson', kibanaObjects()],
    ['monitoring/metricbeat/metricbeat.yml', metricbeatConfiguration()]
  ])
}
