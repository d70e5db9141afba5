// The catalogue of errors. Callers branch on the code, never on the text; docs/errors.md has a row for each, and a test
// ties the two together. Client-facing codes (G…, M…) and their meaning are a contract; operator-facing ones are names.

/** Answered by the gateway to its clients. */
export const gatewayErrors = {
  G0001: { status: 401, message: 'API key not found' },
  G0002: { status: 401, message: 'invalid API key' },
  G0003: { status: 500, message: 'illegal state' },
  G0004: { status: 500, message: 'internal server error' },
  G0005: { status: 500, message: 'unhandled error' },
  G0006: { status: 429, message: 'rate limit exceeded' },
  G0007: { status: 404, message: 'no route' },
  G0008: { status: 502, message: 'upstream failed' },
  G0009: { status: 504, message: 'upstream timed out' },
  G0010: { status: 503, message: 'usage cannot be recorded' },
  G0011: { status: 400, message: 'request too large or malformed' },
  G0012: { status: 402, message: 'quota or prepaid balance used up' },
  G0013: { status: 503, message: 'API key cannot be checked' },
  G0014: { status: 501, message: 'protocol upgrade not supported' }
} as const
export type GatewayErrorCode = keyof typeof gatewayErrors

/** Answered by the billing server. */
export const billingErrors = {
  M0001: { status: 401, message: 'access denied' },
  M0002: { status: 400, message: 'malformed date, or start after end' },
  M0003: { status: 500, message: 'internal server error' },
  M0004: { status: 406, message: 'not acceptable' },
  M0005: { status: 500, message: 'session could not be read' },
  M0006: { status: 401, message: 'authentication required' },
  M0007: { status: 400, message: 'date range too long' },
  M0008: { status: 404, message: 'no such resource' },
  M0009: { status: 503, message: 'cannot be answered now, try again' },
  M0010: { status: 400, message: 'malformed request' },
  M0011: { status: 405, message: 'method not allowed' }
} as const
export type BillingErrorCode = keyof typeof billingErrors

/** Told to operators, on the command line and in the log. The value says what to do. */
export const operatorErrors = {
  CONFIG_INVALID: 'correct the named lines of the configuration file; `tollgate config check` lists them all',
  STATE_LOCKED: 'another process uses this state folder: stop it first, or name another folder in `state`',
  NATIVE_FOLDER_UNUSABLE: 'set TOLLGATE_NATIVE_FOLDER to a folder that only the user who runs Tollgate can write, on a file system that is neither read only nor mounted noexec',
  STATE_NEWER: 'a newer Tollgate wrote this state: run that version, or put the copies in their places that were kept before the migration (docs/backup.md)',
  STATE_VERSION_UNKNOWN: 'put a backup of version.json in its place, or move the file away if no newer Tollgate has run here: each store says its own version too',
  STATE_NO_ROOM: 'free disk space and start again: nothing was changed',
  BACKUP_RUNNING: 'wait for the other backup',
  BACKUP_DAMAGED: 'take another backup: nothing of this one was put in place',
  BACKUP_NEWER: 'restore it with the program that made it, or a newer one',
  STATE_NOT_EMPTY: 'name a new folder in `state`, or move away what is there: a restore never replaces a state',
  RESTORE_UNFINISHED: 'run `tollgate restore` again: it begins anew; nothing of the state can be used before',
  STATE_UNWRITABLE: 'give the user that runs Tollgate write access to the state folder, or name another one in `state`',
  PORT_IN_USE: 'stop the other program, or choose another port in the configuration',
  REGISTRY_CORRUPT: 'put a backup of registry.sqlite in its place, or move the file away and create members and keys again: what was revoked stays revoked by revocations.ndjson beside it',
  REGISTRY_NEWER: 'a newer Tollgate wrote this registry: run that version, or put the copy in its place that was kept beside it before the migration (docs/backup.md)',
  REGISTRY_UNREADABLE: 'look at the disk that holds the state folder: it may be full or failing',
  REFUSALS_CORRUPT: 'put a backup of revocations.ndjson in its place, or remove the named line; what it revoked stays revoked where registry.sqlite knows it',
  REDIS_UNREACHABLE: 'see that Redis runs and that `redis.host`, `redis.port` and `redis.tls` name it; gateways that know their keys go on meanwhile',
  REDIS_DENIED: 'correct `redis.username` and `redis.password`, and let the user have all commands, keys and channels below `redis.keyPrefix` (docs/registry.md shows the ACL)',
  REDIS_FAILED: 'look at the log of Redis: it may be out of memory or disk, read only, or still loading',
  REGISTRY_FOREIGN: 'another program uses our names in this Redis, or changed our data: remove the named key, or give Tollgate a `redis.keyPrefix` of its own',
  REGISTRY_FILE_INVALID: 'take a file that `tollgate registry export` has written to its end',
  MEMBER_UNKNOWN: 'create the member first: `tollgate member create`; `tollgate member list` shows all',
  MEMBER_EXISTS: 'take another number, or leave `--id` out',
  KEY_UNKNOWN: '`tollgate key list` shows all keys of this registry',
  KEY_EXISTS: 'take another number, or leave `--id` out',
  KEY_REVOKED: 'a revoked key stays revoked: create a new one',
  LIMIT_EXCEEDED: 'ask for less at a time, or raise the named limit',
  LEDGER_BEHIND: 'wait until the ledger has read the hourly counts for the first time after its start',
  ADMIN_DENIED: 'send one of `operator.admins` as a bearer token; changes need one with the role write',
  ARGUMENT_INVALID: 'correct the command; `tollgate COMMAND --help` shows its options',
  NOT_RUNNING: 'start the program: it reads the configuration then; `--config` must name its file',
  ROLE_NEEDED: 'ask where the role runs that knows it: members and keys at a gateway, bills, `verify` and `gateway` at a billing server, `recover` at an aggregator; `--config` must name that process\'s configuration',
  COMMAND_UNKNOWN: '`tollgate --help` shows the commands; a running program of another version may know others',
  CONTROL_FAILED: 'look at the log of the running program',
  STATE_PATH_TOO_LONG: 'name a state folder with a shorter path: a Unix socket has its path in 107 bytes',
  AGGREGATOR_DAMAGED: 'restore aggregator.duckdb, or the missing archive files, from a backup and start again; with a complete archive the counts are made again by themselves',
  AGGREGATOR_NEWER: 'a newer Tollgate wrote this database: run that version, or put the copy in its place that was kept beside it before the migration (docs/backup.md)',
  LEDGER_NEWER: 'a newer Tollgate wrote this ledger: run that version, or move the file away, it is made again from the hourly counts',
  USAGE_LOG_GAP: 'nothing of the named stream is counted beyond the gap: start the gateway whose journal has the records, or bring the missing journal or archive files back from a backup; in a cluster `tollgate recover --give-up` ends the wait for what is gone for good; `tollgate verify` shows what is affected',
  ARCHIVE_INCOMPLETE: 'bring the named files back from a backup (`tollgate verify` lists them all); what is counted and billed stays as it is',
  ARCHIVE_PENDING: 'counted events are not in the archive yet: let the program run, or use `tollgate verify --wait SECONDS`',
  REBUILD_REFUSED: 'the named hours can\'t be made again, because their archive is incomplete: bring the missing files back from a backup first, or start the aggregators that can\'t be asked',
  NOTHING_TO_ACKNOWLEDGE: 'take gateway and hour as `tollgate verify` shows them; only a difference, a dead letter or a void can be acknowledged',
  SNAPSHOT_DAMAGED: 'bring the named file back from a backup, or make the rows again with `tollgate rebuild --apply`',
  RECOVER_NEEDED: '`tollgate recover --partition P --keep file` where the file is that holds what was counted, so that all of it is published again; `--keep topic` sets that file aside; `/readyz` and the log say which partition waits and why',
  SEGMENT_UNAVAILABLE: 'start an aggregator that has the named file, or bring the file back from a backup into its folder of segments; `aggregators` must list all of them; bills stay as they are until then',
  HOURLY_LOG_BROKEN: 'the topic of hourly counts contradicts itself: see who else writes to it; bills stay as they are',
  AGGREGATOR_UNREACHABLE: 'start the named aggregator, or correct its `url`, `token` or `caFile` under `aggregators`',
  GATEWAY_UNKNOWN: '`tollgate gateway list` shows all gateways of this cluster',
  GATEWAY_UNHEARD: 'make Kafka reachable and start again: a gateway that is new serves only after Kafka has its hello, so that no hour is called complete without it; one that Kafka knows may start while it is away',
  GATEWAY_ALIVE: 'stop the gateway first; `--force` ends only those of its streams that have fallen silent',
  GATEWAY_UNAPPLIED: 'start the gateway once more, so that it sends what its journal holds; `--lost` gives that up for ever',
  JOURNAL_CORRUPT: 'keep a copy of the journal folder; then put a backup of it in its place, or move the named file out of it and start again: what that file held is then declared void, or reported as a gap where it was not counted yet',
  JOURNAL_NO_ROOM: 'free disk space, or raise journal.bytesMax, and start again: nothing that is in the journal is lost',
  JOURNAL_PARTITIONED: 'this journal was written for a cluster: let the cluster read it to its end before the machine runs alone',
  JOURNAL_TOO_NEW: 'a newer Tollgate wrote this journal: run that version',
  KAFKA_UNREACHABLE: 'look at the brokers and the network between: it is tried again by itself for as long as the program runs',
  KAFKA_REFUSED: 'the brokers are there and say no: correct what the message names, in the topic\'s settings or in the brokers\'',
  KAFKA_DENIED: 'correct `kafka.sasl` and `kafka.tls`, or give the user in the brokers the right that the message names',
  KAFKA_FENCED: 'nothing, where another aggregator has taken the partition over; if it goes on, see whether two clusters share one `kafka.topicPrefix`',
  KAFKA_OUT_OF_RANGE: 'records that should be read are no longer kept, or are lost: `tollgate verify` shows what is affected; take retention off the topic (`tollgate topics check`)',
  KAFKA_TOPIC_GONE: 'see who deleted the topic; `tollgate topics create` makes it anew, and what it held is sent again from the journals as far as they have it',
  TOPICS_WRONG: '`tollgate topics check` lists what is wrong, each with its remedy; `tollgate topics create` makes what is missing',
  CLOCK_IMPLAUSIBLE: 'set the machine\'s clock (time synchronisation), then start again'
} as const
export type OperatorErrorCode = keyof typeof operatorErrors

export type ErrorCode = GatewayErrorCode | BillingErrorCode | OperatorErrorCode

export class TollgateError extends Error {
  readonly code: ErrorCode
  /** @param message what happened and where; the catalogue's remedy is added where an operator reads it */
  constructor (code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'TollgateError'
    this.code = code
  }
}

/** The remedy for an operator-facing code; undefined for codes that clients see. */
export function remedyOf (code: string | undefined): string | undefined {
  return code !== undefined && Object.hasOwn(operatorErrors, code) ? operatorErrors[code as OperatorErrorCode] : undefined
}
