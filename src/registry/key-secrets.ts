// The secrets of an opaque key, as digests: the one that was made last and those of before its rotations. Each stands with the
// second it was made in, which is to it what `iat` is to a JWT: the same rotations and the same rule (key-state.ts) end both.
import { keyStateOf } from './key-state.ts'
import type { Rotation } from './key-state.ts'
import { rotationsMax } from './rules.ts'

/** `digest`: see domain/opaque-key.ts. */
export interface KeySecret { readonly issuedAtS: number, readonly digest: string }

/** One more than the rotations of a key whose overlap has not ended. */
export const keySecretsMax = rotationsMax + 1
const secretPattern = /^(\d{1,16}):([\w-]{43})$/

/** As it stands in a record: `second:digest`, the oldest first, a blank between them. */
export function secretsText (secrets: readonly KeySecret[]): string { return secrets.map(({ issuedAtS, digest }) => `${issuedAtS}:${digest}`).join(' ') }

/** Of a new key, as a record has it; nothing for one that isn't opaque. */
export function firstSecrets (secretDigest: string | undefined, createdAtMs: number): { readonly secrets?: string } {
  return secretDigest === undefined ? {} : { secrets: secretsText([{ issuedAtS: Math.floor(createdAtMs / 1000), digest: secretDigest }]) }
}

/** Undefined for anything but such a text of at least one. */
export function readSecrets (text: string): readonly KeySecret[] | undefined {
  const secrets = text.split(' ', keySecretsMax + 1).map((part) => {
    const [, second = '', digest = ''] = secretPattern.exec(part) ?? []
    return { issuedAtS: second === '' ? NaN : Number(second), digest }
  })
  const isGood = secrets.length <= keySecretsMax && secrets.every(({ issuedAtS }, at) => Number.isSafeInteger(issuedAtS) && issuedAtS > (secrets[at - 1]?.issuedAtS ?? -1)) &&
    new Set(secrets.map(({ digest }) => digest)).size === secrets.length && secretsText(secrets) === text
  return isGood ? secrets : undefined
}

/**
 * With a rotation's new secret. The oldest ones make way for it, but only when they are rotated out.
 * @param rotations with the new one
 * @returns undefined when there are too many whose overlap has not ended
 */
export function secretsWith (secrets: readonly KeySecret[], added: KeySecret, rotations: readonly Rotation[], nowMs: number): readonly KeySecret[] | undefined {
  const facts = { isKnown: true, revokedAtMs: undefined, expiresAtMs: undefined, rotations }
  const kept = [...secrets, added]
  while (kept.length > keySecretsMax && keyStateOf(facts, kept[0]?.issuedAtS ?? 0, nowMs).state === 'rotated') kept.shift()
  return kept.length > keySecretsMax ? undefined : kept
}

/**
 * Those of two copies of one key, of which either may have been rotated since.
 * @returns undefined when they contradict each other: these are two keys
 */
export function mergedSecrets (ours: string | undefined, theirs: string | undefined): string | undefined {
  const [a, b] = [readSecrets(ours ?? '') ?? [], readSecrets(theirs ?? '') ?? []]
  const bySecond = new Map(a.map((secret) => [secret.issuedAtS, secret]))
  for (const secret of b) {
    const known = bySecond.get(secret.issuedAtS)
    if (known !== undefined && known.digest !== secret.digest) return undefined
    bySecond.set(secret.issuedAtS, secret)
  }
  if ((a.length === 0) !== (b.length === 0)) return undefined
  return secretsText([...bySecond.values()].sort((one, other) => one.issuedAtS - other.issuedAtS).slice(-keySecretsMax))
}
