// Invariant 4 from the counts alone, cheap enough to be asked all the time: hours to which nothing will be added any more,
// and for which what a gateway says of itself is not what was counted. `verify` compares the archive and the ledger too.
import { hourMs } from '../domain/window.ts'
import { readAcknowledgements } from './acknowledgements.ts'
import type { Aggregator } from './aggregator.ts'

const sums = ['answered', 'recovered', 'journaled', 'countedOnly', 'deadLettered', 'voided', 'billable', 'notBillable'] as const

type ComparedHour<Amount> = { readonly gatewayId: string, readonly hour: number } & Readonly<Record<typeof sums[number], Amount>>

/** A void that doesn't know what it took is the reason for what is missing of its hours, but for nothing else. */
const differentHours = `
  WITH counted AS (SELECT streamId, hour, any_value(gatewayId) AS gatewayId, ${['billable', 'notBillable', 'deadLettered', 'voided'].map((name) => `sum(${name})::BIGINT AS ${name}`).join(', ')} FROM tallies GROUP BY streamId, hour),
  uncertain AS (SELECT DISTINCT streamId, unnest(from_json(hours, '[{"hour": "INTEGER"}]')).hour AS hour FROM voids WHERE isHoursUncertain),
  hours AS (SELECT coalesce(c.streamId, m.streamId) AS streamId, coalesce(c.hour, m.hour) AS hour, coalesce(c.gatewayId, m.gatewayId) AS gatewayId, ${sums.map((name) => `coalesce(${name}, 0) AS ${name}`).join(', ')}
    FROM counted c FULL JOIN hour_marks m ON m.streamId = c.streamId AND m.hour = c.hour),
  compared AS (SELECT h.*, s.state <> 'open' OR s.watermarkMs >= (h.hour + 1)::BIGINT * ${hourMs} AS isSettled, billable + notBillable + deadLettered + voided AS events, u.hour IS NOT NULL AS isUncertain
    FROM hours h JOIN stream_marks s ON s.streamId = h.streamId LEFT JOIN uncertain u ON u.streamId = h.streamId AND u.hour = h.hour)
  SELECT gatewayId, hour, ${sums.map((name) => `sum(${name})::BIGINT AS ${name}`).join(', ')} FROM compared GROUP BY gatewayId, hour
  HAVING bool_or(isSettled AND (answered + recovered <> journaled + countedOnly OR (journaled <> events AND NOT (isUncertain AND events < journaled))))`

export interface Conservation {
  /** Hours of gateways that differ, but for those that an operator has acknowledged with these numbers. */
  readonly differences: () => Promise<number>
  readonly close: () => void
}

export async function openConservation ({ parts: { duckDb, folders } }: Pick<Aggregator, 'parts'>): Promise<Conservation> {
  const reader = await duckDb.connect()
  return {
    differences: async () => {
      const found = await reader.rows<ComparedHour<bigint>>(differentHours)
      if (found.length === 0) return 0
      const accepted = new Set(readAcknowledgements(folders.acknowledgementsFile).map(({ row }) => contentOf(row)))
      return found.filter((row) => !accepted.has(contentOf(row))).length
    },
    close: () => { reader.close() }
  }
}

function contentOf (row: ComparedHour<bigint | number>): string {
  return [row.gatewayId, row.hour, ...sums.map((name) => row[name])].join(' ')
}
