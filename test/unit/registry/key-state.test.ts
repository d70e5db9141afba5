import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { keyStateOf, rotationsWith } from '../../../src/registry/key-state.ts'
import type { Rotation } from '../../../src/registry/key-state.ts'

const facts = { isKnown: true, revokedAtMs: undefined, expiresAtMs: undefined, rotations: [] }

test('revocation comes before expiry, expiry before rotation, and an unknown key can have each', () => {
  const rotations = [{ issuedFromS: 100, overlapUntilMs: 5_000 }]
  assert.deepEqual(keyStateOf({ ...facts, rotations, revokedAtMs: 1, expiresAtMs: 2 }, 0, 9_000), { state: 'revoked', untilMs: Infinity })
  assert.equal(keyStateOf({ ...facts, rotations, expiresAtMs: 2 }, 0, 9_000).state, 'expired')
  assert.equal(keyStateOf({ ...facts, rotations, isKnown: false }, 0, 9_000).state, 'rotated')
  assert.equal(keyStateOf({ ...facts, rotations, isKnown: false }, 100, 9_000).state, 'unknown')
  assert.equal(keyStateOf({ ...facts, isKnown: false, revokedAtMs: 1 }, 100, 9_000).state, 'revoked')
})

test('an answer holds exactly until it would change', () => {
  const rotations = [{ issuedFromS: 100, overlapUntilMs: 5_000 }]
  assert.deepEqual(keyStateOf({ ...facts, rotations, expiresAtMs: 9_000 }, 99, 4_999), { state: 'active', untilMs: 5_000 })
  assert.deepEqual(keyStateOf({ ...facts, rotations, expiresAtMs: 9_000 }, 100, 4_999), { state: 'active', untilMs: 9_000 })
  assert.deepEqual(keyStateOf(facts, 0, 4_999), { state: 'active', untilMs: Infinity })
})

test('a refusal that came with time is asked again: the clock may have been wrong', () => {
  assert.deepEqual(keyStateOf({ ...facts, expiresAtMs: 9_000 }, 0, 9_000), { state: 'expired', untilMs: 10_000 })
})

const rotation = fc.record({ issuedFromS: fc.integer({ min: 0, max: 20 }), overlapUntilMs: fc.integer({ min: 0, max: 20 }) })

test('what is left out of a list of rotations changes no answer from then on', () => {
  fc.assert(fc.property(fc.array(rotation, { maxLength: 8 }), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), (all, nowMs, laterMs, issuedAtS) => {
    const kept = all.reduce<Rotation[]>((list, added) => rotationsWith(list, added, nowMs), [])
    const askedMs = nowMs + laterMs
    assert.equal(keyStateOf({ ...facts, rotations: kept }, issuedAtS, askedMs).state, keyStateOf({ ...facts, rotations: all }, issuedAtS, askedMs).state)
  }), { numRuns: 500 })
})
