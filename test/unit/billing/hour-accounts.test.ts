import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HourAccounts } from '../../../src/billing/hour-accounts.ts'

test('accounts are the map that they pack, in whatever order hours come', () => {
  const account = fc.record({ answered: fc.nat(), journaled: fc.nat(), countedOnly: fc.nat(), recovered: fc.nat() })
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat({ max: 40 }), account), { maxLength: 80 }), fc.nat({ max: 41 }), fc.nat({ max: 41 }), (said, from, to) => {
    const accounts = new HourAccounts()
    const map = new Map<number, object>()
    for (const [hour, each] of said) {
      const isNew = JSON.stringify(map.get(hour)) !== JSON.stringify(each)
      assert.equal(accounts.set(hour, each), isNew)
      map.set(hour, each)
    }
    const sorted = [...map].sort(([a], [b]) => a - b).map(([hour, each]) => ({ hour, ...each }))
    assert.deepEqual([...accounts.range(0, Infinity)], sorted)
    assert.deepEqual([...accounts.range(from, to)], sorted.filter(({ hour }) => hour >= from && hour < to))
    assert.equal(accounts.size, map.size)
    assert.equal(accounts.lastHour, sorted.at(-1)?.hour ?? -1)
    assert.equal(accounts.journaled(), sorted.reduce((sum, each) => sum + (each as unknown as { journaled: number }).journaled, 0))
  }))
})
