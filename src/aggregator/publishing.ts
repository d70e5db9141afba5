// What the owner of a partition publishes. One Kafka transaction takes the partition from one of our commits to a later
// one: everything whose revision is above what the topic has, as of one snapshot of the database, with the progress that
// belongs to it. So a reader, and a new owner, find either all of it or nothing. The topic's revision is remembered in
// memory alone: it is read from the topic at each take-over, and after a failure nobody knows it.
import { encodeClosed, encodeProgress, encodeStream, encodeTally, encodeVoid } from '../hourly-log/kafka-record.ts'
import type { ClosedValue, ProgressValue, StreamValue, TallyValue } from '../hourly-log/kafka-record.ts'
import type { PartitionRecords, RecordOut, TransactionalPublisher } from '../kafka/port.ts'
import type { SqlConnection, SqlRow } from '../platform/duckdb.ts'
import { encodeStreamProgress } from '../usage-log/usage-progress.ts'
import type { StreamProgress } from '../usage-log/usage-progress.ts'
import type { Aggregator } from './aggregator.ts'
import type { ClusterTopics } from './cluster-topics.ts'
import { readMeta } from './lineage.ts'
import type { Meta } from './lineage.ts'
import { loadPositions } from './log-positions.ts'
import type { LogPositions } from './log-positions.ts'
import { SafeArchives, isSameArchive } from './safe-archive.ts'
import type { SafeArchive } from './safe-archive.ts'
import { changedClosed, changedPlaces, changedRows, changedStreams, changedTallies, changedVoids, rowsPerRead } from './publish-sql.ts'

export interface PublishingParts {
  readonly aggregator: Aggregator
  /** Its own: it holds a snapshot while the writer goes on. */
  readonly reader: SqlConnection
  readonly publisher: TransactionalPublisher
  readonly topics: Pick<ClusterTopics, 'hourly' | 'usageProgress'>
  readonly partition: number
  readonly ownerName: string
  readonly publishedRevision: number
  readonly monotonicMs: () => number
  readonly onPublished?: (records: number) => void
}

interface Snapshot { readonly meta: Meta, readonly segment: number, readonly positions: LogPositions, readonly gaps: ReadonlyMap<string, number>, readonly safe: SafeArchive }
type Stream = { readonly streamId: string } & StreamValue

export class Publishing {
  readonly #parts: PublishingParts
  #revision: number
  #archivedOffset = 0
  readonly #safeArchives: SafeArchives
  /** What the topics say of the archive; undefined before the first time, when an earlier process may have said less. */
  #safe: SafeArchive | undefined
  /** What gateways were told of gaps; undefined before the first time, when an earlier owner may have told them of others. */
  #gaps: ReadonlyMap<string, number> | undefined

  constructor (parts: PublishingParts) {
    this.#parts = parts
    this.#revision = parts.publishedRevision
    this.#safeArchives = new SafeArchives({ ...parts, folders: parts.aggregator.parts.folders })
  }

  get revision (): number { return this.#revision }
  /** Of the usage log: everything before it is in files here, by counts that were published. */
  get archivedOffset (): number { return this.#archivedOffset }
  /** Of the usage log: whatever a new owner reads starts here. */
  get safeOffset (): number { return this.#safe?.archivedOffset ?? 0 }

  /** Publishes what is new. @returns false when nothing was. @throws TollgateError: the partition must be given up, because nobody knows what the topic has now */
  async publish (): Promise<boolean> {
    const { reader, aggregator, partition } = this.#parts
    const gaps = new Map(aggregator.gaps.map(({ streamId, afterSeq }) => [streamId, afterSeq]))
    return await reader.transaction(async () => {
      const meta = await readMeta(reader)
      const positions = (await loadPositions(reader)).get(partition)
      const safe = positions === undefined ? undefined : await this.#safeArchives.now(positions)
      const isSafeTold = this.#safe !== undefined && safe !== undefined && isSameArchive(safe, this.#safe)
      if (meta.revision <= this.#revision && isSafeTold && this.#gaps !== undefined && isEqual(gaps, this.#gaps)) return false
      const [open] = await reader.rows<{ segment: number }>('SELECT segment FROM partitions WHERE sourcePartition = $1', [partition])
      if (positions === undefined || safe === undefined || open === undefined) throw new Error(`partition ${partition} has no positions`)
      await this.#send({ meta, segment: open.segment, positions, gaps, safe })
      this.#revision = meta.revision
      this.#archivedOffset = positions.archivedOffset
      this.#safe = safe
      this.#gaps = gaps
      return true
    })
  }

  async #send (snapshot: Snapshot): Promise<void> {
    const { publisher, onPublished } = this.#parts
    let records = 0
    const parts = this.#partsOf(snapshot)
    await publisher.publish((async function * () {
      for await (const part of parts) {
        records += part.records.length
        yield part
      }
    })())
    onPublished?.(records)
  }

  /** `closed` stands before rows of the next segment. */
  async * #partsOf (snapshot: Snapshot): AsyncGenerator<PartitionRecords> {
    const { topics, partition, ownerName } = this.#parts
    const hourly = (records: readonly RecordOut[]): PartitionRecords => ({ topic: topics.hourly, partition, records })
    const { meta, segment, positions, safe } = snapshot
    yield hourly(await this.#closed())
    for await (const rows of this.#rows(snapshot)) yield hourly(rows)
    yield hourly([...await this.#tallies(), ...await this.#voids()])
    const streams = await this.#streams(safe)
    const progress: ProgressValue = { ...meta, ...positions, archivedOffset: safe.archivedOffset, segment, ownerName }
    yield hourly([...streams.map(({ streamId, ...value }) => encodeStream(partition, streamId, value)), encodeProgress(partition, progress)])
    yield { topic: topics.usageProgress, partition, records: (await this.#streamProgress(snapshot, streams)).map(encodeStreamProgress) }
  }

  async #closed (): Promise<RecordOut[]> {
    const { partition, ownerName } = this.#parts
    const rows = await this.#changed<{ segment: number, file: string, sha256: string, rows: bigint, bytes: bigint, ownerName: string | null }>(changedClosed)
    return rows.map(({ segment, file, sha256, rows, bytes, ownerName: closer }) => {
      const value: ClosedValue = { file, sha256, rows: Number(rows), bytes: Number(bytes), ownerName: closer ?? ownerName }
      return encodeClosed(partition, segment, value)
    })
  }

  async * #rows ({ meta, segment }: Snapshot): AsyncGenerator<RecordOut[]> {
    const { reader, partition } = this.#parts
    const [places] = await reader.rows<{ rows: bigint, first: bigint | null, last: bigint | null }>(changedPlaces({ partition, segment }), [this.#revision])
    if (places === undefined || places.first === null || places.last === null) return
    const sql = changedRows({ partition, segment, term: meta.term })
    const step = places.rows <= rowsPerRead ? places.last - places.first + 1n : BigInt(rowsPerRead)
    for (let first = places.first; first <= places.last; first += step) {
      const [text] = await reader.rows<{ lines: string | null }>(sql, [this.#revision, first, first + step - 1n])
      if (typeof text?.lines === 'string') yield text.lines.split('\n').map(keyAndValue)
    }
  }

  async #tallies (): Promise<RecordOut[]> {
    const { partition } = this.#parts
    const rows = await this.#changed<{ streamId: string, hour: number, gatewayId: string, billable: bigint, notBillable: bigint, deadLettered: bigint, voided: bigint }>(changedTallies)
    return rows.map(({ streamId, hour, gatewayId, billable, notBillable, deadLettered, voided }) => {
      const value: TallyValue = { gatewayId, billable: Number(billable), notBillable: Number(notBillable), deadLettered: Number(deadLettered), voided: Number(voided) }
      return encodeTally(partition, { streamId, hour }, value)
    })
  }

  async #voids (): Promise<RecordOut[]> {
    const { partition } = this.#parts
    const rows = await this.#changed<{ streamId: string, lastSeq: bigint, gatewayId: string, prevSeq: bigint, reason: string, hours: string, isHoursUncertain: boolean }>(changedVoids)
    return rows.map(({ streamId, lastSeq, gatewayId, prevSeq, reason, hours, isHoursUncertain }) => encodeVoid(partition, { streamId, lastSeq: Number(lastSeq) }, {
      gatewayId, prevSeq: Number(prevSeq), reason, hours: JSON.parse(hours) as { hour: number, count: number }[], isHoursUncertain
    }))
  }

  /** Streams that moved, and those that are held back, or were: as anybody may know them. All of them the first time. */
  async #streams (safe: SafeArchive): Promise<Stream[]> {
    const told = this.#safe?.heldBack
    if (told === undefined) return await this.#streamsSince(-1, safe)
    const isHeldAnew = (streamId: string): boolean => told.get(streamId) !== safe.heldBack.get(streamId)
    const moved = await this.#streamsSince(this.#revision, safe)
    if (![...told.keys(), ...safe.heldBack.keys()].some(isHeldAnew)) return moved
    const isMoved = new Set(moved.map(({ streamId }) => streamId))
    return (await this.#streamsSince(-1, safe)).filter(({ streamId }) => isMoved.has(streamId) || isHeldAnew(streamId))
  }

  async #streamsSince (after: number, { heldBack }: SafeArchive): Promise<Stream[]> {
    const { reader, partition } = this.#parts
    const rows = await reader.rows<{ streamId: string, gatewayId: string | null, appliedSeq: bigint, archivedSeq: bigint }>(changedStreams, [partition, after])
    return rows.map(({ streamId, gatewayId, appliedSeq, archivedSeq }) => ({ streamId, gatewayId, appliedSeq: Number(appliedSeq), archivedSeq: Math.min(Number(archivedSeq), heldBack.get(streamId) ?? Infinity) }))
  }

  /** Streams that have something new, and those whose gap came or went; all of them the first time. */
  async #streamProgress ({ gaps, safe }: Snapshot, changed: readonly Stream[]): Promise<StreamProgress[]> {
    const { partition } = this.#parts
    const told = this.#gaps
    const changedGaps = told === undefined ? [] : [...new Set([...gaps.keys(), ...told.keys()])].filter((streamId) => gaps.get(streamId) !== told.get(streamId))
    const known = changedGaps.length > 0 ? await this.#streamsSince(-1, safe) : changed
    const wanted = told === undefined ? undefined : new Set([...changedGaps, ...changed.map(({ streamId }) => streamId)])
    const progress = known.filter(({ streamId }) => wanted?.has(streamId) !== false)
    // A stream of which nothing was counted yet is known by its gap alone.
    const strangers = [...gaps.keys()].filter((streamId) => wanted?.has(streamId) !== false && !known.some((stream) => stream.streamId === streamId))
    return [...progress, ...strangers.map((streamId) => ({ streamId, appliedSeq: 0, archivedSeq: 0 }))].map(({ streamId, appliedSeq, archivedSeq }) => {
      const gapAfter = gaps.get(streamId)
      return { streamId, partition, appliedSeq, archivedSeq, ...(gapAfter === undefined ? {} : { gapAfter }) }
    })
  }

  async #changed<Row extends SqlRow> (sql: string): Promise<readonly Row[]> { return await this.#parts.reader.rows<Row>(sql, [this.#parts.partition, this.#revision]) }
}

function keyAndValue (line: string): RecordOut {
  const at = line.indexOf('\t')
  return { key: line.slice(0, at), value: line.slice(at + 1) }
}

function isEqual (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([streamId, afterSeq]) => b.get(streamId) === afterSeq)
}
