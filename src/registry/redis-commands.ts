// What is asked of the registry in Redis: its scripts, their answers, and their failures by the names of this program.
import { createHash, randomUUID } from 'node:crypto'
import { TollgateError } from '../domain/errors.ts'
import { ErrorReply, failureOf } from '../platform/redis.ts'
import type { RedisLink, RedisReply } from '../platform/redis.ts'
import type { KeyRecord, MemberRecord } from './port.ts'
import type { Rotation } from './key-state.ts'
import { RegistryEntities, foreignKey } from './redis-entities.ts'
import { positionScript, readScript, registryBase } from './redis-keys.ts'
import type { ChangeName } from './redis-keys.ts'

export const askWithinMs = 5_000

/** How far the registry in Redis has come. */
export interface RegistryPosition {
  /** Undefined: nothing was ever written. */
  readonly epoch: string | undefined
  readonly version: number
  readonly memberIdMax: number
  readonly apiKeyIdMax: number
}

/** All that Redis has of one number, as of one instant. */
export interface MemberState { readonly memberId: number, readonly member: MemberRecord | undefined }
export interface KeyStateInRedis {
  readonly apiKeyId: number
  readonly key: KeyRecord | undefined
  readonly revokedAtMs: number | undefined
  readonly rotations: readonly Rotation[]
}
export type RegistryState = MemberState | KeyStateInRedis

type StateReply = readonly [foreign: string, fields: readonly string[], revoked: string | null, rotations: string | null]

export class RegistryCommands {
  readonly entities: RegistryEntities
  readonly base: string
  readonly #link: RedisLink
  readonly #hashes = new Map<string, string>()

  constructor (link: RedisLink) {
    this.#link = link
    this.base = registryBase(link.options.keyPrefix)
    this.entities = new RegistryEntities(link.options.keyPrefix)
  }

  /** One step that changes something. @returns its result. @throws TollgateError with the code that the script answered, REGISTRY_FOREIGN, and as `ask` */
  async change (script: string, values: readonly string[]): Promise<{ readonly code: string, readonly result: string }> {
    // An epoch of ours, should there be none.
    const [code = '', result = ''] = await this.run(script, [randomUUID(), ...values]) as readonly string[]
    if (code === 'REGISTRY_FOREIGN') throw foreignKey(result)
    return { code, result }
  }

  async position (): Promise<RegistryPosition> {
    const [code, ...values] = await this.run(positionScript, []) as readonly (string | null)[]
    if (code === 'REGISTRY_FOREIGN') throw foreignKey(values[0] ?? '')
    const [epoch, version, memberIdMax, apiKeyIdMax] = values
    return {
      epoch: epoch ?? undefined,
      version: this.#number('version', version),
      memberIdMax: this.#number('member-id', memberIdMax),
      apiKeyIdMax: this.#number('key-id', apiKeyIdMax)
    }
  }

  /** Names by version, those above `afterVersion` first. */
  async changesAfter (afterVersion: number, countMax: number): Promise<readonly { readonly name: ChangeName, readonly version: number }[]> {
    const flat = await this.ask(['ZRANGEBYSCORE', `${this.base}changes`, `(${afterVersion}`, '+inf', 'WITHSCORES', 'LIMIT', '0', String(countMax)], 'changes') as readonly string[]
    const found: { name: ChangeName, version: number }[] = []
    for (let at = 0; at < flat.length; at += 2) {
      const [name = '', version] = [flat[at], Number(flat[at + 1])]
      if (!/^[mk]\d{1,16}$/.test(name) || !Number.isSafeInteger(version)) throw foreignKey(`${this.base}changes`, `holds ${JSON.stringify(name)}`)
      found.push({ name: name as ChangeName, version })
    }
    return found
  }

  /** @returns for each name its state, or the error REGISTRY_FOREIGN that keeps it from being read */
  async states (names: readonly ChangeName[]): Promise<readonly (RegistryState | TollgateError)[]> {
    if (names.length === 0) return []
    const replies = await this.run(readScript, names) as unknown as readonly StateReply[]
    return await Promise.all(names.map(async (name, index) => {
      try {
        return await this.#stateOf(name, replies[index] as StateReply)
      } catch (error) {
        if (error instanceof TollgateError && error.code === 'REGISTRY_FOREIGN') return error
        throw error
      }
    }))
  }

  /** Numbers above `afterId` in a sorted set, in order. @param name such as `keys` */
  async numbersAfter (name: string, afterId: number, countMax: number): Promise<readonly number[]> {
    const texts = await this.ask(['ZRANGEBYSCORE', `${this.base}${name}`, `(${afterId}`, '+inf', 'LIMIT', '0', String(countMax)], name) as readonly string[]
    return texts.map((text) => this.#number(name, text))
  }

  async run (script: string, values: readonly string[]): Promise<RedisReply> {
    let hash = this.#hashes.get(script)
    if (hash === undefined) this.#hashes.set(script, hash = createHash('sha1').update(script).digest('hex'))
    try {
      return await this.#link.ask(['EVALSHA', hash, '1', this.base, ...values], askWithinMs)
    } catch (error) {
      if (!(error instanceof ErrorReply) || !error.message.startsWith('NOSCRIPT')) throw failureOf(error)
    }
    try {
      return await this.#link.ask(['EVAL', script, '1', this.base, ...values], askWithinMs)
    } catch (error) { throw failureOf(error) }
  }

  /** @param name what is foreign when Redis says that it is of another type */
  async ask (command: readonly string[], name: string): Promise<RedisReply> {
    try {
      return await this.#link.ask(command, askWithinMs)
    } catch (error) {
      if (error instanceof ErrorReply && error.message.startsWith('WRONGTYPE')) throw foreignKey(`${this.base}${name}`, 'holds something else', error)
      throw failureOf(error)
    }
  }

  async #stateOf (name: ChangeName, [foreign, fields, revoked, rotations]: StateReply): Promise<RegistryState> {
    if (foreign !== '') throw foreignKey(foreign)
    const id = Number(name.slice(1))
    if (name.startsWith('m')) return { memberId: id, member: await this.entities.member(id, fields) }
    return { apiKeyId: id, key: await this.entities.key(id, fields), revokedAtMs: this.entities.revokedAtMs(id, revoked), rotations: this.entities.rotations(id, rotations) }
  }

  #number (name: string, text: string | null | undefined): number {
    const value = /^\d{1,16}$/.test(text ?? '0') ? Number(text ?? '0') : NaN
    if (!Number.isSafeInteger(value)) throw foreignKey(`${this.base}${name}`, 'holds no number')
    return value
  }
}
