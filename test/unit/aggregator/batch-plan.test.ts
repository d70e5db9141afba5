import assert from 'node:assert/strict'
import { test } from 'node:test'
import { planBatch, voidKey } from '../../../src/aggregator/batch-plan.ts'
import type { StreamSeqs } from '../../../src/aggregator/batch-plan.ts'
import type { Mark, VoidRun } from '../../../src/usage-log/port.ts'
import { lineOf, runOf, testHour, usageEvent } from '../../helpers/memory-usage-log.ts'

const streamId = '00000000-0000-4000-8000-00000000000a'
const other = '00000000-0000-4000-8000-00000000000b'
const run = (prevSeq: number, count: number, stream = streamId) =>
  runOf(stream, prevSeq, Array.from({ length: count }, (_, index) => lineOf(usageEvent(), { streamId: stream, seq: prevSeq + index + 1, prevSeq: prevSeq + index })))
const known = (appliedSeq: number, stagedSeq = appliedSeq): Map<string, StreamSeqs> => new Map([[streamId, { appliedSeq, stagedSeq }]])
const mark = (seq: number): Mark => ({ kind: 'mark', streamId, gatewayId: 'g', seq, watermarkMs: 1, state: 'open', hours: [] })
const voidRun = (prevSeq: number, lastSeq: number, hours: VoidRun['hours'] = []): VoidRun => ({ kind: 'void', streamId, gatewayId: 'g', prevSeq, lastSeq, reason: 'r', hours, isHoursUncertain: false })
const pieces = (plan: ReturnType<typeof planBatch>): string[] => plan.pieces.map(({ run, isCounted, isStaged }) => `${run.firstSeq}-${run.lastSeq}${isCounted ? ' counted' : ''}${isStaged ? ' staged' : ''}`)

test('runs in the order of their chain are taken whole', () => {
  const plan = planBatch([run(0, 3), run(3, 2)], new Map())
  assert.deepEqual(pieces(plan), ['1-3 counted staged', '4-5 counted staged'])
  assert.deepEqual([...plan.seqs], [[streamId, { appliedSeq: 5, stagedSeq: 5 }]])
  assert.deepEqual(plan.gaps, [])
})

test('what was taken before is left out, and a run that was partly taken is cut', () => {
  assert.deepEqual(pieces(planBatch([run(0, 3)], known(3))), [])
  const plan = planBatch([run(0, 5)], known(3))
  assert.deepEqual(pieces(plan), ['4-5 counted staged'])
  assert.equal(plan.pieces[0]?.run.prevSeq, 3)
  assert.match(plan.pieces[0]?.run.ndjson.toString() ?? '', /"seq":4,.*\n.*"seq":5,.*\n$/)
  assert.equal(plan.pieces[0]?.run.count, 2)
})

test('a run that comes twice in one batch is taken once, and so is an overlap', () => {
  assert.deepEqual(pieces(planBatch([run(0, 3), run(0, 3), run(1, 4)], new Map())), ['1-3 counted staged', '4-5 counted staged'])
})

test('counted and not archived: staged alone', () => {
  assert.deepEqual(pieces(planBatch([run(0, 5)], known(5, 2))), ['3-5 staged'])
  assert.deepEqual(pieces(planBatch([run(0, 6)], known(4, 2))), ['3-4 staged', '5-6 counted staged'])
})

test('archived and not counted: counted alone', () => {
  assert.deepEqual(pieces(planBatch([run(0, 6)], known(2, 4))), ['3-4 counted', '5-6 counted staged'])
})

test('a gap stops its stream and no other', () => {
  const plan = planBatch([run(0, 2), run(3, 2), run(5, 1), run(0, 2, other)], new Map())
  assert.deepEqual(pieces(plan), ['1-2 counted staged', '1-2 counted staged'])
  assert.deepEqual(plan.gaps.map(({ streamId: stream, afterSeq }) => ({ stream, afterSeq })), [{ stream: streamId, afterSeq: 2 }])
  assert.match(plan.gaps[0]?.reason ?? '', /what follows seq 2 is missing: seq 4 names 3/)
  assert.equal(plan.seqs.get(streamId)?.appliedSeq, 2)
})

test('what is missing ends before the nearest record behind it, in whatever order they came', () => {
  const plan = planBatch([run(9, 1), run(4, 2), run(6, 3)], known(2, 2))
  assert.deepEqual(plan.gaps.map(({ afterSeq, toSeq }) => [afterSeq, toSeq]), [[2, 4]])
})

test('what is counted and neither archived nor there any more stops the stream', () => {
  const plan = planBatch([run(4, 3)], known(5, 2))
  assert.deepEqual(pieces(plan), [])
  assert.match(plan.gaps[0]?.reason ?? '', /counted but not archived/)
})

test('a run that does not hold the lines that it says is a gap', () => {
  const short = { ...run(0, 3), count: 4, lastSeq: 4 }
  const torn = { ...run(0, 3), ndjson: run(0, 3).ndjson.subarray(0, -1) }
  for (const bad of [short, torn]) {
    const plan = planBatch([bad], new Map())
    assert.deepEqual(pieces(plan), [])
    assert.match(plan.gaps[0]?.reason ?? '', /whole lines/)
  }
})

test('a mark is taken behind what it covers, and tells of a loss before it', () => {
  assert.equal(planBatch([run(0, 3), mark(3)], new Map()).marks.length, 1)
  assert.equal(planBatch([mark(0)], new Map()).marks.length, 1)
  const plan = planBatch([run(0, 3), mark(4)], new Map())
  assert.equal(plan.marks.length, 0)
  assert.match(plan.gaps[0]?.reason ?? '', /a mark covers seq 4/)
})

test('a void takes the place of what is lost in both chains', () => {
  const plan = planBatch([run(0, 3), voidRun(3, 7, [{ hour: testHour, count: 4 }]), run(7, 1)], new Map())
  assert.deepEqual(pieces(plan), ['1-3 counted staged', '8-8 counted staged'])
  assert.deepEqual(plan.voids.map(({ afterSeq, isCounted, hours }) => ({ afterSeq, isCounted, hours })), [{ afterSeq: 3, isCounted: true, hours: [{ hour: testHour, count: 4 }] }])
  assert.deepEqual(plan.holes, [])
  assert.equal(plan.seqs.get(streamId)?.stagedSeq, 8)
})

test('of a void what was counted before is not void, and what was not archived is a hole', () => {
  const plan = planBatch([voidRun(3, 7, [{ hour: testHour, count: 3 }, { hour: testHour + 1, count: 1 }])], known(5, 3))
  assert.deepEqual(plan.voids[0]?.hours, [{ hour: testHour, count: 1 }, { hour: testHour + 1, count: 1 }])
  assert.equal(plan.voids[0]?.afterSeq, 5)
  assert.deepEqual(plan.holes, [{ streamId, afterSeq: 3, toSeq: 5 }])
  const counted = planBatch([voidRun(3, 7)], known(9, 3))
  assert.equal(counted.voids[0]?.isCounted, false)
  assert.deepEqual(counted.holes, [{ streamId, afterSeq: 3, toSeq: 7 }])
})

test('a void that is read again after a restart leaves no hole where it stands itself', () => {
  const counted = new Map([[voidKey({ streamId, lastSeq: 7 }), { streamId, lastSeq: 7, afterSeq: 5 }]])
  assert.deepEqual(planBatch([voidRun(3, 7)], known(9, 3), counted).holes, [{ streamId, afterSeq: 3, toSeq: 5 }])
  assert.deepEqual(planBatch([voidRun(3, 7)], known(9, 5), counted).holes, [])
})

test('a void counts once, and one whose predecessor is missing is a gap', () => {
  assert.equal(planBatch([voidRun(3, 7)], known(7)).voids.length, 0)
  assert.equal(planBatch([voidRun(3, 7)], known(2)).gaps.length, 1)
})
