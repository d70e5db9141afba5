// Logstash's pipeline and settings: from Kafka to the index of the request's day, with the first system's settings. The same
// documents as rsyslog's (rsyslog.ts), but that the place of a client is found here.
import type { EventFieldName } from '../../src/domain/event-fields.ts'
import { locationField, usageIndexPrefix } from './elasticsearch.ts'

const identity: readonly EventFieldName[] = ['streamId', 'seq', 'requestTime']

export function logstashPipeline (): string {
  return `# Written by monitoring/generate from src/domain/event-fields.ts. Settings come from the environment:
# TOLLGATE_INDEXER_KAFKA (host:port,host:port), TOLLGATE_INDEXER_URL (http://host:9200), LOGSTASH_INTERNAL_PASSWORD.
input {
  kafka {
    bootstrap_servers => "\${TOLLGATE_INDEXER_KAFKA}"
    topics => ["\${TOLLGATE_INDEXER_TOPIC:api-usage-trace}"]
    group_id => "api_usage_logstash"
    consumer_threads => 1
    auto_offset_reset => "earliest"
    codec => "json"
    decorate_events => "basic"
  }
}
filter {
  # What stands in the place of lost events is none.
  if [kind] == "void" {
    drop {}
  }
  mutate {
    # \`apiKey\`: a token that somebody else may have put there goes no further.
    remove_field => ["event", "apiKey"]
  }
  date {
    match => ["requestTime", "ISO8601"]
    target => "@timestamp"
    timezone => "UTC"
  }
  if ${identity.map((name) => `![${name}]`).join(' or ')} or "_dateparsefailure" in [tags] or "_jsonparsefailure" in [tags] {
    mutate {
      add_field => { "[@metadata][isRefused]" => "true" }
    }
  } else {
    mutate {
      add_field => {
        "[@metadata][index]" => "${usageIndexPrefix}%{+YYYY.MM.dd}"
        "[@metadata][id]" => "%{streamId}-%{seq}"
      }
    }
    if [clientIp] {
      geoip {
        source => "clientIp"
        target => "[@metadata][geoip]"
        ecs_compatibility => "disabled"
        fields => ["location"]
      }
      if [@metadata][geoip][location] {
        mutate {
          copy => { "[@metadata][geoip][location]" => "${locationField}" }
        }
      }
    }
    mutate {
      remove_field => ["@version", "@timestamp", "tags"]
    }
  }
}
output {
  if [@metadata][isRefused] {
    file {
      path => "\${TOLLGATE_INDEXER_STATE:/var/lib/logstash}/refused.ndjson"
      codec => "json_lines"
    }
  } else {
    elasticsearch {
      hosts => ["\${TOLLGATE_INDEXER_URL}"]
      user => "logstash_internal"
      password => "\${LOGSTASH_INTERNAL_PASSWORD}"
      index => "%{[@metadata][index]}"
      document_id => "%{[@metadata][id]}"
      action => "index"
      manage_template => false
      ilm_enabled => false
    }
  }
}
`
}

export function logstashSettings (): string {
  return `# Written by monitoring/generate. Documents wait on disk while Elasticsearch is away; those that it refuses go to the
# dead letters. The heap is bound in jvm.options: an 8 GB Pi gives Logstash 512 MB.
pipeline.ecs_compatibility: disabled
pipeline.workers: 1
pipeline.batch.size: 250
queue.type: persisted
queue.max_bytes: 1gb
queue.checkpoint.writes: 256
dead_letter_queue.enable: true
dead_letter_queue.max_bytes: 256mb
`
}

export function logstashJvmOptions (): string {
  return `-Xms512m
-Xmx512m
-XX:+UseSerialGC
-Djava.awt.headless=true
-Dfile.encoding=UTF-8
`
}
