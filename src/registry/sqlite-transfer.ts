// A registry in SQLite as records, and records into it.
import { TollgateError } from '../domain/errors.ts'
import type { ErrorCode } from '../domain/errors.ts'
import type { GradeType } from '../domain/usage-event.ts'
import { mergedSecrets } from './key-secrets.ts'
import type { Imported, KeyRecord, MemberRecord, RecordPage, RegistryRecord } from './port.ts'
import { isSameKey, isSameMember, pageRecordsMax } from './records.ts'
import type { RefusalEntry } from './refusal-log.ts'
import { keysMax, membersMax } from './rules.ts'
import { secretsColumn } from './sqlite-store.ts'
import type { Row, SqliteStore } from './sqlite-store.ts'

const memberColumns = 'member_id as memberId, name, created_at_ms as createdAtMs'
const keyColumns = `api_key_id as apiKeyId, member_id as memberId, grade, label, created_at_ms as createdAtMs, expires_at_ms as expiresAtMs,
  ${secretsColumn('api_key')}`

const phases = ['issued', 'member', 'key', 'revoked', 'rotated'] as const
type Phase = typeof phases[number]

export function exportFromSqlite (store: SqliteStore, cursor = 'issued 0'): RecordPage {
  const [phase, afterText] = cursor.split(' ') as [Phase, string]
  const records = pageOf(store, phase, Number(afterText))
  const last = records.at(-1)
  const following = phases[phases.indexOf(phase) + 1]
  if (phase !== 'issued' && last !== undefined) return { records, next: `${phase} ${idOf(last)}` }
  return { records, next: following === undefined ? undefined : `${following} 0` }
}

function pageOf (store: SqliteStore, phase: Phase, after: number): readonly RegistryRecord[] {
  switch (phase) {
    case 'issued': {
      const { memberIdMax, apiKeyIdMax } = store.log.facts()
      return [{ kind: 'issued', memberId: memberIdMax }, { kind: 'issued', apiKeyId: apiKeyIdMax }]
    }
    case 'member': return store.all(`select ${memberColumns} from member where member_id > ? order by member_id limit ?`, after, pageRecordsMax).map(memberRecord)
    case 'key': return store.all(`select ${keyColumns} from api_key where api_key_id > ? order by api_key_id limit ?`, after, pageRecordsMax).map(keyRecord)
    case 'revoked': return store.all('select api_key_id as apiKeyId, revoked_at_ms as revokedAtMs from revocation where api_key_id > ? order by api_key_id limit ?', after, pageRecordsMax)
      .map((row) => ({ kind: 'revoked', apiKeyId: Number(row['apiKeyId']), revokedAtMs: Number(row['revokedAtMs']) }))
    // Whole keys: a page that ended between two rotations of one key would lose the second.
    case 'rotated': return store.all(`
      select api_key_id as apiKeyId, issued_from_s as issuedFromS, overlap_until_ms as overlapUntilMs from rotation
      where api_key_id in (select distinct api_key_id from rotation where api_key_id > ? order by api_key_id limit ?) order by api_key_id, issued_from_s`, after, pageRecordsMax)
      .map((row) => ({ kind: 'rotated', apiKeyId: Number(row['apiKeyId']), issuedFromS: Number(row['issuedFromS']), overlapUntilMs: Number(row['overlapUntilMs']) }))
  }
}

function idOf (record: RegistryRecord): number { return record.kind === 'member' ? record.memberId : 'apiKeyId' in record ? record.apiKeyId : 0 }

/** All of `records` up to a problem, durable together. */
export function importIntoSqlite (store: SqliteStore, records: readonly RegistryRecord[]): Imported {
  const take = new Taking(store)
  let [added, same] = [0, 0]
  let problem: Imported['problem']
  store.transaction(() => {
    for (const [index, record] of records.entries()) {
      try {
        if (take.record(record)) added++
        else same++
      } catch (error) {
        if (!(error instanceof TollgateError)) throw error
        problem = { index, code: error.code, message: error.message }
        break
      }
    }
    store.log.append(take.entries)
  })
  return { added, same, ...(problem === undefined ? {} : { problem }) }
}

/** One import, in a transaction. */
class Taking {
  /** For the refusal log, before the transaction ends. */
  readonly entries: RefusalEntry[] = []
  readonly #store: SqliteStore
  #memberCount: number
  #keyCount: number

  constructor (store: SqliteStore) {
    this.#store = store
    this.#memberCount = store.number('select count(*) from member')
    this.#keyCount = store.number('select count(*) from api_key')
  }

  /** True when it wasn't here. @throws TollgateError when it can't be taken */
  record (record: RegistryRecord): boolean {
    switch (record.kind) {
      case 'member': return this.#member(record)
      case 'key': return this.#key(record)
      case 'issued': case 'revoked': case 'rotated': {
        const isNew = this.#store.unknownOf([record]).length > 0
        if (isNew) this.#refuse(record)
        return isNew
      }
    }
  }

  #refuse (entry: RefusalEntry): void {
    this.entries.push(entry)
    this.#store.applyRefusals([entry])
  }

  #member (record: MemberRecord): boolean {
    const known = memberOf(this.#store, record.memberId)
    if (known !== undefined) return mustBeSame(isSameMember(known, record), 'MEMBER_EXISTS', `member ${record.memberId} is here as another one`)
    if (++this.#memberCount > membersMax) throw new TollgateError('LIMIT_EXCEEDED', `a registry has at most ${membersMax} members`)
    this.#refuse({ kind: 'issued', memberId: record.memberId })
    putMember(this.#store, record)
    return true
  }

  #key (record: KeyRecord): boolean {
    const row = this.#store.one(`select ${keyColumns} from api_key where api_key_id = ?`, record.apiKeyId)
    if (row !== undefined) return this.#secrets(keyRecord(row), record)
    if (memberOf(this.#store, record.memberId) === undefined) throw new TollgateError('MEMBER_UNKNOWN', `key ${record.apiKeyId} belongs to member ${record.memberId}, who isn't here`)
    if (++this.#keyCount > keysMax) throw new TollgateError('LIMIT_EXCEEDED', `a registry has at most ${keysMax} keys`)
    this.#refuse({ kind: 'issued', apiKeyId: record.apiKeyId })
    putKey(this.#store, record)
    return true
  }

  /** A key that is here: secrets that are missing are added. */
  #secrets (known: KeyRecord, record: KeyRecord): boolean {
    const secrets = mergedSecrets(known.secrets, record.secrets)
    mustBeSame(isSameKey(known, record) && secrets !== undefined, 'KEY_EXISTS', `key ${record.apiKeyId} is here as another one`)
    if (secrets === undefined || secrets === (known.secrets ?? '')) return false
    this.#store.storeSecrets(record.apiKeyId, secrets)
    return true
  }
}

function mustBeSame (isSame: boolean, code: ErrorCode, message: string): false {
  if (!isSame) throw new TollgateError(code, message)
  return false
}

export function memberOf (store: SqliteStore, memberId: number): MemberRecord | undefined {
  const row = store.one(`select ${memberColumns} from member where member_id = ?`, memberId)
  return row === undefined ? undefined : memberRecord(row)
}

/** Added, or put in the place of what was there. */
export function putMember (store: SqliteStore, { memberId, name, createdAtMs }: MemberRecord): void {
  store.run('insert into member (member_id, name, created_at_ms) values (?, ?, ?) on conflict do update set name = excluded.name, created_at_ms = excluded.created_at_ms', memberId, name, createdAtMs)
}

/** The same; its member is here. */
export function putKey (store: SqliteStore, { apiKeyId, memberId, grade, label, createdAtMs, expiresAtMs, secrets = '' }: KeyRecord): void {
  store.run(`insert into api_key (api_key_id, member_id, grade, label, created_at_ms, expires_at_ms) values (?, ?, ?, ?, ?, ?)
    on conflict do update set member_id = excluded.member_id, grade = excluded.grade, label = excluded.label, created_at_ms = excluded.created_at_ms, expires_at_ms = excluded.expires_at_ms`,
  apiKeyId, memberId, grade, label, createdAtMs, expiresAtMs ?? null)
  store.storeSecrets(apiKeyId, secrets)
}

function memberRecord (row: Row): MemberRecord { return { kind: 'member', memberId: Number(row['memberId']), name: String(row['name']), createdAtMs: Number(row['createdAtMs']) } }

function keyRecord (row: Row): KeyRecord {
  return {
    kind: 'key',
    apiKeyId: Number(row['apiKeyId']),
    memberId: Number(row['memberId']),
    grade: String(row['grade']) as GradeType,
    label: String(row['label']),
    createdAtMs: Number(row['createdAtMs']),
    ...(row['expiresAtMs'] === null ? {} : { expiresAtMs: Number(row['expiresAtMs']) }),
    ...(row['secrets'] === null ? {} : { secrets: String(row['secrets']) })
  }
}
