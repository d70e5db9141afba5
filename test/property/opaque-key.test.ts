// Opaque keys: what is made is read back, nothing else is, and the secrets of a key end as its JWTs would.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { digestOfSecret, opaqueTokenOf, readOpaqueToken, secretFrom, secretRandomBytes } from '../../src/domain/opaque-key.ts'
import type { OpaqueKey } from '../../src/domain/opaque-key.ts'
import { keySecretsMax, mergedSecrets, readSecrets, secretsText, secretsWith } from '../../src/registry/key-secrets.ts'
import type { KeySecret } from '../../src/registry/key-secrets.ts'
import { keyStateOf, rotationsWith } from '../../src/registry/key-state.ts'
import type { Rotation } from '../../src/registry/key-state.ts'
import { rotationsMax } from '../../src/registry/rules.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

const random = fc.uint8Array({ minLength: secretRandomBytes, maxLength: secretRandomBytes })
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

test('a secret keeps all of its random bits, and a token is read back as it was made', () => {
  const bitsOf = (secret: string): bigint => [...secret].reduce((value, character) => value * 62n + BigInt(alphabet.indexOf(character)), 0n)
  assertHoldsAndKills((from) => fc.property(random, id, (bytes, apiKeyId) => {
    const secret = from(bytes)
    assert.match(secret, /^[0-9A-Za-z]{34}$/)
    assert.equal(bitsOf(secret).toString(16).padStart(50, '0'), Buffer.from(bytes).toString('hex'))
    assert.deepEqual(readOpaqueToken(opaqueTokenOf(apiKeyId, secret)), { apiKeyId, secretDigest: digestOfSecret(secret) })
  }), secretFrom, {
    'through a float': (bytes) => { let rest = Number(`0x${Buffer.from(bytes).toString('hex')}`); let text = ''; while (text.length < 34) { text = (alphabet[Math.floor(rest % 62)] as string) + text; rest = Math.floor(rest / 62) } return text },
    'the first bytes alone': (bytes) => secretFrom(Uint8Array.from(bytes, (byte, at) => at < 24 ? byte : 0)),
    'not padded': (bytes) => secretFrom(bytes).replace(/^0+/, '')
  }, 300)
  assert.equal(secretFrom(new Uint8Array(secretRandomBytes)), '0'.repeat(34))
  assert.throws(() => secretFrom(new Uint8Array(24)), /25 random bytes/)
})

test('a token with any one character changed, added or left out is no token, or another secret', () => {
  const edit = fc.record({ at: fc.nat({ max: 60 }), with: fc.constantFrom(...alphabet, '', '_', '-', ' ', '.'), doesReplace: fc.boolean() })
  const loose = (pattern: RegExp) => (token: string): OpaqueKey | undefined => {
    const [, number = '', secret = ''] = pattern.exec(token) ?? []
    return secret === '' ? undefined : { apiKeyId: Number(number), secretDigest: digestOfSecret(secret) }
  }
  assertHoldsAndKills((read) => fc.property(random, fc.integer({ min: 1, max: 99_999 }), edit, (bytes, apiKeyId, { at, with: text, doesReplace }) => {
    const token = opaqueTokenOf(apiKeyId, secretFrom(bytes))
    const changed = token.slice(0, at) + text + token.slice(doesReplace ? at + 1 : at)
    if (changed === token) return
    assert.equal(read(changed), undefined, changed)
  }), readOpaqueToken, {
    'the checksum is not looked at': loose(/^tg_([1-9]\d{0,15})_([0-9A-Za-z]{34})[0-9A-Za-z]{6}$/),
    'what stands behind is not looked at': (token) => readOpaqueToken(token) ?? readOpaqueToken(token.slice(0, -1)),
    'what stands before is not looked at': (token) => readOpaqueToken(token) ?? readOpaqueToken(token.slice(1)),
    'blanks are taken away': (token) => readOpaqueToken(token.replaceAll(' ', ''))
  }, 2_000)
})

test('texts that look like keys and are none', () => {
  const good = opaqueTokenOf(17, secretFrom(new Uint8Array(secretRandomBytes).fill(7)))
  assert.notEqual(readOpaqueToken(good), undefined)
  const secret = secretFrom(new Uint8Array(secretRandomBytes).fill(7))
  for (const wrong of ['', 'tg_', 'tg__', 'tg_17', 'tg_17_', good.toUpperCase(), good.replace('tg_', 'TG_'), ` ${good}`, `${good}\n`, `${good}${good}`, good.replace('17', '٧'), '😀'.repeat(20), opaqueTokenOf(0, secret), opaqueTokenOf(-1, secret),
    opaqueTokenOf(1.5, secret), opaqueTokenOf(2 ** 53, secret), opaqueTokenOf(9_999_999_999_999_998, secret), good.replace('17', '017')]) assert.equal(readOpaqueToken(wrong), undefined, wrong)
})

const digestOf = (n: number): string => digestOfSecret(String(n))

test('the secrets of a key end when JWTs of the same second would, and none is given up before', () => {
  type Steps = readonly { readonly gapMs: number, readonly overlapMs: number }[]
  type With = typeof secretsWith
  const run = (add: With, steps: Steps): void => {
    let nowMs = 1_000_000_000
    let rotations: readonly Rotation[] = []
    let secrets: readonly KeySecret[] = [{ issuedAtS: nowMs / 1000, digest: digestOf(0) }]
    const all = [...secrets]
    for (const [at, { gapMs, overlapMs }] of steps.entries()) {
      nowMs += gapMs
      const rotation = { issuedFromS: Math.max(Math.floor(nowMs / 1000), (all.at(-1)?.issuedAtS ?? 0) + 1), overlapUntilMs: nowMs + overlapMs }
      const kept = rotationsWith(rotations, rotation, nowMs)
      const added = { issuedAtS: rotation.issuedFromS, digest: digestOf(at + 1) }
      const live = kept.length > rotationsMax ? undefined : add(secrets, added, kept, nowMs)
      if (live !== undefined) { secrets = live; rotations = kept; all.push(added) }
      assert.ok(secrets.length <= keySecretsMax)
      assert.deepEqual(readSecrets(secretsText(secrets)), secrets)
      for (const secret of all) {
        const isLive = keyStateOf({ isKnown: true, revokedAtMs: undefined, expiresAtMs: undefined, rotations }, secret.issuedAtS, nowMs).state === 'active'
        if (isLive) assert.ok(secrets.some(({ digest }) => digest === secret.digest), 'a secret in its overlap is kept')
      }
      if (live !== undefined) assert.equal(secrets.at(-1)?.digest, added.digest, 'the new one is there')
    }
  }
  // Overlaps that end ever earlier cover each other: the rotations stay few, the secrets don't.
  const falling = fc.integer({ min: 20, max: 40 }).map((count): Steps => Array.from({ length: count }, (_, at) => ({ gapMs: 1_000, overlapMs: 1_000_000 - at * 5_000 })))
  const steps = fc.oneof(falling, fc.array(fc.record({ gapMs: fc.constantFrom(0, 500, 5_000, 90_000), overlapMs: fc.constantFrom(0, 1_000, 60_000, 3_600_000) }), { maxLength: 40 }))
  assertHoldsAndKills((add) => fc.property(steps, (each) => { run(add, each) }), secretsWith, {
    'the oldest go, live or not': (secrets, added) => [...secrets, added].slice(-keySecretsMax),
    'never forgotten': (secrets, added) => [...secrets, added],
    'the last one alone': (_, added) => [added]
  }, 200)
})

test('two copies of a key become one that has what either has, and contradictions are told', () => {
  const secrets = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }).map((seconds) => secretsText(seconds.sort((a, b) => a - b).map((issuedAtS) => ({ issuedAtS, digest: digestOf(issuedAtS) }))))
  const partsOf = (text: string | undefined): Set<string> => new Set((text ?? '').split(' '))
  assertHoldsAndKills((merge) => fc.property(secrets, secrets, (a, b) => {
    const merged = merge(a, b)
    assert.deepEqual(partsOf(merged), new Set([...partsOf(a), ...partsOf(b)]))
    assert.notEqual(readSecrets(merged ?? ''), undefined)
    assert.equal(merge(merged, b), merged)
    assert.equal(merge(b, a), merged)
    const other = a.replace(/:.{43}/, `:${digestOf(99)}`)
    assert.equal(merge(other, a), undefined, 'another secret of the same second')
    assert.equal(merge(undefined, a), undefined, 'a JWT key is no opaque key')
    assert.equal(merge(a, undefined), undefined)
  }), mergedSecrets, {
    'ours alone': (a) => a,
    'theirs alone': (_, b) => b,
    'put behind each other': (a, b) => `${a} ${b}`,
    'no contradiction is seen': (a, b) => a === undefined || b === undefined ? undefined : mergedSecrets(a, b) ?? a
  })
  assert.equal(mergedSecrets(undefined, undefined), '')
})

test('a text of secrets is one, or it is refused', () => {
  const good = `5:${digestOf(1)} 7:${digestOf(2)}`
  assert.equal(readSecrets(good)?.length, 2)
  for (const wrong of ['', ' ', ` ${good}`, `${good} `, good.replace(' ', '  '), good.replace('7:', '5:'), good.replace('7:', '4:'), `05:${digestOf(1)}`, good.slice(0, -1), `${good}A`, `-1:${digestOf(1)}`, `5:${digestOf(1)} 7:${digestOf(1)}`,
    `99999999999999999:${digestOf(1)}`, Array.from({ length: keySecretsMax + 1 }, (_, at) => `${at}:${digestOf(at)}`).join(' ')]) assert.equal(readSecrets(wrong), undefined, wrong)
})
