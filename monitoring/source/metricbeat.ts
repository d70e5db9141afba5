// Metricbeat's configuration of one Pi: the machine, what runs on it, and what Tollgate says of itself. The fields that the
// dashboards show come from these metric sets.
export function metricbeatConfiguration (): string {
  return `# Written by monitoring/generate. One on each Pi, as /etc/metricbeat/metricbeat.yml; hosts that don't run here are taken out.
metricbeat.modules:
  - module: system
    metricsets: [cpu, load, memory, network, uptime]
    period: 30s
  - module: system
    metricsets: [filesystem]
    period: 60s
    processors:
      - drop_event.when.regexp.system.filesystem.mount_point: '^/(sys|proc|dev|run|snap)($|/)'
  - module: kafka
    metricsets: [consumergroup, partition]
    period: 30s
    hosts: ["localhost:9092"]
  - module: redis
    metricsets: [info]
    period: 30s
    hosts: ["localhost:6379"]
  - module: elasticsearch
    metricsets: [node, node_stats]
    period: 60s
    hosts: ["http://localhost:9200"]
  # Tollgate, by role, and the node exporter for the processor's temperature.
  - module: prometheus
    metricsets: [collector]
    period: 30s
    hosts: ["localhost:9464", "localhost:9465", "localhost:9466"]
    metrics_path: /metrics
    metrics_filters:
      include: ["^tollgate_"]
  - module: prometheus
    metricsets: [collector]
    period: 60s
    hosts: ["localhost:9100"]
    metrics_path: /metrics
    metrics_filters:
      include: ["^node_hwmon_temp_celsius$"]
processors:
  - add_host_metadata: ~
setup.template.settings:
  index.number_of_shards: 1
  index.number_of_replicas: 0
setup.ilm.enabled: true
output.elasticsearch:
  hosts: ["http://localhost:9200"]
  username: metricbeat_internal
  password: "\${METRICBEAT_INTERNAL_PASSWORD}"
`
}
