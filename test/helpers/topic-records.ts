// Records of the cluster's topics as their writers make them, and as a reader sees them.
import type { RecordIn, RecordOut } from '../../src/kafka/port.ts'
import { encodeHourMark, encodeMark, encodeRetirement } from '../../src/usage-log/gateway-progress.ts'
import type { StreamMark } from '../../src/usage-log/gateway-progress.ts'
import { encodeStream, encodeTally, hourlySchemaVersion, rowKeyText } from '../../src/hourly-log/kafka-record.ts'
import type { RowKey, TallyValue } from '../../src/hourly-log/kafka-record.ts'

export const streamOf = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`

export interface RowGiven extends Partial<RowKey> { readonly count?: number, readonly units?: number | bigint, readonly errorCount?: number, readonly requestBytes?: number, readonly responseBytes?: number }

export const rowKey = ({ partition = 0, segment = 0, apiEndpointId = 5, memberId = 1, apiKeyId = 11, hour = 490_000 }: Partial<RowKey> = {}): RowKey => ({ partition, segment, apiEndpointId, memberId, apiKeyId, hour })

/** An hourly row as its owner writes it. */
export function rowRecord (given: RowGiven = {}): RecordOut {
  const key = rowKey(given)
  const { count = 1, units = count, errorCount = 0, requestBytes = 0, responseBytes = 0 } = given
  const { partition, segment, apiEndpointId, memberId, apiKeyId, hour } = key
  const value = JSON.stringify({ apiEndpointId, memberId, apiKeyId, date: '2025-11-24', window: { start: 's', end: 'e' }, count, units: 0, requestBytes, responseBytes, errorCount, sourcePartition: partition, segment, hour, revision: 1, term: 1, schemaVersion: hourlySchemaVersion })
  return { key: rowKeyText(key), value: value.replace('"units":0', `"units":${units}`) }
}

/** What is said of a stream of one partition: how far it is counted, and how many events of an hour. */
export function countedRecords ({ partition = 0, streamId, gatewayId = 'gateway-1', appliedSeq, archivedSeq = appliedSeq, hours }: {
  readonly partition?: number, readonly streamId: string, readonly gatewayId?: string, readonly appliedSeq: number, readonly archivedSeq?: number, readonly hours: Readonly<Record<number, Partial<TallyValue>>>
}): RecordOut[] {
  return [
    ...Object.entries(hours).map(([hour, tally]) => encodeTally(partition, { streamId, hour: Number(hour) }, { gatewayId, billable: 0, notBillable: 0, deadLettered: 0, voided: 0, ...tally })),
    encodeStream(partition, streamId, { gatewayId, appliedSeq, archivedSeq })
  ]
}

export interface SaidGiven extends Partial<Omit<StreamMark, 'streamId'>> {
  readonly streamId: string
  /** By hour: answered, journaled, counted only, recovered. */
  readonly hours?: Readonly<Record<number, readonly [answered: number, journaled: number, countedOnly?: number, recovered?: number]>>
}

/** What a gateway says of a stream: its hours, then its mark. */
export function saidRecords ({ gatewayId = 'gateway-1', streamId, seq = 0, watermarkMs = 0, state = 'open', lastSeqs = seq === 0 ? [] : [[0, seq]], hours = {} }: SaidGiven): RecordOut[] {
  return [
    ...Object.entries(hours).map(([hour, [answered, journaled, countedOnly = 0, recovered = 0]]) => encodeHourMark({ gatewayId, streamId, hour: Number(hour), answered, journaled, countedOnly, recovered })),
    encodeMark({ gatewayId, streamId, seq, watermarkMs, state, lastSeqs })
  ]
}

export { encodeRetirement }

/** A topic's partition in memory: gives records their places, and takes away what compaction may take. */
export class MemoryPartition {
  records: RecordIn[] = []
  #nextOffset = 0

  get endOffset (): number { return this.#nextOffset }

  append (records: readonly RecordOut[], timestampMs = 0): RecordIn[] {
    const appended = records.map(({ key, value }): RecordIn => ({
      offset: this.#nextOffset++, timestampMs, key, value: value === null ? undefined : Buffer.from(value), headers: new Map()
    }))
    this.records.push(...appended)
    return appended
  }

  /** Of each key the last record stays; of tombstones nothing. */
  compact (): void {
    const last = new Map(this.records.map(({ key, offset }) => [key, offset]))
    this.records = this.records.filter(({ key, offset, value }) => last.get(key) === offset && value !== undefined)
  }
}
