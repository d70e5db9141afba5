// The registry of a cluster, in Redis. Every change is one step there, with its entry in the log of changes that all gateways
// follow; numbers are given away in that step and never again. What was revoked or rotated is kept beside the keys, for ever.
//
// A change is as durable as Redis is made to be: docs/registry.md says how, and what the gateways make good.
import { TollgateError } from '../domain/errors.ts'
import type { ErrorCode } from '../domain/errors.ts'
import type { Clock } from '../platform/clock.ts'
import { RedisLink } from '../platform/redis.ts'
import type { RedisOptions } from '../platform/redis.ts'
import { firstSecrets, readSecrets, secretsText, secretsWith } from './key-secrets.ts'
import { rotationsWith } from './key-state.ts'
import { pageCountMax } from './port.ts'
import type { ApiKey, Imported, KeyRecord, Member, NewKey, Page, RecordPage, Registry, RegistryRecord } from './port.ts'
import { RegistryCommands } from './redis-commands.ts'
import type { KeyStateInRedis, MemberState } from './redis-commands.ts'
import { rotationsText } from './redis-entities.ts'
import { createKeyScript, createMemberScript, revokeScript, rotateScript } from './redis-keys.ts'
import { exportFromRedis, importIntoRedis } from './redis-transfer.ts'
import { keysMax, membersMax, mustBeName, mustBeOfType, mustBeOverlap, mustExpireLater, pageSize, rotationStart, rotationsMax } from './rules.ts'

export interface RedisRegistryOptions {
  readonly redis: RedisOptions
  readonly clock: Clock
  /** Called after each change made here: the mirror can look at once. */
  readonly onChange?: () => void
}

const openWithinMs = 5_000
/** Somebody else changed the key between our reading and writing, so many times in a row. */
const attemptsMax = 16

/**
 * Asks Redis once, unless `isLazy`: then the first command does.
 * @throws TollgateError REDIS_UNREACHABLE, REDIS_DENIED, REDIS_FAILED, REGISTRY_FOREIGN; commands throw them too
 */
export async function openRedisRegistry ({ redis, clock, onChange = () => {} }: RedisRegistryOptions, { isLazy = false }: { readonly isLazy?: boolean } = {}): Promise<Registry> {
  const link = new RedisLink(redis)
  const registry = new RedisRegistry(link, clock, onChange)
  if (isLazy) return registry
  try {
    await link.ready(openWithinMs)
    await registry.check()
    return registry
  } catch (error) {
    link.close()
    throw error
  }
}

class RedisRegistry implements Registry {
  readonly #link: RedisLink
  readonly #commands: RegistryCommands
  readonly #clock: Clock
  readonly #onChange: () => void

  constructor (link: RedisLink, clock: Clock, onChange: () => void) {
    this.#link = link
    this.#commands = new RegistryCommands(link)
    this.#clock = clock
    this.#onChange = onChange
  }

  async check (): Promise<void> { await this.#commands.position() }

  async createMember ({ memberId, name }: { readonly memberId?: number, readonly name: string }): Promise<Member> {
    mustBeName('a member\'s name', name)
    const createdAtMs = this.#clock.nowMs()
    const fields = await this.#commands.entities.memberFields({ name, createdAtMs })
    const id = Number(await this.#change(createMemberScript, [textOf(memberId), String(membersMax), ...fields], {
      MEMBER_EXISTS: `member ${memberId} exists`,
      LIMIT_EXCEEDED: `a registry has at most ${membersMax} members, and numbers up to ${Number.MAX_SAFE_INTEGER}`
    }))
    return { memberId: id, name, createdAtMs }
  }

  async listMembers ({ afterId = 0, countMax = pageCountMax }: Page = {}): Promise<readonly Member[]> {
    const ids = await this.#commands.numbersAfter('members', afterId, pageSize(countMax))
    const states = await this.#commands.states(ids.map((id) => `m${id}` as const))
    return states.flatMap((state) => {
      if (state instanceof TollgateError) throw state
      const { member } = state as MemberState
      return member === undefined ? [] : [{ memberId: member.memberId, name: member.name, createdAtMs: member.createdAtMs }]
    })
  }

  async createKey (options: NewKey): Promise<ApiKey> {
    const { memberId, grade, label = '', expiresAtMs, apiKeyId, secretDigest } = options
    if (label !== '') mustBeName('a key\'s label', label)
    const createdAtMs = this.#clock.nowMs()
    mustExpireLater(expiresAtMs, createdAtMs)
    const entity = { memberId, grade, label, createdAtMs, ...(expiresAtMs === undefined ? {} : { expiresAtMs }), ...firstSecrets(secretDigest, createdAtMs) }
    const fields = await this.#commands.entities.keyFields(entity)
    const id = Number(await this.#change(createKeyScript, [String(memberId), textOf(apiKeyId), String(keysMax), '0', ...fields], {
      MEMBER_UNKNOWN: `there is no member ${memberId}`,
      KEY_EXISTS: `key ${apiKeyId} exists`,
      KEY_REVOKED: `key ${apiKeyId} was revoked`,
      LIMIT_EXCEEDED: `a registry has at most ${keysMax} keys, and numbers up to ${Number.MAX_SAFE_INTEGER}`
    }))
    return apiKeyOf({ kind: 'key', apiKeyId: id, ...entity }, { apiKeyId: id, key: undefined, revokedAtMs: undefined, rotations: [] })
  }

  async listKeys ({ memberId, afterId = 0, countMax = pageCountMax }: { readonly memberId?: number } & Page): Promise<readonly ApiKey[]> {
    const ids = await this.#commands.numbersAfter(memberId === undefined ? 'keys' : `member-keys:${memberId}`, afterId, pageSize(countMax))
    const states = await this.#commands.states(ids.map((id) => `k${id}` as const))
    return states.flatMap((state) => {
      if (state instanceof TollgateError) throw state
      const found = state as KeyStateInRedis
      return found.key === undefined ? [] : [apiKeyOf(found.key, found)]
    })
  }

  async showKey (apiKeyId: number): Promise<ApiKey> {
    const state = await this.#stateOf(apiKeyId)
    if (state.key === undefined) throw new TollgateError('KEY_UNKNOWN', `key ${apiKeyId} is not in this registry`)
    return apiKeyOf(state.key, state)
  }

  async revokeKey (apiKeyId: number): Promise<void> {
    await this.#change(revokeScript, [String(apiKeyId), String(this.#clock.nowMs())], {})
  }

  async rotateKey (apiKeyId: number, { overlapMs, secretDigest }: { readonly overlapMs: number, readonly secretDigest?: string }): Promise<ApiKey> {
    mustBeOverlap(overlapMs)
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const state = await this.#stateOf(apiKeyId)
      if (state.key === undefined) throw new TollgateError('KEY_UNKNOWN', `key ${apiKeyId} is not in this registry`)
      const nowMs = this.#clock.nowMs()
      const key = apiKeyOf(state.key, state)
      if (state.revokedAtMs === undefined) mustBeOfType(apiKeyId, key.type, secretDigest)
      const secrets = state.key.secrets ?? ''
      const added = { issuedFromS: rotationStart(key, nowMs), overlapUntilMs: nowMs + overlapMs }
      const kept = rotationsWith(state.rotations, added, nowMs)
      const live = secretDigest === undefined ? [] : secretsWith(readSecrets(secrets) ?? [], { issuedAtS: added.issuedFromS, digest: secretDigest }, kept, nowMs)
      if ((kept.length > rotationsMax || live === undefined) && state.revokedAtMs === undefined) throw new TollgateError('LIMIT_EXCEEDED', `key ${apiKeyId} has ${rotationsMax} rotations whose overlap has not ended`)
      const done = await this.#change(rotateScript, [String(apiKeyId), rotationsText(state.rotations), rotationsText(kept), '1', secrets, secretsText(live ?? [])], { KEY_REVOKED: `key ${apiKeyId} is revoked`, AGAIN: undefined })
      if (done !== undefined) return apiKeyOf(state.key, { ...state, rotations: kept })
    }
    throw new TollgateError('REDIS_FAILED', `key ${apiKeyId} was changed by others all the time: try again`)
  }

  async exportPage (cursor?: string): Promise<RecordPage> { return await exportFromRedis(this.#commands, cursor) }

  async importRecords (records: readonly RegistryRecord[]): Promise<Imported> {
    try { return await importIntoRedis(this.#commands, records, this.#clock.nowMs()) } finally { this.#onChange() }
  }

  async close (): Promise<void> { this.#link.close() }

  async #stateOf (apiKeyId: number): Promise<KeyStateInRedis> {
    const [state] = await this.#commands.states([`k${apiKeyId}`])
    if (state instanceof TollgateError) throw state
    return state as KeyStateInRedis
  }

  /** @param refusals the scripts' answers and what they mean; undefined for one that is no error. @returns the script's result */
  async #change (script: string, values: readonly string[], refusals: Partial<Readonly<Record<ErrorCode | 'AGAIN', string | undefined>>>): Promise<string | undefined> {
    const { code, result } = await this.#commands.change(script, values)
    if (code === 'OK') {
      this.#onChange()
      return result
    }
    const message = refusals[code as ErrorCode]
    if (message === undefined) return undefined
    throw new TollgateError(code as ErrorCode, message)
  }
}

function textOf (id: number | undefined): string { return id === undefined ? '' : String(id) }

function apiKeyOf ({ apiKeyId, memberId, grade, label, createdAtMs, expiresAtMs, secrets }: KeyRecord, { revokedAtMs, rotations }: KeyStateInRedis): ApiKey {
  const last = rotations.at(-1)
  const type = secrets === undefined ? 'jwt' : 'opaque'
  return { apiKeyId, memberId, grade, type, label, createdAtMs, expiresAtMs, revokedAtMs, rotatedAtMs: last === undefined ? undefined : last.issuedFromS * 1000, overlapUntilMs: last?.overlapUntilMs }
}
