// The aggregator's file as an earlier version left it.
import { query } from './aggregator-rig.ts'

/** Makes a closed database of version 2 what version 1 would have written. */
export async function toFirstAggregatorVersion (file: string): Promise<void> {
  await query(file, ['streams', 'tallies', 'voids'].map((table) => `ALTER TABLE ${table} DROP COLUMN revision;`).join('') +
    'ALTER TABLE closed_segments DROP COLUMN ownerName; DROP TABLE log_positions; DROP TABLE archived_offsets; UPDATE meta SET databaseVersion = 1')
}
