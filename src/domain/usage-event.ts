// One answered request, as it is stored, shipped and billed. Field names and meaning: docs of the topic api-usage-trace.
import { boundedJsonText } from './json-text.ts'
import { formatTimeMs, parseTimeMs } from './window.ts'

export const gradeTypes = ['GRADE_FREE', 'GRADE_CLASSIC', 'GRADE_PREMIUM'] as const
export type GradeType = typeof gradeTypes[number]

export const eventSchemaVersion = 1

/**
 * Times are milliseconds since the epoch here and text in the JSON. Absent fields are left out of the JSON.
 * `streamId`, `seq` and `prevSeq` are added by the journal when it commits the event.
 */
export interface UsageEvent {
  readonly eventId: string
  readonly requestTimeMs: number
  readonly responseTimeMs: number
  readonly requestProtocol: string
  readonly requestMethod: string
  /** Path alone: no scheme, host, query. */
  readonly requestUri: string
  readonly responseStatus: number
  /** G0001… when the gateway made the answer itself. */
  readonly errorCode?: string
  readonly clientIp?: string
  readonly clientAgent?: string
  readonly apiKeyId?: number
  readonly memberId?: number
  readonly memberGrade?: GradeType
  readonly traceId: string
  /** W3C: as the upstream got it. Events of older versions have none. */
  readonly traceparent?: string
  readonly routeId: string
  /** 0: no endpoint of the price book matched. */
  readonly apiEndpointId: number
  readonly gatewayId: string
  readonly requestBytes: number
  readonly responseBytes: number
  /** Whole milliseconds in the JSON. Present exactly when an upstream answered. */
  readonly upstreamLatencyMs?: number
  /** Whole units, 0 to `unitsMax`. */
  readonly units: number
}

/** Where the journal put an event: its identity for ever, and the seq before it in the same stream and partition. */
export interface ChainPosition { readonly streamId: string, readonly seq: number, readonly prevSeq: number }

/**
 * The one rule of what costs money: a member's key was known, an upstream answered, and the answer is not a failure.
 * An upstream's 4xx is billable; a 499 made by the gateway is not, because no upstream answered it.
 */
export function isBillable (event: Pick<UsageEvent, 'memberId' | 'apiKeyId' | 'errorCode' | 'responseStatus' | 'upstreamLatencyMs'>): boolean {
  return event.memberId !== undefined && event.apiKeyId !== undefined && event.errorCode === undefined &&
    event.responseStatus < 500 && event.upstreamLatencyMs !== undefined
}

/** The most units that one request may cost: with it the units of an hour stay exact in a JavaScript number. */
export const unitsMax = 1_000_000_000

/** Bytes of UTF-8 that each text may take between its quotes; what is longer is cut. */
export const eventTextBytesMax = {
  eventId: 36, requestProtocol: 16, requestMethod: 32, requestUri: 2048, errorCode: 16, clientIp: 64, clientAgent: 512,
  memberGrade: 16, traceId: 64, traceparent: 55, routeId: 64, gatewayId: 128, streamId: 36
} as const

/** Every field at its largest: the longest event that the encoder can write, in bytes, without the chain that the journal appends. */
export const eventBytesMax = largestEventBytes()

/** `,"streamId":"…","seq":N,"prevSeq":M}` and the line's end, at the largest. */
export const eventChainBytesMax = Buffer.byteLength(`,"streamId":"${'x'.repeat(eventTextBytesMax.streamId)}","seq":${Number.MAX_SAFE_INTEGER},"prevSeq":${Number.MAX_SAFE_INTEGER}}\n`)

/** `boundedJsonText` of a field that is mostly what it was the last time. */
function repeatedText (bytesMax: number): (text: string) => string {
  let last = ''
  let json = '""'
  return (text) => {
    if (text !== last) {
      json = boundedJsonText(text, bytesMax)
      last = text
    }
    return json
  }
}

const repeated = {
  requestProtocol: repeatedText(eventTextBytesMax.requestProtocol),
  requestMethod: repeatedText(eventTextBytesMax.requestMethod),
  clientIp: repeatedText(eventTextBytesMax.clientIp),
  clientAgent: repeatedText(eventTextBytesMax.clientAgent),
  routeId: repeatedText(eventTextBytesMax.routeId),
  gatewayId: repeatedText(eventTextBytesMax.gatewayId)
}

/**
 * The event as JSON without its closing brace; the journal appends the chain. Fields in a fixed order, at most
 * `eventBytesMax` bytes of UTF-8, no line break.
 * @throws RangeError when a number is not what the field allows: a programmer's error, nothing a client can cause
 */
export function encodeUsageEvent (event: UsageEvent): string {
  const max = eventTextBytesMax
  let json = '{"eventId":' + boundedJsonText(event.eventId, max.eventId) +
    ',"requestTime":"' + formatTimeMs(event.requestTimeMs) +
    '","responseTime":"' + formatTimeMs(event.responseTimeMs) +
    '","requestProtocol":' + repeated.requestProtocol(event.requestProtocol) +
    ',"requestMethod":' + repeated.requestMethod(event.requestMethod) +
    ',"requestUri":' + boundedJsonText(event.requestUri, max.requestUri) +
    ',"responseStatus":' + digits('responseStatus', event.responseStatus, 999)
  if (isText(event.errorCode)) json += ',"errorCode":' + boundedJsonText(event.errorCode, max.errorCode)
  if (isText(event.clientIp)) json += ',"clientIp":' + repeated.clientIp(event.clientIp)
  if (isText(event.clientAgent)) json += ',"clientAgent":' + repeated.clientAgent(event.clientAgent)
  if (event.apiKeyId !== undefined) json += ',"apiKeyId":' + digits('apiKeyId', event.apiKeyId)
  if (event.memberId !== undefined) json += ',"memberId":' + digits('memberId', event.memberId)
  if (event.memberGrade !== undefined) json += ',"memberGrade":"' + event.memberGrade + '"'
  json += ',"traceId":' + boundedJsonText(event.traceId, max.traceId)
  if (isText(event.traceparent)) json += ',"traceparent":' + boundedJsonText(event.traceparent, max.traceparent)
  json += ',"routeId":' + repeated.routeId(event.routeId) +
    ',"apiEndpointId":' + digits('apiEndpointId', event.apiEndpointId) +
    ',"gatewayId":' + repeated.gatewayId(event.gatewayId) +
    ',"requestBytes":' + digits('requestBytes', event.requestBytes) +
    ',"responseBytes":' + digits('responseBytes', event.responseBytes)
  if (event.upstreamLatencyMs !== undefined) json += ',"upstreamLatencyMs":' + digits('upstreamLatencyMs', Math.round(event.upstreamLatencyMs))
  return json + ',"units":' + digits('units', event.units, unitsMax) + ',"schemaVersion":' + eventSchemaVersion
}

function isText (text: string | undefined): text is string { return text !== undefined && text !== '' }

function digits (field: string, value: number, max = Number.MAX_SAFE_INTEGER): string {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) throw new RangeError(`usage event: ${field} can't be ${value}`)
  return '' + value
}

function largestEventBytes (): number {
  const texts = Object.entries(eventTextBytesMax).filter(([field]) => field !== 'streamId')
  const times = ['requestTime', 'responseTime'].map((field) => [field, 24] as const)
  const numbers = ['apiKeyId', 'memberId', 'apiEndpointId', 'requestBytes', 'responseBytes', 'upstreamLatencyMs', 'units', 'schemaVersion', 'responseStatus']
  // A comma or brace, the field's name in quotes, a colon; then the value, a text in its quotes.
  const bytes = (field: string, valueBytes: number): number => 1 + field.length + 2 + 1 + valueBytes
  return [...texts, ...times].reduce((sum, [field, textBytes]) => sum + bytes(field, textBytes + 2), 0) +
    numbers.reduce((sum, field) => sum + bytes(field, String(Number.MAX_SAFE_INTEGER).length), 0)
}

/** Undefined, or what is wrong with a present value. */
type FieldCheck = (value: unknown) => string | undefined

const textOf = (bytesMax: number): FieldCheck => (value) => {
  if (typeof value !== 'string') return 'not a text'
  if (value === '') return 'empty'
  return Buffer.byteLength(value) > bytesMax ? `longer than ${bytesMax} bytes` : undefined
}
const integerOf = (min: number, max = Number.MAX_SAFE_INTEGER): FieldCheck => (value) =>
  Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max ? undefined : `not an integer from ${min} to ${max}`
const patternOf = (pattern: RegExp, meaning: string): FieldCheck => (value) =>
  typeof value === 'string' && pattern.test(value) ? undefined : `not ${meaning}`
const time: FieldCheck = (value) => typeof value === 'string' && parseTimeMs(value) !== undefined ? undefined : 'not a time'
const uuid = patternOf(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'a UUID')

/** Identity first: a record without one is none of ours, whatever else it lacks. */
const fieldChecks: readonly (readonly [field: string, isRequired: boolean, check: FieldCheck])[] = [
  ['streamId', true, uuid],
  ['seq', true, integerOf(1)],
  ['prevSeq', true, integerOf(0)],
  ['gatewayId', true, textOf(eventTextBytesMax.gatewayId)],
  ['schemaVersion', true, integerOf(1)],
  ['eventId', true, uuid],
  ['requestTime', true, time],
  ['responseTime', true, time],
  ['requestProtocol', true, textOf(eventTextBytesMax.requestProtocol)],
  ['requestMethod', true, textOf(eventTextBytesMax.requestMethod)],
  ['requestUri', true, textOf(eventTextBytesMax.requestUri)],
  ['responseStatus', true, integerOf(100, 999)],
  ['errorCode', false, textOf(eventTextBytesMax.errorCode)],
  ['clientIp', false, textOf(eventTextBytesMax.clientIp)],
  ['clientAgent', false, textOf(eventTextBytesMax.clientAgent)],
  ['apiKeyId', false, integerOf(0)],
  ['memberId', false, integerOf(0)],
  ['memberGrade', false, patternOf(new RegExp(`^(${gradeTypes.join('|')})$`), 'a grade')],
  ['traceId', true, textOf(eventTextBytesMax.traceId)],
  ['traceparent', false, patternOf(/^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/, 'a traceparent')],
  ['routeId', true, textOf(eventTextBytesMax.routeId)],
  ['apiEndpointId', true, integerOf(0)],
  ['requestBytes', true, integerOf(0)],
  ['responseBytes', true, integerOf(0)],
  ['upstreamLatencyMs', false, integerOf(0)],
  ['units', true, integerOf(0, unitsMax)]
]

/**
 * Reads one line of a usage log, strictly. Fields that this version doesn't know are ignored and dropped, so a line of a
 * newer version is read and a token that someone put into `apiKey` goes no further.
 * @returns the event, or the first bad field and what is wrong with it, such as `seq: not an integer from 1 to …`
 */
export function parseUsageEvent (line: string): { readonly event: UsageEvent & ChainPosition } | { readonly problem: string } {
  let json: unknown
  try { json = JSON.parse(line) } catch { return { problem: 'line: not JSON' } }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return { problem: 'line: not an object' }
  const record = json as Record<string, unknown>
  for (const [field, isRequired, check] of fieldChecks) {
    const value = Object.hasOwn(record, field) ? record[field] : undefined
    if (value === undefined && !isRequired) continue
    const problem = value === undefined ? 'missing' : check(value)
    if (problem !== undefined) return { problem: `${field}: ${problem}` }
  }
  if ((record['prevSeq'] as number) >= (record['seq'] as number)) return { problem: 'prevSeq: not below seq' }
  return { event: eventOf(record) }
}

/** @param record every field of which has been checked */
function eventOf (record: Readonly<Record<string, unknown>>): UsageEvent & ChainPosition {
  const event: Record<string, unknown> = {
    requestTimeMs: parseTimeMs(record['requestTime'] as string), responseTimeMs: parseTimeMs(record['responseTime'] as string)
  }
  for (const [field] of fieldChecks) {
    if (field === 'requestTime' || field === 'responseTime' || field === 'schemaVersion') continue
    if (record[field] !== undefined) event[field] = record[field]
  }
  return event as unknown as UsageEvent & ChainPosition
}
