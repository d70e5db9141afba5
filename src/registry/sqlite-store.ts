// The registry's SQLite file and the refusal log beside it, as one: what both kinds of users need, the registry of one machine
// and the mirror of a registry in Redis. What must outlive the database (revocations, rotations, numbers given away) is in the
// refusal log first.
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Clock } from '../platform/clock.ts'
import { openRegistryDatabase, prepareKeyFacts, reading } from './database.ts'
import { rotationsWith } from './key-state.ts'
import type { KeyFacts, Rotation } from './key-state.ts'
import { readSecrets } from './key-secrets.ts'
import { openRefusalLog } from './refusal-log.ts'
import type { RefusalEntry, RefusalLog } from './refusal-log.ts'

export interface SqliteRegistryOptions {
  readonly file: string
  /** The refusal log: revocations.ndjson beside the file. */
  readonly refusalFile: string
  readonly clock: Clock
}

export type Row = Readonly<Record<string, SQLOutputValue>>

/** One at a time, by the process that holds the state's lock. @throws TollgateError see openRegistryDatabase, openRefusalLog */
export function openSqliteStore ({ file, refusalFile, clock }: SqliteRegistryOptions): SqliteStore {
  const log = openRefusalLog(refusalFile)
  let database: DatabaseSync | undefined
  try {
    database = openRegistryDatabase(file)
    return new SqliteStore(file, database, log, clock)
  } catch (error) {
    database?.close()
    log.close()
    throw error
  }
}

/** A key's secrets as in a record, null for none. @param keys what the statement calls the table of keys */
export function secretsColumn (keys: 'api_key' | 'k'): string {
  return `(select group_concat(issued_at_s || ':' || digest, ' ' order by issued_at_s) from key_secret s where s.api_key_id = ${keys}.api_key_id) as secrets`
}

export class SqliteStore {
  readonly log: RefusalLog
  readonly clock: Clock
  readonly factsOf: (apiKeyId: number) => KeyFacts
  readonly #file: string
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor (file: string, database: DatabaseSync, log: RefusalLog, clock: Clock) {
    this.#file = file
    this.#database = database
    this.log = log
    this.clock = clock
    const factsOf = prepareKeyFacts(database)
    this.factsOf = (apiKeyId) => reading(file, () => factsOf(apiKeyId))
    this.#mergeLog()
  }

  isRevoked (apiKeyId: number): boolean { return this.one('select 1 from revocation where api_key_id = ?', apiKeyId) !== undefined }

  storeRotations (apiKeyId: number, rotations: readonly Rotation[]): void {
    this.run('delete from rotation where api_key_id = ?', apiKeyId)
    for (const { issuedFromS, overlapUntilMs } of rotations) this.run('insert into rotation (api_key_id, issued_from_s, overlap_until_ms) values (?, ?, ?)', apiKeyId, issuedFromS, overlapUntilMs)
  }

  /** @param secrets as in a record; '' for none */
  storeSecrets (apiKeyId: number, secrets: string): void {
    this.run('delete from key_secret where api_key_id = ?', apiKeyId)
    for (const { issuedAtS, digest } of readSecrets(secrets) ?? []) this.run('insert into key_secret (digest, api_key_id, issued_at_s) values (?, ?, ?)', digest, apiKeyId, issuedAtS)
  }

  /** Of `entries` those that say something new. */
  unknownOf (entries: readonly RefusalEntry[]): RefusalEntry[] {
    const { memberIdMax, apiKeyIdMax } = this.log.facts()
    return entries.filter((entry) => {
      switch (entry.kind) {
        case 'revoked': return !this.isRevoked(entry.apiKeyId)
        case 'rotated': return rotationText(this.#rotationsWith(entry)) !== rotationText(this.factsOf(entry.apiKeyId).rotations)
        case 'issued': return 'memberId' in entry ? entry.memberId > memberIdMax : entry.apiKeyId > apiKeyIdMax
      }
    })
  }

  /** What the log holds already, in the tables too. Call it in a transaction. */
  applyRefusals (entries: readonly RefusalEntry[]): void {
    for (const entry of entries) {
      if (entry.kind === 'revoked') this.run('insert or ignore into revocation (api_key_id, revoked_at_ms) values (?, ?)', entry.apiKeyId, entry.revokedAtMs)
      else if (entry.kind === 'rotated') this.storeRotations(entry.apiKeyId, this.#rotationsWith(entry))
    }
  }

  transaction (action: () => void): void {
    this.run('begin immediate')
    try {
      action()
      this.run('commit')
    } catch (error) {
      this.run('rollback')
      throw error
    }
  }

  all (sql: string, ...values: SQLInputValue[]): Row[] { return reading(this.#file, () => this.#prepare(sql).all(...values)) }
  one (sql: string, ...values: SQLInputValue[]): Row | undefined { return reading(this.#file, () => this.#prepare(sql).get(...values)) }
  run (sql: string, ...values: SQLInputValue[]): void { reading(this.#file, () => this.#prepare(sql).run(...values)) }
  number (sql: string): number { return Number(Object.values(this.one(sql) ?? {})[0] ?? 0) }

  close (): void {
    this.#database.close()
    this.log.close()
  }

  #rotationsWith ({ apiKeyId, issuedFromS, overlapUntilMs }: RefusalEntry & { readonly kind: 'rotated' }): Rotation[] {
    return rotationsWith(this.factsOf(apiKeyId).rotations, { issuedFromS, overlapUntilMs }, this.clock.nowMs())
  }

  /** Both ways: what a restored database has forgotten, and what a lost log has. */
  #mergeLog (): void {
    const { revokedAtMs, rotations, memberIdMax, apiKeyIdMax } = this.log.facts()
    const missing: RefusalEntry[] = []
    for (const row of this.all('select api_key_id as apiKeyId, revoked_at_ms as revokedAtMs from revocation')) {
      const apiKeyId = Number(row['apiKeyId'])
      if (!revokedAtMs.has(apiKeyId)) missing.push({ kind: 'revoked', apiKeyId, revokedAtMs: Number(row['revokedAtMs']) })
    }
    for (const row of this.all('select api_key_id as apiKeyId, issued_from_s as issuedFromS, overlap_until_ms as overlapUntilMs from rotation')) {
      const [apiKeyId, issuedFromS, overlapUntilMs] = [Number(row['apiKeyId']), Number(row['issuedFromS']), Number(row['overlapUntilMs'])]
      if (rotations.get(apiKeyId)?.some((rotation) => rotation.issuedFromS === issuedFromS) !== true) missing.push({ kind: 'rotated', apiKeyId, issuedFromS, overlapUntilMs })
    }
    const [memberId, apiKeyId] = [this.number('select max(member_id) from member'), this.number('select max(api_key_id) from api_key')]
    if (memberId > memberIdMax) missing.push({ kind: 'issued', memberId })
    if (apiKeyId > apiKeyIdMax) missing.push({ kind: 'issued', apiKeyId })
    this.log.append(missing)
    this.transaction(() => {
      for (const [keyId, atMs] of revokedAtMs) this.run('insert or ignore into revocation (api_key_id, revoked_at_ms) values (?, ?)', keyId, atMs)
      for (const [keyId, all] of rotations) {
        const stored = this.factsOf(keyId).rotations
        const merged = all.reduce<readonly Rotation[]>((kept, rotation) => rotationsWith(kept, rotation, this.clock.nowMs()), stored)
        if (JSON.stringify(merged) !== JSON.stringify(stored)) this.storeRotations(keyId, merged)
      }
    })
  }

  #prepare (sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) this.#statements.set(sql, statement = this.#database.prepare(sql))
    return statement
  }
}

function rotationText (rotations: readonly Rotation[]): string { return rotations.map(({ issuedFromS, overlapUntilMs }) => `${issuedFromS} ${overlapUntilMs}`).join() }
