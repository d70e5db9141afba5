// The registry of one machine, in SQLite. Every change is on disk when it is answered.
import { TollgateError } from '../domain/errors.ts'
import { gradeTypes } from '../domain/usage-event.ts'
import { firstSecrets, readSecrets, secretsText, secretsWith } from './key-secrets.ts'
import type { KeySecret } from './key-secrets.ts'
import { rotationsWith } from './key-state.ts'
import { pageCountMax } from './port.ts'
import type { ApiKey, Imported, Member, NewKey, Page, RecordPage, Registry, RegistryRecord } from './port.ts'
import { keysMax, membersMax, mustBeId, mustBeName, mustBeOfType, mustBeOverlap, mustExpireLater, pageSize, rotationStart, rotationsMax } from './rules.ts'
import { openSqliteStore, secretsColumn } from './sqlite-store.ts'
import type { Row, SqliteRegistryOptions, SqliteStore } from './sqlite-store.ts'
import { exportFromSqlite, importIntoSqlite, putKey } from './sqlite-transfer.ts'

export type { SqliteRegistryOptions } from './sqlite-store.ts'

const keyColumns = `k.api_key_id as apiKeyId, k.member_id as memberId, k.grade, k.label, k.created_at_ms as createdAtMs, k.expires_at_ms as expiresAtMs,
  ${secretsColumn('k')},
  (select revoked_at_ms from revocation r where r.api_key_id = k.api_key_id) as revokedAtMs,
  (select max(issued_from_s) * 1000 from rotation o where o.api_key_id = k.api_key_id) as rotatedAtMs,
  (select overlap_until_ms from rotation o where o.api_key_id = k.api_key_id order by issued_from_s desc limit 1) as overlapUntilMs`

/** One at a time, by the process that holds the state's lock. @throws TollgateError see openRegistryDatabase, openRefusalLog */
export function openSqliteRegistry (options: SqliteRegistryOptions): Registry { return new SqliteRegistry(openSqliteStore(options)) }

class SqliteRegistry implements Registry {
  readonly #store: SqliteStore

  constructor (store: SqliteStore) { this.#store = store }

  async createMember ({ memberId, name }: { readonly memberId?: number, readonly name: string }): Promise<Member> {
    mustBeName('a member\'s name', name)
    if (memberId !== undefined && this.#store.one('select 1 from member where member_id = ?', memberId) !== undefined) throw new TollgateError('MEMBER_EXISTS', `member ${memberId} exists`)
    const member = { memberId: memberId ?? this.#nextMemberId(), name, createdAtMs: this.#store.clock.nowMs() }
    this.#store.log.append([{ kind: 'issued', memberId: member.memberId }])
    this.#store.run('insert into member (member_id, name, created_at_ms) values (?, ?, ?)', member.memberId, member.name, member.createdAtMs)
    return member
  }

  async listMembers ({ afterId = 0, countMax = pageCountMax }: Page = {}): Promise<readonly Member[]> {
    return this.#store.all('select member_id as memberId, name, created_at_ms as createdAtMs from member where member_id > ? order by member_id limit ?', afterId, pageSize(countMax))
      .map((row) => ({ memberId: Number(row['memberId']), name: String(row['name']), createdAtMs: Number(row['createdAtMs']) }))
  }

  async createKey (options: NewKey): Promise<ApiKey> {
    const { memberId, grade, label = '', expiresAtMs, secretDigest } = options
    if (label !== '') mustBeName('a key\'s label', label)
    if (this.#store.one('select 1 from member where member_id = ?', memberId) === undefined) throw new TollgateError('MEMBER_UNKNOWN', `there is no member ${memberId}`)
    const nowMs = this.#store.clock.nowMs()
    mustExpireLater(expiresAtMs, nowMs)
    const apiKeyId = this.#chooseKeyId(options.apiKeyId)
    this.#store.log.append([{ kind: 'issued', apiKeyId }])
    this.#store.transaction(() => {
      putKey(this.#store, { kind: 'key', apiKeyId, memberId, grade, label, createdAtMs: nowMs, ...(expiresAtMs === undefined ? {} : { expiresAtMs }), ...firstSecrets(secretDigest, nowMs) })
    })
    return await this.showKey(apiKeyId)
  }

  async listKeys ({ memberId, afterId = 0, countMax = pageCountMax }: { readonly memberId?: number } & Page): Promise<readonly ApiKey[]> {
    const rows = memberId === undefined
      ? this.#store.all(`select ${keyColumns} from api_key k where k.api_key_id > ? order by k.api_key_id limit ?`, afterId, pageSize(countMax))
      : this.#store.all(`select ${keyColumns} from api_key k where k.member_id = ? and k.api_key_id > ? order by k.api_key_id limit ?`, memberId, afterId, pageSize(countMax))
    return rows.map(keyOf)
  }

  async showKey (apiKeyId: number): Promise<ApiKey> { return this.#find(apiKeyId).key }

  async revokeKey (apiKeyId: number): Promise<void> {
    if (this.#store.isRevoked(apiKeyId)) return
    const revokedAtMs = this.#store.clock.nowMs()
    this.#store.log.append([{ kind: 'revoked', apiKeyId, revokedAtMs }])
    this.#store.run('insert into revocation (api_key_id, revoked_at_ms) values (?, ?)', apiKeyId, revokedAtMs)
  }

  async rotateKey (apiKeyId: number, { overlapMs, secretDigest }: { readonly overlapMs: number, readonly secretDigest?: string }): Promise<ApiKey> {
    mustBeOverlap(overlapMs)
    const { key, secrets } = this.#find(apiKeyId)
    if (key.revokedAtMs !== undefined) throw new TollgateError('KEY_REVOKED', `key ${apiKeyId} is revoked`)
    mustBeOfType(apiKeyId, key.type, secretDigest)
    const nowMs = this.#store.clock.nowMs()
    const rotation = { issuedFromS: rotationStart(key, nowMs), overlapUntilMs: nowMs + overlapMs }
    const kept = rotationsWith(this.#store.factsOf(apiKeyId).rotations, rotation, nowMs)
    const live = secretDigest === undefined ? [] : secretsWith(secrets, { issuedAtS: rotation.issuedFromS, digest: secretDigest }, kept, nowMs)
    if (kept.length > rotationsMax || live === undefined) throw new TollgateError('LIMIT_EXCEEDED', `key ${apiKeyId} has ${rotationsMax} rotations whose overlap has not ended`)
    this.#store.log.append([{ kind: 'rotated', apiKeyId, ...rotation }])
    this.#store.transaction(() => {
      this.#store.storeRotations(apiKeyId, kept)
      this.#store.storeSecrets(apiKeyId, secretsText(live))
    })
    return await this.showKey(apiKeyId)
  }

  async exportPage (cursor?: string): Promise<RecordPage> { return exportFromSqlite(this.#store, cursor) }

  async importRecords (records: readonly RegistryRecord[]): Promise<Imported> { return importIntoSqlite(this.#store, records) }

  async close (): Promise<void> {
    this.#store.close()
  }

  #find (apiKeyId: number): { readonly key: ApiKey, readonly secrets: readonly KeySecret[] } {
    const row = this.#store.one(`select ${keyColumns} from api_key k where k.api_key_id = ?`, apiKeyId)
    if (row === undefined) throw new TollgateError('KEY_UNKNOWN', `key ${apiKeyId} is not in this registry`)
    return { key: keyOf(row), secrets: readSecrets(String(row['secrets'] ?? '')) ?? [] }
  }

  #nextMemberId (): number {
    if (this.#store.number('select count(*) from member') >= membersMax) throw new TollgateError('LIMIT_EXCEEDED', `a registry has at most ${membersMax} members`)
    return mustBeId(this.#store.log.facts().memberIdMax + 1)
  }

  #chooseKeyId (wanted: number | undefined): number {
    if (this.#store.number('select count(*) from api_key') >= keysMax) throw new TollgateError('LIMIT_EXCEEDED', `a registry has at most ${keysMax} keys`)
    if (wanted === undefined) {
      let next = this.#store.log.facts().apiKeyIdMax + 1
      // Ids that someone else's service gave away and that were revoked here.
      while (this.#store.isRevoked(next)) next++
      return mustBeId(next)
    }
    if (this.#store.one('select 1 from api_key where api_key_id = ?', wanted) !== undefined) throw new TollgateError('KEY_EXISTS', `key ${wanted} exists`)
    if (this.#store.isRevoked(wanted)) throw new TollgateError('KEY_REVOKED', `key ${wanted} was revoked`)
    return wanted
  }
}

function keyOf (row: Row): ApiKey {
  const optional = (name: string): number | undefined => row[name] === null ? undefined : Number(row[name])
  const grade = String(row['grade'])
  const known = gradeTypes.find((candidate) => candidate === grade)
  if (known === undefined) throw new TollgateError('REGISTRY_CORRUPT', `key ${String(row['apiKeyId'])} has the unknown grade ${grade}`)
  return {
    apiKeyId: Number(row['apiKeyId']),
    memberId: Number(row['memberId']),
    grade: known,
    type: row['secrets'] === null ? 'jwt' : 'opaque',
    label: String(row['label']),
    createdAtMs: Number(row['createdAtMs']),
    expiresAtMs: optional('expiresAtMs'),
    revokedAtMs: optional('revokedAtMs'),
    rotatedAtMs: optional('rotatedAtMs'),
    overlapUntilMs: optional('overlapUntilMs')
  }
}
