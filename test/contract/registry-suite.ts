// What every registry promises to administrators and, through the directory, to gateways.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { digestOfSecret as digestOf } from '../../src/domain/opaque-key.ts'
import type { KeyDirectory, KeyRecord, KeyState, Registry, RegistryRecord } from '../../src/registry/port.ts'
import { eventually } from '../helpers/eventually.ts'

export interface RegistryUnderTest {
  readonly registry: Registry
  readonly directory: KeyDirectory
  readonly nowMs: () => number
  readonly advanceMs: (ms: number) => void
}

const dayMs = 86_400_000
const coded = (code: string) => (error: unknown): boolean => (error as { code?: string }).code === code

export function registryContract (name: string, open: (t: TestContext) => RegistryUnderTest | Promise<RegistryUnderTest>): void {
  const prepare = async (t: TestContext): Promise<RegistryUnderTest & { readonly becomes: (apiKeyId: number, issuedAtMs: number, state: KeyState) => Promise<void>, readonly changed: (action: () => Promise<unknown>) => Promise<void> }> => {
    const parts = await open(t)
    return {
      ...parts,
      // A change is made here and looked up in another thread or process: within a second.
      becomes: async (apiKeyId, issuedAtMs, state) => {
        await eventually(`key ${apiKeyId} is ${state}`, () => parts.directory.stateOf(apiKeyId, Math.floor(issuedAtMs / 1000), parts.nowMs()).state === state, { withinMs: 1_000, everyMs: 5 })
      },
      changed: async (action) => {
        const before = parts.directory.version()
        await action()
        await eventually('the directory notices the change', () => parts.directory.version() > before, { withinMs: 1_000, everyMs: 5 })
      }
    }
  }

  test(`${name}: members get numbers from 1 on, or the wanted one`, async (t) => {
    const { registry, nowMs } = await prepare(t)
    assert.deepEqual(await registry.createMember({ name: 'Ada' }), { memberId: 1, name: 'Ada', createdAtMs: nowMs() })
    assert.equal((await registry.createMember({ name: 'Bela', memberId: 40 })).memberId, 40)
    assert.equal((await registry.createMember({ name: 'Caro' })).memberId, 41)
    await assert.rejects(registry.createMember({ name: 'Dana', memberId: 40 }), coded('MEMBER_EXISTS'))
    assert.deepEqual((await registry.listMembers()).map((member) => member.name), ['Ada', 'Bela', 'Caro'])
    assert.deepEqual((await registry.listMembers({ afterId: 1, countMax: 1 })).map((member) => member.name), ['Bela'])
  })

  test(`${name}: names are bounded and printable`, async (t) => {
    const { registry } = await prepare(t)
    for (const wrong of ['', '   ', 'x'.repeat(201), 'a\nb', 'a\0b', '\u001b[31m']) await assert.rejects(registry.createMember({ name: wrong }), coded('ARGUMENT_INVALID'), JSON.stringify(wrong))
    const { memberId } = await registry.createMember({ name: 'x'.repeat(200) })
    await assert.rejects(registry.createKey({ memberId, grade: 'GRADE_FREE', label: 'y'.repeat(201) }), coded('ARGUMENT_INVALID'))
    const hostile = '\'; drop table member; --'
    assert.equal((await registry.createMember({ name: hostile })).name, hostile)
    assert.equal((await registry.listMembers()).length, 2)
  })

  test(`${name}: a key is made, shown and listed as it is`, async (t) => {
    const { registry, nowMs } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    const key = await registry.createKey({ memberId, grade: 'GRADE_CLASSIC', label: 'phone', expiresAtMs: nowMs() + dayMs })
    assert.deepEqual(key, {
      apiKeyId: 1, memberId, grade: 'GRADE_CLASSIC', type: 'jwt', label: 'phone', createdAtMs: nowMs(), expiresAtMs: nowMs() + dayMs,
      revokedAtMs: undefined, rotatedAtMs: undefined, overlapUntilMs: undefined
    })
    assert.deepEqual(await registry.showKey(1), key)
    assert.equal((await registry.createKey({ memberId, grade: 'GRADE_FREE', apiKeyId: 9 })).apiKeyId, 9)
    assert.equal((await registry.createKey({ memberId, grade: 'GRADE_FREE' })).apiKeyId, 10)
    assert.deepEqual((await registry.listKeys({})).map((each) => each.apiKeyId), [1, 9, 10])
    assert.deepEqual((await registry.listKeys({ memberId, afterId: 1, countMax: 1 })).map((each) => each.apiKeyId), [9])
    assert.deepEqual(await registry.listKeys({ memberId: 77 }), [])
    await assert.rejects(registry.createKey({ memberId, grade: 'GRADE_FREE', apiKeyId: 9 }), coded('KEY_EXISTS'))
    await assert.rejects(registry.createKey({ memberId: 77, grade: 'GRADE_FREE' }), coded('MEMBER_UNKNOWN'))
    await assert.rejects(registry.createKey({ memberId, grade: 'GRADE_FREE', expiresAtMs: nowMs() }), coded('ARGUMENT_INVALID'))
    await assert.rejects(registry.showKey(77), coded('KEY_UNKNOWN'))
  })

  test(`${name}: a new key is active at once, an unknown one unknown`, async (t) => {
    const { registry, nowMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    await becomes(1, nowMs(), 'unknown')
    await changed(() => registry.createKey({ memberId, grade: 'GRADE_FREE' }))
    await becomes(1, nowMs(), 'active')
    await becomes(2, nowMs(), 'unknown')
  })

  test(`${name}: a revoked key stays revoked, also one that was never here`, async (t) => {
    const { registry, nowMs, advanceMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    await changed(() => registry.createKey({ memberId, grade: 'GRADE_FREE' }))
    await changed(() => registry.revokeKey(1))
    await becomes(1, nowMs(), 'revoked')
    assert.equal((await registry.showKey(1)).revokedAtMs, nowMs())
    const revokedAtMs = nowMs()
    advanceMs(1_000)
    await registry.revokeKey(1)
    assert.equal((await registry.showKey(1)).revokedAtMs, revokedAtMs)
    await changed(() => registry.revokeKey(5_000_000_000))
    await becomes(5_000_000_000, nowMs(), 'revoked')
    await assert.rejects(registry.rotateKey(1, { overlapMs: 0 }), coded('KEY_REVOKED'))
    await assert.rejects(registry.createKey({ memberId, grade: 'GRADE_FREE', apiKeyId: 5_000_000_000 }), coded('KEY_REVOKED'))
    await registry.revokeKey(2)
    assert.equal((await registry.createKey({ memberId, grade: 'GRADE_FREE' })).apiKeyId, 3)
  })

  test(`${name}: a key expires, and the answer says until when it holds`, async (t) => {
    const { registry, directory, nowMs, advanceMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    const expiresAtMs = nowMs() + 5_000
    await changed(() => registry.createKey({ memberId, grade: 'GRADE_FREE', expiresAtMs }))
    await becomes(1, nowMs(), 'active')
    assert.deepEqual(directory.stateOf(1, Math.floor(nowMs() / 1000), nowMs()), { state: 'active', untilMs: expiresAtMs })
    advanceMs(4_999)
    await becomes(1, nowMs(), 'active')
    advanceMs(1)
    await becomes(1, nowMs(), 'expired')
  })

  test(`${name}: rotation keeps the number and ends older tokens after the overlap`, async (t) => {
    const { registry, nowMs, advanceMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    const created = await registry.createKey({ memberId, grade: 'GRADE_FREE' })
    advanceMs(10_000)
    await changed(() => registry.rotateKey(1, { overlapMs: 60_000 }))
    const rotated = await registry.showKey(1)
    assert.equal(rotated.apiKeyId, 1)
    assert.equal(Math.floor((rotated.rotatedAtMs ?? 0) / 1000), Math.floor(nowMs() / 1000))
    assert.equal(rotated.overlapUntilMs, nowMs() + 60_000)
    await becomes(1, created.createdAtMs, 'active')
    await becomes(1, rotated.rotatedAtMs ?? 0, 'active')
    advanceMs(60_000)
    await becomes(1, created.createdAtMs, 'rotated')
    await becomes(1, rotated.rotatedAtMs ?? 0, 'active')
    await assert.rejects(registry.rotateKey(77, { overlapMs: 0 }), coded('KEY_UNKNOWN'))
    for (const overlapMs of [-1, 0.5, 400 * dayMs]) await assert.rejects(registry.rotateKey(1, { overlapMs }), coded('ARGUMENT_INVALID'))
  })

  test(`${name}: a rotation within the second of the last token still tells them apart`, async (t) => {
    const { registry, nowMs, advanceMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    const first = await registry.createKey({ memberId, grade: 'GRADE_FREE' })
    const second = await registry.rotateKey(1, { overlapMs: 0 })
    let third = second
    await changed(async () => { third = await registry.rotateKey(1, { overlapMs: 0 }) })
    await becomes(1, first.createdAtMs, 'rotated')
    await becomes(1, second.rotatedAtMs ?? 0, 'rotated')
    await becomes(1, third.rotatedAtMs ?? 0, 'active')
    assert.ok((third.rotatedAtMs ?? 0) <= nowMs() + 2_000)
    advanceMs(1)
  })

  test(`${name}: a second rotation neither lengthens nor spares what the first one ended`, async (t) => {
    const { registry, nowMs, advanceMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    const first = await registry.createKey({ memberId, grade: 'GRADE_FREE' })
    advanceMs(10_000)
    const second = await registry.rotateKey(1, { overlapMs: 20_000 })
    advanceMs(10_000)
    await changed(() => registry.rotateKey(1, { overlapMs: 3_600_000 }))
    await becomes(1, first.createdAtMs, 'active')
    advanceMs(10_000)
    await becomes(1, first.createdAtMs, 'rotated')
    await becomes(1, second.rotatedAtMs ?? 0, 'active')
    await changed(() => registry.rotateKey(1, { overlapMs: 0 }))
    await becomes(1, second.rotatedAtMs ?? 0, 'rotated')
    await becomes(1, nowMs(), 'active')
  })

  test(`${name}: rotations whose overlap has not ended are bounded`, async (t) => {
    const { registry, advanceMs } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    await registry.createKey({ memberId, grade: 'GRADE_FREE' })
    for (let i = 0; i < 16; i++) { advanceMs(2_000); await registry.rotateKey(1, { overlapMs: dayMs }) }
    advanceMs(2_000)
    await assert.rejects(registry.rotateKey(1, { overlapMs: dayMs }), coded('LIMIT_EXCEEDED'))
    advanceMs(2 * dayMs)
    await registry.rotateKey(1, { overlapMs: dayMs })
    await registry.rotateKey(1, { overlapMs: 0 })
  })

  test(`${name}: an opaque key is found by the digest of its secret, and by nothing else`, async (t) => {
    const { registry, directory, nowMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    assert.equal((await registry.createKey({ memberId, grade: 'GRADE_FREE' })).type, 'jwt')
    assert.equal(directory.claimsOf(digestOf('one')), 'unknown')
    await changed(async () => { assert.equal((await registry.createKey({ memberId, grade: 'GRADE_PREMIUM', label: 'phone', secretDigest: digestOf('one') })).type, 'opaque') })
    await becomes(2, nowMs(), 'active')
    assert.deepEqual(directory.claimsOf(digestOf('one')), { apiKeyId: 2, memberId, grade: 'GRADE_PREMIUM', iatS: Math.floor(nowMs() / 1000) })
    assert.equal(directory.claimsOf(digestOf('two')), 'unknown')
    assert.deepEqual((await registry.listKeys({})).map(({ type }) => type), ['jwt', 'opaque'])
    assert.equal((await registry.showKey(2)).type, 'opaque')
    assert.doesNotMatch(JSON.stringify([await registry.showKey(2), await registry.listKeys({})]), new RegExp(digestOf('one')))
  })

  test(`${name}: an opaque key's secrets are rotated with an overlap, and end with it`, async (t) => {
    const { registry, directory, advanceMs, becomes, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    await registry.createKey({ memberId, grade: 'GRADE_FREE', secretDigest: digestOf('one') })
    const issuedAtMs = (secret: string): number => { const claims = directory.claimsOf(digestOf(secret)); return typeof claims === 'string' ? NaN : claims.iatS * 1000 }
    advanceMs(10_000)
    await changed(async () => { assert.equal((await registry.rotateKey(1, { overlapMs: 60_000, secretDigest: digestOf('two') })).type, 'opaque') })
    await eventually('the new secret is there', () => Number.isFinite(issuedAtMs('two')), { withinMs: 1_000, everyMs: 5 })
    await becomes(1, issuedAtMs('one'), 'active')
    await becomes(1, issuedAtMs('two'), 'active')
    advanceMs(60_000)
    await becomes(1, issuedAtMs('one'), 'rotated')
    await becomes(1, issuedAtMs('two'), 'active')
    await changed(() => registry.rotateKey(1, { overlapMs: 0, secretDigest: digestOf('three') }))
    await becomes(1, issuedAtMs('two'), 'rotated')
    await becomes(1, issuedAtMs('three'), 'active')
    await changed(() => registry.revokeKey(1))
    await becomes(1, issuedAtMs('three'), 'revoked')
    await assert.rejects(registry.rotateKey(1, { overlapMs: 0, secretDigest: digestOf('four') }), coded('KEY_REVOKED'))
  })

  test(`${name}: a key keeps its type, and its secrets are bounded`, async (t) => {
    const { registry, advanceMs } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    await registry.createKey({ memberId, grade: 'GRADE_FREE' })
    await registry.createKey({ memberId, grade: 'GRADE_FREE', secretDigest: digestOf('first') })
    await assert.rejects(registry.rotateKey(1, { overlapMs: 0, secretDigest: digestOf('x') }), coded('ARGUMENT_INVALID'))
    await assert.rejects(registry.rotateKey(2, { overlapMs: 0 }), coded('ARGUMENT_INVALID'))
    // Each ends before the one before it would have: one rotation covers them all, but every secret is in its overlap.
    for (let i = 0; i < 16; i++) { advanceMs(2_000); await registry.rotateKey(2, { overlapMs: dayMs - i * 10_000, secretDigest: digestOf(`secret ${i}`) }) }
    advanceMs(2_000)
    await assert.rejects(registry.rotateKey(2, { overlapMs: 3_600_000, secretDigest: digestOf('too many') }), coded('LIMIT_EXCEEDED'))
    await registry.rotateKey(2, { overlapMs: 0, secretDigest: digestOf('got out') })
  })

  test(`${name}: an opaque key moves to another registry with its secrets, again and again`, async (t) => {
    const { registry, directory, nowMs, advanceMs, changed } = await prepare(t)
    const { memberId } = await registry.createMember({ name: 'Ada' })
    await registry.createKey({ memberId, grade: 'GRADE_FREE', secretDigest: digestOf('one') })
    const exported = async (): Promise<readonly RegistryRecord[]> => {
      const records: RegistryRecord[] = []
      for (let cursor: string | undefined, isOver = false; !isOver; isOver = cursor === undefined) {
        const page = await registry.exportPage(cursor)
        records.push(...page.records)
        cursor = page.next
      }
      return records
    }
    const before = await exported()
    const key = before.find((record): record is KeyRecord => record.kind === 'key')
    assert.equal(key?.secrets, `${Math.floor(nowMs() / 1000)}:${digestOf('one')}`)
    assert.deepEqual(await registry.importRecords(before), { added: 0, same: before.length })
    // Rotated elsewhere since.
    const secrets = `${key?.secrets ?? ''} ${Math.floor(nowMs() / 1000) + 5}:${digestOf('two')}`
    await changed(async () => { assert.deepEqual(await registry.importRecords([{ ...key, secrets }]), { added: 1, same: 0 }) })
    await eventually('it is found by both', () => ['one', 'two'].every((secret) => directory.claimsOf(digestOf(secret)) !== 'unknown'), { withinMs: 1_000, everyMs: 5 })
    // An older copy takes nothing back.
    assert.deepEqual(await registry.importRecords([key]), { added: 0, same: 1 })
    assert.equal((await exported()).find((record): record is KeyRecord => record.kind === 'key')?.secrets, secrets)
    const withoutSecrets: KeyRecord = { kind: 'key', apiKeyId: 1, memberId, grade: 'GRADE_FREE', label: '', createdAtMs: nowMs() }
    for (const other of [withoutSecrets, { ...withoutSecrets, secrets: `${Math.floor(nowMs() / 1000)}:${digestOf('other')}` }]) {
      assert.deepEqual((await registry.importRecords([other])).problem?.code, 'KEY_EXISTS')
    }
    assert.deepEqual(await registry.importRecords([{ ...withoutSecrets, apiKeyId: 9, secrets: `7:${digestOf('nine')}` }]), { added: 1, same: 0 })
    advanceMs(10_000)
    assert.equal((await registry.rotateKey(9, { overlapMs: 0, secretDigest: digestOf('ten') })).type, 'opaque')
  })
}
