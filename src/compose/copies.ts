// What a backup asks of the running parts, and what it may say of their answers.
import path from 'node:path'
import type { AggregatorCopy } from '../aggregator/backup.ts'
import { partitionFolder } from '../aggregator/cluster-folders.ts'
import type { PartitionCopy } from '../aggregator/cluster-owners.ts'
import type { StoreCopy } from '../cli/handlers/backup.ts'
import { copyJournal } from '../journal/copy.ts'
import type { JournalReaderSpec } from '../journal/start.ts'
import { stateFiles } from '../platform/state-files.ts'

/** Of one machine: the aggregator has copied the journal with its own database, as of one moment. */
export function copyOfAll ({ historyId, term, revision, files, journal }: AggregatorCopy, gatewayId: string): StoreCopy {
  return { gatewayId, ...journalFacts(journal?.journalId), counts: [{ partition: 0, historyId, term, revision }], files, within: ['archive', 'aggregator'] }
}

export async function copyOfJournal (journal: JournalReaderSpec, folder: string, gatewayId: string): Promise<StoreCopy> {
  const { journalId } = await copyJournal(journal, stateFiles(folder).journal)
  return { gatewayId, ...journalFacts(journalId) }
}

/** Names of files are within the partition's folder; a backup has them within the state's. */
export function copyOfPartitions (partitions: readonly PartitionCopy[]): StoreCopy {
  const within = partitions.map(({ partition }) => partitionFolder('', partition))
  return {
    counts: partitions.map(({ partition, copy: { historyId, term, revision } }) => ({ partition, historyId, term, revision })),
    files: partitions.flatMap(({ copy }, index) => copy.files.map((file) => ({ ...file, path: path.join(within[index] ?? '', file.path) }))),
    within
  }
}

function journalFacts (journalId: string | undefined): Pick<StoreCopy, 'journalId'> { return journalId === undefined ? {} : { journalId } }
