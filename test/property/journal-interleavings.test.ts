// The words that workers and journal share, in every order of their steps; each mistake in the order of two accesses is noticed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { huntMutant } from '../helpers/source-mutants.ts'
import type { Mutant } from '../helpers/source-mutants.ts'
import { run } from './journal-interleavings.ts'

test('no request below the watermark, no lost wake-up, no sleep over work, no missed failure', () => {
  const orders = run(1)
  assert.ok(orders >= 50, `only ${orders} orders`)
})

const mutants: readonly Mutant[] = [
  {
    name: 'a request does not look at the proposed mark after showing its start', file: 'src/journal/watermark.ts',
    changes: [['      this.#show(startMs)\n      startMs = Math.max(startMs, this.#state.proposedMarkMs)\n', '      this.#show(startMs)\n']]
  },
  {
    name: 'a request shows its start after its last look', file: 'src/journal/watermark.ts',
    changes: [['      this.#show(startMs)\n      startMs = Math.max(startMs, this.#state.proposedMarkMs)\n', '      startMs = Math.max(startMs, this.#state.proposedMarkMs)\n      this.#show(startMs)\n']]
  },
  {
    name: 'the journal proposes after it has looked at the starts', file: 'src/journal/watermark.ts',
    changes: [
      ['    this.#state.proposedMarkMs = Math.max(this.#clock.nowMs(), this.#state.proposedMarkMs)\n    let markMs = this.#state.proposedMarkMs', '    let markMs = Math.max(this.#clock.nowMs(), this.#state.proposedMarkMs)\n    const proposedMs = markMs'],
      ['    // A start on show that is older', '    this.#state.proposedMarkMs = proposedMs\n    // A start on show that is older']
    ]
  },
  {
    name: 'a worker does not look again after asking to be woken', file: 'src/journal/handover.ts',
    changes: [['      if (this.#settledTicket() === settled) return', '      return']]
  },
  {
    name: 'the journal asks for wishes before it settles', file: 'test/property/journal-interleavings.ts',
    changes: [['  if (batch.fill(Buffer.alloc(16 * 1024), stream) > 0) batch[outcome]()\n  return ring.takeWakeWish()', '  const isWanted = ring.takeWakeWish()\n  if (batch.fill(Buffer.alloc(16 * 1024), stream) > 0) batch[outcome]()\n  return isWanted']]
  },
  {
    name: 'the journal looks for work before it arms the bell', file: 'src/journal/memory.ts',
    changes: [['    Atomics.store(this.#ints, bell, 1)\n    if (!hasWork()) Atomics.wait(this.#ints, bell, 1, timeoutMs)', '    const isIdle = !hasWork()\n    Atomics.store(this.#ints, bell, 1)\n    if (isIdle) Atomics.wait(this.#ints, bell, 1, timeoutMs)']]
  },
  {
    name: 'a worker rings before it says what should be committed', file: 'src/journal/handover.ts',
    changes: [['    this.#calledTicket = this.#lastTicket\n    this.#ring.askCommit()\n    this.#state.ring()', '    this.#calledTicket = this.#lastTicket\n    this.#state.ring()\n    this.#ring.askCommit()']]
  },
  {
    name: 'the start of the failed range is read before its end', file: 'src/journal/handover.ts',
    changes: [['    const failedTo = this.#ring.failedTo\n    const failedFrom = this.#ring.failedFrom', '    const failedFrom = this.#ring.failedFrom\n    const failedTo = this.#ring.failedTo']]
  },
  {
    name: 'the failed range is read before the settled ticket', file: 'src/journal/batch.ts',
    changes: [['  ring.failedTo = settled + tickets\n  ring.read = position\n  ring.settledTicket = settled + tickets', '  ring.read = position\n  ring.settledTicket = settled + tickets\n  ring.failedTo = settled + tickets']]
  }
]

for (const mutant of mutants) {
  test(`noticed: ${mutant.name}`, async () => {
    const { killedBy } = await huntMutant(mutant, new URL('./journal-interleavings.ts', import.meta.url), { from: 1, to: 1 })
    assert.notEqual(killedBy, undefined)
  })
}
