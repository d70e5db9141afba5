// Kafka and the aggregators as far as a shipper sees them, with all that can go wrong: sends that fail before or after they were
// appended, or in the middle, or are appended much later; acknowledged records that a power cut takes away; aggregators that are
// put back to what they have archived. One rule makes an event count once: the chain.
import assert from 'node:assert/strict'
import { followChain } from '../../src/domain/chain.ts'
import type { RecordOut } from '../../src/kafka/port.ts'
import { parseGatewayStatement } from '../../src/usage-log/gateway-progress.ts'
import type { StreamHourMark, StreamMark } from '../../src/usage-log/gateway-progress.ts'
import type { VoidValue } from '../../src/usage-log/kafka-record.ts'
import type { StreamProgress } from '../../src/usage-log/usage-progress.ts'

interface Logged { readonly streamId: string, readonly seq: number, readonly prevSeq: number, readonly id: number | undefined, readonly lost: VoidValue | undefined }

export function loggedOf ({ value, headers = {} }: RecordOut): Logged {
  const json = JSON.parse(String(value)) as { readonly id?: number }
  const lost = headers['kind'] === 'void' ? json as unknown as VoidValue : undefined
  return { streamId: headers['streamId'] ?? '', seq: Number(headers['seq']), prevSeq: Number(headers['prevSeq']), id: lost === undefined ? json.id : undefined, lost }
}

/** What a take-over finds in the topic of hourly counts. */
interface Published { readonly applied: Map<string, number>, readonly counted: Map<number, number>, readonly voids: readonly VoidValue[], readonly archived: Map<string, number>, readonly archivedOffset: number }

/** One partition: its log and whoever counts it. */
export class SimulatedPartition {
  log: Logged[] = []
  #flushed = 0
  #offset = 0
  #archivedOffset = 0
  applied = new Map<string, number>()
  archived = new Map<string, number>()
  counted = new Map<number, number>()
  voids: VoidValue[] = []
  readonly gaps = new Map<string, number>()
  readonly archivedIds = new Map<number, number>()
  /** What the topic usage-progress has. */
  readonly published = new Map<string, StreamProgress>()
  lostRecords = 0
  #staged: Logged[] = []
  #stagedSeq = new Map<string, number>()
  #topic: Published = { applied: new Map(), counted: new Map(), voids: [], archived: new Map(), archivedOffset: 0 }

  append (records: readonly RecordOut[]): void { this.log.push(...records.map(loggedOf)) }

  flush (): void { this.#flushed = this.log.length }

  /** All brokers lose what they had not written to disk. */
  cut (share: number): void {
    const kept = this.#flushed + Math.floor(share * (this.log.length - this.#flushed + 0.999))
    this.lostRecords += this.log.length - kept
    this.log.length = kept
    this.#flushed = kept
    this.#offset = Math.min(this.#offset, kept)
  }

  poll (recordsMax: number): void {
    for (const record of this.log.slice(this.#offset, this.#offset + recordsMax)) this.#take(record)
    this.#offset = Math.min(this.#offset + recordsMax, this.log.length)
    if (this.#offset < this.log.length) return
    for (const [streamId, appliedSeq] of this.applied) {
      const stagedSeq = this.#stagedSeq.get(streamId) ?? 0
      if (stagedSeq < appliedSeq) this.gaps.set(streamId, stagedSeq)
    }
  }

  archive (): void {
    for (const { id } of this.#staged) if (id !== undefined) this.archivedIds.set(id, (this.archivedIds.get(id) ?? 0) + 1)
    this.archived = new Map(this.#stagedSeq)
    this.#staged = []
    this.#archivedOffset = this.#offset
  }

  /** In one transaction: where the owner's history stands, and what gateways may know of it. */
  publish (partition: number): void {
    this.#topic = { applied: new Map(this.applied), counted: new Map(this.counted), voids: [...this.voids], archived: new Map(this.archived), archivedOffset: this.#archivedOffset }
    for (const streamId of new Set([...this.applied.keys(), ...this.gaps.keys()])) {
      const gapAfter = this.gaps.get(streamId)
      this.published.set(streamId, { streamId, partition, appliedSeq: this.applied.get(streamId) ?? 0, archivedSeq: this.archived.get(streamId) ?? 0, ...(gapAfter === undefined ? {} : { gapAfter }) })
    }
  }

  /** Its disk is lost: a new owner has what was published, and reads the log from what was archived then. Archive files stay. */
  restore (): void {
    const { applied, counted, voids, archived, archivedOffset } = this.#topic
    this.applied = new Map(applied)
    this.counted = new Map(counted)
    this.voids = [...voids]
    this.archived = new Map(archived)
    this.#stagedSeq = new Map(archived)
    this.#staged = []
    this.gaps.clear()
    this.#offset = Math.min(archivedOffset, this.log.length)
    this.#archivedOffset = this.#offset
  }

  #take (record: Logged): void {
    const { streamId, prevSeq, seq } = record
    const count = followChain(this.applied.get(streamId) ?? 0, { prevSeq, lastSeq: seq })
    const stage = followChain(this.#stagedSeq.get(streamId) ?? 0, { prevSeq, lastSeq: seq })
    if (count.kind === 'gap' || stage.kind === 'gap') {
      this.gaps.set(streamId, Math.min(count.kind === 'gap' ? count.afterSeq : Infinity, stage.kind === 'gap' ? stage.afterSeq : Infinity))
      return
    }
    if (count.kind === 'count' || stage.kind === 'count') this.gaps.delete(streamId)
    if (count.kind === 'count') {
      this.applied.set(streamId, seq)
      if (record.id !== undefined) this.counted.set(record.id, (this.counted.get(record.id) ?? 0) + 1)
      if (record.lost !== undefined) this.voids.push({ ...record.lost, prevSeq: count.takeAfterSeq })
    }
    if (stage.kind !== 'count') return
    this.#stagedSeq.set(streamId, seq)
    this.#staged.push(record)
  }
}

/** The topic gateway-progress: the last word on each key. */
export class SimulatedStatements {
  readonly marks = new Map<string, StreamMark>()
  readonly hours = new Map<string, StreamHourMark>()

  append (records: readonly RecordOut[]): void {
    for (const record of records) {
      const statement = parseGatewayStatement({ offset: 0, timestampMs: 0, key: record.key, value: Buffer.from(String(record.value)), headers: new Map() })
      assert.ok(statement !== undefined && statement.kind !== 'retired', `not a statement: ${record.key}`)
      if (statement.kind === 'mark') this.marks.set(statement.streamId, statement)
      else this.hours.set(`${statement.streamId}|${statement.hour}`, statement)
    }
  }
}
