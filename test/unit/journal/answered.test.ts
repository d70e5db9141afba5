import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { AnsweredCounter, AnsweredReader, createAnsweredMemory } from '../../../src/journal/answered.ts'

const hourMs = 3_600_000

function taken (take: (add: (hour: number, count: number) => void) => void): Record<number, number> {
  const hours: Record<number, number> = {}
  take((hour, count) => { hours[hour] = (hours[hour] ?? 0) + count })
  return hours
}

test('every answer is counted once, in the hour of its request, whoever counted it and whenever one looks', () => {
  const answer = fc.record({ worker: fc.nat(2), hour: fc.integer({ min: 500_000, max: 500_100 }), ms: fc.nat(hourMs - 1), isCountedOnly: fc.boolean(), isLook: fc.nat(5) })
  fc.assert(fc.property(fc.array(answer, { maxLength: 100 }), (answers) => {
    const memories = Array.from({ length: 3 }, createAnsweredMemory)
    const counters = memories.map((memory) => new AnsweredCounter(memory))
    const reader = new AnsweredReader(memories)
    const expected: { answered: Record<number, number>, countedOnly: Record<number, number> } = { answered: {}, countedOnly: {} }
    const seen: typeof expected = { answered: {}, countedOnly: {} }
    const add = (sum: Record<number, number>, more: Record<number, number>): void => { for (const [hour, count] of Object.entries(more)) sum[Number(hour)] = (sum[Number(hour)] ?? 0) + count }
    const look = (): void => {
      add(seen.answered, taken((each) => { reader.takeAnswered(each) }))
      add(seen.countedOnly, taken((each) => { reader.takeCountedOnly(each) }))
    }
    for (const { worker, hour, ms, isCountedOnly, isLook } of answers) {
      const counter = counters[worker] as AnsweredCounter
      if (isCountedOnly) {
        counter.countedOnly(hour * hourMs + ms, 'G0006')
        add(expected.countedOnly, { [hour]: 1 })
      }
      counter.answered(hour * hourMs + ms)
      add(expected.answered, { [hour]: 1 })
      if (isLook === 0) look()
    }
    look()
    assert.deepEqual(seen, expected)
  }), { numRuns: 100 })
})

test('counters that have gone round lose nothing', () => {
  const memory = createAnsweredMemory()
  const words = new Int32Array(memory)
  const counter = new AnsweredCounter(memory)
  counter.answered(500_000 * hourMs)
  const index = words.findIndex((word, at) => word === 1 && at >= 1024)
  words[index] = 2 ** 31 - 1
  const reader = new AnsweredReader([memory])
  taken((add) => { reader.takeAnswered(add) })
  counter.answered(500_000 * hourMs)
  counter.answered(500_000 * hourMs)
  assert.deepEqual(taken((add) => { reader.takeAnswered(add) }), { 500000: 2 })
})

test('refusals are told by minute and code', () => {
  const memories = [createAnsweredMemory(), createAnsweredMemory()]
  const [first, second] = memories.map((memory) => new AnsweredCounter(memory)) as [AnsweredCounter, AnsweredCounter]
  const reader = new AnsweredReader(memories)
  first.countedOnly(60_000 * 30_000_001, 'G0006')
  first.countedOnly(60_000 * 30_000_001 + 59_999, 'G0006')
  first.countedOnly(60_000 * 30_000_002, 'G0001')
  second.countedOnly(60_000 * 30_000_001, 'G0013')
  assert.deepEqual(reader.takeRefusals(), [
    { minute: 30_000_001, code: 'G0006', count: 2 }, { minute: 30_000_002, code: 'G0001', count: 1 }, { minute: 30_000_001, code: 'G0013', count: 1 }
  ])
  assert.deepEqual(reader.takeRefusals(), [])
})
