// Records of the topic gateway-progress: what each gateway says of its streams and hours. One partition, compacted.
//
//   gatewayId|streamId         a mark: hello (`open`, the stream's beginning), then the watermark with the seqs that it covers
//   gatewayId|streamId|hour    the account of one hour of the stream, absolute
//   gatewayId                  an operator has retired the gateway; it answers no more under that name
//
// A gateway has one stream an opening of its journal, so a clone of a journal that runs too says what is its own.
import type { RecordIn, RecordOut } from '../kafka/port.ts'
import type { HourMark, Mark } from './port.ts'

export interface StreamMark extends Omit<Mark, 'kind' | 'hours'> {
  /** The last seq up to `seq` by partition, as far as the gateway knows; what isn't named was counted and archived before. */
  readonly lastSeqs: readonly (readonly [partition: number, lastSeq: number])[]
}

export interface StreamHourMark extends HourMark { readonly gatewayId: string, readonly streamId: string }

export interface Retirement {
  readonly gatewayId: string
  readonly atMs: number
  readonly reason: string
  /** What it may have journaled and not shipped is given up. */
  readonly isLost: boolean
}

export type GatewayStatement =
  | ({ readonly kind: 'mark' } & StreamMark)
  | ({ readonly kind: 'hour' } & StreamHourMark)
  | ({ readonly kind: 'retired' } & Retirement)

export function encodeMark ({ gatewayId, streamId, ...mark }: StreamMark): RecordOut {
  return { key: `${gatewayId}|${streamId}`, value: JSON.stringify({ schemaVersion: 1, ...mark }) }
}

export function encodeHourMark ({ gatewayId, streamId, hour, answered, journaled, countedOnly, recovered }: StreamHourMark): RecordOut {
  return { key: `${gatewayId}|${streamId}|${hour}`, value: JSON.stringify({ schemaVersion: 1, answered, journaled, countedOnly, recovered }) }
}

export function encodeRetirement ({ gatewayId, atMs, reason, isLost }: Retirement): RecordOut {
  return { key: gatewayId, value: JSON.stringify({ schemaVersion: 1, atMs, reason, isLost }) }
}

const keyPattern = /^([A-Za-z0-9._-]{1,128})(?:\|([0-9a-f-]{36})(?:\|(\d{1,9}))?)?$/

/** Undefined for a record that is none of ours. */
export function parseGatewayStatement ({ key, value }: RecordIn): GatewayStatement | undefined {
  const match = keyPattern.exec(key ?? '')
  if (match === null || value === undefined) return undefined
  const [, gatewayId = '', streamId, hour] = match
  let parsed: unknown
  try { parsed = JSON.parse(value.toString()) } catch { return undefined }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const fields = parsed as Readonly<Record<string, unknown>>
  if (streamId === undefined) return retirementOf(gatewayId, fields)
  return hour === undefined ? markOf(gatewayId, streamId, fields) : hourOf(gatewayId, streamId, Number(hour), fields)
}

function markOf (gatewayId: string, streamId: string, { seq, watermarkMs, state, lastSeqs }: Readonly<Record<string, unknown>>): GatewayStatement | undefined {
  if (!isWhole(seq) || !isWhole(watermarkMs) || (state !== 'open' && state !== 'closed' && state !== 'recovered') || !Array.isArray(lastSeqs)) return undefined
  const pairs = lastSeqs.filter((pair): pair is [number, number] => Array.isArray(pair) && pair.length === 2 && pair.every(isWhole))
  return pairs.length === lastSeqs.length ? { kind: 'mark', gatewayId, streamId, seq, watermarkMs, state, lastSeqs: pairs } : undefined
}

function hourOf (gatewayId: string, streamId: string, hour: number, { answered, journaled, countedOnly, recovered }: Readonly<Record<string, unknown>>): GatewayStatement | undefined {
  if (!isWhole(answered) || !isWhole(journaled) || !isWhole(countedOnly) || !isWhole(recovered)) return undefined
  return { kind: 'hour', gatewayId, streamId, hour, answered, journaled, countedOnly, recovered }
}

function retirementOf (gatewayId: string, { atMs, reason, isLost }: Readonly<Record<string, unknown>>): GatewayStatement | undefined {
  return isWhole(atMs) && typeof reason === 'string' && typeof isLost === 'boolean' ? { kind: 'retired', gatewayId, atMs, reason, isLost } : undefined
}

function isWhole (value: unknown): value is number { return Number.isSafeInteger(value) && (value as number) >= 0 }
