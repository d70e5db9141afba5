// Tokens: an API key that a client sends with each request, and a member's token for the billing server. Both are JWTs
// signed with HS256. Whatever a token's header says, nothing but HS256 is ever checked, and neither kind is taken for the other.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { TollgateError } from './errors.ts'
import { gradeTypes } from './usage-event.ts'
import type { GradeType } from './usage-event.ts'

/** A longer token is refused before anything of it is read. */
export const tokenCharactersMax = 8192
export const secretCharactersMin = 32
/** A token without `kid` is tried with every secret, so their number is bounded. */
export const secretsMax = 8
const memberAudience = 'billing'

/** `secret`: its UTF-8 bytes are the key. */
export interface TokenSecret { readonly kid?: string, readonly secret: string }

/** `iatS`, `expS`, `nbfS`: seconds since the epoch. */
export interface ApiKeyClaims {
  readonly apiKeyId: number
  readonly memberId: number
  readonly grade: GradeType
  readonly iatS: number
  readonly expS?: number
  readonly nbfS?: number
}

export interface MemberClaims {
  readonly memberId: number
  readonly iatS: number
  readonly expS: number
}

/** `claims`: signed well, but not a token of this kind. */
export type TokenProblem = 'malformed' | 'algorithm' | 'signature' | 'expired' | 'not-yet-valid' | 'claims'
export type Verified<Claims> = { readonly claims: Claims } | { readonly problem: TokenProblem }

/** @throws TollgateError CONFIG_INVALID for a secret of less than 32 characters */
export function signApiKeyToken (claims: ApiKeyClaims, secret: TokenSecret): string {
  return sign({
    APIKEY_ID: claims.apiKeyId,
    MEMBER_ID: claims.memberId,
    GRADE_TYPE: claims.grade,
    iat: claims.iatS,
    ...(claims.expS === undefined ? {} : { exp: claims.expS }),
    ...(claims.nbfS === undefined ? {} : { nbf: claims.nbfS })
  }, secret)
}

/**
 * A header's `kid` selects the one secret of that name; without `kid` each secret is tried.
 * @param nowS seconds since the epoch
 */
export function verifyApiKeyToken (token: string, secrets: readonly TokenSecret[], nowS: number): Verified<ApiKeyClaims> {
  const verified = verify(token, secrets, nowS)
  if ('problem' in verified) return verified
  const { APIKEY_ID: apiKeyId, MEMBER_ID: memberId, GRADE_TYPE: grade, iat: iatS, exp: expS, nbf: nbfS } = verified.claims
  const isApiKey = isIdentifier(apiKeyId) && isIdentifier(memberId) && isGrade(grade) && typeof iatS === 'number' && !isForBilling(verified.claims['aud'])
  if (!isApiKey) return { problem: 'claims' }
  return {
    claims: {
      apiKeyId, memberId, grade, iatS,
      ...(typeof expS === 'number' ? { expS } : {}),
      ...(typeof nbfS === 'number' ? { nbfS } : {})
    }
  }
}

/** @throws TollgateError CONFIG_INVALID for a secret of less than 32 characters */
export function signMemberToken (claims: MemberClaims, secret: TokenSecret): string {
  return sign({ MEMBER_ID: claims.memberId, aud: memberAudience, iat: claims.iatS, exp: claims.expS }, secret)
}

/** A member's token always expires. */
export function verifyMemberToken (token: string, secrets: readonly TokenSecret[], nowS: number): Verified<MemberClaims> {
  const verified = verify(token, secrets, nowS)
  if ('problem' in verified) return verified
  const { MEMBER_ID: memberId, iat: iatS, exp: expS, aud } = verified.claims
  const isMember = isIdentifier(memberId) && aud === memberAudience && typeof iatS === 'number' && typeof expS === 'number' && verified.claims['APIKEY_ID'] === undefined
  return isMember ? { claims: { memberId, iatS, expS } } : { problem: 'claims' }
}

/** What is wrong with a secret; undefined for a good one. */
export function secretProblem (secret: string): string | undefined {
  return secret.length < secretCharactersMin ? `a secret has at least ${secretCharactersMin} characters, this one has ${secret.length}` : undefined
}

function isIdentifier (value: unknown): value is number { return Number.isSafeInteger(value) && (value as number) > 0 }
function isGrade (value: unknown): value is GradeType { return gradeTypes.includes(value as GradeType) }
function isForBilling (audience: unknown): boolean { return audience === memberAudience || (Array.isArray(audience) && audience.includes(memberAudience)) }

function sign (payload: Readonly<Record<string, unknown>>, secret: TokenSecret): string {
  const header = { alg: 'HS256', typ: 'JWT', ...(secret.kid === undefined ? {} : { kid: secret.kid }) }
  const signed = `${base64url(header)}.${base64url(payload)}`
  return `${signed}.${signatureOf(signed, secret)}`
}

function base64url (value: unknown): string { return Buffer.from(JSON.stringify(value)).toString('base64url') }

function signatureOf (signed: string, { secret }: TokenSecret): string {
  const problem = secretProblem(secret)
  if (problem !== undefined) throw new TollgateError('CONFIG_INVALID', problem)
  return createHmac('sha256', secret).update(signed).digest('base64url')
}

const compactToken = /^([\w-]+)\.([\w-]+)\.([\w-]{43})$/

/** The claims of a token that is signed with one of `secrets` and valid now. Nothing of the payload is read before its signature holds. */
function verify (token: string, secrets: readonly TokenSecret[], nowS: number): Verified<Readonly<Record<string, unknown>>> {
  if (token.length > tokenCharactersMax) return { problem: 'malformed' }
  const header = readObject(token.slice(0, Math.max(0, token.indexOf('.'))))
  if (header === undefined) return { problem: 'malformed' }
  if (header['alg'] !== 'HS256') return { problem: 'algorithm' }
  const parts = compactToken.exec(token)
  // RFC 7515, 4.1.11: a `crit` header names extensions that must be understood, and none is.
  if (parts === null || header['crit'] !== undefined) return { problem: 'malformed' }
  const [, headerText = '', payloadText = '', signature = ''] = parts
  const kid = header['kid']
  const candidates = kid === undefined ? secrets.slice(0, secretsMax) : secrets.filter((secret) => secret.kid === kid)
  const signed = `${headerText}.${payloadText}`
  if (!candidates.some((secret) => isSame(signature, signatureOf(signed, secret)))) return { problem: 'signature' }
  const claims = readObject(payloadText)
  if (claims === undefined) return { problem: 'malformed' }
  const timeProblem = timeProblemOf(claims, nowS)
  return timeProblem === undefined ? { claims } : { problem: timeProblem }
}

function timeProblemOf (claims: Readonly<Record<string, unknown>>, nowS: number): TokenProblem | undefined {
  const { exp, nbf, iat } = claims
  if ([exp, nbf, iat].some((time) => time !== undefined && typeof time !== 'number')) return 'claims'
  if (typeof exp === 'number' && nowS >= exp) return 'expired'
  return typeof nbf === 'number' && nowS < nbf ? 'not-yet-valid' : undefined
}

function readObject (base64urlText: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(base64urlText, 'base64url'))
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : undefined
  } catch { return undefined }
}

/** In a time that doesn't depend on where they differ. Both are 43 characters of ASCII. */
function isSame (given: string, expected: string): boolean { return timingSafeEqual(Buffer.from(given, 'latin1'), Buffer.from(expected, 'latin1')) }
