import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dealOutHours, eventRecord, voidRecord } from '../../../src/usage-log/kafka-event-record.ts'

test('an event has its identity and chain as headers, and its line as value', () => {
  const value = Buffer.from('{}')
  assert.deepEqual(eventRecord({ key: '7', gatewayId: 'g', seq: 12, prevSeq: 0, requestTime: '2026-11-25T00:00:00.000Z' }, 's', value), {
    key: '7', value, headers: { gatewayId: 'g', streamId: 's', seq: '12', prevSeq: '0', requestTime: '2026-11-25T00:00:00.000Z' }
  })
})

test('a void says so in a header', () => {
  const { headers, value } = voidRecord({ gatewayId: 'g', streamId: 's', seq: 9, prevSeq: 4, reason: 'r', hours: [[1, 2]], isHoursUncertain: false })
  assert.equal(headers?.['kind'], 'void')
  assert.deepEqual(JSON.parse(String(value)), { schemaVersion: 1, kind: 'void', gatewayId: 'g', streamId: 's', seq: 9, prevSeq: 4, reason: 'r', hours: [[1, 2]], isHoursUncertain: false })
})

test('lost hours are dealt out: each partition gets as many as it lost, each hour keeps its sum', () => {
  assert.deepEqual(dealOutHours([{ hour: 5, count: 4 }, { hour: 6, count: 3 }], [2, 3, 0, 2]), [
    [{ hour: 5, count: 2 }], [{ hour: 5, count: 2 }, { hour: 6, count: 1 }], [], [{ hour: 6, count: 2 }]
  ])
})
