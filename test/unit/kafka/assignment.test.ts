import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignPartitions } from '../../../src/kafka/assignment.ts'
import type { MemberClaim } from '../../../src/kafka/assignment.ts'

const memberOf = (name: string, owned: readonly number[] = [], generation = -1): MemberClaim => ({ memberId: `${name}-id`, name, owned, generation })

function next (names: readonly string[], before: ReadonlyMap<string, readonly number[]>, partitions: number): Map<string, number[]> {
  return assignPartitions(names.map((name) => memberOf(name, before.get(`${name}-id`) ?? [], before.has(`${name}-id`) ? 1 : -1)), partitions)
}

test('each partition has one owner, and shares differ by one at most, whatever members claim', () => {
  fc.assert(fc.property(
    fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 8 }),
    fc.integer({ min: 0, max: 40 }),
    fc.array(fc.tuple(fc.nat(7), fc.array(fc.nat(60), { maxLength: 20 }), fc.integer({ min: -1, max: 5 })), { maxLength: 8 }),
    (names, partitions, claims) => {
      const members = names.map((name, index) => memberOf(name, claims[index]?.[1] ?? [], claims[index]?.[2] ?? -1))
      const shares = [...assignPartitions(members, partitions).values()]
      assert.deepEqual(shares.flat().sort((a, b) => a - b), Array.from({ length: partitions }, (_, index) => index))
      const sizes = shares.map(({ length }) => length)
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1)
    }
  ))
})

test('when a member leaves, only its partitions move; when one comes, it gets its share and nobody else anything', () => {
  fc.assert(fc.property(fc.uniqueArray(fc.string({ minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 8 }), fc.integer({ min: 1, max: 40 }), (names, partitions) => {
    const all = next(names, new Map(), partitions)
    const [gone, ...rest] = names as [string, ...string[]]
    const without = next(rest, all, partitions)
    for (const name of rest) assert.deepEqual((all.get(`${name}-id`) ?? []).filter((partition) => !without.get(`${name}-id`)?.includes(partition)), [])
    const back = next(names, without, partitions)
    for (const name of rest) assert.deepEqual((back.get(`${name}-id`) ?? []).filter((partition) => !without.get(`${name}-id`)?.includes(partition)), [])
    assert.ok((back.get(`${gone}-id`)?.length ?? 0) >= Math.floor(partitions / names.length))
  }))
})

test('a member that comes back gets mostly its own again, and a restart of all changes nothing', () => {
  const names = ['pi1', 'pi2', 'pi3', 'pi4']
  const all = next(names, new Map(), 24)
  assert.deepEqual(next(names.toReversed(), new Map(), 24), next(names, new Map(), 24))
  let back = 0
  for (const gone of names) {
    const without = next(names.filter((name) => name !== gone), all, 24)
    const again = next(names, without, 24).get(`${gone}-id`) ?? []
    back += again.filter((partition) => all.get(`${gone}-id`)?.includes(partition)).length
  }
  assert.ok(back >= 16, `${back} of 24`)
})

test('of two that claim the same, the newer generation has it', () => {
  const shares = assignPartitions([memberOf('zombie', [0, 1], 3), memberOf('owner', [0, 1], 4)], 4)
  assert.deepEqual(shares.get('owner-id'), [0, 1])
})
