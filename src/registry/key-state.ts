// What a registry's record says of a token. One rule for every registry.
import type { KeyState } from './port.ts'

/** A rotation: tokens issued before `issuedFromS` (seconds since the epoch) end at `overlapUntilMs`. */
export interface Rotation { readonly issuedFromS: number, readonly overlapUntilMs: number }

export interface KeyFacts {
  /** False: no key with this id was created here. It may be revoked or rotated nevertheless. */
  readonly isKnown: boolean
  readonly revokedAtMs: number | undefined
  readonly expiresAtMs: number | undefined
  readonly rotations: readonly Rotation[]
}

export interface KeyAnswer { readonly state: KeyState, readonly untilMs: number }

/** A refusal that came with time is looked at again this soon: the machine's clock may have been wrong. */
const recheckMs = 1_000

/** @param issuedAtS the token's iat */
export function keyStateOf (facts: KeyFacts, issuedAtS: number, nowMs: number): KeyAnswer {
  if (facts.revokedAtMs !== undefined) return { state: 'revoked', untilMs: Infinity }
  let untilMs = facts.expiresAtMs ?? Infinity
  if (nowMs >= untilMs) return { state: 'expired', untilMs: nowMs + recheckMs }
  for (const { issuedFromS, overlapUntilMs } of facts.rotations) {
    if (issuedAtS >= issuedFromS) continue
    if (nowMs >= overlapUntilMs) return { state: 'rotated', untilMs: nowMs + recheckMs }
    untilMs = Math.min(untilMs, overlapUntilMs)
  }
  return { state: facts.isKnown ? 'active' : 'unknown', untilMs }
}

/**
 * The rotations that still say something once `added` holds: an older one that ends no earlier is covered by it, and of
 * those that have ended the last one covers the others.
 */
export function rotationsWith (rotations: readonly Rotation[], added: Rotation, nowMs: number): Rotation[] {
  const others = rotations.filter((rotation) => rotation.issuedFromS > added.issuedFromS || rotation.overlapUntilMs < added.overlapUntilMs)
  const isCovered = others.some((rotation) => rotation.issuedFromS >= added.issuedFromS && rotation.overlapUntilMs <= added.overlapUntilMs)
  const sorted = [...others, ...(isCovered ? [] : [added])].sort((a, b) => a.issuedFromS - b.issuedFromS)
  // Later rotations end later, or the earlier ones would be covered: so those that have ended stand first.
  return sorted.filter((_, index) => (sorted[index + 1]?.overlapUntilMs ?? Infinity) > nowMs)
}
