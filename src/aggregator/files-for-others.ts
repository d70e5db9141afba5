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
  /** Names of what is here of an aggregator's files, which may be this one. @throws TollgateError ARGUMENT_INVALID for an owner or partition that can't be */
  readonly namesOf: (owner: string, partition: number, kind: FileKind) => string[]
  readonly listCopies: () => CopiedFile[]
}

const patterns = {
  archive: /^date=\d{4}-\d\d-\d\d\/hour=\d\d\/[A-Za-z0-9-]{1,100}\.parquet$/,
  segment: /^[A-Za-z0-9=-]{1,100}\.parquet$/,
  flush: /^[A-Za-z0-9-]{1,100}\.json$/
} as const satisfies Record<FileKind, RegExp>
const ownerPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
const partitionMax = 999_999

export interface FilesForOthersOptions {
  /** Of the aggregator whose folder it is. */
  readonly ownerName: string
  readonly stateFolder: string
  readonly flush: (partition: number) => Promise<void>
}

export function openFilesForOthers ({ ownerName, stateFolder, flush }: FilesForOthersOptions): FilesForOthers {
  const owners = (): string[] => ownersOfCopies(stateFolder)
  /** Own folder first, then those of copies. */
  const foldersOf = (partition: number): string[] => [stateFolder, ...owners().map((owner) => folderOfOwner(stateFolder, owner))].map((folder) => partitionFolder(folder, partition)).filter((folder) => existsSync(folder))
  const folderOfCopies = (owner: string, partition: number): string => {
    if (!ownerPattern.test(owner) || !isPartition(partition)) throw new TollgateError('ARGUMENT_INVALID', `no aggregator's partition is called ${JSON.stringify(`${owner} ${partition}`.slice(0, 300))}`)
    return partitionFolder(folderOfOwner(stateFolder, owner), partition)
  }
  const placeOfCopy = ({ owner, partition, kind, name }: CopiedFile): string => {
    if (!patterns[kind].test(name)) throw new TollgateError('ARGUMENT_INVALID', `no file of an aggregator is called ${JSON.stringify(`${kind} ${name}`.slice(0, 300))}`)
    return placeOf(folderOfCopies(owner, partition), kind, name)
  }
  return {
    listPartitions: () => [...new Set([stateFolder, ...owners().map((owner) => folderOfOwner(stateFolder, owner))].flatMap(partitionsWithin))].sort((a, b) => a - b),
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
    namesOf: (owner, partition, kind) => {
      const kept = namesIn(folderOfCopies(owner, partition), kind)
      return owner === ownerName ? [...new Set([...namesIn(partitionFolder(stateFolder, partition), kind), ...kept])].sort() : kept
    },
    listCopies: () => owners().flatMap((owner) => copiesOf(folderOfOwner(stateFolder, owner), owner))
  }
}

function copiesFolder (stateFolder: string): string { return path.join(stateFolder, 'copies') }

/** Aggregators of which copies are here. */
export function ownersOfCopies (stateFolder: string): string[] {
  const folder = copiesFolder(stateFolder)
  return existsSync(folder) ? readdirSync(folder).filter((name) => ownerPattern.test(name)).sort() : []
}

/** The folder of an owner's copies: it is laid out as the owner's own. */
export function folderOfOwner (stateFolder: string, owner: string): string { return path.join(copiesFolder(stateFolder), owner) }

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
  return partitionsWithin(folder).flatMap((partition) => (['archive', 'segment', 'flush'] as const).flatMap((kind) => namesIn(partitionFolder(folder, partition), kind).map((name): CopiedFile => ({ owner, partition, kind, name }))))
}

/** Names of the finished files of a partition's folder. */
export function namesIn (folder: string, kind: FileKind): string[] {
  const { archive, segments, flushes } = aggregatorFolders(folder)
  const [cwd, pattern] = ({ archive: [archive, 'date=*/hour=*/*.parquet'], segment: [segments, '*.parquet'], flush: [flushes, '*.json'] } as const)[kind]
  return globSync(pattern, { cwd }).sort()
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
