import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, randomBytes, sign as signWith } from 'node:crypto'
import { test } from 'node:test'
import { secretProblem, signApiKeyToken, signMemberToken, tokenCharactersMax, verifyApiKeyToken, verifyMemberToken } from '../../../src/domain/api-key.ts'
import type { ApiKeyClaims } from '../../../src/domain/api-key.ts'

const secret = { secret: 'a secret of at least thirty-two characters' }
const other = { secret: 'another secret of at least 32 characters' }
const nowS = 1_800_000_000
const claims: ApiKeyClaims = { apiKeyId: 42, memberId: 7, grade: 'GRADE_FREE', iatS: nowS - 10 }

const encode = (value: unknown): string => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
/** A token made by hand, signed well for any header and payload. */
function forge (header: unknown, payload: unknown, key = secret.secret): string {
  const signed = `${encode(header)}.${encode(payload)}`
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
}
const payload = { APIKEY_ID: 42, MEMBER_ID: 7, GRADE_TYPE: 'GRADE_FREE', iat: nowS - 10 }
const header = { alg: 'HS256', typ: 'JWT' }
const problemOf = (token: string, secrets = [secret], atS = nowS): string | undefined => {
  const verified = verifyApiKeyToken(token, secrets, atS)
  return 'problem' in verified ? verified.problem : undefined
}

test('a signed token is verified, also one of another library', () => {
  assert.deepEqual(verifyApiKeyToken(signApiKeyToken(claims, secret), [secret], nowS), { claims })
  assert.deepEqual(verifyApiKeyToken(forge({ alg: 'HS256' }, { ...payload, sub: 'x' }), [secret], nowS), { claims })
})

test('whatever the header says, only HS256 is taken', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const rs256 = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(payload)}`
  assert.equal(problemOf(`${rs256}.${signWith('sha256', Buffer.from(rs256), privateKey).toString('base64url')}`), 'algorithm')
  assert.equal(problemOf(`${encode({ alg: 'none' })}.${encode(payload)}.`), 'algorithm')
  for (const alg of ['none', 'None', 'NONE', 'hs256', 'HS384', 'HS512', 'ES256', '', null, undefined, 5, ['HS256']]) assert.equal(problemOf(forge({ ...header, alg }, payload)), 'algorithm', String(alg))
})

test('another secret, or one changed character, is refused', () => {
  const token = signApiKeyToken(claims, secret)
  assert.equal(problemOf(signApiKeyToken(claims, other)), 'signature')
  assert.equal(problemOf(token.replace(/\.[^.]*$/, `.${'A'.repeat(43)}`)), 'signature')
  const [head = '', , signature = ''] = token.split('.')
  assert.equal(problemOf(`${head}.${encode({ ...payload, MEMBER_ID: 8 })}.${signature}`), 'signature')
  assert.equal(problemOf(token, []), 'signature')
})

test('the same signature in another spelling is refused: a token has one text', () => {
  const token = signApiKeyToken(claims, secret)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(token.at(-1) as string)
  const twin = token.slice(0, -1) + (alphabet[last ^ 1] as string)
  assert.deepEqual(Buffer.from(twin.split('.')[2] as string, 'base64url'), Buffer.from(token.split('.')[2] as string, 'base64url'), 'the same bytes')
  assert.equal(problemOf(twin), 'signature')
})

test('kid selects one secret, a token without it is tried with all', () => {
  const [a, b] = [{ kid: 'a', ...secret }, { kid: 'b', ...other }]
  assert.equal(problemOf(signApiKeyToken(claims, b), [a, b]), undefined)
  assert.equal(problemOf(signApiKeyToken(claims, { kid: 'a', secret: other.secret }), [a, b]), 'signature')
  assert.equal(problemOf(signApiKeyToken(claims, { kid: 'c', ...secret }), [a, b]), 'signature')
  assert.equal(problemOf(signApiKeyToken(claims, other), [a, b]), undefined)
  assert.equal(problemOf(forge({ ...header, kid: { a: 1 } }, payload), [a, b]), 'signature')
})

test('exp and nbf are honoured to the second', () => {
  const token = signApiKeyToken({ ...claims, expS: nowS + 1, nbfS: nowS - 1 }, secret)
  assert.equal(problemOf(token, [secret], nowS + 0.9), undefined)
  assert.equal(problemOf(token, [secret], nowS + 1), 'expired')
  assert.equal(problemOf(token, [secret], nowS - 1), undefined)
  assert.equal(problemOf(token, [secret], nowS - 1.1), 'not-yet-valid')
  for (const wrong of [{ exp: 'never' }, { exp: null }, { nbf: '0' }, { iat: 'x' }, { exp: true }]) assert.equal(problemOf(forge(header, { ...payload, ...wrong })), 'claims', JSON.stringify(wrong))
})

test('claims are what the contract says, or the token is none', () => {
  for (const wrong of [
    { APIKEY_ID: undefined }, { APIKEY_ID: '42' }, { APIKEY_ID: 0 }, { APIKEY_ID: -1 }, { APIKEY_ID: 1.5 }, { APIKEY_ID: 2 ** 53 }, { MEMBER_ID: null }, { MEMBER_ID: [7] },
    { GRADE_TYPE: 'GRADE_GOLD' }, { GRADE_TYPE: undefined }, { GRADE_TYPE: '__proto__' }, { iat: undefined }
  ]) assert.equal(problemOf(forge(header, { ...payload, ...wrong })), 'claims', JSON.stringify(wrong))
})

test('rubbish is malformed: huge, binary, empty, half, not JSON', () => {
  const token = signApiKeyToken(claims, secret)
  const [head = '', body = '', signature = ''] = token.split('.')
  for (const wrong of [
    '', '.', '..', '...', 'x', 'a.b.c', `${token}.`, `.${token}`, `${head}.${body}`, `${head}.${body}.`, `${head}..${signature}`, `${head}.${body}.${signature}A`, `${head}.${body}.${signature.slice(1)}`,
    ` ${token}`, `${token}\n`, `${head}.${body}=.${signature}`, randomBytes(60).toString('latin1'), `${'A'.repeat(tokenCharactersMax)}.${body}.${signature}`, '\0'.repeat(100), 'é.é.é', '😀'.repeat(50),
    forge('not JSON', payload), forge([], payload), forge('null', payload), forge({ ...header, crit: ['exp'] }, payload), forge(header, 'not JSON'), forge(header, [payload]), forge(header, '5')
  ]) assert.equal(problemOf(wrong), 'malformed', JSON.stringify(wrong.slice(0, 60)))
  assert.equal(problemOf(`${head}.${'A'.repeat(10 * 2 ** 20)}.${signature}`), 'malformed')
})

test('a secret of less than 32 characters signs and checks nothing', () => {
  const weak = { secret: 'x'.repeat(31) }
  assert.throws(() => signApiKeyToken(claims, weak), { code: 'CONFIG_INVALID' })
  assert.throws(() => verifyApiKeyToken(forge(header, payload, weak.secret), [weak], nowS), { code: 'CONFIG_INVALID' })
  assert.match(secretProblem(weak.secret) ?? '', /at least 32/)
  assert.equal(secretProblem('x'.repeat(32)), undefined)
})

test('a member\'s token is no API key and an API key no member\'s token, even with one secret', () => {
  const memberToken = signMemberToken({ memberId: 7, iatS: nowS, expS: nowS + 60 }, secret)
  assert.deepEqual(verifyMemberToken(memberToken, [secret], nowS), { claims: { memberId: 7, iatS: nowS, expS: nowS + 60 } })
  assert.equal(problemOf(memberToken), 'claims')
  assert.equal(problemOf(forge(header, { ...payload, aud: 'billing' })), 'claims')
  assert.equal(problemOf(forge(header, { ...payload, aud: ['x', 'billing'] })), 'claims')
  assert.deepEqual(verifyMemberToken(signApiKeyToken({ ...claims, expS: nowS + 60 }, secret), [secret], nowS), { problem: 'claims' })
  assert.deepEqual(verifyMemberToken(forge(header, { ...payload, aud: 'billing', exp: nowS + 60 }), [secret], nowS), { problem: 'claims' })
  assert.deepEqual(verifyMemberToken(forge(header, { MEMBER_ID: 7, iat: nowS, exp: nowS + 60 }), [secret], nowS), { problem: 'claims' })
  assert.deepEqual(verifyMemberToken(forge(header, { MEMBER_ID: 7, iat: nowS, aud: 'billing' }), [secret], nowS), { problem: 'claims' }, 'it always expires')
  assert.deepEqual(verifyMemberToken(memberToken, [secret], nowS + 60), { problem: 'expired' })
  assert.deepEqual(verifyMemberToken(memberToken, [other], nowS), { problem: 'signature' })
})
