// When an hour is called complete: each way in which the first plan called one complete too early (long requests, clock
// steps, a new gateway, one that comes back after a stop, events that are counted late), and each way in which one would
// never become complete.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Completeness } from '../../../src/billing/completeness.ts'
import type { CompletenessReport } from '../../../src/billing/completeness.ts'
import { GatewayBook } from '../../../src/billing/gateway-book.ts'
import type { PlacedMark } from '../../../src/billing/gateway-book.ts'
import type { RecordOut } from '../../../src/kafka/port.ts'
import type { AccountTally, LedgerAccount } from '../../../src/ledger/account.ts'
import { MemoryPartition, encodeRetirement, saidRecords, streamOf } from '../../helpers/topic-records.ts'
import type { SaidGiven } from '../../helpers/topic-records.ts'

const hourMs = 3_600_000
const first = 490_000
const graceMs = 60_000
const startMs = (hour: number): number => (first + hour) * hourMs
/** Past an hour's end and its grace. */
const over = (hour: number): number => startMs(hour + 1) + graceMs

class World {
  readonly topic = new MemoryPartition()
  readonly ahead: PlacedMark[] = []
  readonly malformed: unknown[] = []
  readonly accepted = new Set<string>()
  readonly book = new GatewayBook({ onAhead: (mark) => { this.ahead.push(mark) }, onMalformed: (record) => { this.malformed.push(record) } })
  readonly completeness = new Completeness({ book: this.book, graceMs, isAccepted: (gatewayId, hour) => this.accepted.has(`${gatewayId} ${hour - first}`) })
  readonly applied = new Map<string, number>()
  tallies: AccountTally[] = []
  uncertain: { streamId: string, gatewayId: string, hour: number }[] = []
  nowMs = 0

  say (given: SaidGiven & { readonly atMs?: number }): void {
    const { atMs = Math.max(this.nowMs, given.watermarkMs ?? 0), hours = {} } = given
    this.#take(saidRecords({ ...given, hours: Object.fromEntries(Object.entries(hours).map(([hour, account]) => [first + Number(hour), account])) }), atMs)
  }

  retire (gatewayId: string, isLost = false): void { this.#take([encodeRetirement({ gatewayId, atMs: this.nowMs, reason: 'r', isLost })], this.nowMs) }

  count (streamId: string, appliedSeq: number, hours: Readonly<Record<number, number>>, { partition = 0, gatewayId = 'gateway-1' } = {}): void {
    this.applied.set(`${partition} ${streamId}`, appliedSeq)
    for (const [hour, billable] of Object.entries(hours)) {
      this.tallies = this.tallies.filter((tally) => tally.streamId !== streamId || tally.hour !== first + Number(hour))
      this.tallies.push({ streamId, hour: first + Number(hour), gatewayId, billable, notBillable: 0, deadLettered: 0, voided: 0 })
      this.completeness.noteCounted([first + Number(hour)])
    }
  }

  report (): CompletenessReport {
    const { fromHour } = this.completeness.question()
    const streams = [...this.applied].map(([key, appliedSeq]) => {
      const [partition = '', streamId = ''] = key.split(' ')
      return { partition: Number(partition), streamId, gatewayId: null, appliedSeq, archivedSeq: 0 }
    })
    const account: LedgerAccount = { streams, tallies: this.tallies.filter(({ hour }) => hour >= fromHour), uncertain: this.uncertain }
    return this.completeness.evaluate(account, this.nowMs)
  }

  /** The first hour that isn't complete, from the tests' first one. */
  at (nowMs: number): number {
    this.nowMs = nowMs
    return this.report().completeBeforeHour - first
  }

  #take (records: readonly RecordOut[], atMs: number): void { this.book.take(this.topic.append(records, atMs)) }
}

const [one, two] = [streamOf(1), streamOf(2)]

test('nothing is complete while no gateway is known', () => {
  const world = new World()
  world.nowMs = over(5)
  assert.equal(world.report().completeBeforeHour, 0)
})

test('an hour is complete a grace past its end, when its gateway has passed it and everything is counted', () => {
  const world = new World()
  world.say({ streamId: one, watermarkMs: startMs(0) })
  world.say({ streamId: one, seq: 3, watermarkMs: over(0) - 1, hours: { 0: [3, 3] } })
  world.count(one, 3, { 0: 3 })
  assert.equal(world.at(over(0) - 1), 0)
  assert.deepEqual(world.report().holds, [])
  world.say({ streamId: one, seq: 3, watermarkMs: over(0) })
  assert.equal(world.at(over(0)), 1)
})

test('a long request in flight holds its hour back', () => {
  const world = new World()
  world.say({ streamId: one, seq: 1, watermarkMs: startMs(0) + 5, atMs: over(1), hours: { 0: [1, 1] } })
  world.count(one, 1, { 0: 1 })
  assert.equal(world.at(over(1)), 0)
  assert.match(world.report().holds[0]?.reason ?? '', /has not passed the end/)
  world.say({ streamId: one, seq: 2, watermarkMs: over(1), hours: { 0: [2, 2] } })
  assert.equal(world.at(over(1)), 0, 'its event is not counted yet')
  assert.match(world.report().holds[0]?.reason ?? '', /not counted yet/)
  world.count(one, 2, { 0: 2 })
  assert.equal(world.at(over(1)), 2)
})

test('events that are counted late hold back, in whichever partition', () => {
  const world = new World()
  world.say({ streamId: one, seq: 5, watermarkMs: over(1), lastSeqs: [[0, 4], [3, 5]], hours: { 0: [5, 5] } })
  world.count(one, 4, { 0: 4 })
  assert.equal(world.at(over(1)), -first)
  world.count(one, 5, { 0: 5 }, { partition: 3 })
  assert.equal(world.at(over(1)), 2)
})

test('a stream whose newest mark is not counted keeps the last watermark that was', () => {
  const world = new World()
  world.say({ streamId: one, seq: 1, watermarkMs: over(0), hours: { 0: [1, 1] } })
  world.count(one, 1, { 0: 1 })
  assert.equal(world.at(over(3)), 1)
  for (let seq = 2; seq < 200; seq++) world.say({ streamId: one, seq, watermarkMs: over(1) + seq, hours: { 1: [seq - 1, seq - 1] } })
  assert.equal(world.at(over(3)), 1)
  world.count(one, 150, { 1: 149 })
  assert.equal(world.at(over(3)), 1, 'invariant 4 does not hold at a place between two marks')
  world.count(one, 199, { 1: 198 })
  assert.equal(world.at(over(3)), 2)
})

test('a clock that steps back moves no watermark back, one that is ahead closes nothing early and is an alarm', () => {
  const world = new World()
  world.say({ streamId: one, seq: 0, watermarkMs: over(0) })
  world.say({ streamId: one, seq: 0, watermarkMs: startMs(0), atMs: over(0) })
  assert.equal(world.at(over(0)), 1)
  world.say({ streamId: one, seq: 0, watermarkMs: over(5), atMs: over(1) })
  assert.equal(world.ahead.length, 1)
  assert.equal(world.at(over(9)), 2, 'a watermark counts no further than the broker\'s clock')
  world.say({ streamId: two, gatewayId: 'gateway-2', watermarkMs: over(1) + 2_000, atMs: over(1) })
  assert.equal(world.ahead.length, 1)
})

test('billing\'s own clock, when it is ahead, calls nothing complete early', () => {
  const world = new World()
  world.say({ streamId: one, watermarkMs: startMs(1), atMs: startMs(1) })
  assert.equal(world.at(over(7)), 0, 'the grace is over by our clock, but not by the broker\'s')
  world.say({ streamId: one, watermarkMs: over(0), atMs: over(0) })
  assert.equal(world.at(over(7)), 1)
})

test('a new gateway holds back from its hello on', () => {
  const world = new World()
  world.say({ streamId: one, watermarkMs: over(3) })
  world.say({ streamId: two, gatewayId: 'gateway-2', watermarkMs: startMs(2), atMs: over(3) })
  assert.equal(world.at(over(3)), 2)
  assert.deepEqual(world.report().holds.map(({ gatewayId }) => gatewayId), ['gateway-2'])
})

test('a gateway that has stopped holds nothing back, and again once it returns', () => {
  const world = new World()
  world.say({ streamId: one, seq: 2, watermarkMs: startMs(0) + 9, state: 'closed', hours: { 0: [2, 2] } })
  assert.equal(world.at(over(2)), -first, 'what it has journaled is not counted yet')
  world.count(one, 2, { 0: 2 })
  assert.equal(world.at(over(2)), 3)
  world.say({ streamId: two, watermarkMs: startMs(3), atMs: over(4) })
  assert.equal(world.at(over(4)), 3)
  world.say({ streamId: two, watermarkMs: over(4) })
  assert.equal(world.at(over(4)), 5)
})

test('after a crash the next stream of the journal ends the one before', () => {
  const world = new World()
  world.say({ streamId: one, seq: 2, watermarkMs: startMs(0) + 9, hours: { 0: [1, 2] } })
  world.count(one, 2, { 0: 2 })
  world.say({ streamId: two, watermarkMs: over(2) })
  assert.equal(world.at(over(2)), 0)
  world.say({ streamId: one, seq: 2, watermarkMs: startMs(0) + 9, state: 'recovered', hours: { 0: [1, 2, 0, 1] } })
  assert.equal(world.at(over(2)), 3)
  world.say({ streamId: one, seq: 2, watermarkMs: startMs(0) + 9 })
  assert.equal(world.at(over(2)), 3, 'a mark that is sent again undoes nothing')
})

test('two streams of one name, as of a journal that was cloned, both hold back', () => {
  const world = new World()
  world.say({ streamId: one, watermarkMs: over(3) })
  world.say({ streamId: two, watermarkMs: startMs(1), atMs: over(3) })
  assert.equal(world.at(over(3)), 1)
})

test('a retired gateway holds nothing back until it speaks again', () => {
  const world = new World()
  world.say({ streamId: one, seq: 4, watermarkMs: startMs(0) + 9, atMs: startMs(0) + 9, hours: { 0: [3, 4] } })
  world.count(one, 4, { 0: 4 })
  world.say({ streamId: streamOf(3), gatewayId: 'gateway-3', watermarkMs: over(9) })
  assert.equal(world.at(over(9)), 0)
  world.retire('gateway-1')
  assert.equal(world.at(over(9)), 10, 'what it journaled beyond its answered count is recovered')
  world.say({ streamId: two, watermarkMs: startMs(10), atMs: over(10) })
  world.say({ streamId: streamOf(3), gatewayId: 'gateway-3', watermarkMs: over(12) })
  assert.equal(world.at(over(12)), 10)
})

test('what a lost gateway has not sent is given up, without --lost it is not', () => {
  const world = new World()
  world.say({ streamId: one, seq: 4, watermarkMs: over(0), hours: { 0: [4, 4] } })
  world.count(one, 3, { 0: 3 })
  world.nowMs = over(2)
  world.retire('gateway-1')
  assert.equal(world.at(over(2)), 0)
  assert.match(world.report().holds[0]?.reason ?? '', /journaled 4, counted 3/)
  world.retire('gateway-1', true)
  assert.equal(world.at(over(2)), 3)
})

test('invariant 4 must hold, until an operator has accepted the hour', () => {
  const cases: readonly (readonly [account: readonly [number, number, number?, number?], counted: number, reason: RegExp | undefined])[] = [
    [[3, 3], 3, undefined], [[5, 3, 2], 3, undefined], [[2, 3, 0, 1], 3, undefined],
    [[2, 3], 3, /answered and recovered 2, journaled and counted only 3/], [[3, 3], 2, /journaled 3, counted 2/], [[3, 3], 4, /journaled 3, counted 4/], [[0, 0], 1, /journaled 0, counted 1/]
  ]
  for (const [account, counted, reason] of cases) {
    const world = new World()
    world.say({ streamId: one, seq: 3, watermarkMs: over(4), hours: { 1: account } })
    world.count(one, 3, { 1: counted })
    assert.equal(world.at(over(3)), reason === undefined ? 4 : 1)
    assert.equal(world.report().differences, reason === undefined ? 0 : 1)
    if (reason === undefined) continue
    assert.match(world.report().holds[0]?.reason ?? '', reason)
    world.accepted.add('gateway-1 1')
    world.completeness.checkAll()
    assert.equal(world.at(over(3)), 4)
    assert.equal(world.report().differences, 0)
  }
})

test('a void that does not know its hours is the reason for what is missing, and for nothing else', () => {
  const world = new World()
  world.say({ streamId: one, seq: 5, watermarkMs: over(4), hours: { 1: [5, 5] } })
  world.count(one, 5, { 1: 2 })
  world.uncertain = [{ streamId: one, gatewayId: 'gateway-1', hour: first + 1 }]
  assert.equal(world.at(over(3)), 4)
  world.count(one, 5, { 1: 6 })
  assert.equal(world.at(over(3)), 1)
})

test('what is counted of a stream that never said hello is not complete', () => {
  const world = new World()
  world.say({ streamId: one, watermarkMs: over(4) })
  world.count(two, 1, { 2: 1 }, { gatewayId: 'gateway-9' })
  assert.equal(world.at(over(4)), 2)
  assert.deepEqual(world.report().holds.map(({ gatewayId }) => gatewayId), ['gateway-9'])
})

test('a late event in an hour that was complete shows at once', () => {
  const world = new World()
  world.say({ streamId: one, seq: 1, watermarkMs: over(4), hours: { 0: [1, 1] } })
  world.count(one, 1, { 0: 1 })
  assert.equal(world.at(over(3)), 4)
  world.count(one, 1, { 0: 2 })
  assert.equal(world.at(over(3)), 0)
})

test('the fold of a compacted topic says the same as that of the whole one', () => {
  const world = new World()
  for (let seq = 1; seq < 50; seq++) world.say({ streamId: one, seq, watermarkMs: startMs(0) + seq * 600_000, hours: { [Math.floor(seq / 6)]: [seq % 6 + 1, seq % 6 + 1] } })
  world.say({ streamId: two, gatewayId: 'gateway-2', watermarkMs: startMs(5), state: 'closed' })
  world.nowMs = over(20)
  world.retire('gateway-3')
  world.topic.compact()
  const again = new World()
  again.book.take(world.topic.records)
  for (const each of [world, again]) each.count(one, 49, Object.fromEntries(Array.from({ length: 9 }, (_, hour) => [hour, hour === 8 ? 2 : 6])))
  assert.equal(again.at(over(20)), world.at(over(20)))
  assert.ok(again.at(over(20)) > 5)
})

test('records that are none of ours are passed over', () => {
  const world = new World()
  world.book.take(world.topic.append([{ key: 'x y', value: '{}' }, { key: `gateway-1|${one}`, value: '{' }, { key: `gateway-1|${one}|999999999`, value: '{}' }, { key: 'gateway-1', value: null }]))
  assert.equal(world.malformed.length, 4)
})
