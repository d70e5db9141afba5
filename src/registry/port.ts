// PORT: who may call. Embedded: SQLite. Cluster: Redis. Gateways look keys up; administrators change them.
import type { GradeType } from '../domain/usage-event.ts'

/** `unknown`: no such key here, which `registry.unknownKeys` decides. `rotated`: the token was issued before the key's last rotation and its overlap has ended. */
export type KeyState = 'active' | 'revoked' | 'expired' | 'rotated' | 'unknown'

/** What a gateway worker needs, synchronously and without I/O that could stall it for more than tens of microseconds. */
export interface KeyDirectory {
  /** Rises whenever any answer of `stateOf` may have changed by a decision of an administrator: cached answers end with it. */
  readonly version: () => number
  /** @param issuedAtS the token's iat, seconds since the epoch */
  readonly stateOf: (apiKeyId: number, issuedAtS: number, nowMs: number) => { readonly state: KeyState, /** until when this holds unless the version rises */ readonly untilMs: number }
  readonly close: () => void
}

export interface Member { readonly memberId: number, readonly name: string, readonly createdAtMs: number }
export interface ApiKey {
  readonly apiKeyId: number
  readonly memberId: number
  readonly grade: GradeType
  readonly label: string
  readonly createdAtMs: number
  readonly expiresAtMs: number | undefined
  readonly revokedAtMs: number | undefined
  readonly rotatedAtMs: number | undefined
  /** Tokens issued before the last rotation are accepted until then. */
  readonly overlapUntilMs: number | undefined
}

/** Of a list in the order of its ids: what follows `afterId`, at most `countMax` (`pageCountMax` where not said). */
export interface Page { readonly afterId?: number, readonly countMax?: number }
export const pageCountMax = 1_000
/** Characters of a member's name and of a key's label. */
export const nameCharactersMax = 200
/** A rotated key's old tokens end within this. */
export const overlapMsMax = 366 * 24 * 3_600_000

/** Changes take effect on every gateway within one second. Errors carry a code: see domain/errors.ts. */
export interface Registry {
  createMember: (options: { readonly memberId?: number, readonly name: string }) => Promise<Member>
  listMembers: (page?: Page) => Promise<readonly Member[]>
  createKey: (options: { readonly memberId: number, readonly grade: GradeType, readonly label?: string, readonly expiresAtMs?: number, readonly apiKeyId?: number }) => Promise<ApiKey>
  listKeys: (filter: { readonly memberId?: number } & Page) => Promise<readonly ApiKey[]>
  showKey: (apiKeyId: number) => Promise<ApiKey>
  /** Also for a key that is not in the registry: someone else's service may sign tokens. */
  revokeKey: (apiKeyId: number) => Promise<void>
  /** Tokens with an earlier iat end after `overlapMs`. */
  rotateKey: (apiKeyId: number, options: { readonly overlapMs: number }) => Promise<ApiKey>
  close: () => Promise<void>
}
