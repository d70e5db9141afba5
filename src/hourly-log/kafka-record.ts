// Records of the topic hourly-api-usage. Beside the hourly rows stands what must be true together with them, so that one
// partition of the topic is enough to go on from: written in one transaction by the partition's owner, read in topic order.
//
//   p|segment|endpoint|member|key|hour   an hourly row: counts are absolute within the key; a tombstone of a closed segment removes nothing
//   progress|p                           where the owner's history stands, and the positions in the usage log that belong to it
//   take-over|p                          a new owner was here; says nothing else
//   closed|p|segment                     the segment's rows are in a file now; stands before their tombstones and before rows of the next one
//   stream|p|streamId                    how far a stream is counted and archived
//   tally|p|streamId|hour                events of a stream and hour, by what became of them
//   void|p|streamId|lastSeq              a void that was counted
import type { RecordIn, RecordOut } from '../kafka/port.ts'
import type { HourlyPosition } from './port.ts'

export interface ProgressValue extends HourlyPosition {
  /** Of the usage log's topic: another one means that its offsets say nothing any more. */
  readonly usageTopicId: string
  /** The open segment. */
  readonly segment: number
  /** Where the owner reads the usage log next. */
  readonly appliedOffset: number
  /** From here on the usage log holds everything that is not archived. */
  readonly archivedOffset: number
  readonly ownerName: string
  /** Of the topic that the owner believes to write to: another one than the record stands in means that the rest of its rows is missing. */
  readonly hourlyTopicId?: string
}

/** `file` is a name in the segments' folder of whoever closed it, and of whoever has a copy. */
export interface ClosedValue { readonly file: string, readonly sha256: string, readonly rows: number, readonly bytes: number, readonly ownerName: string }
export interface StreamValue { readonly gatewayId: string | null, readonly appliedSeq: number, readonly archivedSeq: number }
export interface TallyValue { readonly gatewayId: string, readonly billable: number, readonly notBillable: number, readonly deadLettered: number, readonly voided: number }
export interface VoidRowValue { readonly gatewayId: string, readonly prevSeq: number, readonly reason: string, readonly hours: readonly { readonly hour: number, readonly count: number }[], readonly isHoursUncertain: boolean }

/** The key and the value of an hourly row; hours since the epoch. The kept fields and the added ones of the contract. */
export interface RowKey { readonly partition: number, readonly segment: number, readonly apiEndpointId: number, readonly memberId: number, readonly apiKeyId: number, readonly hour: number }

export type HourlyRecord =
  /** `json` is the row as `ledgerRowJson` writes it: column names of the hourly log's port. Undefined for a tombstone. */
  | { readonly kind: 'row', readonly key: RowKey, readonly value: Buffer | undefined }
  | { readonly kind: 'progress', readonly value: ProgressValue }
  | { readonly kind: 'take-over', readonly value: { readonly takeOverId: string, readonly ownerName: string } }
  | { readonly kind: 'closed', readonly segment: number, readonly value: ClosedValue }
  | { readonly kind: 'stream', readonly streamId: string, readonly value: StreamValue }
  | { readonly kind: 'tally', readonly streamId: string, readonly hour: number, readonly value: TallyValue }
  | { readonly kind: 'void', readonly streamId: string, readonly lastSeq: number, readonly value: VoidRowValue }

export const hourlySchemaVersion = 1

function encoded (key: string, value: object): RecordOut { return { key, value: JSON.stringify({ schemaVersion: hourlySchemaVersion, ...value }) } }

export function rowKeyText ({ partition, segment, apiEndpointId, memberId, apiKeyId, hour }: RowKey): string { return `${partition}|${segment}|${apiEndpointId}|${memberId}|${apiKeyId}|${hour}` }
export function encodeProgress (partition: number, value: ProgressValue): RecordOut { return encoded(`progress|${partition}`, value) }
export function encodeTakeOver (partition: number, value: { readonly takeOverId: string, readonly ownerName: string }): RecordOut { return encoded(`take-over|${partition}`, value) }
export function encodeClosed (partition: number, segment: number, value: ClosedValue): RecordOut { return encoded(`closed|${partition}|${segment}`, value) }
export function encodeStream (partition: number, streamId: string, value: StreamValue): RecordOut { return encoded(`stream|${partition}|${streamId}`, value) }
export function encodeTally (partition: number, { streamId, hour }: { readonly streamId: string, readonly hour: number }, value: TallyValue): RecordOut { return encoded(`tally|${partition}|${streamId}|${hour}`, value) }
export function encodeVoid (partition: number, { streamId, lastSeq }: { readonly streamId: string, readonly lastSeq: number }, value: VoidRowValue): RecordOut { return encoded(`void|${partition}|${streamId}|${lastSeq}`, value) }
export function encodeTombstone (key: RowKey): RecordOut { return { key: rowKeyText(key), value: null } }

const rowKeyPattern = /^(\d{1,6})\|(\d{1,9})\|(\d{1,16})\|(\d{1,16})\|(\d{1,16})\|(\d{1,9})$/
const statementKeyPattern = /^(progress|take-over|closed|stream|tally|void)\|(\d{1,6})(?:\|([0-9a-f-]{36}|\d{1,9}))?(?:\|(\d{1,16}))?$/

/** What a record says, or why it can't be read: then it goes to the dead letters and changes nothing. */
export function parseHourlyRecord ({ key = '', value }: RecordIn, partition: number): HourlyRecord | { readonly problem: string } {
  const row = rowKeyPattern.exec(key)
  if (row !== null) {
    const [own, segment, apiEndpointId, memberId, apiKeyId, hour] = row.slice(1).map(Number) as [number, number, number, number, number, number]
    if (own !== partition) return { problem: `key ${key} stands in partition ${partition}` }
    return { kind: 'row', key: { partition: own, segment, apiEndpointId, memberId, apiKeyId, hour }, value }
  }
  const statement = statementKeyPattern.exec(key)
  if (statement === null) return { problem: `unknown key ${JSON.stringify(key.slice(0, 100))}` }
  if (Number(statement[2]) !== partition) return { problem: `key ${key} stands in partition ${partition}` }
  if (value === undefined) return { problem: `a tombstone of ${key}` }
  let fields: unknown
  try { fields = JSON.parse(value.toString()) } catch { return { problem: `the value of ${key} is not JSON` } }
  return statementOf(key, statement, fields)
}

function statementOf (key: string, [, kind, , first = '', second = '']: RegExpExecArray, fields: unknown): HourlyRecord | { readonly problem: string } {
  const unknown = { problem: `the value of ${key} is not what it should be` }
  if (typeof fields !== 'object' || fields === null) return unknown
  const value = fields as Readonly<Record<string, unknown>>
  const are = (names: readonly string[], test: (value: unknown) => boolean): boolean => names.every((name) => test(value[name]))
  switch (kind) {
    case 'progress': return are(['term', 'revision', 'segment', 'appliedOffset', 'archivedOffset'], isWhole) && are(['historyId', 'usageTopicId', 'ownerName'], isText) ? { kind, value: value as unknown as ProgressValue } : unknown
    case 'take-over': return are(['takeOverId', 'ownerName'], isText) ? { kind, value: value as unknown as { takeOverId: string, ownerName: string } } : unknown
    case 'closed': return are(['rows', 'bytes'], isWhole) && are(['file', 'sha256', 'ownerName'], isText) && isFileName(value['file']) ? { kind, segment: Number(first), value: value as unknown as ClosedValue } : unknown
    case 'stream': return are(['appliedSeq', 'archivedSeq'], isWhole) ? { kind, streamId: first, value: value as unknown as StreamValue } : unknown
    case 'tally': return are(['billable', 'notBillable', 'deadLettered', 'voided'], isWhole) && isText(value['gatewayId']) && second !== '' ? { kind, streamId: first, hour: Number(second), value: value as unknown as TallyValue } : unknown
    case 'void': return isWhole(value['prevSeq']) && are(['gatewayId', 'reason'], isText) && Array.isArray(value['hours']) ? { kind, streamId: first, lastSeq: Number(second), value: value as unknown as VoidRowValue } : unknown
    default: return unknown
  }
}

function isWhole (value: unknown): boolean { return Number.isSafeInteger(value) && (value as number) >= 0 }
function isText (value: unknown): boolean { return typeof value === 'string' }
/** A name and no path: it is looked for in one folder. */
function isFileName (value: unknown): boolean { return typeof value === 'string' && /^[A-Za-z0-9=_.-]{1,200}$/.test(value) && !value.startsWith('.') }
