import assert from 'node:assert/strict'
import { test } from 'node:test'
import { partitionOf } from '../../../src/domain/partition.ts'
import { encodeUsageEvent } from '../../../src/domain/usage-event.ts'
import { ChainText } from '../../../src/journal/chain-text.ts'
import { headerBytesFor } from '../../../src/journal/frame.ts'
import type { FrameHeader, PartitionRun } from '../../../src/journal/frame.ts'
import { EventLines } from '../../../src/shipper/event-lines.ts'
import type { EventLine } from '../../../src/shipper/event-lines.ts'

const streamId = '01234567-89ab-4def-8123-456789abcdef'
const gatewayId = 'gateway-1'

/** A frame as the journal writes it. */
function frame (keys: readonly (number | undefined)[], partitions: number, firstSeq = 1): { readonly header: FrameHeader, readonly body: Buffer } {
  const body = Buffer.alloc(keys.length * 2_000)
  const chain = new ChainText(streamId)
  const runs = new Map<number, { partition: number, count: number, prevSeq: number, lastSeq: number }>()
  let at = 0
  keys.forEach((apiKeyId, index) => {
    const partition = partitionOf(apiKeyId === undefined ? gatewayId : String(apiKeyId), partitions)
    const run = runs.get(partition) ?? { partition, count: 0, prevSeq: firstSeq > 1 ? firstSeq - 1 : 0, lastSeq: firstSeq > 1 ? firstSeq - 1 : 0 }
    const event = encodeUsageEvent({
      eventId: '11111111-2222-4333-8444-555555555555', requestTimeMs: 1_800_000_000_000 + index, responseTimeMs: 1_800_000_000_001 + index, requestProtocol: 'HTTP/1.1', requestMethod: 'GET',
      requestUri: '/,"apiKeyId":99,"gatewayId":"x"', responseStatus: 200, clientAgent: 'ünïcode "quoted" \\ {"seq":1}', ...(apiKeyId === undefined ? {} : { apiKeyId, memberId: 1 }),
      traceId: '11111111-2222-4333-8444-555555555555', routeId: 'r', apiEndpointId: 0, gatewayId, requestBytes: 0, responseBytes: 0, units: 1
    })
    at += body.write(event, at)
    at = chain.write(body, at, firstSeq + index, run.lastSeq)
    run.lastSeq = firstSeq + index
    run.count++
    runs.set(partition, run)
  })
  const header = { type: 'events', segment: 1, offset: 512, headerBytes: headerBytesFor(partitions), streamId, firstSeq, count: keys.length, runs: [...runs.values()] } as unknown as FrameHeader
  return { header, body: body.subarray(0, at) }
}

function read ({ header, body }: { readonly header: FrameHeader, readonly body: Buffer }): EventLine[] {
  const lines: EventLine[] = []
  new EventLines().read(header, body, (line) => { lines.push({ ...line }) })
  return lines
}

test('each line is found with its key, partition, place and time, whatever its texts hold', () => {
  const keys = [5, undefined, 1_234_567_890_123, undefined, undefined, 5, 0]
  const made = frame(keys, 6)
  const lines = read(made)
  assert.deepEqual(lines.map(({ key }) => key), keys.map((key) => key === undefined ? gatewayId : String(key)))
  const last = new Map<number, number>()
  lines.forEach((line, index) => {
    const json = JSON.parse(made.body.toString('utf8', line.start, line.end)) as Record<string, unknown>
    assert.equal(line.partition, partitionOf(line.key, 6))
    assert.deepEqual([line.seq, line.prevSeq, line.requestTime, line.gatewayId], [json['seq'], json['prevSeq'], json['requestTime'], gatewayId])
    assert.deepEqual([line.seq, line.prevSeq], [index + 1, last.get(line.partition) ?? 0])
    last.set(line.partition, line.seq)
  })
})

test('large seqs, one partition, a thousand partitions', () => {
  for (const partitions of [1, 1000]) {
    const lines = read(frame([1, 2, undefined, 3], partitions, 2 ** 40))
    assert.deepEqual(lines.map(({ seq }) => seq), [0, 1, 2, 3].map((index) => 2 ** 40 + index))
  }
})

test('many lines without a key are read in one pass', () => {
  assert.equal(read(frame(Array.from({ length: 3_000 }, () => undefined), 3)).length, 3_000)
})

test('lines and header that disagree are a mistake, not data', () => {
  const made = frame([1, 2, 3, 4], 3)
  const withRuns = (change: (run: PartitionRun) => PartitionRun): { readonly header: FrameHeader, readonly body: Buffer } => ({ ...made, header: { ...made.header, runs: made.header.runs.map(change) } })
  assert.throws(() => read(withRuns((run) => ({ ...run, count: run.count + 1 }))), /partition \d has \d lines/)
  assert.throws(() => read(withRuns((run) => ({ ...run, prevSeq: run.prevSeq + 7 }))), /it does not name \d as the one before/)
  assert.throws(() => read({ ...made, header: { ...made.header, runs: made.header.runs.slice(1) } }), /which the frame does not have/)
  assert.throws(() => read({ ...made, header: { ...made.header, firstSeq: 2 } }), /it has another seq|as the one before/)
  assert.throws(() => read({ ...made, body: made.body.subarray(0, made.body.length - 1) }), /a line has no end/)
})
