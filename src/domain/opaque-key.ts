// Opaque keys: `tg_<number>_<secret>`. The number is the key's and no secret; the secret is 200 random bits in base62 with a
// checksum behind it, by which a scanner tells a leaked key from a text that looks like one, and a gateway refuses a mistyped
// one without looking anything up. A registry keeps the secret's digest and nothing else: no salt and no slow hash, because
// nobody guesses 200 bits.
import { hash } from 'node:crypto'

export const opaquePrefix = 'tg_'
export const secretRandomBytes = 25
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 62 ** 34 is more than 2 ** 200. */
const secretCharacters = 34
/** 62 ** 6 is more than 2 ** 32. */
const checksumCharacters = 6
const opaqueToken = new RegExp(`^${opaquePrefix}([1-9]\\d{0,15})_([0-9A-Za-z]{${secretCharacters}})([0-9A-Za-z]{${checksumCharacters}})$`)

/** `secretDigest`: SHA-256 of the secret's text, base64url. */
export interface OpaqueKey { readonly apiKeyId: number, readonly secretDigest: string }

/** @param random `secretRandomBytes` of them, from a source that nobody can foretell */
export function secretFrom (random: Uint8Array): string {
  if (random.length !== secretRandomBytes) throw new Error(`a secret is made from ${secretRandomBytes} random bytes, not ${random.length}`)
  return base62(BigInt(`0x${Buffer.from(random).toString('hex')}`), secretCharacters)
}

export function digestOfSecret (secret: string): string { return hash('sha256', secret, 'base64url') }

export function opaqueTokenOf (apiKeyId: number, secret: string): string {
  const text = `${opaquePrefix}${apiKeyId}_${secret}`
  return text + checksumOf(text)
}

/** Told apart by their beginning: a JWT begins with `ey`. */
export function isOpaqueToken (token: string): boolean { return token.startsWith(opaquePrefix) }

/** Undefined for a text that can't be a key. Whether there is such a key, nothing here knows. */
export function readOpaqueToken (token: string): OpaqueKey | undefined {
  const [, number = '', secret = '', checksum = ''] = opaqueToken.exec(token) ?? []
  const apiKeyId = Number(number)
  if (secret === '' || !Number.isSafeInteger(apiKeyId)) return undefined
  return checksumOf(`${opaquePrefix}${number}_${secret}`) === checksum ? { apiKeyId, secretDigest: digestOfSecret(secret) } : undefined
}

function checksumOf (text: string): string { return base62(BigInt(hash('sha256', text, 'buffer').readUInt32BE(0)), checksumCharacters) }

function base62 (value: bigint, characters: number): string {
  let text = ''
  for (let rest = value; text.length < characters; rest /= 62n) text = (alphabet[Number(rest % 62n)] as string) + text
  return text
}
