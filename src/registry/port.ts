// PORT: who may call. Embedded: SQLite. Cluster: Redis. Gateways look keys up; administrators change them.
import type { ApiKeyClaims } from '../domain/api-key.ts'
import type { ErrorCode } from '../domain/errors.ts'
import type { GradeType } from '../domain/usage-event.ts'

/**
 * `unknown`: no such key here, which `registry.unknownKeys` decides. `rotated`: the token was issued before the key's last rotation and its
 * overlap has ended. `unchecked`: the registry is away, and what was last known of the key is too old or was nothing; it counts as
 * unknown, but for that a refusal is no judgement of the key.
 */
export type KeyState = 'active' | 'revoked' | 'expired' | 'rotated' | 'unknown' | 'unchecked'

/** What a gateway worker needs, synchronously and without I/O that could stall it for more than tens of microseconds. */
export interface KeyDirectory {
  /** Rises whenever any answer of `stateOf` may have changed by a decision of an administrator: cached answers end with it. */
  readonly version: () => number
  /** @param issuedAtS the token's iat, seconds since the epoch */
  readonly stateOf: (apiKeyId: number, issuedAtS: number, nowMs: number) => { readonly state: KeyState, /** until when this holds unless the version rises */ readonly untilMs: number }
  /**
   * Whose opaque key has a secret with this digest: `unknown` when nobody's has, `unchecked` when that can't be told because the registry is
   * away. What the answer takes depends on the digest alone, so that nobody learns from it which numbers there are.
   */
  readonly claimsOf: (secretDigest: string) => ApiKeyClaims | 'unknown' | 'unchecked'
  readonly close: () => void
}

/** How a key's tokens are made: signed, or a secret of which the registry has the digest. It never changes. */
export const keyTypes = ['jwt', 'opaque'] as const
export type KeyType = typeof keyTypes[number]

export interface Member { readonly memberId: number, readonly name: string, readonly createdAtMs: number }
export interface ApiKey {
  readonly apiKeyId: number
  readonly memberId: number
  readonly grade: GradeType
  readonly type: KeyType
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

/** Everything that a registry holds, piece by piece, as another one can take it. Never a token or a secret: a registry has none, but for digests of opaque keys' secrets. */
export type RegistryRecord =
  /** The highest number given away so far: none up to it is given away again. */
  | { readonly kind: 'issued', readonly memberId: number }
  | { readonly kind: 'issued', readonly apiKeyId: number }
  | MemberRecord
  | KeyRecord
  | { readonly kind: 'revoked', readonly apiKeyId: number, readonly revokedAtMs: number }
  | { readonly kind: 'rotated', readonly apiKeyId: number, readonly issuedFromS: number, readonly overlapUntilMs: number }
export interface MemberRecord { readonly kind: 'member', readonly memberId: number, readonly name: string, readonly createdAtMs: number }
export interface KeyRecord {
  readonly kind: 'key'
  readonly apiKeyId: number
  readonly memberId: number
  readonly grade: GradeType
  readonly label: string
  readonly createdAtMs: number
  readonly expiresAtMs?: number
  /** Of an opaque key: digests, see key-secrets.ts. */
  readonly secrets?: string
}

/** `next`: ask for the page after this one with it; undefined at the end. */
export interface RecordPage { readonly records: readonly RegistryRecord[], readonly next: string | undefined }

/** `problem`: the first record that could not be taken. All before it were, and perhaps some behind it. */
export interface Imported {
  readonly added: number
  /** Was here already. */
  readonly same: number
  readonly problem?: { readonly index: number, readonly code: ErrorCode, readonly message: string }
}

export interface NewKey {
  readonly memberId: number
  readonly grade: GradeType
  readonly label?: string
  readonly expiresAtMs?: number
  readonly apiKeyId?: number
  /** Makes it an opaque key: see domain/opaque-key.ts. */
  readonly secretDigest?: string
}

/** Changes take effect on every gateway within one second. Errors carry a code: see domain/errors.ts. */
export interface Registry {
  createMember: (options: { readonly memberId?: number, readonly name: string }) => Promise<Member>
  listMembers: (page?: Page) => Promise<readonly Member[]>
  createKey: (options: NewKey) => Promise<ApiKey>
  listKeys: (filter: { readonly memberId?: number } & Page) => Promise<readonly ApiKey[]>
  showKey: (apiKeyId: number) => Promise<ApiKey>
  /** Also for a key that is not in the registry: someone else's service may sign tokens. */
  revokeKey: (apiKeyId: number) => Promise<void>
  /** Tokens with an earlier iat, and earlier secrets, end after `overlapMs`. An opaque key needs the digest of its new secret, and only such a one. */
  rotateKey: (apiKeyId: number, options: { readonly overlapMs: number, readonly secretDigest?: string }) => Promise<ApiKey>
  /** Numbers, members, keys, refusals, in that order. What changes meanwhile may be missing. */
  exportPage: (cursor?: string) => Promise<RecordPage>
  /** Adds what isn't here. A member or key that is here as something else is a problem; a refusal is never taken back. */
  importRecords: (records: readonly RegistryRecord[]) => Promise<Imported>
  close: () => Promise<void>
}
