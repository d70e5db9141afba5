import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutBatch, deadLetterValue } from '../../../src/hourly-log/kafka-batch.ts'
import type { CutBatch } from '../../../src/hourly-log/kafka-batch.ts'
import { encodeClosed, encodeProgress, encodeTakeOver, encodeTombstone, encodeVoid } from '../../../src/hourly-log/kafka-record.ts'
import type { RecordOut } from '../../../src/kafka/port.ts'
import { MemoryPartition, countedRecords, rowKey, rowRecord, streamOf } from '../../helpers/topic-records.ts'

const closed = (segment: number): RecordOut => encodeClosed(0, segment, { file: `partition=0-segment=${segment}.parquet`, sha256: 'a'.repeat(64), rows: 3, bytes: 100, ownerName: 'one' })
const progress = encodeProgress(0, { historyId: 'h', term: 1, revision: 7, usageTopicId: 't', segment: 0, appliedOffset: 9, archivedOffset: 5, ownerName: 'one' })

/** All batches of what stands in a partition. */
function cutAll (records: readonly RecordOut[]): CutBatch[] {
  const partition = new MemoryPartition()
  let left = partition.append(records)
  const batches: CutBatch[] = []
  while (left.length > 0) {
    const batch = cutBatch(left, 0)
    assert.ok(batch.taken > 0, 'a batch takes something')
    batches.push(batch)
    left = left.slice(batch.taken)
  }
  return batches
}

const counts = ({ rowsNdjson }: CutBatch): number[] => rowsNdjson === '' ? [] : rowsNdjson.split('\n').map((line) => (JSON.parse(line) as { count: number }).count)
const shape = (batches: readonly CutBatch[]): unknown[] => batches.map((batch) => [batch.closed?.segment ?? null, batch.account.segment ?? null, counts(batch)])

test('a closed segment begins a batch, and its rows and tombstones say nothing after it', () => {
  const batches = cutAll([
    rowRecord({ count: 1 }), rowRecord({ memberId: 2, count: 2 }), closed(0), rowRecord({ count: 1 }), encodeTombstone(rowKey()), encodeTombstone(rowKey({ memberId: 2 })),
    rowRecord({ segment: 1, count: 3 }), closed(1), closed(2), rowRecord({ segment: 3, count: 4 })
  ])
  assert.deepEqual(shape(batches), [[null, 0, [1, 2]], [0, 1, [3]], [1, null, []], [2, 3, [4]]])
})

test('a batch has rows of one segment, also where what is left of an earlier one comes first', () => {
  assert.deepEqual(shape(cutAll([rowRecord({ count: 1 }), rowRecord({ segment: 1, count: 2 }), rowRecord({ count: 9 })])), [[null, 0, [1]], [null, 1, [2]]])
})

test('of each key the last statement is taken', () => {
  const [batch] = cutAll([
    rowRecord({ count: 1 }), ...countedRecords({ streamId: streamOf(1), appliedSeq: 1, hours: { 490_000: { billable: 1 } } }), progress,
    rowRecord({ count: 5 }), ...countedRecords({ streamId: streamOf(1), appliedSeq: 5, archivedSeq: 2, hours: { 490_000: { billable: 4, notBillable: 1 } } }), encodeTakeOver(0, { takeOverId: 'x', ownerName: 'two' })
  ])
  assert.ok(batch !== undefined)
  assert.deepEqual(counts(batch), [5])
  assert.deepEqual(batch.account, {
    segment: 0,
    streams: [{ streamId: streamOf(1), gatewayId: 'gateway-1', appliedSeq: 5, archivedSeq: 2 }],
    tallies: [{ streamId: streamOf(1), hour: 490_000, gatewayId: 'gateway-1', billable: 4, notBillable: 1, deadLettered: 0, voided: 0 }],
    uncertainVoids: [],
    progress: { historyId: 'h', term: 1, revision: 7, ownerName: 'one' }
  })
})

test('a void that does not know its hours is kept, whatever its writer put there', () => {
  const uncertain = encodeVoid(0, { streamId: streamOf(1), lastSeq: 9 }, { gatewayId: 'g', prevSeq: 4, reason: 'r', hours: [{ hour: 5, count: 0 }, null, { hour: -1, count: 0 }] as never, isHoursUncertain: true })
  const certain = encodeVoid(0, { streamId: streamOf(1), lastSeq: 4 }, { gatewayId: 'g', prevSeq: 1, reason: 'r', hours: [{ hour: 5, count: 3 }], isHoursUncertain: false })
  assert.deepEqual(cutAll([uncertain, certain])[0]?.account.uncertainVoids, [{ streamId: streamOf(1), lastSeq: 9, gatewayId: 'g', hours: [5] }])
})

test('units keep every digit, and no more than 64 bits', () => {
  const line = (units: bigint): string | undefined => cutAll([rowRecord({ units })])[0]?.rowsNdjson
  assert.match(line(2n ** 63n - 1n) ?? '', /"units":9223372036854775807,/)
  assert.equal(line(2n ** 63n), '')
})

test('what can\'t be read is set aside with its reason, and everything else is taken', () => {
  const valueOf = (change: object): RecordOut => ({ ...rowRecord(), value: JSON.stringify({ ...JSON.parse(rowRecord().value as string) as object, ...change }) })
  const wrong: readonly (readonly [RecordOut, RegExp])[] = [
    [{ key: 'elsewhere', value: 'x' }, /unknown key/], [rowRecord({ partition: 3 }), /stands in partition 0/],
    [{ key: 'progress|0', value: '{' }, /not JSON/], [{ key: 'progress|0', value: null }, /a tombstone of progress/], [{ key: 'stream|0|x', value: '{}' }, /unknown key/],
    [{ ...rowRecord(), value: 'no json' }, /not JSON/], [{ ...rowRecord(), value: '[1]' }, /not an object/], [{ ...rowRecord(), value: 'null' }, /not an object/],
    [valueOf({ schemaVersion: 99 }), /schemaVersion 99/], [valueOf({ memberId: 2 }), /memberId is 1 in the key and 2/], [valueOf({ count: -1 }), /count is -1/], [valueOf({ count: '1' }), /count is "1"/],
    [valueOf({ responseBytes: 2 ** 60 }), /responseBytes/], [valueOf({ units: 1.5 }), /units is 1.5/], [valueOf({ units: '1' }), /units is "1"/],
    [{ key: `tally|0|${streamOf(1)}|9999999999`, value: JSON.stringify({ gatewayId: 'g', billable: 0, notBillable: 0, deadLettered: 0, voided: 0 }) }, /no hour/]
  ]
  const batches = cutAll([rowRecord({ memberId: 7, count: 1 }), ...wrong.map(([record]) => record), rowRecord({ memberId: 8, count: 2 })])
  assert.deepEqual(batches.flatMap(counts), [1, 2])
  const malformed = batches.flatMap((batch) => batch.malformed)
  assert.equal(malformed.length, wrong.length)
  for (const [index, [, reason]] of wrong.entries()) assert.match(malformed[index]?.problem ?? '', reason)
  const kept = JSON.parse(deadLetterValue('hourly', malformed[5] as never)) as { value: string, offset: number, partition: number }
  assert.deepEqual([Buffer.from(kept.value, 'base64').toString(), kept.offset, kept.partition], ['no json', 6, 0])
})
