// What Elasticsearch is told: a template for the indices that hold usage events, one a day, and the pipeline that finds
// where a client is from its address.
import { eventFields } from '../../src/domain/event-fields.ts'
import type { EventFieldKind } from '../../src/domain/event-fields.ts'

export const usageAlias = 'api_usage_trace'
/** Of a day of request times: `api_usage_trace-2026.01.15`. */
export const usageIndexPrefix = `${usageAlias}-`
export const geoipPipeline = `${usageAlias}-location`
export const locationField = 'requestLocation'

const mappings: Readonly<Record<EventFieldKind, object>> = {
  uuid: { type: 'keyword' },
  text: { type: 'keyword' },
  time: { type: 'date', format: 'strict_date_time' },
  number: { type: 'long' },
  amount: { type: 'long' },
  address: { type: 'ip' }
}
export function indexTemplate (): object {
  const properties = Object.fromEntries(Object.entries(eventFields).map(([name, { kind }]) => [name, mappings[kind]]))
  return {
    index_patterns: [`${usageIndexPrefix}*`],
    priority: 200,
    template: {
      settings: {
        number_of_shards: 1,
        number_of_replicas: 0,
        refresh_interval: '5s',
        codec: 'best_compression',
        // A field of the wrong type is refused, not bent until it fits.
        'index.mapping.coerce': false,
        'index.mapping.ignore_malformed': false
      },
      // What a newer version adds is kept in the document and found when it is in this list.
      mappings: { dynamic: false, properties: { ...properties, [locationField]: { type: 'geo_point' } } },
      aliases: { [usageAlias]: {} }
    },
    _meta: { madeBy: 'Tollgate: monitoring/generate' }
  }
}

/** For those who fill the index with rsyslog; Logstash looks the address up by itself. */
export function locationPipeline (): object {
  return {
    description: 'Tollgate: where a client is, from its address',
    processors: [
      { geoip: { field: 'clientIp', target_field: 'geoip', properties: ['location'], ignore_missing: true, ignore_failure: true } },
      { rename: { field: 'geoip.location', target_field: locationField, ignore_missing: true, ignore_failure: true } },
      { remove: { field: 'geoip', ignore_missing: true, ignore_failure: true } }
    ]
  }
}
