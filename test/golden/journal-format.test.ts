// docs/journal-format.md is the reference: its example is what the journal writes, to the byte, and the journal's reader
// takes it for what the page says.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { createAnsweredMemory, AnsweredCounter } from '../../src/journal/answered.ts'
import { JournalCounters } from '../../src/journal/counters.ts'
import { EventOutlet } from '../../src/journal/handover.ts'
import { Journal } from '../../src/journal/journal.ts'
import { JournalState } from '../../src/journal/memory.ts'
import { Ring } from '../../src/journal/ring.ts'
import { FrameScanner, ScanWindow } from '../../src/journal/scanner.ts'
import { readSegmentHeader } from '../../src/journal/segment.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { SimulatedDisk } from '../helpers/simulated-disk.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/journal-format.md'), 'utf8')
const segmentBytes = 256 * 1024
const journalId = '00112233-4455-6677-8899-aabbccddeeff'
const streamId = '01234567-89ab-4def-8123-456789abcdef'
const hour = 497_222
const requestTimeMs = hour * 3_600_000 + 1_000

/** The journal of the page's example. */
function writeExample (): SimulatedDisk {
  const disk = new SimulatedDisk(() => 0)
  const memory = { state: JournalState.create(), rings: [Ring.create(16 * 1024)], answered: [createAnsweredMemory()] }
  const uuids = [journalId, streamId]
  const clock = { nowMs: () => requestTimeMs + 500, monotonicMs: () => 0 }
  const journal = new Journal({
    folder: '/journal', gatewayId: 'gateway-1', build: '0.1.0', partitions: 1, segmentBytes, bytesMax: 8 * segmentBytes, diskFreeBytesMin: 0, commitBytesMax: 64 * 1024,
    refusedBytesMax: segmentBytes, inFlightMax: 10, eventBytesMax: 4000, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
  }, { disk, clock, memory, wake: () => {}, newUuid: () => uuids.shift() ?? '', log: openLogger({ level: 'silent', thread: 'test' }), counters: new JournalCounters() })
  const outlet = new EventOutlet({ state: memory.state, ring: memory.rings[0] as SharedArrayBuffer, ack: 'durable', eventBytesMax: 4000, defer: (look) => { look() }, inFlight: () => 0, later: () => {} })
  outlet.onSettled(() => { new AnsweredCounter(memory.answered[0] as SharedArrayBuffer).answered(requestTimeMs) })
  outlet.offer('{"eventId":"7d444840-9dc0-41d1-b245-5ffdce74fad2","requestUri":"/tracking","units":1', { partition: 0, hour, isRefusal: false })
  journal.turn()
  outlet.settle()
  journal.close()
  return disk
}

const lineBytes = 16

function dump (bytes: Buffer): string {
  const lines: string[] = []
  for (let offset = 0; offset < bytes.length; offset += lineBytes) {
    const line = bytes.subarray(offset, offset + lineBytes)
    if (line.every((byte) => byte === 0)) continue
    const hex = [...line].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = [...line].map((byte) => byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.').join('')
    lines.push(`${offset.toString(16).padStart(8, '0')}  ${hex}  ${text}`)
  }
  return lines.join('\n')
}

function undump (text: string): Buffer {
  const bytes = Buffer.alloc(segmentBytes)
  for (const line of text.trim().split('\n')) {
    const offset = Number.parseInt(line.slice(0, 8), 16)
    Buffer.from(line.slice(10, 10 + lineBytes * 3).replaceAll(' ', ''), 'hex').copy(bytes, offset)
  }
  return bytes
}

const example = /```hex\n([\s\S]*?)```/.exec(page)?.[1] ?? ''

test('the example is what a journal writes', () => {
  assert.equal(example.trim(), dump(writeExample().content('/journal/000000000001.segment')))
})

test('the example is read as what the page says', () => {
  const bytes = undump(example)
  assert.deepEqual(readSegmentHeader(bytes), { version: 1, blockBytes: 512, segmentBytes, journalId, segment: 1 })
  const file = { read: (buffer: Buffer, length: number, position: number) => bytes.copy(buffer, 0, position, position + length), write: () => {}, sync: () => {}, sizeBytes: () => bytes.length, close: () => {} }
  const scanner = new FrameScanner(file, 1, bytes.length, new ScanWindow())
  const frames: unknown[] = []
  for (let offset = 512, header = scanner.headerAt(offset); header !== undefined; header = scanner.headerAt(offset)) {
    frames.push([header.type, header.streamId, header.firstSeq, header.count, header.hours, header.runs, scanner.bodyOf(header)?.toString()])
    offset += header.spanBytes
  }
  assert.deepEqual(frames, [
    ['open', streamId, 0, 0, [], [], JSON.stringify({ gatewayId: 'gateway-1', journalId, build: '0.1.0', partitions: 1, watermarkMs: 0 })],
    ['events', streamId, 1, 1, [{ hour, count: 1 }], [{ partition: 0, count: 1, prevSeq: 0, lastSeq: 1 }],
      `{"eventId":"7d444840-9dc0-41d1-b245-5ffdce74fad2","requestUri":"/tracking","units":1,"streamId":"${streamId}","seq":1,"prevSeq":0}\n`],
    ['closed', streamId, 1, 0, [], [], JSON.stringify({ gatewayId: 'gateway-1', watermarkMs: requestTimeMs + 500, state: 'closed', partitions: 1, hours: [[hour, 1, 1, 0, 0]] })]
  ])
})

test('the page names every type of frame and every key of its statements', () => {
  for (const word of ['events', 'mark', 'closed', 'continue', 'open', 'void', 'previousStream', 'previous', 'refusals', 'fromHour', 'toHour', 'watermarkMs', 'reason', 'JOURNAL_CORRUPT', 'JOURNAL_TOO_NEW']) {
    assert.ok(page.includes(word), word)
  }
})
