import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JournalState } from '../../../src/journal/memory.ts'
import { Ring } from '../../../src/journal/ring.ts'
import { InFlightRequests, Watermark } from '../../../src/journal/watermark.ts'

function open (startMs = 0) {
  const memory = { state: JournalState.create(), ring: Ring.create(1024) }
  const clock = { ms: 1_000, nowMs: () => clock.ms, monotonicMs: () => 0 }
  const state = new JournalState(memory.state)
  const watermark = new Watermark(state, [new Ring(memory.ring)], clock, startMs)
  const mark = (): number => {
    const markMs = watermark.propose()
    watermark.confirm(markMs)
    return markMs
  }
  return { clock, state, watermark, mark, requests: new InFlightRequests(memory, clock) }
}

test('without requests the mark is the clock; with some, the start of the oldest', () => {
  const { clock, mark, requests } = open()
  assert.equal(mark(), 1_000)
  clock.ms = 2_000
  const first = requests.begin()
  clock.ms = 3_000
  const second = requests.begin()
  clock.ms = 4_000
  assert.deepEqual([first, second, mark()], [2_000, 3_000, 2_000])
  requests.end(first)
  assert.equal(mark(), 3_000)
  requests.end(second)
  assert.equal(mark(), 4_000)
})

test('a clock that is set back moves neither the mark nor a request behind what was said', () => {
  const { clock, mark, requests } = open(5_000)
  assert.equal(mark(), 5_000)
  assert.equal(requests.begin(), 5_000)
  clock.ms = 7_000
  assert.equal(requests.begin(), 7_000)
  clock.ms = 6_000
  assert.equal(requests.begin(), 7_000)
  assert.equal(mark(), 5_000)
})

test('requests start where they are told to at the earliest, though the clock is behind', () => {
  const { watermark, mark, requests } = open()
  watermark.raise(9_000)
  assert.equal(requests.begin(), 9_000)
  watermark.raise(4_000)
  requests.end(9_000)
  assert.deepEqual([requests.begin(), mark()], [9_000, 9_000])
})

test('a request that begins while a mark is proposed takes the proposed time', () => {
  const { clock, watermark, requests } = open()
  clock.ms = 2_000
  watermark.propose()
  clock.ms = 1_500
  assert.equal(requests.begin(), 2_000)
})

test('the oldest start may be shown late, by little, and never when nothing is in flight', () => {
  const { clock, mark, requests } = open()
  const starts = Array.from({ length: 100 }, (_, n) => { clock.ms = 2_000 + n; return requests.begin() })
  for (const start of starts.slice(0, 40)) requests.end(start)
  const markMs = mark()
  assert.ok(markMs <= 2_040 && markMs > 2_040 - 50, String(markMs))
  for (const start of starts.slice(40)) requests.end(start)
  assert.equal(mark(), clock.ms)
})

test('ending what was not begun is a mistake of the program', () => {
  assert.throws(() => { open().requests.end(1) }, /no request in flight/)
})
