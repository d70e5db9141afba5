// The registry of one machine, in SQLite. Every change is on disk when it is answered. What must outlive the database
// (revocations, rotations, ids given away) is in the refusal log first.
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { TollgateError } from '../domain/errors.ts'
import { gradeTypes } from '../domain/usage-event.ts'
import type { GradeType } from '../domain/usage-event.ts'
import type { Clock } from '../platform/clock.ts'
import { openRegistryDatabase, prepareKeyFacts, reading } from './database.ts'
import { rotationsWith } from './key-state.ts'
import type { KeyFacts, Rotation } from './key-state.ts'
import { nameCharactersMax, overlapMsMax, pageCountMax } from './port.ts'
import type { ApiKey, Member, Page, Registry } from './port.ts'
import { openRefusalLog } from './refusal-log.ts'
import type { RefusalEntry, RefusalLog } from './refusal-log.ts'

export interface SqliteRegistryOptions {
  readonly file: string
  /** The refusal log: revocations.ndjson beside the file. */
  readonly refusalFile: string
  readonly clock: Clock
}

const membersMax = 1_000_000
const keysMax = 1_000_000
/** Live rotations of one key: each is looked at for each of the key's tokens. */
const rotationsMax = 16

const keyColumns = `k.api_key_id as apiKeyId, k.member_id as memberId, k.grade, k.label, k.created_at_ms as createdAtMs, k.expires_at_ms as expiresAtMs,
  (select revoked_at_ms from revocation r where r.api_key_id = k.api_key_id) as revokedAtMs,
  (select max(issued_from_s) * 1000 from rotation o where o.api_key_id = k.api_key_id) as rotatedAtMs,
  (select overlap_until_ms from rotation o where o.api_key_id = k.api_key_id order by issued_from_s desc limit 1) as overlapUntilMs`

type Row = Readonly<Record<string, SQLOutputValue>>

/** One at a time, by the process that holds the state's lock. @throws TollgateError see openRegistryDatabase, openRefusalLog */
export function openSqliteRegistry ({ file, refusalFile, clock }: SqliteRegistryOptions): Registry {
  const log = openRefusalLog(refusalFile)
  let database: DatabaseSync | undefined
  try {
    database = openRegistryDatabase(file)
    return new SqliteRegistry(file, database, log, clock)
  } catch (error) {
    database?.close()
    log.close()
    throw error
  }
}

class SqliteRegistry implements Registry {
  readonly #file: string
  readonly #database: DatabaseSync
  readonly #log: RefusalLog
  readonly #clock: Clock

  readonly #statements = new Map<string, StatementSync>()
  readonly #factsOf: (apiKeyId: number) => KeyFacts

  constructor (file: string, database: DatabaseSync, log: RefusalLog, clock: Clock) {
    this.#file = file
    this.#database = database
    this.#log = log
    this.#clock = clock
    const factsOf = prepareKeyFacts(database)
    this.#factsOf = (apiKeyId) => reading(file, () => factsOf(apiKeyId))
    this.#mergeLog()
  }

  async createMember ({ memberId, name }: { readonly memberId?: number, readonly name: string }): Promise<Member> {
    mustBeName('a member\'s name', name)
    if (memberId !== undefined && this.#one('select 1 from member where member_id = ?', memberId) !== undefined) throw new TollgateError('MEMBER_EXISTS', `member ${memberId} exists`)
    const member = { memberId: memberId ?? this.#nextMemberId(), name, createdAtMs: this.#clock.nowMs() }
    this.#log.append([{ kind: 'issued', memberId: member.memberId }])
    this.#run('insert into member (member_id, name, created_at_ms) values (?, ?, ?)', member.memberId, member.name, member.createdAtMs)
    return member
  }

  async listMembers ({ afterId = 0, countMax = pageCountMax }: Page = {}): Promise<readonly Member[]> {
    return this.#all('select member_id as memberId, name, created_at_ms as createdAtMs from member where member_id > ? order by member_id limit ?', afterId, pageSize(countMax))
      .map((row) => ({ memberId: Number(row['memberId']), name: String(row['name']), createdAtMs: Number(row['createdAtMs']) }))
  }

  async createKey (options: { readonly memberId: number, readonly grade: GradeType, readonly label?: string, readonly expiresAtMs?: number, readonly apiKeyId?: number }): Promise<ApiKey> {
    const { memberId, grade, label = '', expiresAtMs } = options
    if (label !== '') mustBeName('a key\'s label', label)
    if (this.#one('select 1 from member where member_id = ?', memberId) === undefined) throw new TollgateError('MEMBER_UNKNOWN', `there is no member ${memberId}`)
    const nowMs = this.#clock.nowMs()
    if (expiresAtMs !== undefined && expiresAtMs <= nowMs) throw new TollgateError('ARGUMENT_INVALID', 'the key would have expired already')
    const apiKeyId = this.#chooseKeyId(options.apiKeyId)
    this.#log.append([{ kind: 'issued', apiKeyId }])
    this.#run('insert into api_key (api_key_id, member_id, grade, label, created_at_ms, expires_at_ms) values (?, ?, ?, ?, ?, ?)', apiKeyId, memberId, grade, label, nowMs, expiresAtMs ?? null)
    return await this.showKey(apiKeyId)
  }

  async listKeys ({ memberId, afterId = 0, countMax = pageCountMax }: { readonly memberId?: number } & Page): Promise<readonly ApiKey[]> {
    const rows = memberId === undefined
      ? this.#all(`select ${keyColumns} from api_key k where k.api_key_id > ? order by k.api_key_id limit ?`, afterId, pageSize(countMax))
      : this.#all(`select ${keyColumns} from api_key k where k.member_id = ? and k.api_key_id > ? order by k.api_key_id limit ?`, memberId, afterId, pageSize(countMax))
    return rows.map(keyOf)
  }

  async showKey (apiKeyId: number): Promise<ApiKey> {
    const row = this.#one(`select ${keyColumns} from api_key k where k.api_key_id = ?`, apiKeyId)
    if (row === undefined) throw new TollgateError('KEY_UNKNOWN', `key ${apiKeyId} is not in this registry`)
    return keyOf(row)
  }

  async revokeKey (apiKeyId: number): Promise<void> {
    if (this.#isRevoked(apiKeyId)) return
    const revokedAtMs = this.#clock.nowMs()
    this.#log.append([{ kind: 'revoked', apiKeyId, revokedAtMs }])
    this.#run('insert into revocation (api_key_id, revoked_at_ms) values (?, ?)', apiKeyId, revokedAtMs)
  }

  async rotateKey (apiKeyId: number, { overlapMs }: { readonly overlapMs: number }): Promise<ApiKey> {
    if (!Number.isSafeInteger(overlapMs) || overlapMs < 0 || overlapMs > overlapMsMax) throw new TollgateError('ARGUMENT_INVALID', `the overlap must be from 0 to ${overlapMsMax / 86_400_000} days`)
    const key = await this.showKey(apiKeyId)
    if (key.revokedAtMs !== undefined) throw new TollgateError('KEY_REVOKED', `key ${apiKeyId} is revoked`)
    const nowMs = this.#clock.nowMs()
    // iat counts seconds: the new token's must lie above that of every token before, even one made in this very second.
    const issuedFromS = Math.max(Math.floor(nowMs / 1000), Math.floor(Math.max(key.createdAtMs, key.rotatedAtMs ?? 0) / 1000) + 1)
    const rotation = { issuedFromS, overlapUntilMs: nowMs + overlapMs }
    const kept = rotationsWith(this.#factsOf(apiKeyId).rotations, rotation, nowMs)
    if (kept.length > rotationsMax) throw new TollgateError('LIMIT_EXCEEDED', `key ${apiKeyId} has ${rotationsMax} rotations whose overlap has not ended`)
    this.#log.append([{ kind: 'rotated', apiKeyId, ...rotation }])
    this.#transaction(() => { this.#storeRotations(apiKeyId, kept) })
    return await this.showKey(apiKeyId)
  }

  async close (): Promise<void> {
    this.#database.close()
    this.#log.close()
  }

  /** Both ways: what a restored database has forgotten, and what a lost log has. */
  #mergeLog (): void {
    const { revokedAtMs, rotations, memberIdMax, apiKeyIdMax } = this.#log.facts()
    const missing: RefusalEntry[] = []
    for (const row of this.#all('select api_key_id as apiKeyId, revoked_at_ms as revokedAtMs from revocation')) {
      const apiKeyId = Number(row['apiKeyId'])
      if (!revokedAtMs.has(apiKeyId)) missing.push({ kind: 'revoked', apiKeyId, revokedAtMs: Number(row['revokedAtMs']) })
    }
    for (const row of this.#all('select api_key_id as apiKeyId, issued_from_s as issuedFromS, overlap_until_ms as overlapUntilMs from rotation')) {
      const [apiKeyId, issuedFromS, overlapUntilMs] = [Number(row['apiKeyId']), Number(row['issuedFromS']), Number(row['overlapUntilMs'])]
      if (rotations.get(apiKeyId)?.some((rotation) => rotation.issuedFromS === issuedFromS) !== true) missing.push({ kind: 'rotated', apiKeyId, issuedFromS, overlapUntilMs })
    }
    const [memberId, apiKeyId] = [this.#number('select max(member_id) from member'), this.#number('select max(api_key_id) from api_key')]
    if (memberId > memberIdMax) missing.push({ kind: 'issued', memberId })
    if (apiKeyId > apiKeyIdMax) missing.push({ kind: 'issued', apiKeyId })
    this.#log.append(missing)
    this.#transaction(() => {
      for (const [keyId, atMs] of revokedAtMs) this.#run('insert or ignore into revocation (api_key_id, revoked_at_ms) values (?, ?)', keyId, atMs)
      for (const [keyId, all] of rotations) {
        const stored = this.#factsOf(keyId).rotations
        const merged = all.reduce<readonly Rotation[]>((kept, rotation) => rotationsWith(kept, rotation, this.#clock.nowMs()), stored)
        if (JSON.stringify(merged) !== JSON.stringify(stored)) this.#storeRotations(keyId, merged)
      }
    })
  }

  #nextMemberId (): number {
    if (this.#number('select count(*) from member') >= membersMax) throw new TollgateError('LIMIT_EXCEEDED', `a registry has at most ${membersMax} members`)
    return mustBeId(this.#log.facts().memberIdMax + 1)
  }

  #chooseKeyId (wanted: number | undefined): number {
    if (this.#number('select count(*) from api_key') >= keysMax) throw new TollgateError('LIMIT_EXCEEDED', `a registry has at most ${keysMax} keys`)
    if (wanted === undefined) {
      let next = this.#log.facts().apiKeyIdMax + 1
      // Ids that someone else's service gave away and that were revoked here.
      while (this.#isRevoked(next)) next++
      return mustBeId(next)
    }
    if (this.#one('select 1 from api_key where api_key_id = ?', wanted) !== undefined) throw new TollgateError('KEY_EXISTS', `key ${wanted} exists`)
    if (this.#isRevoked(wanted)) throw new TollgateError('KEY_REVOKED', `key ${wanted} was revoked`)
    return wanted
  }

  #isRevoked (apiKeyId: number): boolean { return this.#one('select 1 from revocation where api_key_id = ?', apiKeyId) !== undefined }

  #storeRotations (apiKeyId: number, rotations: readonly Rotation[]): void {
    this.#run('delete from rotation where api_key_id = ?', apiKeyId)
    for (const { issuedFromS, overlapUntilMs } of rotations) this.#run('insert into rotation (api_key_id, issued_from_s, overlap_until_ms) values (?, ?, ?)', apiKeyId, issuedFromS, overlapUntilMs)
  }

  #transaction (action: () => void): void {
    this.#run('begin immediate')
    try {
      action()
      this.#run('commit')
    } catch (error) {
      this.#run('rollback')
      throw error
    }
  }

  #all (sql: string, ...values: SQLInputValue[]): Row[] { return reading(this.#file, () => this.#prepare(sql).all(...values)) }
  #one (sql: string, ...values: SQLInputValue[]): Row | undefined { return reading(this.#file, () => this.#prepare(sql).get(...values)) }
  #run (sql: string, ...values: SQLInputValue[]): void { reading(this.#file, () => this.#prepare(sql).run(...values)) }
  #number (sql: string): number { return Number(Object.values(this.#one(sql) ?? {})[0] ?? 0) }

  #prepare (sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) this.#statements.set(sql, statement = this.#database.prepare(sql))
    return statement
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
    label: String(row['label']),
    createdAtMs: Number(row['createdAtMs']),
    expiresAtMs: optional('expiresAtMs'),
    revokedAtMs: optional('revokedAtMs'),
    rotatedAtMs: optional('rotatedAtMs'),
    overlapUntilMs: optional('overlapUntilMs')
  }
}

function mustBeName (what: string, name: string): void {
  const isName = name.trim() !== '' && name.length <= nameCharactersMax && !/\p{Cc}/u.test(name)
  if (!isName) throw new TollgateError('ARGUMENT_INVALID', `${what} has 1 to ${nameCharactersMax} characters and no control characters`)
}

function mustBeId (id: number): number {
  if (!Number.isSafeInteger(id)) throw new TollgateError('LIMIT_EXCEEDED', 'all numbers are given away: name one yourself')
  return id
}

function pageSize (countMax: number): number { return Math.max(1, Math.min(countMax, pageCountMax)) }
