// Members and keys as redis-om entities. redis-om says how an entity stands in its hash, both ways. It would write each hash in a
// step of its own, so it is given a connection that keeps what it writes and answers with what was read: the hash then goes
// into one step with everything else that a change consists of.
import { Repository, Schema } from 'redis-om'
import type { Entity } from 'redis-om'
import { TollgateError } from '../domain/errors.ts'
import type { KeyRecord, MemberRecord } from './port.ts'
import type { Rotation } from './key-state.ts'
import { readRecord } from './records.ts'
import { registryBase } from './redis-keys.ts'

type Fields = Readonly<Record<string, string>>

/** The part of a connection that redis-om uses of a HASH repository. */
class Desk {
  written: Fields = {}
  read: Fields = {}
  async hGetAll (): Promise<Fields> { return this.read }
  async unlink (): Promise<number> { return 0 }
  multi (): unknown {
    const step = {
      unlink: () => step,
      hSet: (_key: string, fields: Fields) => { this.written = fields; return step },
      exec: async () => []
    }
    return step
  }
}

export class RegistryEntities {
  readonly #base: string
  readonly #desk = new Desk()
  readonly #members: Repository
  readonly #keys: Repository
  readonly #fieldNames: ReadonlyMap<Repository, readonly string[]>

  constructor (keyPrefix: string) {
    this.#base = registryBase(keyPrefix)
    const connection = this.#desk as unknown as ConstructorParameters<typeof Repository>[1]
    const members = new Schema(`${this.#base}member`, { name: { type: 'string' }, createdAtMs: { type: 'number' } }, { dataStructure: 'HASH' })
    const keys = new Schema(`${this.#base}key`, {
      memberId: { type: 'number' }, grade: { type: 'string' }, label: { type: 'string' }, createdAtMs: { type: 'number' }, expiresAtMs: { type: 'number' }, secrets: { type: 'string' }
    }, { dataStructure: 'HASH' })
    this.#members = new Repository(members, connection)
    this.#keys = new Repository(keys, connection)
    this.#fieldNames = new Map([[this.#members, members.fields.map(({ name }) => name)], [this.#keys, keys.fields.map(({ name }) => name)]])
  }

  /** Field, value, field …: for a script. Without a number, which is in the key's name. */
  async memberFields ({ name, createdAtMs }: Omit<MemberRecord, 'kind' | 'memberId'>): Promise<string[]> { return await this.#fields(this.#members, { name, createdAtMs }) }

  async keyFields ({ memberId, grade, label, createdAtMs, expiresAtMs, secrets }: Omit<KeyRecord, 'kind' | 'apiKeyId'>): Promise<string[]> {
    return await this.#fields(this.#keys, { memberId, grade, label, createdAtMs, expiresAtMs, secrets })
  }

  /** Undefined where there is no hash. @throws TollgateError REGISTRY_FOREIGN */
  async member (memberId: number, fields: readonly string[]): Promise<MemberRecord | undefined> {
    return await this.#entity(this.#members, `member:${memberId}`, fields, { kind: 'member', memberId }) as MemberRecord | undefined
  }

  async key (apiKeyId: number, fields: readonly string[]): Promise<KeyRecord | undefined> {
    return await this.#entity(this.#keys, `key:${apiKeyId}`, fields, { kind: 'key', apiKeyId }) as KeyRecord | undefined
  }

  /** @throws TollgateError REGISTRY_FOREIGN */
  revokedAtMs (apiKeyId: number, text: string | null): number | undefined {
    if (text === null) return undefined
    const record = /^\d{1,16}$/.test(text) ? readRecord({ kind: 'revoked', apiKeyId, revokedAtMs: Number(text) }) : 'is no time'
    if (typeof record === 'string') throw this.#foreign(`revoked:${apiKeyId}`, record)
    return Number(text)
  }

  /** @throws TollgateError REGISTRY_FOREIGN */
  rotations (apiKeyId: number, text: string | null): readonly Rotation[] {
    if (text === null) return []
    try {
      return (JSON.parse(text) as readonly (readonly [unknown, unknown])[]).map(([issuedFromS, overlapUntilMs]) => {
        const record = readRecord({ kind: 'rotated', apiKeyId, issuedFromS, overlapUntilMs })
        if (typeof record === 'string' || record.kind !== 'rotated') throw new Error(typeof record === 'string' ? record : 'is no rotation')
        return { issuedFromS: record.issuedFromS, overlapUntilMs: record.overlapUntilMs }
      })
    } catch (error) {
      throw this.#foreign(`rotations:${apiKeyId}`, 'holds no rotations', error)
    }
  }

  // Nothing is awaited between what redis-om is asked and when it has used the desk, and it uses it at once: one at a time.
  async #fields (repository: Repository, entity: Entity): Promise<string[]> {
    const saving = repository.save('new', entity)
    const { written } = this.#desk
    await saving
    return Object.entries(written).flat()
  }

  async #entity (repository: Repository, name: string, fields: readonly string[], known: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (fields.length === 0) return undefined
    const read: Record<string, string> = {}
    for (let at = 0; at < fields.length; at += 2) read[fields[at] as string] = fields[at + 1] as string
    this.#desk.read = read
    const fetching = repository.fetch('any')
    let entity: Entity
    try { entity = await fetching } catch (error) { throw this.#foreign(name, 'holds no entity of ours', error) }
    // Fields of a newer version are its own business.
    const ours = (this.#fieldNames.get(repository) ?? []).map((field) => [field, entity[field]] as const).filter(([, value]) => value !== undefined && value !== null)
    const record = readRecord({ ...known, ...Object.fromEntries(ours) })
    if (typeof record === 'string') throw this.#foreign(name, record)
    return record
  }

  #foreign (name: string, what: string, cause?: unknown): TollgateError {
    return foreignKey(this.#base + name, what, cause)
  }
}

/** @param key its whole name */
export function foreignKey (key: string, what = 'holds something else', cause?: unknown): TollgateError {
  return new TollgateError('REGISTRY_FOREIGN', `in Redis, ${key} ${what}`, { cause })
}

/** '' for none. */
export function rotationsText (rotations: readonly Rotation[]): string {
  return rotations.length === 0 ? '' : JSON.stringify(rotations.map(({ issuedFromS, overlapUntilMs }) => [issuedFromS, overlapUntilMs]))
}
