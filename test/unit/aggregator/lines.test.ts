import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countLines, isShaped } from '../../../src/aggregator/event-line.ts'
import { cutRun, headOfRun, readRunLines } from '../../../src/aggregator/run-lines.ts'
import { lineOf, runOf, usageEvent } from '../../helpers/memory-usage-log.ts'

const streamId = '00000000-0000-4000-8000-00000000000a'
const line = (seq: number, prevSeq = seq - 1, given = {}): string => lineOf(usageEvent(given), { streamId, seq, prevSeq })
const block = (...lines: string[]): Buffer => Buffer.from(lines.map((each) => `${each}\n`).join(''))

test('what the encoder writes has the shape, with every optional field and with none', () => {
  const { clientIp: _ip, apiKeyId: _key, memberId: _member, memberGrade: _grade, upstreamLatencyMs: _latency, ...bare } = usageEvent()
  assert.ok(isShaped(block(line(1), line(2, 1, { errorCode: 'G0008', clientAgent: 'a "quoted" \\ agent \u00e9 \ud83d\ude00' }), lineOf(bare, { streamId, seq: 3, prevSeq: 2 }))))
  assert.ok(isShaped(Buffer.alloc(0)))
})

test('a window that is smaller than the block changes nothing', () => {
  const many = Array.from({ length: 1000 }, (_, index) => line(index + 1))
  assert.ok(isShaped(block(...many)))
  assert.equal(isShaped(block(...many.slice(0, 700), 'rubbish', ...many.slice(700))), false)
})

for (const [what, change] of [
  ['true for a number', (text: string) => text.replace('"memberId":1', '"memberId":true')],
  ['a fraction', (text: string) => text.replace('"units":1', '"units":1.4')],
  ['a number as a text', (text: string) => text.replace('"seq":1', '"seq":"1"')],
  ['a number for a text', (text: string) => text.replace('"routeId":"api"', '"routeId":5')],
  ['a missing field', (text: string) => text.replace('"units":1,', '')],
  ['another order', (text: string) => text.replace('"units":1,"schemaVersion":1', '"schemaVersion":1,"units":1')],
  ['hour 24', (text: string) => text.replace(/T\d\d:/, 'T24:')],
  ['an unknown field', (text: string) => text.replace('"units"', '"apiKey":"secret","units"')],
  ['a second of a field', (text: string) => text.replace('"units":1', '"units":1,"units":2')],
  ['white space', (text: string) => text.replace(':1,', ': 1,')],
  ['an unfinished line', (text: string) => text.slice(0, -1)]
] as const) {
  test(`not the shape: ${what}`, () => {
    const changed = change(line(1))
    assert.notEqual(changed, line(1).slice(0, changed.length + 1))
    assert.equal(isShaped(block(changed)), false)
  })
}

test('lines are counted when the last one is ended', () => {
  assert.equal(countLines(block('a', 'b')), 2)
  assert.equal(countLines(Buffer.alloc(0)), 0)
  assert.equal(countLines(Buffer.from('a\nb')), undefined)
})

test('a run is cut in the middle, at its ends, and not at all', () => {
  const lines = [line(5), line(6), line(7)] as const
  const run = runOf(streamId, 4, lines)
  assert.equal(cutRun(run, 7), undefined)
  assert.equal(cutRun(run, 4), run)
  assert.deepEqual(cutRun(run, 5), runOf(streamId, 5, lines.slice(1)))
  assert.equal(headOfRun(run, 7), run)
  assert.equal(headOfRun(run, 4), undefined)
  assert.deepEqual(headOfRun(run, 5), runOf(streamId, 4, lines.slice(0, 1)))
})

test('a line that cannot be read keeps its place', () => {
  const lines = readRunLines(runOf(streamId, 0, [line(1), 'rubbish', line(3)]))
  assert.deepEqual(lines.map(({ seq, prevSeq, problem }) => ({ seq, prevSeq, problem })), [
    { seq: 1, prevSeq: 0, problem: undefined }, { seq: 2, prevSeq: 1, problem: 'line: not JSON' }, { seq: 3, prevSeq: 2, problem: undefined }
  ])
})

test('a line of another identity is told', () => {
  const [first, second] = readRunLines(runOf(streamId, 0, [line(2, 1), line(2)]))
  assert.match(first?.problem ?? '', /^identity: says .* 2 after 1, stands at .* 1 after 0$/)
  assert.equal(second?.problem, undefined)
})

test('in a run with holes a line says its seq itself, as far as it is believable', () => {
  const run = { ...runOf(streamId, 0, [line(2, 0), line(5, 2), 'rubbish', line(9, 7)]), firstSeq: 2, lastSeq: 9 }
  assert.deepEqual(readRunLines(run).map(({ seq, prevSeq, problem }) => [seq, prevSeq, problem === undefined]), [[2, 0, true], [5, 2, true], [6, 5, false], [9, 6, false]])
})
