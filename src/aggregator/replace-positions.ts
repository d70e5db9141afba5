// Where a partition is to be read from, said anew: its topics are other ones, or what was read already is wanted again.
import type { Aggregator } from './aggregator.ts'
import { writeRows } from './apply.ts'
import { forgetOffsets } from './log-positions.ts'
import type { LogPositions } from './log-positions.ts'

/** Part of a step. What is counted and not archived yet is forgotten, and read again from there. */
export async function replacePositions (aggregator: Aggregator, partition: number, positions: LogPositions): Promise<void> {
  const { state, parts: { writer } } = aggregator
  const revision = state.revision + 1
  await writer.transaction(async () => {
    await writeRows(writer, 'log_positions', [{ sourcePartition: partition, ...positions, revision }])
    if (positions.archivedOffset === 0) await forgetOffsets(writer, partition)
    await writer.run('UPDATE meta SET revision = $1', [revision])
  })
  await aggregator.reset()
}
