// What a billing server of a cluster says of its ledger and of the gateways.
import { hourStartMs } from '../domain/window.ts'
import { metricJson } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import type { CompletenessReport } from './completeness.ts'

export interface ClusterBillingState {
  readonly isReady: boolean
  readonly steps: number
  readonly behind: number
  readonly missingSegments: number
  readonly malformed: number
  readonly malformedLost: number
  readonly report: CompletenessReport
  readonly clocksAhead: number
}

export function clusterMetrics ({ isReady, steps, behind, missingSegments, malformed, malformedLost, report, clocksAhead }: ClusterBillingState): MetricsJson {
  const gateways = new Set(report.holds.map(({ gatewayId }) => gatewayId))
  return [
    metricJson('tollgate_ledger_current', [{ value: isReady ? 1 : 0 }]),
    metricJson('tollgate_ledger_steps_total', [{ value: steps }]),
    metricJson('tollgate_ledger_behind_partitions', [{ value: behind }]),
    metricJson('tollgate_ledger_missing_segments', [{ value: missingSegments }]),
    metricJson('tollgate_hourly_log_malformed_total', [{ value: malformed }]),
    metricJson('tollgate_hourly_log_dead_letters_lost_total', [{ value: malformedLost }]),
    metricJson('tollgate_complete_before_timestamp_seconds', [{ value: hourStartMs(report.completeBeforeHour) / 1000 }]),
    metricJson('tollgate_completeness_holding_gateways', [{ value: gateways.size }]),
    metricJson('tollgate_conservation_differences', [{ value: report.differences }]),
    metricJson('tollgate_gateway_clocks_ahead_total', [{ value: clocksAhead }])
  ]
}
