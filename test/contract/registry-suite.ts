// What every registry promises to administrators and, through the directory, to gateways.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { KeyDirectory, KeyState, Registry } from '../../src/registry/port.ts'
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
      apiKeyId: 1, memberId, grade: 'GRADE_CLASSIC', label: 'phone', createdAtMs: nowMs(), expiresAtMs: nowMs() + dayMs,
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
}
