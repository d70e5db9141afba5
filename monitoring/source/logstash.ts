// Logstash's pipeline and settings: from Kafka to the index of the request's day, with the first system's settings. The same
// documents as rsyslog's (rsyslog.ts), but that the place of a client is found here.
import type { EventFieldName } from '../../src/domain/event-fields.ts'
import { locationField, usageIndexPrefix } from './elasticsearch.ts'

const identity: readonly EventFieldName[] = ['streamId', 'seq', 'requestTime']

const plain = { settings: 'TOLLGATE_INDEXER_KAFKA (host:port,host:port), TOLLGATE_INDEXER_URL (http://host:9200), LOGSTASH_INTERNAL_PASSWORD.', kafka: '', elasticsearch: '' }

// A Kafka with TLS and users' passwords, an Elasticsearch with both: as ansible/ deploys them.
const secured: typeof plain = {
  settings: `TOLLGATE_INDEXER_KAFKA (host:port,host:port), TOLLGATE_INDEXER_URL (https://host:9200), LOGSTASH_INTERNAL_PASSWORD,
# TOLLGATE_INDEXER_KAFKA_USER, TOLLGATE_INDEXER_KAFKA_PASSWORD, and TOLLGATE_INDEXER_CA, a file with the authority of both.`,
  kafka: `
    security_protocol => "SASL_SSL"
    sasl_mechanism => "SCRAM-SHA-512"
    sasl_jaas_config => 'org.apache.kafka.common.security.scram.ScramLoginModule required username="\${TOLLGATE_INDEXER_KAFKA_USER}" password="\${TOLLGATE_INDEXER_KAFKA_PASSWORD}";'
    ssl_truststore_type => "PEM"
    ssl_truststore_location => "\${TOLLGATE_INDEXER_CA}"`,
  elasticsearch: `
      ssl_enabled => true
      ssl_certificate_authorities => ["\${TOLLGATE_INDEXER_CA}"]`
}

export function logstashPipeline ({ isSecured = false }: { readonly isSecured?: boolean } = {}): string {
  const { settings, kafka, elasticsearch } = isSecured ? secured : plain
  return `# Written by monitoring/generate from src/domain/event-fields.ts. Settings come from the environment:
# ${settings}
input {
  kafka {
    bootstrap_servers => "\${TOLLGATE_INDEXER_KAFKA}"
    topics => ["\${TOLLGATE_INDEXER_TOPIC:api-usage-trace}"]
    group_id => "api_usage_logstash"
    consumer_threads => 1
    auto_offset_reset => "earliest"
    codec => "json"
    decorate_events => "basic"${kafka}
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
      hosts => ["\${TOLLGATE_INDEXER_URL}"]${elasticsearch}
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
