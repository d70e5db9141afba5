// What an owner says of its archive in public: what its peers have too, or could not be brought for a minute. So when its
// machine is lost a moment after a flush, with files that nobody else has, nobody has heard of them: gateways and the usage log
// still have their events, and whoever takes the partition over archives them. A peer that is away for longer must not hold up
// gateways' journals; the usage log alone waits for it then.
import type { SqlConnection } from '../platform/duckdb.ts'
import { readFlushRecord } from './flush-record.ts'
import type { AggregatorFolders } from './folders.ts'
import type { LogPositions } from './log-positions.ts'

export interface SafeArchive {
  /** Of the usage log: everything before it is in the archive. */
  readonly archivedOffset: number
  /** Streams that have events in files that are held back: where each stood before them. */
  readonly heldBack: ReadonlyMap<string, number>
}

/** A flush that has no copies is held back no longer. */
export const heldBackMsMax = 60_000

export function isSameArchive (a: SafeArchive, b: SafeArchive): boolean {
  return a.archivedOffset === b.archivedOffset && a.heldBack.size === b.heldBack.size && [...a.heldBack].every(([streamId, seq]) => b.heldBack.get(streamId) === seq)
}

export interface SafeArchivesParts {
  /** A transaction of its owner's is the moment that is told. */
  readonly reader: SqlConnection
  readonly folders: Pick<AggregatorFolders, 'flushes'>
  readonly partition: number
  readonly monotonicMs: () => number
}

interface Waiting { readonly sinceMs: number, /** Where each stream stood before it. */ readonly starts: ReadonlyMap<string, number> }
interface FlushRow { readonly [column: string]: unknown, readonly archivedOffset: bigint, readonly flush: string }

/** In the order of the log. Flushes that no offset belongs to were archived by an earlier owner, or are in no usage log. */
const uncopied = 'SELECT archivedOffset, flush FROM archived_offsets WHERE sourcePartition = $1 AND NOT isSafe AND archivedOffset >= 0 AND flush IS NOT NULL ORDER BY archivedOffset'
const flushBefore = 'SELECT max(archivedOffset) AS archivedOffset FROM archived_offsets WHERE sourcePartition = $1 AND archivedOffset >= 0 AND archivedOffset < $2'

export class SafeArchives {
  readonly #parts: SafeArchivesParts
  /** Undefined before the first look: what waits already was told by an earlier process, and nothing is taken back. */
  #waiting: ReadonlyMap<string, Waiting> | undefined
  #toldOffset = 0

  constructor (parts: SafeArchivesParts) { this.#parts = parts }

  async now ({ archivedOffset }: Pick<LogPositions, 'archivedOffset'>): Promise<SafeArchive> {
    const { reader, partition, monotonicMs } = this.#parts
    const nowMs = monotonicMs()
    const rows = await reader.rows<FlushRow>(uncopied, [partition])
    const before = this.#waiting
    const waiting = new Map(rows.map(({ flush }) => [flush, before?.get(flush) ?? { sinceMs: before === undefined ? -Infinity : nowMs, starts: this.#readStarts(flush) }]))
    this.#waiting = waiting
    const isHeld = ({ flush }: FlushRow): boolean => nowMs - (waiting.get(flush)?.sinceMs ?? -Infinity) < heldBackMsMax
    const first = rows.findIndex(isHeld)
    if (first < 0) {
      this.#toldOffset = archivedOffset
      return { archivedOffset, heldBack: new Map() }
    }
    const heldBack = new Map<string, number>()
    // A stream's first flush that is held back says where it stood.
    for (const { flush } of rows.slice(first)) for (const [streamId, seq] of waiting.get(flush)?.starts ?? []) if (!heldBack.has(streamId)) heldBack.set(streamId, seq)
    const [row] = await reader.rows<{ archivedOffset: bigint | null }>(flushBefore, [partition, Number(rows[first]?.archivedOffset)])
    // What stood before it may have been deleted, with the part of the log that it let go.
    this.#toldOffset = Math.max(this.#toldOffset, Number(row?.archivedOffset ?? 0n))
    return { archivedOffset: this.#toldOffset, heldBack }
  }

  /** A record that can't be read holds no stream back; whoever asks for its copies says so. */
  #readStarts (flush: string): ReadonlyMap<string, number> {
    try {
      const { streams } = readFlushRecord(this.#parts.folders.flushes, flush)
      return new Map(streams.filter(({ sourcePartition }) => sourcePartition === this.#parts.partition).map(({ streamId, afterSeq }) => [streamId, afterSeq]))
    } catch {
      return new Map()
    }
  }
}
