// What a cluster's ledger can tell of its streams and hours, all as of one moment: for completeness and for `verify`.
import type { SqlConnection } from '../platform/duckdb.ts'

export interface AccountStream { readonly partition: number, readonly streamId: string, readonly gatewayId: string | null, readonly appliedSeq: number, readonly archivedSeq: number }

/** Of all partitions together. */
export interface AccountTally { readonly streamId: string, readonly hour: number, readonly gatewayId: string, readonly billable: number, readonly notBillable: number, readonly deadLettered: number, readonly voided: number }

export interface LedgerAccount {
  readonly streams: readonly AccountStream[]
  readonly tallies: readonly AccountTally[]
  /** Hours of which a void has taken an unknown number of events. */
  readonly uncertain: readonly { readonly streamId: string, readonly gatewayId: string, readonly hour: number }[]
}

export interface AccountQuestion {
  /** Undefined: all streams. */
  readonly streamIds?: readonly string[]
  /** Tallies of this hour and later ones. */
  readonly fromHour: number
}

interface StreamRow { readonly [column: string]: unknown, readonly partition: number, readonly streamId: string, readonly gatewayId: string | null, readonly appliedSeq: bigint, readonly archivedSeq: bigint }
interface TallyRow { readonly [column: string]: unknown, readonly streamId: string, readonly hour: number, readonly gatewayId: string, readonly billable: bigint, readonly notBillable: bigint, readonly deadLettered: bigint, readonly voided: bigint }

/** Within a transaction. In the order of their keys, so that two tables of the same account are the same. */
export async function readAccount (reader: SqlConnection, folds: readonly number[], { streamIds, fromHour }: AccountQuestion): Promise<LedgerAccount> {
  const among = `fold IN (${folds.join(', ')})`
  const named = streamIds === undefined ? '' : ' AND list_contains(from_json($1, \'["VARCHAR"]\'), streamId)'
  const streams = await reader.rows<StreamRow>(`SELECT f.sourcePartition AS partition, s.streamId, s.gatewayId, s.appliedSeq, s.archivedSeq FROM streams s JOIN folds f USING (fold) WHERE ${among}${named} ORDER BY s.streamId, partition`, streamIds === undefined ? [] : [JSON.stringify(streamIds)])
  const tallies = await reader.rows<TallyRow>(`
    SELECT streamId, hour, any_value(gatewayId) AS gatewayId, sum(billable)::BIGINT AS billable, sum(notBillable)::BIGINT AS notBillable, sum(deadLettered)::BIGINT AS deadLettered, sum(voided)::BIGINT AS voided
    FROM tallies WHERE ${among} AND hour >= $1 GROUP BY streamId, hour ORDER BY streamId, hour`, [fromHour])
  const uncertain = await reader.rows<{ streamId: string, gatewayId: string, hour: number }>(`SELECT DISTINCT streamId, gatewayId, hour FROM (SELECT streamId, gatewayId, unnest(hours) AS hour FROM uncertain_voids WHERE ${among}) ORDER BY streamId, hour`)
  return {
    streams: streams.map(({ appliedSeq, archivedSeq, ...row }) => ({ ...row, appliedSeq: Number(appliedSeq), archivedSeq: Number(archivedSeq) })),
    tallies: tallies.map(({ streamId, hour, gatewayId, billable, notBillable, deadLettered, voided }) => ({
      streamId, hour, gatewayId, billable: Number(billable), notBillable: Number(notBillable), deadLettered: Number(deadLettered), voided: Number(voided)
    })),
    uncertain
  }
}
