// What every registry allows: bounds, names, and where a rotation begins.
import { TollgateError } from '../domain/errors.ts'
import { nameCharactersMax, overlapMsMax, pageCountMax } from './port.ts'
import type { ApiKey, KeyType } from './port.ts'

export const membersMax = 1_000_000
export const keysMax = 1_000_000
/** Live rotations of one key: each is looked at for each of the key's tokens. */
export const rotationsMax = 16

export function isName (name: string): boolean { return name.trim() !== '' && name.length <= nameCharactersMax && !/\p{Cc}/u.test(name) }

/** @throws TollgateError ARGUMENT_INVALID */
export function mustBeName (what: string, name: string): void {
  if (!isName(name)) throw new TollgateError('ARGUMENT_INVALID', `${what} has 1 to ${nameCharactersMax} characters and no control characters`)
}

/** @throws TollgateError LIMIT_EXCEEDED */
export function mustBeId (id: number): number {
  if (!Number.isSafeInteger(id)) throw new TollgateError('LIMIT_EXCEEDED', 'all numbers are given away: name one yourself')
  return id
}

/** @throws TollgateError ARGUMENT_INVALID */
export function mustBeOverlap (overlapMs: number): void {
  if (!Number.isSafeInteger(overlapMs) || overlapMs < 0 || overlapMs > overlapMsMax) throw new TollgateError('ARGUMENT_INVALID', `the overlap must be from 0 to ${overlapMsMax / 86_400_000} days`)
}

/** @throws TollgateError ARGUMENT_INVALID */
export function mustExpireLater (expiresAtMs: number | undefined, nowMs: number): void {
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) throw new TollgateError('ARGUMENT_INVALID', 'the key would have expired already')
}

/** Seconds since the epoch. iat counts seconds: the new token's must lie above that of every token before, even one made in this very second. */
export function rotationStart ({ createdAtMs, rotatedAtMs }: ApiKey, nowMs: number): number {
  return Math.max(Math.floor(nowMs / 1000), Math.floor(Math.max(createdAtMs, rotatedAtMs ?? 0) / 1000) + 1)
}

/** A key keeps its type. @throws TollgateError ARGUMENT_INVALID */
export function mustBeOfType (apiKeyId: number, type: KeyType, secretDigest: string | undefined): void {
  if ((type === 'opaque') !== (secretDigest !== undefined)) throw new TollgateError('ARGUMENT_INVALID', `key ${apiKeyId} is ${type === 'opaque' ? 'opaque: it needs' : 'no opaque key: it takes no'} new secret`)
}

export function pageSize (countMax: number): number { return Math.max(1, Math.min(countMax, pageCountMax)) }
