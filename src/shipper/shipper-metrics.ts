// The shipper's numbers in the words of the catalogue.
import { metricJson } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import type { ClockSkew } from './clock-skew.ts'
import type { JournalRoom } from './journal-room.ts'
import type { Backlog } from './segment-index.ts'
import type { Shipping } from './shipping.ts'

export interface ShipperGauges {
  readonly shipping: Shipping
  readonly room: JournalRoom
  readonly skew: ClockSkew
  readonly failures: number
  readonly isFailing: boolean
  readonly sends: number
  readonly nowMs: number
}

const msPerS = 1000

export function shipperMetrics ({ shipping, room, skew, failures, isFailing, sends, nowMs }: ShipperGauges): MetricsJson {
  const backlogs = shipping.backlogs()
  const states = Object.entries(backlogs) as readonly (readonly [string, Backlog])[]
  const lanes = [...shipping.lanes.values()]
  const { oldestMs } = backlogs.unsent
  return [
    metricJson('tollgate_shipper_events_total', [{ value: lanes.reduce((sum, { sentRecords }) => sum + sentRecords, 0) }]),
    metricJson('tollgate_shipper_sent_bytes_total', [{ value: lanes.reduce((sum, { sentBytes }) => sum + sentBytes, 0) }]),
    metricJson('tollgate_shipper_sends_total', [{ value: sends }]),
    metricJson('tollgate_shipper_failures_total', [{ value: failures }]),
    metricJson('tollgate_shipper_resends_total', [{ labels: { kind: 'probe' }, value: shipping.probes }, { labels: { kind: 'all' }, value: shipping.resends }]),
    metricJson('tollgate_shipper_kafka_up', [{ value: isFailing ? 0 : 1 }]),
    metricJson('tollgate_shipper_backlog_events', states.map(([state, { events }]) => ({ labels: { state }, value: events }))),
    metricJson('tollgate_shipper_backlog_bytes', states.map(([state, { bytes }]) => ({ labels: { state }, value: bytes }))),
    metricJson('tollgate_shipper_partitions_behind', [{ value: lanes.filter(({ isBehind }) => isBehind).length }]),
    metricJson('tollgate_shipper_oldest_unsent_seconds', [{ value: oldestMs === undefined || oldestMs === 0 ? 0 : Math.max(nowMs - oldestMs, 0) / msPerS }]),
    metricJson('tollgate_shipper_journal_full_seconds', [{ value: room.fullInS ?? Infinity }]),
    metricJson('tollgate_shipper_clock_skew_seconds', [{ value: skew.seconds }])
  ]
}
