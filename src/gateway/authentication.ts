// Who calls: the token in X-API-KEY, verified once and then remembered by its digest, and what the registry says of its
// key. The token itself is kept nowhere. A JWT is verified by its signature, an opaque key by the registry's digest of its secret.
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { tokenCharactersMax, verifyApiKeyToken } from '../domain/api-key.ts'
import type { ApiKeyClaims } from '../domain/api-key.ts'
import type { GatewayErrorCode } from '../domain/errors.ts'
import { isOpaqueToken, readOpaqueToken } from '../domain/opaque-key.ts'
import { partitionOf } from '../domain/partition.ts'
import type { KeyDirectory, KeyState } from '../registry/port.ts'
import type { AuthenticationOptions } from './options.ts'

/** A token that is good, and what was last known of its key. */
export interface Caller {
  readonly claims: ApiKeyClaims
  /** Good only as long as the registry says so. */
  readonly isOpaque: boolean
  /** Decimal, for headers. */
  readonly apiKeyIdText: string
  readonly memberIdText: string
  /** Of the usage log. */
  readonly partition: number
  state: KeyState
  /** `state` holds until then, unless the directory's version rises. */
  stateUntilMs: number
  /** -1 before the first look. */
  stateVersion: number
}

export interface AuthenticatorOptions extends AuthenticationOptions {
  readonly partitions: number
  readonly directory: KeyDirectory
}

/** A registry that could not be read is asked again this soon: each question may take tens of milliseconds. */
const recheckMs = 250

export class Authenticator {
  hits = 0
  misses = 0
  /** Whom the last refused token belongs to, where it was a good one: the refusal's event names the key. */
  refusedCaller: Caller | undefined
  readonly #options: AuthenticatorOptions
  readonly #callers: LRUCache<string, Caller>
  /** No question to the registry before then. */
  #registryAwayUntilMs = 0

  constructor (options: AuthenticatorOptions) {
    this.#options = options
    this.#callers = new LRUCache({ max: options.tokenCacheMax })
  }

  /** Goes on with the numbers of the one that it takes the place of. */
  countFrom ({ hits, misses }: Authenticator): void {
    this.hits += hits
    this.misses += misses
  }

  /** @param token the X-API-KEY header, empty when there was none */
  authenticate (token: string, nowMs: number): Caller | GatewayErrorCode {
    this.refusedCaller = undefined
    if (token === '') return 'G0001'
    if (token.length > tokenCharactersMax) return 'G0002'
    const caller = this.#find(token, nowMs)
    if (typeof caller === 'string') return caller
    const code = this.#refusalOf(caller, nowMs)
    if (code === undefined) return caller
    this.refusedCaller = caller
    return code
  }

  #find (token: string, nowMs: number): Caller | GatewayErrorCode {
    const digest = hash('sha256', token, 'binary')
    const known = this.#callers.get(digest)
    // The registry may have another secret for it by now, or may be another registry.
    const isOutdated = known?.isOpaque === true && known.stateVersion !== this.#options.directory.version()
    if (known === undefined || isOutdated) {
      this.misses++
      return this.#verify(token, digest, nowMs)
    }
    this.hits++
    if (isInTime(known.claims, nowMs)) return known
    this.#callers.delete(digest)
    return 'G0002'
  }

  #verify (token: string, digest: string, nowMs: number): Caller | GatewayErrorCode {
    const isOpaque = isOpaqueToken(token)
    const claims = isOpaque ? this.#claimsOfOpaque(token, nowMs) : this.#claimsOfJwt(token, nowMs)
    if (typeof claims === 'string') {
      this.#callers.delete(digest)
      return claims
    }
    const apiKeyIdText = String(claims.apiKeyId)
    const caller: Caller = {
      claims,
      isOpaque,
      apiKeyIdText,
      memberIdText: String(claims.memberId),
      partition: partitionOf(apiKeyIdText, this.#options.partitions),
      state: 'unknown',
      stateUntilMs: 0,
      stateVersion: -1
    }
    // Only good tokens are remembered: a flood of bad ones pushes nobody out.
    this.#callers.set(digest, caller)
    return caller
  }

  #claimsOfJwt (token: string, nowMs: number): ApiKeyClaims | GatewayErrorCode {
    const result = verifyApiKeyToken(token, this.#options.secrets, nowMs / 1000)
    return 'problem' in result ? 'G0002' : result.claims
  }

  /** The registry is asked for the secret's digest alone: neither the answer nor its time tells which numbers there are. */
  #claimsOfOpaque (token: string, nowMs: number): ApiKeyClaims | GatewayErrorCode {
    const key = readOpaqueToken(token)
    if (key === undefined) return 'G0002'
    const claims = this.#ask(nowMs, () => this.#options.directory.claimsOf(key.secretDigest))
    if (claims === undefined || claims === 'unchecked') return 'G0013'
    // One text a key: under another number the secret is none.
    return claims === 'unknown' || claims.apiKeyId !== key.apiKeyId ? 'G0002' : claims
  }

  #refusalOf (caller: Caller, nowMs: number): GatewayErrorCode | undefined {
    const version = this.#options.directory.version()
    if ((caller.stateVersion !== version || nowMs >= caller.stateUntilMs) && !this.#look(caller, version, nowMs)) {
      if (this.#options.unknownKeys === 'reject' || caller.isOpaque) return 'G0013'
      // Tokens of someone else's service are good by their signature; what was refused before stays refused.
    }
    switch (caller.state) {
      case 'active': return undefined
      case 'unknown': return this.#options.unknownKeys === 'accept' && !caller.isOpaque ? undefined : 'G0002'
      case 'unchecked': return this.#options.unknownKeys === 'accept' ? undefined : 'G0013'
      case 'revoked': case 'expired': case 'rotated': return 'G0002'
    }
  }

  /** False: the registry can't be read. */
  #look (caller: Caller, version: number, nowMs: number): boolean {
    const answer = this.#ask(nowMs, () => this.#options.directory.stateOf(caller.claims.apiKeyId, caller.claims.iatS, nowMs))
    if (answer === undefined) return false
    caller.state = answer.state
    caller.stateUntilMs = answer.untilMs
    caller.stateVersion = version
    return true
  }

  /** Undefined: the registry can't be read. */
  #ask<Answer> (nowMs: number, question: () => Answer): Answer | undefined {
    if (nowMs < this.#registryAwayUntilMs && this.#registryAwayUntilMs - nowMs <= recheckMs) return undefined
    try {
      return question()
    } catch {
      // The directory itself says so in the log, once.
      this.#registryAwayUntilMs = nowMs + recheckMs
      return undefined
    }
  }
}

function isInTime (claims: ApiKeyClaims, nowMs: number): boolean {
  return (claims.expS === undefined || nowMs < claims.expS * 1000) && (claims.nbfS === undefined || nowMs >= claims.nbfS * 1000)
}
