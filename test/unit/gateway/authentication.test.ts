import assert from 'node:assert/strict'
import { test } from 'node:test'
import { signApiKeyToken } from '../../../src/domain/api-key.ts'
import type { ApiKeyClaims } from '../../../src/domain/api-key.ts'
import { digestOfSecret, opaqueTokenOf } from '../../../src/domain/opaque-key.ts'
import { Authenticator } from '../../../src/gateway/authentication.ts'
import type { AuthenticatorOptions, Caller } from '../../../src/gateway/authentication.ts'
import type { KeyState } from '../../../src/registry/port.ts'

const secret = { kid: 'one', secret: 'a-secret-of-the-tests-with-enough-characters' }
const nowMs = 1_800_000_000_000

function token (claims: Partial<ApiKeyClaims> = {}): string {
  return signApiKeyToken({ apiKeyId: 7, memberId: 3, grade: 'GRADE_FREE', iatS: 1, ...claims }, secret)
}

class Directory {
  state: KeyState = 'active'
  untilMs = Infinity
  versionNumber = 1
  isAway = false
  asked = 0
  version (): number { return this.versionNumber }
  stateOf (): { readonly state: KeyState, readonly untilMs: number } {
    this.asked++
    if (this.isAway) throw new Error('the registry is away')
    return { state: this.state, untilMs: this.untilMs }
  }

  claims: ApiKeyClaims | 'unknown' | 'unchecked' = 'unknown'
  readonly digests: string[] = []
  claimsOf (secretDigest: string): ApiKeyClaims | 'unknown' | 'unchecked' {
    this.digests.push(secretDigest)
    if (this.isAway) throw new Error('the registry is away')
    return this.claims
  }

  close (): void {}
}

function open (options: Partial<AuthenticatorOptions> = {}): { readonly directory: Directory, readonly authenticator: Authenticator } {
  const directory = new Directory()
  return { directory, authenticator: new Authenticator({ secrets: [secret], tokenCacheMax: 2, unknownKeys: 'accept', partitions: 4, directory, ...options }) }
}

test('a good token is verified once, and its key looked up once', () => {
  const { directory, authenticator } = open()
  const first = authenticator.authenticate(token(), nowMs) as Caller
  assert.deepEqual([first.claims.apiKeyId, first.apiKeyIdText, first.memberIdText], [7, '7', '3'])
  assert.ok(first.partition >= 0 && first.partition < 4)
  for (let time = 0; time < 5; time++) assert.equal(authenticator.authenticate(token(), nowMs), first)
  assert.deepEqual([authenticator.hits, authenticator.misses, directory.asked], [5, 1, 1])
})

test('absent, malformed, foreign, and too long tokens', () => {
  const { authenticator, directory } = open()
  assert.equal(authenticator.authenticate('', nowMs), 'G0001')
  for (const bad of ['x', 'a.b.c', token().slice(0, -1), signApiKeyToken({ apiKeyId: 7, memberId: 3, grade: 'GRADE_FREE', iatS: 1 }, { secret: 'another-secret-with-more-than-32-chars' }), 'x'.repeat(10_000)]) {
    assert.equal(authenticator.authenticate(bad, nowMs), 'G0002')
    assert.equal(authenticator.refusedCaller, undefined)
  }
  assert.equal(directory.asked, 0)
})

test('bad tokens push no good ones out', () => {
  const { authenticator } = open()
  authenticator.authenticate(token(), nowMs)
  for (let time = 0; time < 10; time++) authenticator.authenticate(`x.y.${time}`, nowMs)
  authenticator.authenticate(token(), nowMs)
  assert.equal(authenticator.hits, 1)
})

test('the number of remembered tokens is bounded', () => {
  const { authenticator } = open()
  for (const apiKeyId of [1, 2, 3, 1]) authenticator.authenticate(token({ apiKeyId }), nowMs)
  assert.deepEqual([authenticator.hits, authenticator.misses], [0, 4])
})

test('a remembered token expires in time, and is not valid before its time', () => {
  const { authenticator } = open()
  const short = token({ expS: nowMs / 1000 + 10 })
  assert.notEqual(authenticator.authenticate(short, nowMs), 'G0002')
  assert.notEqual(authenticator.authenticate(short, nowMs + 9_999), 'G0002')
  assert.equal(authenticator.authenticate(short, nowMs + 10_000), 'G0002')
  const later = token({ nbfS: nowMs / 1000 + 10 })
  assert.equal(authenticator.authenticate(later, nowMs), 'G0002')
  assert.notEqual(authenticator.authenticate(later, nowMs + 10_000), 'G0002')
  // The clock was set back.
  assert.equal(authenticator.authenticate(later, nowMs), 'G0002')
})

test('a revocation counts when the directory\'s version rises, or its answer ends', () => {
  const { authenticator, directory } = open()
  directory.untilMs = nowMs + 1000
  authenticator.authenticate(token(), nowMs)
  directory.state = 'revoked'
  assert.notEqual(authenticator.authenticate(token(), nowMs + 999), 'G0002')
  directory.versionNumber++
  assert.equal(authenticator.authenticate(token(), nowMs + 999), 'G0002')
  assert.equal(authenticator.refusedCaller?.claims.apiKeyId, 7)
  directory.state = 'active'
  assert.notEqual(authenticator.authenticate(token(), nowMs + 1000), 'G0002')
  assert.equal(authenticator.refusedCaller, undefined)
  for (const state of ['revoked', 'expired', 'rotated'] as const) {
    Object.assign(directory, { state, versionNumber: directory.versionNumber + 1 })
    assert.equal(authenticator.authenticate(token(), nowMs + 1000), 'G0002', state)
  }
})

test('keys that the registry does not have', () => {
  for (const [unknownKeys, isRefused] of [['accept', false], ['reject', true]] as const) {
    const { authenticator, directory } = open({ unknownKeys })
    directory.state = 'unknown'
    assert.equal(authenticator.authenticate(token(), nowMs) === 'G0002', isRefused)
  }
})

test('a registry that is away: G0013 where every key must be known; else what was refused stays refused', () => {
  const strict = open({ unknownKeys: 'reject' })
  strict.directory.isAway = true
  assert.equal(strict.authenticator.authenticate(token(), nowMs), 'G0013')
  assert.equal(strict.authenticator.refusedCaller?.claims.apiKeyId, 7)
  const asked = strict.directory.asked
  strict.authenticator.authenticate(token({ apiKeyId: 8 }), nowMs + 249)
  assert.equal(strict.directory.asked, asked, 'asked again too soon')
  strict.directory.isAway = false
  assert.notEqual(strict.authenticator.authenticate(token(), nowMs + 250), 'G0013')

  const open1 = open()
  open1.directory.state = 'revoked'
  assert.equal(open1.authenticator.authenticate(token(), nowMs), 'G0002')
  Object.assign(open1.directory, { isAway: true, versionNumber: 2 })
  assert.equal(open1.authenticator.authenticate(token(), nowMs), 'G0002')
  assert.equal(typeof open1.authenticator.authenticate(token({ apiKeyId: 8 }), nowMs), 'object')
})

test('a registry that has been away for too long: what was known counts as unknown, and a refusal is no judgement', () => {
  for (const [unknownKeys, expected] of [['accept', undefined], ['reject', 'G0013']] as const) {
    const { directory, authenticator } = open({ unknownKeys })
    directory.state = 'unchecked'
    const answer = authenticator.authenticate(token(), nowMs)
    assert.equal(typeof answer === 'string' ? answer : undefined, expected)
    directory.state = 'revoked'
    directory.versionNumber++
    assert.equal(authenticator.authenticate(token(), nowMs), 'G0002')
  }
})

const opaqueSecret = 'abcdefghijklmnopqrstuvwxyz01234567'
const opaqueClaims: ApiKeyClaims = { apiKeyId: 7, memberId: 3, grade: 'GRADE_PREMIUM', iatS: 5 }
const opaque = opaqueTokenOf(7, opaqueSecret)

test('an opaque key is looked up once, by the digest of its secret, and then remembered', () => {
  const { authenticator, directory } = open()
  directory.claims = opaqueClaims
  const caller = authenticator.authenticate(opaque, nowMs) as Caller
  assert.deepEqual([caller.claims, caller.isOpaque], [opaqueClaims, true])
  for (let time = 0; time < 5; time++) assert.equal(authenticator.authenticate(opaque, nowMs), caller)
  assert.deepEqual([directory.digests, directory.asked, authenticator.hits], [[digestOfSecret(opaqueSecret)], 1, 5])
})

test('an opaque key that is none: the same answer and the same questions, whether its number is there or not', () => {
  const { authenticator, directory } = open()
  for (const id of [7, 8, 9_007_199_254_740_991]) assert.equal(authenticator.authenticate(opaqueTokenOf(id, opaqueSecret), nowMs), 'G0002')
  assert.deepEqual(new Set(directory.digests), new Set([digestOfSecret(opaqueSecret)]), 'the number is not in the question')
  assert.equal(directory.asked, 0, 'nothing else is asked')
  for (const wrong of ['tg_', 'tg_7_x', opaque.slice(0, -1), `${opaque}x`, opaque.replace('tg_7', 'tg_8')]) assert.equal(authenticator.authenticate(wrong, nowMs), 'G0002')
  assert.deepEqual([directory.digests.length, directory.asked, authenticator.refusedCaller], [3, 0, undefined])
  directory.claims = opaqueClaims
  assert.equal(authenticator.authenticate(opaqueTokenOf(8, opaqueSecret), nowMs), 'G0002', 'a secret under another number')
  assert.equal(authenticator.refusedCaller, undefined)
  assert.equal(typeof authenticator.authenticate(opaque, nowMs), 'object')
})

test('a remembered opaque key is asked for again when the registry changes', () => {
  const { authenticator, directory } = open()
  directory.claims = opaqueClaims
  assert.equal(typeof authenticator.authenticate(opaque, nowMs), 'object')
  for (const state of ['revoked', 'expired', 'rotated'] as const) {
    Object.assign(directory, { state, versionNumber: directory.versionNumber + 1 })
    assert.equal(authenticator.authenticate(opaque, nowMs), 'G0002', state)
    assert.equal(authenticator.refusedCaller?.claims.apiKeyId, 7)
  }
  Object.assign(directory, { state: 'active', versionNumber: 90, claims: { ...opaqueClaims, memberId: 4 } })
  assert.equal((authenticator.authenticate(opaque, nowMs) as Caller).memberIdText, '4')
  // The number is there and active, but with another secret.
  Object.assign(directory, { versionNumber: 91, claims: 'unknown' })
  for (let time = 0; time < 2; time++) assert.equal(authenticator.authenticate(opaque, nowMs), 'G0002')
  assert.equal(authenticator.refusedCaller, undefined)
})

test('an opaque key that the registry has lost is refused, also where unknown keys are accepted', () => {
  const { authenticator, directory } = open({ unknownKeys: 'accept' })
  Object.assign(directory, { claims: opaqueClaims, state: 'unknown' })
  assert.equal(authenticator.authenticate(opaque, nowMs), 'G0002')
})

test('an opaque key that can\'t be looked up is refused without a judgement', () => {
  for (const unknownKeys of ['accept', 'reject'] as const) {
    const { authenticator, directory } = open({ unknownKeys })
    directory.claims = 'unchecked'
    assert.equal(authenticator.authenticate(opaque, nowMs), 'G0013')
    directory.claims = opaqueClaims
    assert.equal(typeof authenticator.authenticate(opaque, nowMs), 'object')
    Object.assign(directory, { isAway: true, versionNumber: 2 })
    assert.equal(authenticator.authenticate(opaque, nowMs), 'G0013')
    const asked = directory.digests.length
    assert.equal(authenticator.authenticate(opaqueTokenOf(8, opaqueSecret), nowMs + 249), 'G0013')
    assert.equal(directory.digests.length, asked, 'asked again too soon')
    directory.isAway = false
    assert.equal(typeof authenticator.authenticate(opaque, nowMs + 250), 'object')
    // What was known of it is too old: as with a JWT.
    Object.assign(directory, { state: 'unchecked', versionNumber: 3 })
    const answer = authenticator.authenticate(opaque, nowMs + 250)
    assert.equal(typeof answer === 'string' ? answer : undefined, unknownKeys === 'accept' ? undefined : 'G0013')
  }
})
