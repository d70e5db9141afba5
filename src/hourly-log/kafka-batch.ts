// Cuts what was read of the topic into steps of the fold. Pure. A step has at most one closed segment, at its beginning,
// and rows of one segment; what can't be read is set aside and stops nothing.
import type { RecordIn } from '../kafka/port.ts'
import { hourlySchemaVersion, parseHourlyRecord } from './kafka-record.ts'
import type { ClosedValue, HourlyRecord, RowKey } from './kafka-record.ts'
import type { HourlyAccount } from './port.ts'

export interface MalformedRecord { readonly partition: number, readonly record: RecordIn, readonly problem: string }

export interface CutBatch {
  /** Stands before the rows. */
  readonly closed: { readonly segment: number, readonly value: ClosedValue } | undefined
  /** A JSON object a line, each key once. */
  readonly rowsNdjson: string
  readonly account: HourlyAccount
  readonly malformed: readonly MalformedRecord[]
  /** How many of the records are in it; the others are for the next one. */
  readonly taken: number
}

interface HourCount { readonly hour: number }
type Statements = { readonly [Kind in 'streams' | 'tallies' | 'uncertainVoids']: Map<string, HourlyAccount[Kind][number]> }

const deadLetterBytesMax = 64 * 1024

/** As a record of the dead-letter topic: what it was and where, so that it can be put right by hand. The value in base64. */
export function deadLetterValue (topic: string, { partition, record, problem }: MalformedRecord): string {
  const value = record.value?.subarray(0, deadLetterBytesMax).toString('base64') ?? null
  return JSON.stringify({ schemaVersion: 1, topic, partition, offset: record.offset, problem, key: record.key?.slice(0, 1024) ?? null, value })
}

/** @param records in topic order, at least one */
export function cutBatch (records: readonly RecordIn[], partition: number): CutBatch {
  const rows = new Map<string, string>()
  const statements: Statements = { streams: new Map(), tallies: new Map(), uncertainVoids: new Map() }
  const malformed: MalformedRecord[] = []
  let closed: CutBatch['closed']
  let segment: number | undefined
  let progress: HourlyAccount['progress']
  let taken = 0
  for (const record of records) {
    const parsed = parseHourlyRecord(record, partition)
    if (!('problem' in parsed)) {
      if (parsed.kind === 'closed' && taken > 0) break
      if (parsed.kind === 'row' && segment !== undefined && parsed.key.segment > segment) break
    }
    taken++
    if ('problem' in parsed) malformed.push({ partition, record, problem: parsed.problem })
    else if (parsed.kind === 'tally' && !isHour(parsed.hour)) malformed.push({ partition, record, problem: `${parsed.hour} is no hour` })
    else if (parsed.kind === 'closed') closed = { segment: parsed.segment, value: parsed.value }
    else if (parsed.kind === 'progress') progress = progressOf(parsed.value)
    else if (parsed.kind !== 'row') addStatement(statements, parsed)
    // A tombstone's segment is closed, and a row of an earlier segment than one that was seen is what is left of a closed one.
    else if (parsed.value !== undefined && parsed.key.segment >= (segment ?? (closed?.segment ?? -1) + 1)) {
      const line = rowLine(parsed.key, parsed.value)
      if (typeof line !== 'string') malformed.push({ partition, record, ...line })
      else {
        segment = parsed.key.segment
        rows.set(record.key as string, line)
      }
    }
  }
  const account = { segment, streams: [...statements.streams.values()], tallies: [...statements.tallies.values()], uncertainVoids: [...statements.uncertainVoids.values()], progress }
  return { closed, rowsNdjson: [...rows.values()].join('\n'), account, malformed, taken }
}

function progressOf ({ historyId, term, revision, ownerName }: NonNullable<HourlyAccount['progress']>): NonNullable<HourlyAccount['progress']> {
  return { historyId, term, revision, ownerName }
}

function addStatement ({ streams, tallies, uncertainVoids }: Statements, record: Exclude<HourlyRecord, { readonly kind: 'row' | 'closed' | 'progress' }>): void {
  switch (record.kind) {
    case 'take-over': break
    case 'stream': {
      const { gatewayId, appliedSeq, archivedSeq } = record.value
      streams.set(record.streamId, { streamId: record.streamId, gatewayId: typeof gatewayId === 'string' ? gatewayId : null, appliedSeq, archivedSeq })
      break
    }
    case 'tally': {
      const { gatewayId, billable, notBillable, deadLettered, voided } = record.value
      tallies.set(`${record.streamId} ${record.hour}`, { streamId: record.streamId, hour: record.hour, gatewayId, billable, notBillable, deadLettered, voided })
      break
    }
    case 'void': {
      const { gatewayId, hours, isHoursUncertain } = record.value
      const named = hours.flatMap((each: Partial<HourCount> | null) => isHour(each?.hour) ? [each?.hour as number] : [])
      if (isHoursUncertain) uncertainVoids.set(`${record.streamId} ${record.lastSeq}`, { streamId: record.streamId, lastSeq: record.lastSeq, gatewayId, hours: named })
      break
    }
  }
}

/** As in a row's key: a column of 32 bits holds it. */
function isHour (value: unknown): boolean { return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < 1_000_000_000 }

const unitsPattern = /"units"\s*:\s*(\d{1,19})\s*[,}]/
const int64Max = 2n ** 63n - 1n

const identity = ['segment', 'apiEndpointId', 'memberId', 'apiKeyId', 'hour'] as const satisfies readonly (keyof RowKey)[]
const counts = ['count', 'errorCount', 'requestBytes', 'responseBytes'] as const

/** The row as the ledger reads it. Units may be beyond what a number of JavaScript holds, so their digits are taken as they stand. */
function rowLine (key: RowKey, value: Buffer): string | { readonly problem: string } {
  const text = value.toString()
  let parsed: unknown
  try { parsed = JSON.parse(text) } catch { return { problem: 'the row is not JSON' } }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return { problem: 'the row is not an object' }
  const row = parsed as Readonly<Record<string, unknown>>
  if (row['schemaVersion'] !== hourlySchemaVersion) return { problem: `the row has schemaVersion ${JSON.stringify(row['schemaVersion'])}, not ${hourlySchemaVersion}` }
  if (row['sourcePartition'] !== key.partition) return { problem: `sourcePartition is ${key.partition} in the key and ${JSON.stringify(row['sourcePartition'])} in the row` }
  const other = identity.find((name) => row[name] !== key[name])
  if (other !== undefined) return { problem: `${other} is ${key[other]} in the key and ${JSON.stringify(row[other])} in the row` }
  const wrong = counts.find((name) => !Number.isSafeInteger(row[name]) || (row[name] as number) < 0)
  if (wrong !== undefined) return { problem: `${wrong} is ${JSON.stringify(row[wrong])}` }
  const units = typeof row['units'] === 'number' ? unitsPattern.exec(text)?.[1] : undefined
  if (units === undefined || BigInt(units) > int64Max) return { problem: `units is ${JSON.stringify(row['units'])}` }
  const { memberId, apiKeyId, hour, apiEndpointId } = key
  const [count, errorCount, requestBytes, responseBytes] = counts.map((name) => row[name] as number)
  return `{"memberId":${memberId},"apiKeyId":${apiKeyId},"hour":${hour},"apiEndpointId":${apiEndpointId},"count":${count},"units":${units},"errorCount":${errorCount},"requestBytes":${requestBytes},"responseBytes":${responseBytes}}`
}
