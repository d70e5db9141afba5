// The mirror's side on disk: the gateway's own registry file, and how far it has followed the registry in Redis. Position and
// changes are written in one transaction; refusals are in the refusal log before, and are only ever added.
import type { KeyRecord, MemberRecord, RecordPage } from './port.ts'
import type { KeyStateInRedis, RegistryState } from './redis-commands.ts'
import type { RefusalEntry, RefusalFacts } from './refusal-log.ts'
import type { SqliteStore } from './sqlite-store.ts'
import { exportFromSqlite, memberOf, putKey, putMember } from './sqlite-transfer.ts'

/** Of which registry everything up to which version is here. */
export interface MirrorPosition {
  /** '': a registry that nothing was ever written to. */
  readonly epoch: string
  readonly version: number
  /** Of the Redis process: a new one may have lost its last changes. '' where we may not ask. */
  readonly runId: string
}

/** Numbers that Redis has, of a full read. */
export interface Seen { readonly members: Set<number>, readonly keys: Set<number> }

export class MirrorStore {
  readonly #store: SqliteStore

  constructor (store: SqliteStore) {
    this.#store = store
    // Not part of the file's schema: a registry of one machine has no use for it.
    store.run('create table if not exists mirror (one integer primary key check (one = 1), epoch text not null, version integer not null, run_id text not null) strict')
  }

  /** Undefined: the registry was never here as a whole. */
  position (): MirrorPosition | undefined {
    const row = this.#store.one('select epoch, version, run_id as runId from mirror')
    return row === undefined ? undefined : { epoch: String(row['epoch']), version: Number(row['version']), runId: String(row['runId']) }
  }

  refusals (): RefusalFacts { return this.#store.log.facts() }

  hasMember (memberId: number): boolean { return memberOf(this.#store, memberId) !== undefined }

  /** @returns keys whose member isn't here: they were passed over */
  apply (states: readonly RegistryState[], position: MirrorPosition | undefined): readonly KeyRecord[] {
    const members = states.flatMap((state): MemberRecord[] => 'memberId' in state && state.member !== undefined ? [state.member] : [])
    const keyStates = states.filter((state): state is KeyStateInRedis => 'apiKeyId' in state)
    this.refuse(keyStates.flatMap(refusalsOf))
    const passedOver: KeyRecord[] = []
    this.#store.transaction(() => {
      for (const member of members) putMember(this.#store, member)
      for (const { key } of keyStates) {
        if (key === undefined) continue
        if (this.hasMember(key.memberId)) putKey(this.#store, key)
        else passedOver.push(key)
      }
      if (position !== undefined) this.#setPosition(position)
    })
    return passedOver
  }

  refuse (entries: readonly RefusalEntry[]): void {
    const added = this.#store.unknownOf(entries)
    if (added.length === 0) return
    this.#store.log.append(added)
    this.#store.transaction(() => { this.#store.applyRefusals(added) })
  }

  setPosition (position: MirrorPosition): void { this.#store.transaction(() => { this.#setPosition(position) }) }

  /** What is here and not in Redis. */
  surplus ({ members, keys }: Seen): { readonly memberIds: readonly number[], readonly apiKeyIds: readonly number[] } {
    return {
      memberIds: this.#store.all('select member_id as id from member').map((row) => Number(row['id'])).filter((id) => !members.has(id)),
      apiKeyIds: this.#store.all('select api_key_id as id from api_key').map((row) => Number(row['id'])).filter((id) => !keys.has(id))
    }
  }

  remove ({ memberIds, apiKeyIds }: ReturnType<MirrorStore['surplus']>): void {
    this.#store.transaction(() => {
      for (const apiKeyId of apiKeyIds) this.#store.run('delete from api_key where api_key_id = ?', apiKeyId)
      // One whose key stays because it could not be read stays too.
      for (const memberId of memberIds) this.#store.run('delete from member where member_id = ? and not exists (select 1 from api_key k where k.member_id = member.member_id)', memberId)
    })
  }

  page (cursor?: string): RecordPage { return exportFromSqlite(this.#store, cursor) }

  close (): void { this.#store.close() }

  #setPosition ({ epoch, version, runId }: MirrorPosition): void {
    this.#store.run('insert into mirror (one, epoch, version, run_id) values (1, ?, ?, ?) on conflict do update set epoch = excluded.epoch, version = excluded.version, run_id = excluded.run_id', epoch, version, runId)
  }
}

function refusalsOf ({ apiKeyId, revokedAtMs, rotations }: KeyStateInRedis): RefusalEntry[] {
  return [
    ...(revokedAtMs === undefined ? [] : [{ kind: 'revoked', apiKeyId, revokedAtMs } as const]),
    ...rotations.map(({ issuedFromS, overlapUntilMs }) => ({ kind: 'rotated', apiKeyId, issuedFromS, overlapUntilMs } as const))
  ]
}
