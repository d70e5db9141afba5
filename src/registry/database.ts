// The registry's SQLite file: opened with every check that keeps a damaged, foreign or newer file from being used.
import { timingSafeEqual } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { ApiKeyClaims } from '../domain/api-key.ts'
import { TollgateError } from '../domain/errors.ts'
import { gradeTypes } from '../domain/usage-event.ts'
import { keepCopy, newerStore, storeVersions } from '../platform/state-version.ts'
import type { KeyFacts, Rotation } from './key-state.ts'

/** "TGRG": tells the file from other programs' databases. */
const applicationId = 0x54475247
const busyTimeoutMs = 5_000
/** A gateway worker never waits longer than this for the file. */
const readerBusyTimeoutMs = 50

/** What each version added; the last one is `storeVersions.registry`. */
const schema = [`
  create table member (
    member_id integer primary key,
    name text not null,
    created_at_ms integer not null
  ) strict;
  create table api_key (
    api_key_id integer primary key,
    member_id integer not null references member (member_id),
    grade text not null,
    label text not null,
    created_at_ms integer not null,
    expires_at_ms integer
  ) strict;
  create index api_key_member on api_key (member_id, api_key_id);
  create table revocation (
    api_key_id integer primary key,
    revoked_at_ms integer not null
  ) strict;
  create table rotation (
    api_key_id integer not null,
    issued_from_s integer not null,
    overlap_until_ms integer not null,
    primary key (api_key_id, issued_from_s)
  ) strict, without rowid;`,
// An opaque key is looked up by the digest of its secret and by nothing else.
`
  create table key_secret (
    digest text not null,
    api_key_id integer not null references api_key (api_key_id) on delete cascade,
    issued_at_s integer not null,
    primary key (digest, api_key_id)
  ) strict, without rowid;
  create index key_secret_key on key_secret (api_key_id, issued_at_s);`] as const
const schemaVersion = storeVersions.registry

/** @throws TollgateError REGISTRY_CORRUPT, REGISTRY_NEWER, STATE_UNWRITABLE, REGISTRY_UNREADABLE */
export function openRegistryDatabase (file: string): DatabaseSync {
  return reading(file, () => {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    let database = new DatabaseSync(file, { timeout: busyTimeoutMs })
    try {
      checkIdentity(file, database)
      const version = versionOf(database)
      if (version > 0 && version < schemaVersion) {
        database.close()
        keepCopy(file, version, ['', '-wal'])
        database = new DatabaseSync(file, { timeout: busyTimeoutMs })
      }
      // A change is durable before it is answered: a revocation must not come back with the power.
      database.exec('pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on')
      upgrade(database)
      const check = database.prepare('pragma quick_check(1)').get()
      if (check?.['quick_check'] !== 'ok') throw corrupt(file, String(check?.['quick_check']))
      return database
    } catch (error) {
      if (database.isOpen) database.close()
      throw error
    }
  })
}

/** For a gateway: reads only, beside the program's own connection. The file must be there. */
export function openRegistryForReading (file: string): DatabaseSync {
  return reading(file, () => {
    const database = new DatabaseSync(file, { readOnly: true, timeout: readerBusyTimeoutMs })
    try {
      checkIdentity(file, database)
      return database
    } catch (error) {
      database.close()
      throw error
    }
  })
}

function upgrade (database: DatabaseSync): void {
  const version = versionOf(database)
  if (version >= schemaVersion) return
  // An older version passed over what it didn't know in Redis: as if Redis were a new process, all of it is read again.
  const isMirror = database.prepare('select 1 from sqlite_schema where name = \'mirror\'').get() !== undefined
  const added = [...schema.slice(version), ...(isMirror ? ['update mirror set run_id = \'\';'] : [])].join('')
  database.exec(`begin immediate; ${added} pragma application_id = ${applicationId}; pragma user_version = ${schemaVersion}; commit`)
}

function versionOf (database: DatabaseSync): number {
  return Number(database.prepare('pragma user_version').get()?.['user_version'])
}

function checkIdentity (file: string, database: DatabaseSync): void {
  const found = Number(database.prepare('pragma application_id').get()?.['application_id'])
  const version = versionOf(database)
  const isEmpty = found === 0 && version === 0 && database.prepare('select count(*) as tables from sqlite_schema').get()?.['tables'] === 0
  if (found !== applicationId && !isEmpty) throw corrupt(file, 'it is the database of another program')
  if (version > schemaVersion) throw newerStore('REGISTRY_NEWER', { file, found: version, known: schemaVersion })
}

function corrupt (file: string, what: string, cause?: unknown): TollgateError {
  return new TollgateError('REGISTRY_CORRUPT', `the registry ${file} is damaged: ${what}`, { cause })
}

const sqliteCodes = { ioError: 10, corrupt: 11, full: 13, cannotOpen: 14, readOnly: 8, notADatabase: 26 } as const

/** Runs `action` and gives SQLite's errors a code of this program's catalogue. Constraint errors are programmer errors and stay. */
export function reading<Result> (file: string, action: () => Result): Result {
  try {
    return action()
  } catch (error) {
    const { errcode, code, message } = error as { readonly errcode?: number, readonly code?: string, readonly message: string }
    if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM' || code === 'ENOTDIR') throw new TollgateError('STATE_UNWRITABLE', `the registry ${file} can't be written: ${message}`, { cause: error })
    // The low byte is the kind of error, what is above tells its kinds apart.
    switch (errcode === undefined ? undefined : errcode & 0xff) {
      case sqliteCodes.corrupt:
      case sqliteCodes.notADatabase: throw corrupt(file, message, error)
      case sqliteCodes.readOnly:
      case sqliteCodes.cannotOpen: throw new TollgateError('STATE_UNWRITABLE', `the registry ${file} can't be opened: ${message}`, { cause: error })
      case sqliteCodes.full:
      case sqliteCodes.ioError: throw new TollgateError('REGISTRY_UNREADABLE', `the registry ${file} can't be read or written: ${message}`, { cause: error })
      default: throw error
    }
  }
}

/** Looks up what decides about tokens of one key, by its id; two indexed reads. */
export function prepareKeyFacts (database: DatabaseSync): (apiKeyId: number) => KeyFacts {
  const facts = database.prepare(`
    select k.api_key_id as known, k.expires_at_ms as expires, r.revoked_at_ms as revoked
    from (select ? as id) i left join api_key k on k.api_key_id = i.id left join revocation r on r.api_key_id = i.id`)
  const rotations = database.prepare('select issued_from_s as issuedFromS, overlap_until_ms as overlapUntilMs from rotation where api_key_id = ? order by issued_from_s')
  return (apiKeyId) => {
    const row = facts.get(apiKeyId) as { known: number | null, expires: number | null, revoked: number | null }
    return {
      isKnown: row.known !== null,
      revokedAtMs: row.revoked ?? undefined,
      expiresAtMs: row.expires ?? undefined,
      rotations: rotations.all(apiKeyId).map((rotation) => ({ issuedFromS: Number(rotation['issuedFromS']), overlapUntilMs: Number(rotation['overlapUntilMs']) } satisfies Rotation))
    }
  }
}

/** Looks up whose a secret is, by its digest; one indexed read when it is nobody's. */
export function prepareKeyClaims (database: DatabaseSync): (secretDigest: string) => ApiKeyClaims | undefined {
  const claims = database.prepare(`
    select s.digest, s.api_key_id as apiKeyId, s.issued_at_s as iatS, k.member_id as memberId, k.grade
    from key_secret s join api_key k on k.api_key_id = s.api_key_id where s.digest = ?`)
  return (secretDigest) => {
    const row = claims.get(secretDigest)
    if (row === undefined || !isSame(secretDigest, String(row['digest']))) return undefined
    const grade = gradeTypes.find((known) => known === row['grade'])
    return grade === undefined ? undefined : { apiKeyId: Number(row['apiKeyId']), memberId: Number(row['memberId']), grade, iatS: Number(row['iatS']) }
  }
}

/** In a time that doesn't depend on where they differ, whatever an index does. */
function isSame (given: string, known: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(known)]
  return a.length === b.length && timingSafeEqual(a, b)
}
