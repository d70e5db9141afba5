// What another owner of a partition could rely on: the archive as far as it has the copies that it should have. The topic of
// hourly counts says no more than that. So when the machine of an owner is lost, with files that nobody else had yet, whoever
// takes the partition over reads those events again and archives them; the usage log keeps them until their copies are there.
import type { SqlConnection } from '../platform/duckdb.ts'
import { readFlushRecord } from './flush-record.ts'
import type { AggregatorFolders } from './folders.ts'
import type { LogPositions } from './log-positions.ts'

export interface SafeArchive {
  /** Of the usage log: everything before it is in files that have their copies. */
  readonly archivedOffset: number
  /** Streams that have events in files without copies: where each stood before them. */
  readonly heldBack: ReadonlyMap<string, number>
}

export function isSameArchive (a: SafeArchive, b: SafeArchive): boolean {
  return a.archivedOffset === b.archivedOffset && a.heldBack.size === b.heldBack.size && [...a.heldBack].every(([streamId, seq]) => b.heldBack.get(streamId) === seq)
}

interface Uncopied { readonly [column: string]: unknown, readonly archivedOffset: bigint, readonly flush: string }

/** Flushes that no offset belongs to hold nothing back: what they have was archived by an earlier owner, or is in no usage log. */
const uncopied = 'SELECT archivedOffset, flush FROM archived_offsets WHERE sourcePartition = $1 AND NOT isSafe AND archivedOffset >= 0 AND flush IS NOT NULL ORDER BY archivedOffset'
/** The newest is never deleted, but by versions before this rule: then the log is read from its beginning. */
const safeBefore = 'SELECT coalesce(max(archivedOffset), 0)::BIGINT AS archivedOffset FROM archived_offsets WHERE sourcePartition = $1 AND isSafe AND archivedOffset >= 0 AND archivedOffset < $2'

export class SafeArchives {
  readonly #reader: SqlConnection
  readonly #folders: Pick<AggregatorFolders, 'flushes'>
  readonly #partition: number
  /** Of flushes that wait for their copies: none is read twice. */
  #startsOf = new Map<string, ReadonlyMap<string, number>>()

  /** @param reader a transaction of its owner's is the moment that is told */
  constructor ({ reader, folders, partition }: { readonly reader: SqlConnection, readonly folders: Pick<AggregatorFolders, 'flushes'>, readonly partition: number }) {
    this.#reader = reader
    this.#folders = folders
    this.#partition = partition
  }

  async now ({ archivedOffset }: Pick<LogPositions, 'archivedOffset'>): Promise<SafeArchive> {
    const waiting = await this.#reader.rows<Uncopied>(uncopied, [this.#partition])
    const startsOf = new Map(waiting.map(({ flush }) => [flush, this.#startsOf.get(flush) ?? this.#readStarts(flush)]))
    this.#startsOf = startsOf
    const [first] = waiting
    if (first === undefined) return { archivedOffset, heldBack: new Map() }
    const heldBack = new Map<string, number>()
    // In the order of the log: a stream's first flush that waits says where it stood.
    for (const starts of startsOf.values()) for (const [streamId, seq] of starts) if (!heldBack.has(streamId)) heldBack.set(streamId, seq)
    const [row] = await this.#reader.rows<{ archivedOffset: bigint }>(safeBefore, [this.#partition, Number(first.archivedOffset)])
    return { archivedOffset: Math.min(archivedOffset, Number(row?.archivedOffset ?? 0n)), heldBack }
  }

  /** A record that can't be read holds no stream back: what its flush had can be told by nobody, and whoever asks for its copies says so. */
  #readStarts (flush: string): ReadonlyMap<string, number> {
    try {
      const { streams } = readFlushRecord(this.#folders.flushes, flush)
      return new Map(streams.filter(({ sourcePartition }) => sourcePartition === this.#partition).map(({ streamId, afterSeq }) => [streamId, afterSeq]))
    } catch {
      return new Map()
    }
  }
}
