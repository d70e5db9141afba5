// `tollgate rebuild` of a cluster: hourly rows made again from the archives of all aggregators, each event once by its stream and
// seq, and compared with the ledger's rows of one moment. They are compared only: what all go by is the topic of hourly counts.
import { rmSync } from 'node:fs'
import path from 'node:path'
import type { RebuildReport } from '../aggregator/rebuild.ts'
import { TollgateError } from '../domain/errors.ts'
import type { Ledger } from '../ledger/ledger-types.ts'
import { makeFolderDurable } from '../platform/durable-file.ts'
import { readClusterArchive } from './cluster-archive.ts'
import type { ClusterArchiveParts } from './cluster-archive.ts'

export interface ClusterRebuildParts {
  readonly ledger: Pick<Ledger, 'proof'>
  readonly archive: ClusterArchiveParts
  /** Emptied before and after: the ledger's rows, as large as its file. */
  readonly folder: string
}

/** @throws TollgateError LEDGER_BEHIND; REBUILD_REFUSED when an aggregator can't be asked; ARCHIVE_PENDING */
export async function rebuildCluster ({ ledger, archive, folder }: ClusterRebuildParts): Promise<RebuildReport> {
  if (archive.aggregators.length === 0) throw new TollgateError('REBUILD_REFUSED', '`aggregators` is empty: the archive can\'t be read')
  const rowsFile = path.join(folder, 'rows.parquet')
  rmSync(folder, { recursive: true, force: true })
  makeFolderDurable(folder)
  try {
    const proof = await ledger.proof({ rowsFile })
    if (proof === undefined) throw new TollgateError('LEDGER_BEHIND', 'the ledger is still reading the hourly counts')
    const { unreachable, pending, rebuilt } = await readClusterArchive(archive, proof.account.streams, rowsFile)
    if (rebuilt === undefined) throw new TollgateError('REBUILD_REFUSED', `a part of the archive can't be seen: ${unreachable.join('; ')}`)
    if (pending.size > 0) throw new TollgateError('ARCHIVE_PENDING', 'some counted events are not in the archive yet: ask again in a moment')
    return rebuilt
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
