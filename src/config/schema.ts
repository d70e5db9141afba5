// Every key of the configuration, once: its meaning, unit, default and bounds. Validation, defaults, the exported JSON
// Schema and docs/configuration.md all come from here, and so does the type of the finished configuration.
import type Type from 'typebox'
import { secretCharactersMin, secretsMax } from '../domain/api-key.ts'
import { aggregators, kafka, peers, redis, usageLog } from './schema-cluster.ts'
import { gateway } from './schema-gateway.ts'
import { choice, group, integer, list, optional, secret, size, text } from './setting.ts'
import type { Setting } from './setting.ts'

export type { CorsConfig, GatewayConfig, RouteConfig, UpstreamConfig } from './schema-gateway.ts'

const gibibyte = 2 ** 30
const port = (description: string, number: number): ReturnType<typeof integer> => integer({ description, unit: 'port', minimum: 1, maximum: 65_535, default: number })

const grade = (name: string, ratePerS: number, burst: number) => group({
  ratePerS: integer({ description: 'Tokens that come back to the bucket, continuously.', unit: 'tokens a second', minimum: 1, maximum: 1_000_000_000, default: ratePerS }),
  burst: integer({ description: 'Tokens that the bucket holds: the most that can be taken at once.', unit: 'tokens', minimum: 1, maximum: 1_000_000_000, default: burst })
}, { description: `Keys of ${name}.` })

const bearerToken = secret({ description: 'The bearer token.', file: 'tokenFile', lengthMin: secretCharactersMin, pattern: '[\\x21-\\x7e]+', patternMeaning: 'visible ASCII without spaces, as it goes into a header' })

const operatorToken = group({
  name: text({ description: 'Who uses it; stands in the log.', pattern: '[A-Za-z0-9._-]{1,64}', patternMeaning: 'letters, digits, `.`, `_` and `-`, 64 at most' }),
  token: bearerToken
}, { description: 'A bearer token for the private endpoints.' })

const adminToken = group({
  name: text({ description: 'Who uses it; stands in the audit log.', pattern: '[A-Za-z0-9._-]{1,64}', patternMeaning: 'letters, digits, `.`, `_` and `-`, 64 at most' }),
  role: choice(['read', 'write'], { description: '`read` may list and show, `write` may also create, rotate and revoke.', default: 'read' }),
  token: bearerToken
}, { description: 'A bearer token for the admin API.' })

const signingSecret = group({
  kid: optional(text({ description: 'Tokens whose header has this `kid` are checked with this secret alone. A token without `kid` is tried with all.', pattern: '[\\x21-\\x7e]{1,64}', patternMeaning: 'visible ASCII, 64 characters at most' })),
  secret: secret({ description: 'The HS256 secret; its UTF-8 bytes are the key.', file: 'secretFile', lengthMin: secretCharactersMin })
}, { description: 'A secret that API keys are signed with.' })

const configSchema = group({
  state: text({ description: 'Folder of everything that Tollgate keeps: journal, registry, counts, archive.', isPath: true, default: './state' }),
  gatewayId: text({ description: 'Names this machine in usage events. Never give two machines the same name.', pattern: '[A-Za-z0-9][A-Za-z0-9._-]{0,127}', patternMeaning: 'letters, digits, `.`, `_` and `-`, 128 at most', default: 'auto', auto: 'the host\'s name' }),
  log: group({
    level: choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { description: 'What is logged, from this level up. `warn`: odd, but nothing lost. `error`: data is lost or a person must act.', default: 'info' })
  }, { description: 'JSON lines on standard output.' }),
  gateway,
  kafka: optional(kafka),
  redis: optional(redis),
  usageLog,
  aggregators,
  auth: group({
    secrets: list(signingSecret, { description: 'The secrets of API keys; the first one signs. List the old and the new one while you change them.', itemsMax: secretsMax, default: [] }),
    tokenCacheMax: integer({ description: 'Verified tokens that one worker remembers, by digest.', unit: 'tokens', minimum: 1, maximum: 1_000_000, default: 10_000 })
  }, { description: 'How API keys are checked.' }),
  registry: group({
    unknownKeys: choice(['accept', 'reject'], { description: 'A validly signed token whose key isn\'t in the registry: another service may sign tokens by itself.', default: 'accept' }),
    stalenessMsMax: integer({ description: 'With Redis: how long keys are taken from memory while it can\'t be reached; then they count as unknown.', unit: 'ms', minimum: 1_000, maximum: 7 * 86_400_000, default: 900_000 })
  }, { description: 'Members, keys and revocations.' }),
  grades: group({
    GRADE_FREE: grade('GRADE_FREE', 50, 100),
    GRADE_CLASSIC: grade('GRADE_CLASSIC', 100, 500),
    GRADE_PREMIUM: grade('GRADE_PREMIUM', 200, 1_000)
  }, { description: 'How fast the keys of each grade may call.' }),
  limiter: group({
    keysMax: integer({ description: 'Keys whose bucket is not full at the same time; 32 to 64 bytes each. Beyond it keys share buckets: they are limited together, never freely.', unit: 'keys', minimum: 1_000, maximum: 16_777_216, default: 100_000 }),
    budgetMs: integer({ description: 'With Redis: how long a request waits for its answer; then this gateway limits with its share of the rate.', unit: 'ms', minimum: 1, maximum: 5_000, default: 50 })
  }, { description: 'The rate limiter.' }),
  metering: group({
    ack: choice(['durable', 'buffered'], { description: '`durable`: an answer\'s last byte leaves when its usage is on disk. `buffered`: at once; a power cut may lose the last commit interval.', default: 'durable' }),
    bufferedIntervalMs: integer({ description: 'With `buffered`: time between two commits.', unit: 'ms', minimum: 1, maximum: 60_000, default: 100 })
  }, { description: 'When an answer counts as metered.' }),
  journal: group({
    bytesMax: size({ description: 'Disk space of the journal. When it is full, clients get G0010 before any upstream is called.', minimum: 2 ** 20, maximum: 2 ** 50, default: 'auto', auto: '20 GB, or half of the free disk if that is less' }),
    segmentBytes: size({ description: 'One file of the journal: the space in which it grows and is freed.', minimum: 2 ** 18, maximum: gibibyte, default: '64MiB' }),
    commitBytesMax: size({ description: 'The largest group commit.', minimum: 2 ** 14, maximum: 2 ** 26, default: '1MiB' }),
    refusedBytesMax: size({ description: 'Space for the events of refused requests; beyond it they are only counted.', minimum: 0, maximum: 2 ** 50, default: 'auto', auto: 'a tenth of `journal.bytesMax`' }),
    ringBytes: size({ description: 'Shared memory between each worker and the journal; a power of two.', minimum: 2 ** 16, maximum: 2 ** 28, default: '1MiB' })
  }, { description: 'Where usage is made durable before the client has its whole answer.' }),
  aggregator: group({
    name: text({ description: 'Names this aggregator in the cluster, the same after a restart: its partitions come back to it.', pattern: '[A-Za-z0-9][A-Za-z0-9._-]{0,127}', patternMeaning: 'letters, digits, `.`, `_` and `-`, 128 at most', default: 'auto', auto: 'the host\'s name' }),
    publishIntervalMs: integer({ description: 'With Kafka: time between two publications of what has changed; while the aggregator is behind at least 5 s.', unit: 'ms', minimum: 50, maximum: 60_000, default: 500 }),
    batchEventsMax: integer({ description: 'Events counted in one transaction.', unit: 'events', minimum: 100, maximum: 1_000_000, default: 20_000 }),
    batchIntervalMs: integer({ description: 'Time between two transactions when there is little to count.', unit: 'ms', minimum: 1, maximum: 60_000, default: 1_000 }),
    memoryBytesMax: size({ description: 'Memory of its DuckDB; with Kafka of the two partitions together that count much at a time, each in a DuckDB of its own.', minimum: 64 * 2 ** 20, maximum: 2 ** 40, default: '256MiB' }),
    threads: integer({ description: 'Threads of its DuckDB. More than one slows the gateway on a small machine.', unit: 'threads', minimum: 1, maximum: 64, default: 1 })
  }, { description: 'Counts events by hour.' }),
  archive: group({
    flushIntervalMs: integer({ description: 'Time until counted events are in the archive; the journal keeps them until then.', unit: 'ms', minimum: 100, maximum: 3_600_000, default: 60_000 }),
    flushEventsMax: integer({ description: 'So many events waiting are archived at once.', unit: 'events', minimum: 1_000, maximum: 10_000_000, default: 200_000 }),
    copies: integer({ description: 'With Kafka: machines that hold each finished file before Kafka may delete its events. 1: this one alone.', unit: 'machines', minimum: 1, maximum: 3, default: 2 }),
    peers
  }, { description: 'Every event for ever, as Parquet by date and hour.' }),
  hourlyLog: group({
    segmentRowsMax: integer({ description: 'Hourly rows until a segment is closed for good.', unit: 'rows', minimum: 10, maximum: 10_000_000, default: 250_000 })
  }, { description: 'Hourly counts on their way to billing.' }),
  ledger: group({
    memoryBytesMax: size({ description: 'Memory of its DuckDB.', minimum: 64 * 2 ** 20, maximum: 2 ** 40, default: '256MiB' }),
    threads: integer({ description: 'Threads of its DuckDB.', unit: 'threads', minimum: 1, maximum: 64, default: 1 })
  }, { description: 'Hourly counts as billing reads them.' }),
  billing: group({
    listen: group({ host: text({ description: 'Address to listen on.', default: '0.0.0.0' }), port: port('TCP port.', 8081) }, { description: 'Members read their own charges here.' }),
    privateListen: group({ host: text({ description: 'Address to listen on.', default: '127.0.0.1' }), port: port('TCP port.', 8082) }, { description: 'Your payment system reads everybody\'s charges here.' }),
    priceBookFile: text({ description: 'The price book, a YAML or JSON file: see docs/price-book.md.', isPath: true }),
    rangeDaysMax: integer({ description: 'The longest range of days that one request may ask for (M0007).', unit: 'days', minimum: 1, maximum: 36_600, default: 60 }),
    memberSecret: optional(secret({ description: 'The HS256 secret of member tokens; without it no member can read charges.', file: 'memberSecretFile', lengthMin: secretCharactersMin })),
    operatorTokens: list(operatorToken, { description: 'Who may call the private endpoints; nobody when empty.', itemsMax: 100, default: [] })
  }, { description: 'The billing server.' }),
  operator: group({
    listen: group({
      host: text({ description: 'Address to listen on.', default: '127.0.0.1' }),
      port: integer({ description: 'TCP port.', unit: 'port', minimum: 1, maximum: 65_535, default: 'auto', auto: '9464; 9465 for a process that is an aggregator and no gateway, 9466 for one that is billing alone' }),
      tls: optional(group({
        certificateFile: text({ description: 'PEM file of the certificate and its chain.', isPath: true }),
        keyFile: text({ description: 'PEM file of the private key.', isPath: true })
      }, { description: 'Serve HTTPS on this port.' }))
    }, { description: 'Health, readiness and metrics, and an aggregator\'s files for billing and its peers; keep it away from clients.' }),
    tokens: list(operatorToken, { description: 'Who may read an aggregator\'s files here, and bring copies; nobody when empty.', itemsMax: 100, default: [] }),
    admins: list(adminToken, { description: 'Who may use the admin API here (docs/admin.md); nobody when empty.', itemsMax: 100, default: [] })
  }, { description: 'For those who run it.' }),
  completeness: group({
    graceMs: integer({ description: 'How long after its end an hour is called complete at the earliest. The bill never depends on it.', unit: 'ms', minimum: 0, maximum: 86_400_000, default: 60_000 })
  }, { description: 'When an hour is called complete.' })
}, { description: 'Tollgate\'s configuration.' })

/** The finished configuration: complete with defaults, sizes in bytes, paths absolute, secrets read, frozen. */
export type Config = Type.Static<typeof configSchema>

/** The same, as readers and writers of documentation see it. */
export const configSetting = configSchema as unknown as Setting & { readonly kind: 'group' }
