// Tombstones for the rows of closed segments: their file stands for them, so the topic needn't keep them. A closed segment's
// table stays in the database until each of its keys has its tombstone, so a crash in between forgets none; a new owner
// that has loaded such rows from the topic goes on with them. A tombstone that is sent twice says the same.
import { encodeTombstone } from '../hourly-log/kafka-record.ts'
import type { PartitionRecords } from '../kafka/port.ts'
import type { SqlConnection, SqlRow } from '../platform/duckdb.ts'
import { closedTables, forgetKeys, someKeys } from './publish-sql.ts'

/** Sent in one transaction. */
export const tombstonesPerStep = 20_000

export interface TombstoneStep {
  readonly segment: number
  readonly records: PartitionRecords
  /** Once they are published. */
  readonly forget: (writer: SqlConnection) => Promise<void>
}

export interface ClosedWithRows {
  readonly segment: number
  readonly table: string
  readonly file: string
  /** Who wrote the file. */
  readonly ownerName: string | null
}

/** Closed segments with keys left, the oldest first; only those whose `closed` is in the topic. */
export async function segmentsWithRows (reader: SqlConnection, { partition, publishedRevision }: { readonly partition: number, readonly publishedRevision: number }): Promise<readonly ClosedWithRows[]> {
  return await reader.rows<ClosedWithRows & SqlRow>(closedTables, [partition, `hourly_${partition}_`, publishedRevision])
}

export async function nextTombstones (reader: SqlConnection, { topic, partition, closed: { segment, table } }: { readonly topic: string, readonly partition: number, readonly closed: ClosedWithRows }): Promise<TombstoneStep> {
  const rows = await reader.rows<{ apiEndpointId: bigint, memberId: bigint, apiKeyId: bigint, hour: number }>(someKeys(table), [tombstonesPerStep])
  const keys = rows.map(({ apiEndpointId, memberId, apiKeyId, hour }) => ({ apiEndpointId: Number(apiEndpointId), memberId: Number(memberId), apiKeyId: Number(apiKeyId), hour }))
  return {
    segment,
    records: { topic, partition, records: keys.map((key) => encodeTombstone({ partition, segment, ...key })) },
    forget: async (writer) => {
      if (keys.length > 0) await writer.run(forgetKeys(table), [JSON.stringify(keys)])
      if (keys.length < tombstonesPerStep) await writer.run(`DROP TABLE ${table}`)
    }
  }
}
