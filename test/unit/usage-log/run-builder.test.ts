import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FrameHeader } from '../../../src/journal/frame.ts'
import type { EventRun } from '../../../src/usage-log/port.ts'
import { RunBuilder, RunMemory } from '../../../src/usage-log/run-builder.ts'

const frame = (streamId: string, firstSeq: number, count: number): FrameHeader => ({ streamId, firstSeq, count }) as FrameHeader

function build (bytesMax: number, memory = new RunMemory()): { readonly runs: EventRun[], readonly builder: RunBuilder } {
  const runs: EventRun[] = []
  return { runs, builder: new RunBuilder((run) => { runs.push(run) }, bytesMax, memory) }
}
const told = (runs: readonly EventRun[]): unknown[] => runs.map(({ streamId, prevSeq, firstSeq, lastSeq, count, ndjson }) => [streamId, prevSeq, firstSeq, lastSeq, count, ndjson.toString()])

test('neighbouring frames of a stream become one run; another stream, or a statement between, begins another', () => {
  const { runs, builder } = build(1000)
  builder.add(frame('a', 1, 2), 0, Buffer.from('1\n2\n'), 100)
  builder.add(frame('a', 3, 1), 2, Buffer.from('3\n'), 100)
  builder.add(frame('b', 1, 1), 0, Buffer.from('b\n'), 100)
  builder.end()
  builder.add(frame('b', 2, 1), 1, Buffer.from('c\n'), 100)
  builder.end()
  builder.end()
  assert.deepEqual(told(runs), [['a', 0, 1, 3, 3, '1\n2\n3\n'], ['b', 0, 1, 1, 1, 'b\n'], ['b', 1, 2, 2, 1, 'c\n']])
})

test('a frame that does not follow begins another run', () => {
  const { runs, builder } = build(1000)
  builder.add(frame('a', 1, 1), 0, Buffer.from('1\n'), 100)
  builder.add(frame('a', 5, 1), 4, Buffer.from('5\n'), 100)
  builder.end()
  assert.deepEqual(told(runs), [['a', 0, 1, 1, 1, '1\n'], ['a', 4, 5, 5, 1, '5\n']])
})

test('it is full when as much was added as was asked for, and takes what is larger whole', () => {
  const { runs, builder } = build(4)
  assert.equal(builder.isFull, false)
  builder.add(frame('a', 1, 1), 0, Buffer.from('1234567\n'), 0)
  assert.equal(builder.isFull, true)
  builder.end()
  assert.equal(runs[0]?.ndjson.toString(), '1234567\n')
})

test('what is handed out stays as it is while more is put together', () => {
  const { runs, builder } = build(100)
  for (let seq = 1; seq <= 20; seq++) {
    builder.add(frame('a', seq, 1), seq - 1, Buffer.from(`${seq}\n`), 3)
    if (seq % 3 === 0) builder.end()
  }
  builder.end()
  assert.equal(runs.map(({ ndjson }) => ndjson.toString()).join(''), Array.from({ length: 20 }, (_, n) => `${n + 1}\n`).join(''))
})

test('memory is used again only after it was released, and none is kept by who reads nothing', () => {
  const memory = new RunMemory()
  const first = memory.take(100)
  const second = memory.take(50)
  assert.notEqual(second.buffer, first.buffer)
  memory.release()
  assert.equal(memory.take(80), first, 'the longer of the two')
  assert.notEqual(memory.take(80), first, 'it is in use')
  memory.release()
  assert.notEqual(memory.take(200), first, 'too short')
  memory.release()
  memory.release()
  assert.notEqual(memory.take(1), first)
})

test('runs of a batch stay as they are while the batch goes on, in memory that was used before', () => {
  const memory = new RunMemory()
  for (const text of ['first', 'again']) {
    memory.release()
    const { runs, builder } = build(4, memory)
    builder.add(frame('a', 1, 1), 0, Buffer.from(`${text} 1\n`), 0)
    builder.add(frame('a', 2, 1), 1, Buffer.from(`${text} 2, longer than what was taken at once\n`), 0)
    builder.end()
    assert.deepEqual(runs.map(({ ndjson }) => ndjson.toString()), [`${text} 1\n`, `${text} 2, longer than what was taken at once\n`])
  }
})
