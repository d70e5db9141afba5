import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeUsageEvent, eventBytesMax, eventChainBytesMax, eventTextBytesMax, isBillable, parseUsageEvent, unitsMax } from '../../../src/domain/usage-event.ts'
import type { UsageEvent } from '../../../src/domain/usage-event.ts'

const event: UsageEvent = {
  eventId: '0b8f0d3e-8f39-4d0c-9d6c-6f3c0d6a1b2c',
  requestTimeMs: Date.UTC(2026, 10, 23, 4, 5, 6, 7),
  responseTimeMs: Date.UTC(2026, 10, 23, 4, 5, 6, 19),
  requestProtocol: 'HTTP/1.1',
  requestMethod: 'POST',
  requestUri: '/tracking/17/start',
  responseStatus: 201,
  clientIp: '203.0.113.9',
  clientAgent: 'curl/8.5.0',
  apiKeyId: 42,
  memberId: 7,
  memberGrade: 'GRADE_CLASSIC',
  traceId: '5f6c1c9e-3d52-4f6e-8a53-2f1f0d6a1b2c',
  routeId: 'tracking',
  apiEndpointId: 3,
  gatewayId: 'gateway-1',
  requestBytes: 12,
  responseBytes: 345,
  upstreamLatencyMs: 11.6,
  units: 1
}
const chain = ',"streamId":"3c0d6a1b-8f39-4d0c-9d6c-0b8f0d3e6f3c","seq":5,"prevSeq":4}'

test('an event is written as the topic api-usage-trace has it, fields in a fixed order', () => {
  assert.equal(encodeUsageEvent(event),
    '{"eventId":"0b8f0d3e-8f39-4d0c-9d6c-6f3c0d6a1b2c","requestTime":"2026-11-23T04:05:06.007Z","responseTime":"2026-11-23T04:05:06.019Z",' +
    '"requestProtocol":"HTTP/1.1","requestMethod":"POST","requestUri":"/tracking/17/start","responseStatus":201,"clientIp":"203.0.113.9",' +
    '"clientAgent":"curl/8.5.0","apiKeyId":42,"memberId":7,"memberGrade":"GRADE_CLASSIC","traceId":"5f6c1c9e-3d52-4f6e-8a53-2f1f0d6a1b2c",' +
    '"routeId":"tracking","apiEndpointId":3,"gatewayId":"gateway-1","requestBytes":12,"responseBytes":345,"upstreamLatencyMs":12,"units":1,"schemaVersion":1')
})

test('empty fields are left out', () => {
  const { clientIp: _ip, apiKeyId: _key, memberId: _member, memberGrade: _grade, upstreamLatencyMs: _latency, ...keyless } = event
  const json = JSON.parse(encodeUsageEvent({ ...keyless, clientAgent: '', errorCode: 'G0001' }) + '}') as Record<string, unknown>
  for (const field of ['clientIp', 'clientAgent', 'apiKeyId', 'memberId', 'memberGrade', 'upstreamLatencyMs']) assert.ok(!(field in json), field)
  assert.equal(json['errorCode'], 'G0001')
})

test('a traceparent is in the event where there is one, and a line of a version without it is read', () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const line = encodeUsageEvent({ ...event, traceparent }) + chain
  assert.ok(line.includes(`,"traceId":"5f6c1c9e-3d52-4f6e-8a53-2f1f0d6a1b2c","traceparent":"${traceparent}","routeId":`))
  assert.deepEqual([line, encodeUsageEvent(event) + chain].map((each) => { const parsed = parseUsageEvent(each); return 'event' in parsed ? parsed.event.traceparent : parsed.problem }), [traceparent, undefined])
  assert.deepEqual(parseUsageEvent(line.replace('00-4', '00-X')), { problem: 'traceparent: not a traceparent' })
})

test('no text can break the line: quotes, line breaks, NUL and lone surrogates', () => {
  const line = encodeUsageEvent({ ...event, clientAgent: 'a"b\\c\nd\u0000e\ud800f\udc00g😀\u2028é' }) + chain
  assert.ok(!line.includes('\n'))
  const parsed = parseUsageEvent(line)
  assert.ok('event' in parsed)
  assert.equal(parsed.event.clientAgent, 'a"b\\c\nd\ufffde\ufffdf\ufffdg😀\u2028é')
})

test('long texts are cut at their bound, never within a character', () => {
  const json = JSON.parse(encodeUsageEvent({ ...event, clientAgent: '😀'.repeat(1000), requestUri: `/${'x'.repeat(9000)}` }) + '}') as { clientAgent: string, requestUri: string }
  assert.equal(json.clientAgent, '😀'.repeat(eventTextBytesMax.clientAgent / 4))
  assert.equal(json.requestUri.length, eventTextBytesMax.requestUri)
})

test('the largest event is as long as it is said to be', () => {
  const most = Number.MAX_SAFE_INTEGER
  const text = '\u0001'.repeat(5000)
  const largest = encodeUsageEvent({ ...event, requestMethod: text, requestProtocol: text, requestUri: text, clientIp: text, clientAgent: text, traceId: text, traceparent: text, routeId: text, gatewayId: text, errorCode: text, apiKeyId: most, memberId: most, apiEndpointId: most, requestBytes: most, responseBytes: most, upstreamLatencyMs: most, units: unitsMax })
  assert.ok(Buffer.byteLength(largest) <= eventBytesMax)
  assert.ok(Buffer.byteLength(largest) > eventBytesMax * 0.97, 'the bound is not far away')
  assert.equal(Buffer.byteLength(chain) + 1 <= eventChainBytesMax, true)
})

test('a number that a field can not have is a programmer\'s error', () => {
  for (const wrong of [{ units: -1 }, { units: unitsMax + 1 }, { requestBytes: 1.5 }, { responseStatus: NaN }, { apiKeyId: Infinity }, { requestTimeMs: -1 }, { requestTimeMs: 1.5 }, { responseStatus: 1000 }]) {
    assert.throws(() => encodeUsageEvent({ ...event, ...wrong }), RangeError, JSON.stringify(wrong))
  }
})

test('a line is read back as it was', () => {
  const parsed = parseUsageEvent(encodeUsageEvent(event) + chain)
  assert.deepEqual(parsed, { event: { ...event, upstreamLatencyMs: 12, streamId: '3c0d6a1b-8f39-4d0c-9d6c-0b8f0d3e6f3c', seq: 5, prevSeq: 4 } })
})

test('unknown fields are dropped: a newer version is read, a token goes no further', () => {
  const parsed = parseUsageEvent(encodeUsageEvent(event) + ',"apiKey":"secret","later":{}' + chain)
  assert.ok('event' in parsed)
  assert.ok(!('apiKey' in parsed.event) && !('later' in parsed.event))
})

test('the first bad field is named', () => {
  const good = JSON.parse(encodeUsageEvent(event) + chain) as Record<string, unknown>
  const cases: readonly (readonly [Record<string, unknown>, string])[] = [
    [{ streamId: undefined }, 'streamId: missing'],
    [{ streamId: 'x' }, 'streamId: not a UUID'],
    [{ seq: 0 }, 'seq: not an integer from 1 to 9007199254740991'],
    [{ seq: '5' }, 'seq: not an integer from 1 to 9007199254740991'],
    [{ prevSeq: -1 }, 'prevSeq: not an integer from 0 to 9007199254740991'],
    [{ prevSeq: 5 }, 'prevSeq: not below seq'],
    [{ gatewayId: '' }, 'gatewayId: empty'],
    [{ schemaVersion: 0 }, 'schemaVersion: not an integer from 1 to 9007199254740991'],
    [{ eventId: 'E' }, 'eventId: not a UUID'],
    [{ requestTime: '2026-02-30T00:00:00.000Z' }, 'requestTime: not a time'],
    [{ requestTime: 1 }, 'requestTime: not a time'],
    [{ responseTime: '2026-11-23T04:05:06Z' }, 'responseTime: not a time'],
    [{ requestMethod: 5 }, 'requestMethod: not a text'],
    [{ requestUri: 'x'.repeat(2049) }, 'requestUri: longer than 2048 bytes'],
    [{ responseStatus: 99 }, 'responseStatus: not an integer from 100 to 999'],
    [{ memberGrade: 'GRADE_GOLD' }, 'memberGrade: not a grade'],
    [{ apiKeyId: null }, 'apiKeyId: not an integer from 0 to 9007199254740991'],
    [{ apiEndpointId: undefined }, 'apiEndpointId: missing'],
    [{ upstreamLatencyMs: 1.5 }, 'upstreamLatencyMs: not an integer from 0 to 9007199254740991'],
    [{ units: unitsMax + 1 }, 'units: not an integer from 0 to 1000000000']
  ]
  for (const [change, problem] of cases) assert.deepEqual(parseUsageEvent(JSON.stringify({ ...good, ...change })), { problem })
  for (const [line, problem] of [['', 'line: not JSON'], ['{', 'line: not JSON'], ['[]', 'line: not an object'], ['null', 'line: not an object'], ['5', 'line: not an object']] as const) assert.deepEqual(parseUsageEvent(line), { problem })
})

test('billable is what a known member\'s key got from an upstream, but for failures', () => {
  const { errorCode: _none, ...answered } = { ...event, errorCode: undefined }
  assert.equal(isBillable(answered), true)
  assert.equal(isBillable({ ...answered, responseStatus: 404 }), true, 'an upstream\'s 4xx costs')
  assert.equal(isBillable({ ...answered, responseStatus: 499 }), true)
  assert.equal(isBillable({ ...answered, responseStatus: 500 }), false)
  assert.equal(isBillable({ ...answered, errorCode: 'G0008' }), false)
  const { upstreamLatencyMs: _latency, ...abandoned } = answered
  assert.equal(isBillable({ ...abandoned, responseStatus: 499 }), false, 'a 499 made by the gateway doesn\'t')
  const { memberId: _member, ...memberless } = answered
  assert.equal(isBillable(memberless), false)
  const { apiKeyId: _key, ...keyless } = answered
  assert.equal(isBillable(keyless), false)
})
