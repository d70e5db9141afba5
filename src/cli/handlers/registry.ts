// Members and keys: what the commands do, in the running program as well as without it. A token leaves only here, once, in
// the answer to whoever made or rotated the key; nothing keeps it.
import { randomBytes } from 'node:crypto'
import { signApiKeyToken, signMemberToken } from '../../domain/api-key.ts'
import type { TokenSecret } from '../../domain/api-key.ts'
import { TollgateError } from '../../domain/errors.ts'
import { digestOfSecret, opaqueTokenOf, secretFrom, secretRandomBytes } from '../../domain/opaque-key.ts'
import { gradeTypes } from '../../domain/usage-event.ts'
import type { GradeType } from '../../domain/usage-event.ts'
import { formatTimeMs, timeMsMax } from '../../domain/window.ts'
import type { Clock } from '../../platform/clock.ts'
import { keyTypes } from '../../registry/port.ts'
import type { ApiKey, Imported, KeyType, Member, RecordPage, Registry, RegistryRecord } from '../../registry/port.ts'
import { readRecord } from '../../registry/records.ts'
import type { ControlHandlers } from '../control-server.ts'
import { HandlerArgument, needed } from './argument.ts'

export interface RegistryParts {
  readonly registry: Registry
  /** Signs API keys; undefined where the configuration has none. */
  readonly signing: () => TokenSecret | undefined
  /** Signs member tokens. */
  readonly memberSecret: () => string | undefined
  readonly clock: Clock
}

/** Times are texts, absent ones are left out. */
export interface MemberView { readonly memberId: number, readonly name: string, readonly createdAt: string }
export interface KeyView {
  readonly apiKeyId: number
  readonly memberId: number
  readonly grade: GradeType
  readonly type: KeyType
  readonly label: string
  readonly state: 'active' | 'expired' | 'revoked'
  readonly createdAt: string
  readonly expiresAt?: string
  readonly revokedAt?: string
  readonly rotatedAt?: string
  /** Tokens from before the last rotation are accepted until then. */
  readonly overlapUntil?: string
}
export interface IssuedKey extends KeyView { readonly token: string }
export interface MemberToken { readonly memberId: number, readonly expiresAt: string, readonly isKnown: boolean, readonly token: string }
/** `nextAfter`: there are more, after this number. */
export interface MemberPage { readonly members: readonly MemberView[], readonly nextAfter?: number }
export interface KeyPage { readonly keys: readonly KeyView[], readonly nextAfter?: number }

export const listCountDefault = 1_000
/** What the first system's clients know, and what a service of the user's can check by itself. */
export const keyTypeDefault: KeyType = 'jwt'

export function registryHandlers (parts: RegistryParts): ControlHandlers {
  const { registry, clock } = parts
  return {
    'member.create': async (argument) => {
      const given = new HandlerArgument(argument)
      const memberId = given.integer('memberId')
      return memberView(await registry.createMember({ name: needed('name', given.text('name')), ...(memberId === undefined ? {} : { memberId }) }))
    },
    'member.list': async (argument): Promise<MemberPage> => {
      const { countMax, ...page } = pageOf(new HandlerArgument(argument))
      const members = (await registry.listMembers({ ...page, countMax })).map(memberView)
      return { members, ...nextAfter(members.length === countMax ? members.at(-1)?.memberId : undefined) }
    },
    'member.token': async (argument) => await issueMemberToken(parts, new HandlerArgument(argument)),
    'key.create': async (argument) => await createKey(parts, new HandlerArgument(argument)),
    'key.list': async (argument): Promise<KeyPage> => {
      const given = new HandlerArgument(argument)
      const { countMax, ...page } = pageOf(given)
      const memberId = given.integer('memberId')
      const keys = await registry.listKeys({ ...page, countMax, ...(memberId === undefined ? {} : { memberId }) })
      return { keys: keys.map((key) => keyView(key, clock.nowMs())), ...nextAfter(keys.length === countMax ? keys.at(-1)?.apiKeyId : undefined) }
    },
    'key.show': async (argument) => keyView(await registry.showKey(needed('apiKeyId', new HandlerArgument(argument).integer('apiKeyId'))), clock.nowMs()),
    'key.revoke': async (argument) => {
      const apiKeyId = needed('apiKeyId', new HandlerArgument(argument).integer('apiKeyId'))
      const isKnown = await isInRegistry(registry, apiKeyId)
      await registry.revokeKey(apiKeyId)
      return { apiKeyId, isKnown }
    },
    'registry.export': async (argument): Promise<RecordPage> => await registry.exportPage(new HandlerArgument(argument).text('cursor')),
    'registry.import': async (argument): Promise<Imported> => await registry.importRecords(recordsOf(argument)),
    'key.rotate': async (argument): Promise<IssuedKey> => {
      const given = new HandlerArgument(argument)
      const [apiKeyId, overlapMs] = [needed('apiKeyId', given.integer('apiKeyId')), needed('overlapMs', given.integer('overlapMs', 0))]
      const maker = tokenMaker(parts, (await registry.showKey(apiKeyId)).type)
      const key = await registry.rotateKey(apiKeyId, { overlapMs, ...maker.stored })
      return { ...keyView(key, clock.nowMs()), token: maker.tokenOf(key, key.rotatedAtMs ?? clock.nowMs()) }
    }
  }
}

async function createKey (parts: RegistryParts, given: HandlerArgument): Promise<IssuedKey> {
  const maker = tokenMaker(parts, given.choice('type', keyTypes) ?? keyTypeDefault)
  const [label, expiresAtMs, apiKeyId] = [given.text('label'), given.integer('expiresAtMs'), given.integer('apiKeyId')]
  if ((expiresAtMs ?? 0) > timeMsMax) throw new TollgateError('ARGUMENT_INVALID', 'a key expires before the year 10000, or never')
  const key = await parts.registry.createKey({
    memberId: needed('memberId', given.integer('memberId')),
    grade: needed('grade', given.choice('grade', gradeTypes)),
    ...(label === undefined ? {} : { label }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    ...(apiKeyId === undefined ? {} : { apiKeyId }),
    ...maker.stored
  })
  return { ...keyView(key, parts.clock.nowMs()), token: maker.tokenOf(key, key.createdAtMs) }
}

/** `stored`: what the registry gets of a new token. */
interface TokenMaker { readonly stored: { readonly secretDigest?: string }, readonly tokenOf: (key: ApiKey, issuedAtMs: number) => string }

/** @throws TollgateError CONFIG_INVALID where nothing can be signed, before anything is changed */
function tokenMaker (parts: RegistryParts, type: KeyType): TokenMaker {
  if (type === 'jwt') {
    const signing = signingOf(parts)
    return { stored: {}, tokenOf: (key, issuedAtMs) => signedTokenOf(key, issuedAtMs, signing) }
  }
  const secret = secretFrom(randomBytes(secretRandomBytes))
  return { stored: { secretDigest: digestOfSecret(secret) }, tokenOf: ({ apiKeyId }) => opaqueTokenOf(apiKeyId, secret) }
}

/** Rounded down on both ends: the token's iat is what the registry compares, its exp is never after the key's. */
function signedTokenOf ({ apiKeyId, memberId, grade, expiresAtMs }: ApiKey, issuedAtMs: number, signing: TokenSecret): string {
  return signApiKeyToken({
    apiKeyId, memberId, grade, iatS: Math.floor(issuedAtMs / 1000), ...(expiresAtMs === undefined ? {} : { expS: Math.floor(expiresAtMs / 1000) })
  }, signing)
}

async function issueMemberToken ({ registry, memberSecret: secretInForce, clock }: RegistryParts, given: HandlerArgument): Promise<MemberToken> {
  const memberSecret = secretInForce()
  if (memberSecret === undefined) throw new TollgateError('CONFIG_INVALID', 'billing.memberSecret is not configured, so no member token can be signed')
  const memberId = needed('memberId', given.integer('memberId'))
  const iatS = Math.floor(clock.nowMs() / 1000)
  const expS = iatS + needed('validS', given.integer('validS'))
  if (expS * 1000 > timeMsMax) throw new TollgateError('ARGUMENT_INVALID', 'the token would be valid for too long')
  const [member] = await registry.listMembers({ afterId: memberId - 1, countMax: 1 })
  return { memberId, expiresAt: formatTimeMs(expS * 1000), isKnown: member?.memberId === memberId, token: signMemberToken({ memberId, iatS, expS }, { secret: memberSecret }) }
}

function signingOf (parts: RegistryParts): TokenSecret {
  const signing = parts.signing()
  if (signing === undefined) throw new TollgateError('CONFIG_INVALID', 'auth.secrets is empty, so no API key can be signed; an opaque one needs no secret')
  return signing
}

async function isInRegistry (registry: Registry, apiKeyId: number): Promise<boolean> {
  const [key] = await registry.listKeys({ afterId: apiKeyId - 1, countMax: 1 })
  return key?.apiKeyId === apiKeyId
}

function recordsOf (argument: unknown): readonly RegistryRecord[] {
  const { records } = { ...argument as { readonly records?: unknown } }
  if (!Array.isArray(records)) throw new TollgateError('ARGUMENT_INVALID', 'records must be a list')
  return records.map((value) => {
    const record = readRecord(value)
    if (typeof record === 'string') throw new TollgateError('ARGUMENT_INVALID', `a record ${record}`)
    return record
  })
}

function pageOf (given: HandlerArgument): { readonly afterId: number, readonly countMax: number } {
  return { afterId: given.integer('afterId', 0) ?? 0, countMax: Math.min(given.integer('countMax') ?? listCountDefault, listCountDefault) }
}

function nextAfter (id: number | undefined): { readonly nextAfter?: number } { return id === undefined ? {} : { nextAfter: id } }

function memberView ({ memberId, name, createdAtMs }: Member): MemberView { return { memberId, name, createdAt: formatTimeMs(createdAtMs) } }

function keyView (key: ApiKey, nowMs: number): KeyView {
  const { apiKeyId, memberId, grade, type, label, createdAtMs, expiresAtMs, revokedAtMs, rotatedAtMs, overlapUntilMs } = key
  const time = (name: string, timeMs: number | undefined): Readonly<Record<string, string>> => timeMs === undefined ? {} : { [name]: formatTimeMs(timeMs) }
  return {
    apiKeyId, memberId, grade, type, label,
    state: revokedAtMs !== undefined ? 'revoked' : (expiresAtMs ?? Infinity) <= nowMs ? 'expired' : 'active',
    createdAt: formatTimeMs(createdAtMs),
    ...time('expiresAt', expiresAtMs), ...time('revokedAt', revokedAtMs), ...time('rotatedAt', rotatedAtMs), ...time('overlapUntil', overlapUntilMs)
  }
}
