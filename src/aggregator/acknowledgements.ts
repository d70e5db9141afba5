// What an operator has seen and accepted: a row of `verify`, with its numbers and the reason, kept for ever. It covers
// exactly what was shown; one event more or less, and the row is a difference again.
import { existsSync, readFileSync } from 'node:fs'
import { TollgateError } from '../domain/errors.ts'
import { formatTimeMs, hourStartMs } from '../domain/window.ts'
import { appendLinesDurable } from '../platform/durable-file.ts'
import type { VerifyReport, VerifyRow } from './verify.ts'

export interface Acknowledgement {
  readonly gatewayId: string
  readonly hour: number
  readonly atMs: number
  readonly reason: string
  /** The row as it was shown. */
  readonly row: VerifyRow
}

export function readAcknowledgements (file: string): Acknowledgement[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8').split('\n').flatMap((line) => {
    // The end of a line may be torn by a crash: then nobody was told that it is kept.
    try { return line === '' ? [] : [JSON.parse(line) as Acknowledgement] } catch { return [] }
  })
}

export function acknowledgedBy (acknowledgements: readonly Acknowledgement[]): (row: VerifyRow) => boolean {
  const covered = new Set(acknowledgements.map(({ row }) => contentOf(row)))
  return (row) => covered.has(contentOf(row))
}

/**
 * Acknowledges the row of a report.
 * @throws TollgateError NOTHING_TO_ACKNOWLEDGE when the report has no such row, or one that needs no acknowledgement
 */
export function acknowledge (file: string, report: VerifyReport, { gatewayId, hour, reason, nowMs }: { readonly gatewayId: string, readonly hour: number, readonly reason: string, readonly nowMs: number }): Acknowledgement {
  const row = report.rows.find((found) => found.gatewayId === gatewayId && found.hour === hour)
  if (row === undefined || row.status === 'ok' || row.status === 'open' || row.status === 'acknowledged') {
    throw new TollgateError('NOTHING_TO_ACKNOWLEDGE', `${gatewayId} ${formatTimeMs(hourStartMs(hour))} is ${row?.status ?? 'not in the report'}`)
  }
  const acknowledgement: Acknowledgement = { gatewayId, hour, atMs: nowMs, reason, row }
  appendLinesDurable(file, [JSON.stringify(acknowledgement)])
  return acknowledgement
}

/** Everything that was shown but the status, which an acknowledgement changes, and the ledger's sum of the hour, to which other gateways go on adding. */
function contentOf ({ status: _status, ledgerCount: _ledgerCount, ...shown }: VerifyRow): string {
  return JSON.stringify(Object.entries(shown).sort(([a], [b]) => a < b ? -1 : 1))
}
