import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lane, parcelsMax } from '../../../src/shipper/lane.ts'
import type { Parcel } from '../../../src/shipper/lane.ts'
import { Progress } from '../../../src/shipper/progress.ts'

const options = { parcelRecordsMax: 10, parcelBytesMax: 10_000, patienceMs: 1000 }
const body = Buffer.alloc(300, 'x')

function open (): { readonly lane: Lane, readonly progress: Progress, readonly fill: (from: number) => number } {
  const progress = new Progress()
  const lane = new Lane(2, options, progress, 0)
  const fill = (from: number): number => {
    let seq = from
    for (; lane.hasRoom(); seq++) lane.add({ start: 0, end: body.length, partition: 2, key: '1', gatewayId: 'g', requestTime: '', seq, prevSeq: seq - 1 }, 'a', body)
    return seq - 1
  }
  lane.up(0)
  return { lane, progress, fill }
}

test('a lane holds so many parcels and no more, the one in flight included', () => {
  const { lane, fill } = open()
  const last = fill(1)
  assert.equal(last, parcelsMax * options.parcelRecordsMax)
  const parcel = lane.next() as Parcel
  assert.deepEqual([parcel.records.length, lane.hasRoom()], [options.parcelRecordsMax, false])
  assert.throws(() => lane.next(), /in flight/)
  lane.sent(parcel, 1)
  assert.deepEqual([lane.hasRoom(), lane.acknowledged('a'), lane.known('a')], [true, 10, last])
})

test('after a failure it begins anew behind what is counted, and an acknowledgement from before changes nothing', () => {
  const { lane, progress, fill } = open()
  fill(1)
  progress.take({ streamId: 'a', partition: 2, appliedSeq: 4, archivedSeq: 0 })
  const parcel = lane.next() as Parcel
  lane.restart()
  assert.deepEqual([lane.isBehind, lane.known('a')], [true, 4])
  assert.equal(lane.sent(parcel, 1), false)
  assert.equal(lane.acknowledged('a'), 4)
  lane.failed(2)
  assert.deepEqual([lane.isUp, lane.isEmpty, lane.known('a')], [false, true, 4])
})

test('it goes on after a gap that lies behind what is counted', () => {
  const { lane, progress } = open()
  progress.take({ streamId: 'a', partition: 2, appliedSeq: 40, archivedSeq: 10, gapAfter: 10 })
  assert.equal(lane.known('a'), 10)
})

test('a probe sends one parcel behind what is counted, then the lane goes on where it was', () => {
  const { lane, fill } = open()
  fill(1)
  for (let parcel = lane.next(); parcel !== undefined; parcel = lane.next()) lane.sent(parcel, 1)
  assert.equal(lane.acknowledged('a'), 30)
  lane.probe()
  assert.equal(lane.known('a'), 0)
  assert.equal(fill(1), options.parcelRecordsMax)
  lane.sent(lane.next() as Parcel, 2)
  assert.deepEqual([lane.isProbing, lane.known('a'), lane.acknowledged('a'), lane.isBehind], [false, 30, 30, true])
})

test('a cursor waits for a lane for a while, then leaves it', () => {
  const { lane, fill } = open()
  assert.equal(lane.standing(5000), 'takes')
  fill(1)
  assert.deepEqual([lane.standing(999), lane.standing(1000)], ['awaited', 'left'])
})
