// Who calls: the token in X-API-KEY, verified once and then remembered by its digest, and what the registry says of its
// key. The token itself is kept nowhere.
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { tokenCharactersMax, verifyApiKeyToken } from '../domain/api-key.ts'
import type { ApiKeyClaims } from '../domain/api-key.ts'
import type { GatewayErrorCode } from '../domain/errors.ts'
import { partitionOf } from '../domain/partition.ts'
import type { KeyDirectory, KeyState } from '../registry/port.ts'
import type { AuthenticationOptions } from './options.ts'

/** A token whose signature holds, and what was last known of its key. */
export interface Caller {
  readonly claims: ApiKeyClaims
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
  /** Whom the last refused token belongs to, where its signature held: the refusal's event names the key. */
  refusedCaller: Caller | undefined
  readonly #options: AuthenticatorOptions
  readonly #callers: LRUCache<string, Caller>
  /** No question to the registry before then. */
  #registryAwayUntilMs = 0

  constructor (options: AuthenticatorOptions) {
    this.#options = options
    this.#callers = new LRUCache({ max: options.tokenCacheMax })
  }

  /** @param token the X-API-KEY header, empty when there was none */
  authenticate (token: string, nowMs: number): Caller | GatewayErrorCode {
    this.refusedCaller = undefined
    if (token === '') return 'G0001'
    if (token.length > tokenCharactersMax) return 'G0002'
    const caller = this.#find(token, nowMs)
    if (caller === undefined) return 'G0002'
    const code = this.#refusalOf(caller, nowMs)
    if (code === undefined) return caller
    this.refusedCaller = caller
    return code
  }

  #find (token: string, nowMs: number): Caller | undefined {
    const digest = hash('sha256', token, 'binary')
    const known = this.#callers.get(digest)
    if (known === undefined) {
      this.misses++
      return this.#verify(token, digest, nowMs)
    }
    this.hits++
    if (isInTime(known.claims, nowMs)) return known
    this.#callers.delete(digest)
    return undefined
  }

  #verify (token: string, digest: string, nowMs: number): Caller | undefined {
    const result = verifyApiKeyToken(token, this.#options.secrets, nowMs / 1000)
    if ('problem' in result) return undefined
    const { claims } = result
    const apiKeyIdText = String(claims.apiKeyId)
    const caller: Caller = {
      claims,
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

  #refusalOf (caller: Caller, nowMs: number): GatewayErrorCode | undefined {
    const version = this.#options.directory.version()
    if ((caller.stateVersion !== version || nowMs >= caller.stateUntilMs) && !this.#look(caller, version, nowMs)) {
      if (this.#options.unknownKeys === 'reject') return 'G0013'
      // Tokens of someone else's service are good by their signature; what was refused before stays refused.
    }
    switch (caller.state) {
      case 'active': return undefined
      case 'unknown': return this.#options.unknownKeys === 'accept' ? undefined : 'G0002'
      case 'unchecked': return this.#options.unknownKeys === 'accept' ? undefined : 'G0013'
      case 'revoked': case 'expired': case 'rotated': return 'G0002'
    }
  }

  /** False: the registry can't be read. */
  #look (caller: Caller, version: number, nowMs: number): boolean {
    if (nowMs < this.#registryAwayUntilMs && this.#registryAwayUntilMs - nowMs <= recheckMs) return false
    try {
      const { state, untilMs } = this.#options.directory.stateOf(caller.claims.apiKeyId, caller.claims.iatS, nowMs)
      caller.state = state
      caller.stateUntilMs = untilMs
      caller.stateVersion = version
      return true
    } catch {
      // The directory itself says so in the log, once.
      this.#registryAwayUntilMs = nowMs + recheckMs
      return false
    }
  }
}

function isInTime (claims: ApiKeyClaims, nowMs: number): boolean {
  return (claims.expS === undefined || nowMs < claims.expS * 1000) && (claims.nbfS === undefined || nowMs >= claims.nbfS * 1000)
}
