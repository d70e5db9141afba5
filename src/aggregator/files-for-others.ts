// What an aggregator's folders hold for others: finished files of its own partitions, owned now or before, and copies of
// other aggregators' files that it keeps for them. A name that others give is looked up among names that exist; it never
// becomes a path by itself.
import { createHash } from 'node:crypto'
import { createWriteStream, existsSync, globSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { Transform } from 'node:stream'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { TollgateError } from '../domain/errors.ts'
import { makeFolderDurable, partialSuffix, publishFile, sha256OfFile } from '../platform/durable-file.ts'
import { partitionFolder, partitionsWithin } from './cluster-folders.ts'
import { listFlushes, readFlushRecord } from './flush-record.ts'
import type { FlushRecord } from './flush-record.ts'
import { aggregatorFolders } from './folders.ts'

/** flush: the record of a flush, which says what the others are. */
export type FileKind = 'archive' | 'segment' | 'flush'

export interface CopiedFile {
  /** The aggregator that made it. */
  readonly owner: string
  readonly partition: number
  readonly kind: FileKind
  /** `date=…/hour=…/….parquet` of the archive, else a file's name. */
  readonly name: string
}

export interface FilesForOthers {
  /** Partitions of which anything is here, copies included. */
  readonly listPartitions: () => number[]
  /** Records of all flushes whose files are here, copies included. @throws TollgateError ARCHIVE_INCOMPLETE when a record of our own is damaged */
  readonly manifest: (partition: number) => Generator<FlushRecord>
  /** Absolute path; undefined when there is no such file, here or among the copies. */
  readonly fileOf: (partition: number, kind: FileKind, name: string) => string | undefined
  /** Everything counted of the partition is in the archive when it resolves. */
  readonly flush: (partition: number) => Promise<void>
  /** Keeps a copy, durable when it resolves; one that is there already is replaced. @throws TollgateError ARGUMENT_INVALID for a name that can't be, or content of another hash */
  readonly storeCopy: (file: CopiedFile, content: Readable, sha256: string) => Promise<void>
  /** Whether a copy with this content is here. */
  readonly hasCopy: (file: CopiedFile, sha256: string) => Promise<boolean>
  readonly listCopies: () => CopiedFile[]
}

const patterns = {
  archive: /^date=\d{4}-\d\d-\d\d\/hour=\d\d\/[A-Za-z0-9-]{1,100}\.parquet$/,
  segment: /^[A-Za-z0-9=-]{1,100}\.parquet$/,
  flush: /^[A-Za-z0-9-]{1,100}\.json$/
} as const satisfies Record<FileKind, RegExp>
const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const partitionMax = 999_999

export function openFilesForOthers ({ stateFolder, flush }: { readonly stateFolder: string, readonly flush: (partition: number) => Promise<void> }): FilesForOthers {
  const copies = path.join(stateFolder, 'copies')
  const owners = (): string[] => existsSync(copies) ? readdirSync(copies).filter((name) => ownerPattern.test(name)).sort() : []
  /** Own folder first, then those of copies. */
  const foldersOf = (partition: number): string[] => [stateFolder, ...owners().map((owner) => path.join(copies, owner))].map((folder) => partitionFolder(folder, partition)).filter((folder) => existsSync(folder))
  const placeOfCopy = ({ owner, partition, kind, name }: CopiedFile): string => {
    if (!ownerPattern.test(owner) || !isPartition(partition) || !patterns[kind].test(name)) throw new TollgateError('ARGUMENT_INVALID', `no file of an aggregator is called ${JSON.stringify(`${owner} ${partition} ${kind} ${name}`.slice(0, 300))}`)
    return placeOf(partitionFolder(path.join(copies, owner), partition), kind, name)
  }
  return {
    listPartitions: () => [...new Set([stateFolder, ...owners().map((owner) => path.join(copies, owner))].flatMap(partitionsWithin))].sort((a, b) => a - b),
    manifest: function * (partition) {
      for (const folder of foldersOf(partition)) yield * recordsOf(folder, folder === partitionFolder(stateFolder, partition))
    },
    fileOf: (partition, kind, name) => {
      if (!isPartition(partition) || !patterns[kind].test(name)) return undefined
      return foldersOf(partition).map((folder) => placeOf(folder, kind, name)).find((file) => existsSync(file))
    },
    flush,
    storeCopy: async (file, content, sha256) => { await store(placeOfCopy(file), content, sha256) },
    hasCopy: async (file, sha256) => {
      const place = placeOfCopy(file)
      return existsSync(place) && await sha256OfFile(place) === sha256
    },
    listCopies: () => owners().flatMap((owner) => copiesOf(path.join(copies, owner), owner))
  }
}

function isPartition (partition: number): boolean { return Number.isSafeInteger(partition) && partition >= 0 && partition <= partitionMax }

function placeOf (folder: string, kind: FileKind, name: string): string {
  const { archive, segments, flushes } = aggregatorFolders(folder)
  return path.join({ archive, segment: segments, flush: flushes }[kind], name)
}

function * recordsOf (folder: string, isOwn: boolean): Generator<FlushRecord> {
  const { flushes } = aggregatorFolders(folder)
  for (const flush of listFlushes(flushes)) {
    try {
      yield readFlushRecord(flushes, flush)
    } catch (error) {
      // A damaged copy is no copy; a damaged record of our own must be seen.
      if (isOwn || !(error instanceof TollgateError)) throw error
    }
  }
}

function copiesOf (folder: string, owner: string): CopiedFile[] {
  return partitionsWithin(folder).flatMap((partition) => {
    const { archive, segments, flushes } = aggregatorFolders(partitionFolder(folder, partition))
    const within: readonly (readonly [FileKind, string, string])[] = [['archive', archive, 'date=*/hour=*/*.parquet'], ['segment', segments, '*.parquet'], ['flush', flushes, '*.json']]
    return within.flatMap(([kind, cwd, pattern]) => globSync(pattern, { cwd }).sort().map((name): CopiedFile => ({ owner, partition, kind, name })))
  })
}

/** Tells two that arrive at the same time apart. */
let storing = 0

async function store (file: string, content: Readable, sha256: string): Promise<void> {
  makeFolderDurable(path.dirname(file))
  const partialFile = `${file}.${++storing}${partialSuffix}`
  const hash = createHash('sha256')
  const look = new Transform({ transform: (piece: Buffer, _encoding, done) => { hash.update(piece); done(null, piece) } })
  try {
    await pipeline(content, look, createWriteStream(partialFile))
    if (hash.digest('hex') !== sha256) throw new TollgateError('ARGUMENT_INVALID', `the content of ${path.basename(file)} has another hash than it should`)
    publishFile(partialFile, file)
  } finally {
    rmSync(partialFile, { force: true })
  }
}
