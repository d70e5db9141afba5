// rsyslog's configuration: the light way from Kafka to the index of the request's day, 30 MB instead of a Logstash's 1 GB.
// What it has taken from Kafka stands in its queue on disk before the offset is committed, and the document's id is the
// event's identity: whatever is taken twice is one document.
import { usageIndexPrefix } from './elasticsearch.ts'

const day = '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T'

const plain = {
  name: 'usage.conf',
  settings: '',
  url: 'http://host:9200',
  kafka: '',
  elasticsearch: ''
}

// A Kafka with TLS and users' passwords, an Elasticsearch with both: as ansible/ deploys them.
const secured: typeof plain = {
  name: 'usage-secured.conf',
  settings: `
#   TOLLGATE_INDEXER_CA        a file: the authority of the certificates of both
#   TOLLGATE_INDEXER_KAFKA_USER, TOLLGATE_INDEXER_KAFKA_PASSWORD    by SCRAM-SHA-512
#   TOLLGATE_INDEXER_USER, TOLLGATE_INDEXER_PASSWORD                at Elasticsearch`,
  url: 'https://host:9200',
  kafka: `,
                 "security.protocol=SASL_SSL", "sasl.mechanisms=SCRAM-SHA-512", \`echo ssl.ca.location=$TOLLGATE_INDEXER_CA\`,
                 \`echo sasl.username=$TOLLGATE_INDEXER_KAFKA_USER\`, \`echo sasl.password=$TOLLGATE_INDEXER_KAFKA_PASSWORD\``,
  elasticsearch: '\n         uid=`echo $TOLLGATE_INDEXER_USER` pwd=`echo $TOLLGATE_INDEXER_PASSWORD` tls.cacert=`echo $TOLLGATE_INDEXER_CA`'
}

export function rsyslogConfiguration ({ isSecured = false }: { readonly isSecured?: boolean } = {}): string {
  const { name, settings, url, kafka, elasticsearch } = isSecured ? secured : plain
  return `# Written by monitoring/generate. For rsyslogd with the modules of Debian's rsyslog-kafka and rsyslog-elasticsearch:
#   rsyslogd -n -iNONE -f /etc/tollgate/${name}
# Settings come from the environment, all of them needed:
#   TOLLGATE_INDEXER_KAFKA     host:port,host:port
#   TOLLGATE_INDEXER_TOPIC     api-usage-trace, with kafka.topicPrefix before it
#   TOLLGATE_INDEXER_URL       ${url}
#   TOLLGATE_INDEXER_PIPELINE  the ingest pipeline api_usage_trace-location; _none for a server without it
#   TOLLGATE_INDEXER_STATE     a folder: the queue, and refused.ndjson with what can't be stored${settings}
global(workDirectory=\`echo $TOLLGATE_INDEXER_STATE\` maxMessageSize="64k")
module(load="imkafka")
module(load="mmjsonparse")
module(load="omelasticsearch")
module(load="builtin:omfile" fileCreateMode="0600")

input(type="imkafka" topic=\`echo $TOLLGATE_INDEXER_TOPIC\` broker=\`echo $TOLLGATE_INDEXER_KAFKA\` consumergroup="api_usage_rsyslog" ruleset="usage"
      confParam=["auto.offset.reset=earliest", "isolation.level=read_uncommitted", "session.timeout.ms=10000"${kafka}])

template(name="document" type="string" string="%$!all-json%")
template(name="index" type="string" string="${usageIndexPrefix}%$!requestTime:1:4%.%$!requestTime:6:7%.%$!requestTime:9:10%")
template(name="id" type="string" string="%$!streamId%-%$!seq%")
template(name="unread" type="string" string="{\\"reason\\":\\"unread\\",\\"record\\":\\"%rawmsg:::json%\\"}\\n")
template(name="unplaced" type="string" string="{\\"reason\\":\\"no identity or time\\",\\"event\\":%$!all-json%}\\n")
template(name="refused" type="string" string="{\\"reason\\":\\"refused with %$.omes!status%\\",\\"event\\":%$!all-json%}\\n")

# The queue is on disk and knows of each record before Kafka is told that it was taken.
ruleset(name="usage" queue.type="Disk" queue.filename="usage" queue.checkpointInterval="1" queue.maxFileSize="16m" queue.maxDiskSpace="1g"
        queue.saveOnShutdown="on" queue.dequeueBatchSize="500" queue.timeoutEnqueue="2000000000") {
  action(type="mmjsonparse" cookie="" useRawMsg="on")
  if $parsesuccess != "OK" then {
    action(type="omfile" file=\`echo $TOLLGATE_INDEXER_STATE/refused.ndjson\` template="unread")
    stop
  }
  # What stands in the place of lost events is none.
  if $!kind == "void" then stop
  # A token that somebody else may have put there goes no further.
  unset $!apiKey;
  if $!streamId == "" or $!seq == "" or not re_match($!requestTime, "${day}") then {
    action(type="omfile" file=\`echo $TOLLGATE_INDEXER_STATE/refused.ndjson\` template="unplaced")
    stop
  }
  call store
}

# No queue of its own: it waits, and so does the queue, while Elasticsearch is away.
ruleset(name="store") {
  action(type="omelasticsearch" server=\`echo $TOLLGATE_INDEXER_URL\` template="document" searchIndex="index" dynSearchIndex="on" searchType="" bulkid="id" dynbulkid="on"${elasticsearch}
         pipelineName=\`echo $TOLLGATE_INDEXER_PIPELINE\` bulkmode="on" action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="10"
         retryfailures="on" retryruleset="answered" ratelimit.interval="0")
}

# A bulk request of which anything failed comes back document by document, each with its own status.
ruleset(name="answered" queue.type="Disk" queue.filename="answered" queue.checkpointInterval="1" queue.maxFileSize="16m" queue.maxDiskSpace="256m" queue.saveOnShutdown="on") {
  if $.omes!status == "200" or $.omes!status == "201" then stop
  if $.omes!status startswith "4" and $.omes!status != "429" then {
    action(type="omfile" file=\`echo $TOLLGATE_INDEXER_STATE/refused.ndjson\` template="refused")
    stop
  }
  call store
}
`
}
