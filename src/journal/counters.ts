// What the journal's thread counts for its metrics: plain numbers, added to once a commit, put into words when asked.
import { bucketsOf, histogramJson, metricJson } from '../platform/metrics.ts'
import type { MetricsJson } from '../platform/thread.ts'
import { admissions } from './memory.ts'
import type { Admission } from './memory.ts'

/** What is so at the moment of asking. */
export interface JournalGauges {
  readonly usedBytes: number
  readonly bytesMax: number
  readonly refusedBytes: number
  readonly admission: Admission
}

const msPerS = 1000

export class JournalCounters {
  #events = 0
  #bytes = 0
  #commits = 0
  #failures = 0
  #lastCommitMs = 0
  #marks = 0
  readonly #countedOnly = new Map<string, number>()
  readonly #bounds = bucketsOf('tollgate_journal_commit_seconds')
  readonly #latencyCounts = new Array<number>(this.#bounds.length + 1).fill(0)
  #latencySumS = 0

  /** @param commit `nowMs`: when it was durable, milliseconds since the epoch */
  committed ({ events, bytes, latencyMs, nowMs }: { readonly events: number, readonly bytes: number, readonly latencyMs: number, readonly nowMs: number }): void {
    this.#lastCommitMs = nowMs
    this.#events += events
    this.#bytes += bytes
    this.#commits++
    const latencyS = latencyMs / msPerS
    this.#latencySumS += latencyS
    const bucket = this.#bounds.findIndex((bound) => latencyS <= bound)
    const index = bucket < 0 ? this.#bounds.length : bucket
    this.#latencyCounts[index] = (this.#latencyCounts[index] ?? 0) + 1
  }

  failed (): void { this.#failures++ }
  marked (): void { this.#marks++ }
  countedOnly (code: string, count: number): void { this.#countedOnly.set(code, (this.#countedOnly.get(code) ?? 0) + count) }

  json ({ usedBytes, bytesMax, refusedBytes, admission }: JournalGauges): MetricsJson {
    return [
      metricJson('tollgate_journal_events_total', [{ value: this.#events }]),
      metricJson('tollgate_journal_written_bytes_total', [{ value: this.#bytes }]),
      metricJson('tollgate_journal_marks_total', [{ value: this.#marks }]),
      metricJson('tollgate_journal_failures_total', [{ value: this.#failures }]),
      metricJson('tollgate_journal_counted_only_total', [...this.#countedOnly].map(([code, value]) => ({ labels: { code }, value }))),
      metricJson('tollgate_journal_last_commit_timestamp_seconds', [{ value: this.#lastCommitMs / msPerS }]),
      metricJson('tollgate_journal_used_bytes', [{ value: usedBytes }]),
      metricJson('tollgate_journal_limit_bytes', [{ value: bytesMax }]),
      metricJson('tollgate_journal_refused_bytes', [{ value: refusedBytes }]),
      metricJson('tollgate_journal_state', admissions.map((state) => ({ labels: { state }, value: state === admission ? 1 : 0 }))),
      histogramJson('tollgate_journal_commit_seconds', [{ labels: {}, counts: this.#latencyCounts, sum: this.#latencySumS }])
    ]
  }
}
