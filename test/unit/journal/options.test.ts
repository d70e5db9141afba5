import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkJournalOptions, frameBytesFor, reserveBytesFor } from '../../../src/journal/options.ts'
import type { JournalOptions } from '../../../src/journal/options.ts'

const mebibyte = 2 ** 20
const options: JournalOptions = {
  folder: '/journal', gatewayId: 'gateway-1', build: '0', partitions: 1, segmentBytes: 4 * mebibyte, bytesMax: 100 * mebibyte, diskFreeBytesMin: 0, commitBytesMax: mebibyte,
  refusedBytesMax: mebibyte, inFlightMax: 1000, eventBytesMax: 3535, ack: 'durable', bufferedIntervalMs: 100, markIntervalMs: 1000
}

test('options that fit together are taken', () => { checkJournalOptions(options, 512) })

test('room is kept for an event of every request in flight, each in a frame of its own', () => {
  assert.equal(frameBytesFor(options, 512), 4096)
  assert.equal(frameBytesFor({ ...options, eventBytesMax: 300 }, 512), 1024)
  assert.equal(frameBytesFor({ ...options, eventBytesMax: 250 }, 4096), 4096)
  assert.equal(reserveBytesFor(options, 512), 1000 * 4096 + options.segmentBytes)
})

test('options that do not are refused with a sentence', () => {
  const wrong: readonly (readonly [Partial<JournalOptions>, RegExp])[] = [
    [{ segmentBytes: 4 * mebibyte + 512 }, /multiple of 4096/], [{ segmentBytes: 64 * 1024 }, /can't hold two marks/], [{ commitBytesMax: 1000 }, /can't hold the longest event/],
    [{ partitions: 0 }, /partitions/], [{ partitions: 1001 }, /partitions/], [{ bytesMax: 8 * mebibyte }, /less than 3 segments/],
    [{ inFlightMax: 50_000 }, /50000 requests in flight/], [{ eventBytesMax: 5 * mebibyte, commitBytesMax: 6 * mebibyte }, /segment of .* can't hold the longest event/]
  ]
  for (const [change, message] of wrong) assert.throws(() => { checkJournalOptions({ ...options, ...change }, 512) }, message)
})
