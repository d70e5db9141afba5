// Who asks: a member with a token of their own, or a program of the operator's.
import { hash, timingSafeEqual } from 'node:crypto'
import { tokenCharactersMax, verifyMemberToken } from '../domain/api-key.ts'
import { TollgateError } from '../domain/errors.ts'
import type { Clock } from '../platform/clock.ts'

/** Decides about a request by its Authorization header and the member it asks for (as the path says it). */
export type Guard = (authorization: string | undefined, memberIdText: string | undefined) => void

/** Lets a member see nothing but their own. @throws TollgateError M0006 without a valid token, M0001 for another member */
export function memberGuard (memberSecret: string | undefined, clock: Clock): Guard {
  return (authorization, memberIdText) => {
    const token = bearerOf(authorization)
    const verified = memberSecret === undefined ? undefined : verifyMemberToken(token, [{ secret: memberSecret }], clock.nowMs() / 1000)
    if (verified === undefined || 'problem' in verified) throw new TollgateError('M0006', 'a valid member token is needed: Authorization: Bearer …')
    if (memberIdText !== String(verified.claims.memberId)) throw new TollgateError('M0001', 'access denied')
  }
}

/** @throws TollgateError M0006 without one of the tokens */
export function operatorGuard (tokens: readonly { readonly name: string, readonly token: string }[], onFirstUse: (name: string) => void): Guard {
  const known = tokens.map(({ name, token }) => ({ name, digest: digestOf(token) }))
  const used = new Set<string>()
  return (authorization) => {
    const presented = digestOf(bearerOf(authorization))
    // Every token is compared, and digests of one length: the time says nothing about any of them.
    const matching = known.filter(({ digest }) => timingSafeEqual(digest, presented))
    const name = matching[0]?.name
    if (name === undefined) throw new TollgateError('M0006', 'an operator token is needed: Authorization: Bearer …')
    if (used.has(name)) return
    used.add(name)
    onFirstUse(name)
  }
}

function digestOf (token: string): Buffer { return hash('sha256', token, 'buffer') }

function bearerOf (authorization: string | undefined): string {
  const token = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined || token.length > tokenCharactersMax) throw new TollgateError('M0006', 'a token is needed: Authorization: Bearer …')
  return token
}
