// The keys of a cluster: Kafka between gateways, aggregators and billing, Redis for keys and limits. Without `kafka` the
// program is one machine with nothing beside it.
import { choice, group, integer, list, optional, secret, text } from './setting.ts'

const caFile = optional(text({ description: 'PEM file of the authority that signed the servers\' certificates, where it is not one that everybody trusts.', isPath: true }))

/** Kafka between the roles. */
export const kafka = group({
  brokers: list(text({ description: 'A broker: `pi1:9092`.', pattern: '[^\\s:/@]+:\\d{1,5}', patternMeaning: 'a host, a colon and a port' }), { description: 'Brokers to ask first; they name the others.', itemsMax: 100, default: [] }),
  topicPrefix: optional(text({ description: 'Stands before every topic, group and transactional id, so that several Tollgates can share one Kafka.', pattern: '[A-Za-z0-9._-]{1,64}', patternMeaning: 'letters, digits, `.`, `_` and `-`, 64 at most' })),
  replicationFactor: integer({ description: 'Copies of each topic. With 1 a broken disk loses what is on it.', unit: 'brokers', minimum: 1, maximum: 9, default: 3 }),
  minInsyncReplicas: integer({ description: 'Copies that must have a record before it counts as written.', unit: 'brokers', minimum: 1, maximum: 9, default: 2 }),
  tls: optional(group({
    caFile,
    certificateFile: optional(text({ description: 'PEM file of our own certificate, where the brokers ask for one.', isPath: true })),
    keyFile: optional(text({ description: 'PEM file of its private key.', isPath: true }))
  }, { description: 'Speak TLS with the brokers.' })),
  sasl: optional(group({
    mechanism: choice(['SCRAM-SHA-256', 'SCRAM-SHA-512'], { description: 'How the password is proven.', default: 'SCRAM-SHA-512' }),
    username: text({ description: 'The user.' }),
    password: secret({ description: 'The user\'s password.', file: 'passwordFile', lengthMin: 1 })
  }, { description: 'Who we are to the brokers.' }))
}, { description: 'Kafka, between gateways, aggregators and billing. Left out: one machine with nothing beside it.' })

/** Redis for keys and limits. */
export const redis = group({
  host: text({ description: 'The server.', default: '127.0.0.1' }),
  port: integer({ description: 'TCP port.', unit: 'port', minimum: 1, maximum: 65_535, default: 6379 }),
  username: optional(text({ description: 'The ACL user.' })),
  password: optional(secret({ description: 'The password.', file: 'passwordFile', lengthMin: 1 })),
  keyPrefix: text({ description: 'Stands before every key.', pattern: '[A-Za-z0-9._:-]{1,64}', patternMeaning: 'letters, digits, `.`, `_`, `:` and `-`, 64 at most', default: 'tollgate:' }),
  tls: optional(group({ caFile }, { description: 'Speak TLS with the server.' }))
}, { description: 'Redis: members, keys, revocations and rate limits of several gateways. Left out: each gateway has its own.' })

export const usageLog = group({
  partitions: integer({ description: 'Partitions of the topics `api-usage-trace`, `hourly-api-usage` and `usage-progress`: how many aggregators can share the work at most. It may be raised, never lowered.', unit: 'partitions', minimum: 1, maximum: 256, default: 6 }),
  keepHours: integer({ description: 'How long usage events stay in Kafka after they are archived and copied, for other readers.', unit: 'hours', minimum: 1, maximum: 8_760, default: 72 })
}, { description: 'Usage events on their way to the aggregators; with Kafka.' })

const aggregator = group({
  url: text({ description: 'Its operator listener: `https://pi2:9465`.', pattern: 'https?://[^/?#@\\s]+/?', patternMeaning: 'http:// or https://, a host and perhaps a port, no path or password' }),
  token: secret({ description: 'One of its `operator.tokens`.', file: 'tokenFile', lengthMin: 32, pattern: '[\\x21-\\x7e]+', patternMeaning: 'visible ASCII without spaces, as it goes into a header' }),
  caFile
}, { description: 'An aggregator of this cluster.' })

export const aggregators = list(aggregator, { description: 'The aggregators, for those who read their files: billing (closed segments) and `tollgate verify` (the archive).', itemsMax: 100, default: [] })

export const peers = list(aggregator, { description: 'Other aggregators that keep a second copy of each finished file; with Kafka.', itemsMax: 100, default: [] })
