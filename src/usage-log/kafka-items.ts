// Records of the topic api-usage-trace as items of the usage log. Every record that has an identity keeps its place in its
// chain, whatever its value is: one that can't become a line of NDJSON is represented by a placeholder, which the aggregator
// reads, can't count, and sets aside with its reason. A record without an identity has no place in any chain: a stray.
// Streams are put together each by itself, because only the order within a stream means anything. Pure.
import { parseTimeMs, hourOf } from '../domain/window.ts'
import type { RecordIn } from '../kafka/port.ts'
import { usageHeaders } from './kafka-record.ts'
import type { EventRun, HourCount, RecordOrigin, UsageLogItem, VoidRun } from './port.ts'

/** A record that nobody's stream can be told of. */
export interface Stray { readonly reason: string, readonly record: RecordIn }

export interface KafkaItems { readonly items: readonly UsageLogItem[], readonly strays: readonly Stray[] }

/** No event comes near it: see `eventBytesMax`. */
export const valueBytesMax = 64 * 1024

interface Identity { readonly streamId: string, readonly seq: number, readonly prevSeq: number }
type Named = Identity & { readonly isVoid: boolean }

interface OpenRun extends Identity { readonly records: RecordIn[], readonly problems: Map<number, string>, readonly seqs: number[], bytes: number }

const lineFeed = 0x0a
const space = 0x20
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const gatewayName = /^[A-Za-z0-9._-]{1,128}$/

export function itemsOf (records: readonly RecordIn[]): KafkaItems {
  const strays: Stray[] = []
  const items: UsageLogItem[] = []
  const open = new Map<string, OpenRun>()
  const end = (streamId: string): void => {
    const run = open.get(streamId)
    if (run !== undefined) items.push(runOf(run))
    open.delete(streamId)
  }
  let known: string | undefined
  for (const record of records) {
    const named = identityOf(record, known)
    if (named === undefined) {
      strays.push({ reason: 'no-identity: neither headers nor value name a stream and a place in it', record })
      continue
    }
    const { streamId, seq, prevSeq, isVoid } = named
    known = streamId
    if (isVoid) {
      end(streamId)
      items.push(voidOf(record, named))
      continue
    }
    const before = open.get(streamId)
    if (before !== undefined && before.seqs.at(-1) === prevSeq) {
      addTo(before, record, seq)
      continue
    }
    end(streamId)
    const run: OpenRun = { streamId, seq, prevSeq, records: [], problems: new Map(), seqs: [], bytes: 0 }
    addTo(run, record, seq)
    open.set(streamId, run)
  }
  for (const streamId of [...open.keys()]) end(streamId)
  return { items, strays }
}

/** The headers' identity, or the value's where the headers have none. @param known a streamId that was looked at before */
function identityOf ({ headers, value }: RecordIn, known: string | undefined): Named | undefined {
  const said = identity(headers.get(usageHeaders.streamId), Number(headers.get(usageHeaders.seq)), Number(headers.get(usageHeaders.prevSeq) ?? NaN), known)
  if (said !== undefined) return { ...said, isVoid: headers.get(usageHeaders.kind) === 'void' }
  if (value === undefined || value.length > valueBytesMax) return undefined
  const { streamId, seq, prevSeq, kind } = fieldsOf(value)
  const written = identity(streamId, seq, prevSeq)
  return written === undefined ? undefined : { ...written, isVoid: kind === 'void' }
}

function identity (streamId: unknown, seq: unknown, prevSeq: unknown, known?: string): Identity | undefined {
  if (typeof streamId !== 'string' || (streamId !== known && !uuid.test(streamId)) || !isWhole(seq) || !isWhole(prevSeq) || prevSeq >= seq) return undefined
  return { streamId, seq, prevSeq }
}

function isWhole (value: unknown): value is number { return Number.isSafeInteger(value) && (value as number) >= 0 }

function fieldsOf (value: Buffer): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(value.toString())
    return typeof parsed === 'object' && parsed !== null ? parsed as Readonly<Record<string, unknown>> : {}
  } catch {
    return {}
  }
}

function addTo (run: OpenRun, record: RecordIn, seq: number): void {
  const problem = problemOf(record.value)
  if (problem !== undefined) run.problems.set(seq, problem)
  run.records.push(record)
  run.seqs.push(seq)
  run.bytes += (problem === undefined ? (record.value as Buffer).length : placeholder.length) + 1
}

/** Why a value can't even be looked at as a line. */
function problemOf (value: Buffer | undefined): string | undefined {
  if (value === undefined) return 'record: no value'
  if (value.length === 0) return 'record: an empty value'
  return value.length > valueBytesMax ? `record: ${value.length} bytes, and no event has more than ${valueBytesMax}` : undefined
}

/** Never shown: the reason is, and the record itself is kept. */
const placeholder = Buffer.from('-')

function runOf ({ streamId, prevSeq, records, problems, seqs, bytes }: OpenRun): EventRun {
  const ndjson = Buffer.allocUnsafeSlow(bytes)
  let at = 0
  for (const [index, { value }] of records.entries()) {
    const line = problems.size > 0 && problems.has(seqs[index] as number) ? placeholder : value as Buffer
    line.copy(ndjson, at)
    if (line.includes(lineFeed)) withoutLineFeeds(ndjson.subarray(at, at + line.length))
    at += line.length
    ndjson[at++] = lineFeed
  }
  const [first] = records as [RecordIn]
  return {
    kind: 'events',
    streamId,
    prevSeq,
    firstSeq: seqs[0] as number,
    lastSeq: seqs.at(-1) as number,
    count: records.length,
    ndjson,
    isEncoded: false,
    origin: {
      loggedAtMs: first.timestampMs,
      recordOf: (seq) => {
        const record = records[placeOf(seqs, seq)]
        return record === undefined ? undefined : originOf(record, problems.get(seq))
      }
    }
  }
}

/** JSON of several lines says the same with spaces; a text with a line feed in it is no JSON either way. */
function withoutLineFeeds (line: Buffer): void {
  for (let at = line.indexOf(lineFeed); at >= 0; at = line.indexOf(lineFeed, at)) line[at] = space
}

/** -1 where it isn't. @param seqs rising */
function placeOf (seqs: readonly number[], seq: number): number {
  let [low, high] = [0, seqs.length - 1]
  while (low <= high) {
    const middle = (low + high) >>> 1
    const found = seqs[middle] as number
    if (found === seq) return middle
    if (found < seq) low = middle + 1
    else high = middle - 1
  }
  return -1
}

export function originOf ({ offset, timestampMs, key, value, headers }: RecordIn, problem?: string): RecordOrigin {
  const gatewayId = headers.get(usageHeaders.gatewayId)
  return {
    offset,
    loggedAtMs: timestampMs,
    requestTimeMs: parseTimeMs(headers.get(usageHeaders.requestTime) ?? ''),
    gatewayId: gatewayId !== undefined && gatewayName.test(gatewayId) ? gatewayId : undefined,
    problem,
    key,
    value,
    headers
  }
}

/** A void whose value can't be read still takes its place; what it lost is uncertain then. */
function voidOf (record: RecordIn, { streamId, seq, prevSeq }: Identity): VoidRun {
  const { gatewayId, reason, hours, isHoursUncertain } = fieldsOf(record.value ?? Buffer.alloc(0))
  const lost = hoursOf(hours)
  const isReadable = lost !== undefined && typeof reason === 'string'
  return {
    kind: 'void',
    streamId,
    gatewayId: typeof gatewayId === 'string' && gatewayName.test(gatewayId) ? gatewayId : originOf(record).gatewayId ?? 'unknown',
    prevSeq,
    lastSeq: seq,
    reason: isReadable ? reason : 'the record of the void can\'t be read',
    hours: isReadable ? lost : [{ hour: hourOf(record.timestampMs), count: 0 }],
    isHoursUncertain: isReadable ? isHoursUncertain === true : true
  }
}

function hoursOf (hours: unknown): HourCount[] | undefined {
  if (!Array.isArray(hours)) return undefined
  const counts = hours.flatMap((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isWhole) ? [{ hour: pair[0] as number, count: pair[1] as number }] : [])
  return counts.length === hours.length ? counts : undefined
}
