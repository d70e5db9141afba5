// The event codec: what is written is read back, is bounded, and stays one line, whatever a client sent.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeUsageEvent, eventBytesMax, eventChainBytesMax, eventTextBytesMax, gradeTypes, parseUsageEvent, unitsMax } from '../../src/domain/usage-event.ts'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import { timeMsMax } from '../../src/domain/window.ts'
import { assertHoldsAndKills } from '../helpers/mutants.ts'

/** UTF-16 as it may come: well formed or not, with controls, quotes and the line ends of Unicode. */
const character = fc.oneof({ weight: 6, arbitrary: fc.constantFrom('a', 'Z', '0', '/', ' ', '~') }, { weight: 2, arbitrary: fc.constantFrom('"', '\\', '\n', '\r', '\t', '\0', '\u0001', '\u001f', '\u007f', '\u2028', '\u00e9', '\ud83d\ude00', '\ud83d', '\ude00', '\uffff', '\ufeff') }, { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }) })
const textUpTo = (most: number) => fc.oneof(fc.array(character, { minLength: 1, maxLength: 30 }).map((parts) => parts.join('')), fc.tuple(character, fc.integer({ min: 1, max: most * 2 })).map(([each, times]) => each.repeat(times)))
const count = fc.oneof(fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER), fc.nat())
const time = fc.integer({ min: 0, max: timeMsMax })
const event: fc.Arbitrary<UsageEvent> = fc.record({
  eventId: fc.uuid(),
  requestTimeMs: time,
  responseTimeMs: time,
  requestProtocol: fc.constantFrom('HTTP/1.1', 'HTTP/2'),
  requestMethod: textUpTo(eventTextBytesMax.requestMethod),
  requestUri: textUpTo(eventTextBytesMax.requestUri),
  responseStatus: fc.integer({ min: 100, max: 999 }),
  errorCode: fc.constantFrom('G0001', 'G0008'),
  clientIp: fc.ipV6(),
  clientAgent: textUpTo(eventTextBytesMax.clientAgent),
  apiKeyId: count,
  memberId: count,
  memberGrade: fc.constantFrom(...gradeTypes),
  traceId: textUpTo(eventTextBytesMax.traceId),
  routeId: textUpTo(eventTextBytesMax.routeId),
  apiEndpointId: count,
  gatewayId: textUpTo(eventTextBytesMax.gatewayId),
  requestBytes: count,
  responseBytes: count,
  upstreamLatencyMs: fc.nat(),
  units: fc.integer({ min: 0, max: unitsMax })
}, { requiredKeys: ['eventId', 'requestTimeMs', 'responseTimeMs', 'requestProtocol', 'requestMethod', 'requestUri', 'responseStatus', 'traceId', 'routeId', 'apiEndpointId', 'gatewayId', 'requestBytes', 'responseBytes', 'units'] })
const chain = fc.record({ streamId: fc.uuid(), seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }) }).map(({ streamId, seq }) => ({ streamId, seq, prevSeq: seq - 1 }))

/** What a reader must get: texts well formed, without NUL, and cut at a character where their JSON got too long. */
function expected (text: string, bytesMax: number): string {
  let kept = ''
  for (const each of text.toWellFormed().replaceAll('\0', '\ufffd')) {
    if (Buffer.byteLength(JSON.stringify(kept + each)) - 2 > bytesMax) break
    kept += each
  }
  return kept
}
const textFields = ['requestMethod', 'requestUri', 'clientAgent', 'traceId', 'routeId', 'gatewayId'] as const

type Encode = (event: UsageEvent) => string
const lengthMutant = (bytes: number): Encode => (given) => encodeUsageEvent({ ...given, clientAgent: (given.clientAgent ?? '').slice(0, bytes) })

test('an event is one bounded line, and is read back as it was', () => {
  assertHoldsAndKills<Encode>(
    (encode) => fc.property(event, chain, (given, { streamId, seq, prevSeq }) => {
      const json = encode(given)
      assert.ok(Buffer.byteLength(json) <= eventBytesMax)
      assert.ok(!/[\n\r]/.test(json) && json.isWellFormed())
      const tail = `,"streamId":"${streamId}","seq":${seq},"prevSeq":${prevSeq}}`
      assert.ok(Buffer.byteLength(tail) + 1 <= eventChainBytesMax)
      const parsed = parseUsageEvent(json + tail)
      assert.ok('event' in parsed, JSON.stringify(parsed))
      const wanted: Record<string, unknown> = { ...given, streamId, seq, prevSeq }
      for (const field of textFields) if (given[field] !== undefined) wanted[field] = expected(given[field], eventTextBytesMax[field])
      assert.deepEqual(parsed.event, wanted)
      const { streamId: _stream, seq: _seq, prevSeq: _prev, ...again } = parsed.event
      assert.equal(encodeUsageEvent(again), json, 'written again it is the same')
    }),
    encodeUsageEvent,
    {
      'JSON.stringify alone': (given) => JSON.stringify({ ...given, requestTime: new Date(given.requestTimeMs).toISOString(), responseTime: new Date(given.responseTimeMs).toISOString(), schemaVersion: 1 }).slice(0, -1),
      'agent without escapes': (given) => encodeUsageEvent({ ...given, clientAgent: '' }) + (given.clientAgent === undefined ? '' : `,"clientAgent":"${given.clientAgent.replaceAll('"', '\\"')}"`),
      'agent cut too early': lengthMutant(eventTextBytesMax.clientAgent - 1),
      'agent not bounded': (given) => encodeUsageEvent({ ...given, clientAgent: '' }) + (given.clientAgent === undefined ? '' : `,"clientAgent":${JSON.stringify(given.clientAgent.toWellFormed().replaceAll('\0', '\ufffd'))}`),
      'zeros left out as if empty': (given) => encodeUsageEvent(given).replace(',"apiKeyId":0,', ','),
      'member and key exchanged': (given) => given.memberId === undefined || given.apiKeyId === undefined ? encodeUsageEvent(given) : encodeUsageEvent({ ...given, memberId: given.apiKeyId, apiKeyId: given.memberId }),
      'response time in place of request time': (given) => encodeUsageEvent({ ...given, requestTimeMs: given.responseTimeMs })
    }
  )
})

test('a damaged line is never read as another event', () => {
  const line = fc.tuple(event, chain).map(([given, { streamId, seq, prevSeq }]) => `${encodeUsageEvent(given)},"streamId":"${streamId}","seq":${seq},"prevSeq":${prevSeq}}`)
  fc.assert(fc.property(line, fc.nat(), (text, at) => {
    const cut = parseUsageEvent(text.slice(0, at % text.length))
    assert.ok('problem' in cut)
  }), { numRuns: 200 })
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (text) => { assert.ok('problem' in parseUsageEvent(text)) }), { numRuns: 200 })
})
