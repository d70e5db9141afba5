import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RouteConfig } from '../../../src/config/schema.ts'
import { openPriceBook } from '../../../src/domain/price-book.ts'
import type { GatewayErrorCode } from '../../../src/domain/errors.ts'
import { Account } from '../../../src/gateway/account.ts'
import type { Caller } from '../../../src/gateway/authentication.ts'
import { RequestFacts, answerOf, unitsHeaderOf, unitsOf } from '../../../src/gateway/facts.ts'
import { Meter } from '../../../src/gateway/meter.ts'
import type { Answer } from '../../../src/gateway/meter.ts'
import type { EventPlace, SettledCallback } from '../../../src/journal/handover.ts'

const requestTimeMs = 1_800_000_000_000

class FakeJournal {
  readonly offered: { readonly event: Readonly<Record<string, unknown>>, readonly place: EventPlace }[] = []
  readonly counted: string[] = []
  readonly ended: number[] = []
  isRoom = true
  settle: SettledCallback = () => {}
  readonly outlet = {
    admission: () => 'open' as const,
    mayRecordRefusal: () => this.isRoom,
    offer: (json: string, place: EventPlace) => this.offered.push({ event: JSON.parse(`${json}}`) as Record<string, unknown>, place }),
    onSettled: (callback: SettledCallback) => { this.settle = callback }
  }

  readonly answered = {
    answered: (timeMs: number) => { assert.equal(timeMs, requestTimeMs); this.counted.push('answered') },
    countedOnly: (_timeMs: number, code: GatewayErrorCode) => { this.counted.push(`only ${code}`) }
  }

  readonly inFlight = { begin: () => requestTimeMs, end: (timeMs: number) => { this.ended.push(timeMs) } }
}

const errors: unknown[] = []
const priceBook = openPriceBook({ currency: 'KRW', groups: [{ id: 1, name: 'all', prices: [{ cost: '3' }] }], endpoints: [{ id: 11, group: 1, method: 'GET', path: '/a/{b}' }] })
function open (): { readonly journal: FakeJournal, readonly meter: Meter } {
  const journal = new FakeJournal()
  return { journal, meter: new Meter(journal, { gatewayId: 'gw', partitions: 8, onError: (error) => { errors.push(error) } }) }
}

const caller = { claims: { apiKeyId: 7, memberId: 3, grade: 'GRADE_FREE', iatS: 1 }, partition: 5 } as Caller
function answer (more: Partial<Answer> = {}): Answer {
  const facts = Object.assign(new RequestFacts(), { method: 'GET', path: '/a/1', traceId: 't', clientAgent: 'ua', clientIp: '1.2.3.4', caller, priceBook })
  return { ...answerOf(facts, { requestTimeMs, responseTimeMs: requestTimeMs + 5, status: 200, errorCode: undefined, requestBytes: 1, responseBytes: 2, upstreamLatencyMs: 3.4, units: 1 }), routeId: 'r', ...more }
}
const holder = (settled: (isFailed: boolean) => void = () => {}): { readonly settled: (isFailed: boolean) => void } => ({ settled })

test('an event says who, what, when and how much, and goes to its key\'s partition', () => {
  const { journal, meter } = open()
  meter.record(answer(), holder(), false)
  const [{ event, place } = assert.fail()] = journal.offered
  assert.deepEqual({ ...event, eventId: '' }, {
    eventId: '', requestTime: '2027-01-15T08:00:00.000Z', responseTime: '2027-01-15T08:00:00.005Z', requestProtocol: 'HTTP/1.1', requestMethod: 'GET', requestUri: '/a/1', responseStatus: 200, clientIp: '1.2.3.4', clientAgent: 'ua',
    apiKeyId: 7, memberId: 3, memberGrade: 'GRADE_FREE', traceId: 't', routeId: 'r', apiEndpointId: 11, gatewayId: 'gw', requestBytes: 1, responseBytes: 2, upstreamLatencyMs: 3, units: 1, schemaVersion: 1
  })
  assert.deepEqual(place, { partition: 5, hour: requestTimeMs / 3_600_000, isRefusal: false })
})

test('without a key the gateway\'s partition; without an endpoint it is counted as unpriced, refusals are not', () => {
  const { journal, meter } = open()
  meter.record(answer({ caller: undefined, path: '/b', clientIp: undefined, upstreamLatencyMs: undefined }), holder(), true)
  meter.record(answer({ path: '/b' }), holder(), false)
  assert.deepEqual(Object.keys(journal.offered[0]?.event ?? {}).filter((field) => ['apiKeyId', 'memberId', 'memberGrade', 'clientIp', 'upstreamLatencyMs'].includes(field)), [])
  assert.equal(journal.offered[0]?.event['apiEndpointId'], 0)
  assert.deepEqual([meter.unpriced, journal.offered[0]?.place.isRefusal], [1, true])
  assert.notEqual(journal.offered[0]?.place.partition, undefined)
})

test('the response is never before the request, whatever the clock does', () => {
  const { journal, meter } = open()
  meter.record(answer({ responseTimeMs: requestTimeMs - 60_000 }), holder(), false)
  assert.equal(journal.offered[0]?.event['responseTime'], '2027-01-15T08:00:00.000Z')
})

test('each holder hears of its own ticket, once, in order, also when another one throws', () => {
  const { journal, meter } = open()
  const heard: string[] = []
  for (let ticket = 1; ticket <= 3000; ticket++) meter.record(answer(), holder((isFailed) => { heard.push(`${ticket} ${isFailed}`); if (ticket === 2) throw new Error('two') }), false)
  assert.equal(meter.waiting, 3000)
  journal.settle(1, () => false)
  journal.settle(1500, (ticket) => ticket === 1400)
  assert.equal(meter.waiting, 1500)
  meter.record(answer(), holder((isFailed) => { heard.push(`3001 ${isFailed}`) }), false)
  journal.settle(3001, () => false)
  assert.deepEqual(heard, Array.from({ length: 3001 }, (_, at) => `${at + 1} ${at + 1 === 1400}`))
  assert.deepEqual([meter.waiting, errors.length], [0, 1])
})

function account (): { readonly journal: FakeJournal, readonly account: Account, readonly told: boolean[] } {
  const { journal, meter } = open()
  const told: boolean[] = []
  return { journal, told, account: new Account(meter, journal.answered, (isFailed) => { told.push(isFailed) }) }
}

test('a held answer is counted when it is over, after its event is settled', () => {
  const { journal, told, account: one } = account()
  one.record(answer())
  assert.deepEqual([journal.counted, told], [[], []])
  journal.settle(1, () => false)
  assert.deepEqual([journal.counted, told, journal.ended], [[], [false], []])
  one.over()
  assert.deepEqual([journal.counted, journal.ended], [['answered'], [requestTimeMs]])
})

test('an answer that is over before its event is settled is counted then, and nobody told', () => {
  const { journal, told, account: one } = account()
  one.record(answer())
  one.over()
  assert.deepEqual([journal.counted, journal.ended], [[], []])
  journal.settle(1, () => false)
  assert.deepEqual([journal.counted, told, journal.ended], [['answered'], [], [requestTimeMs]])
})

test('an answer whose event failed is not counted', () => {
  for (const isOverFirst of [true, false]) {
    const { journal, account: one } = account()
    one.record(answer())
    if (isOverFirst) one.over()
    journal.settle(1, () => true)
    if (!isOverFirst) one.over()
    assert.deepEqual([journal.counted, journal.ended], [[], [requestTimeMs]])
  }
})

test('an answer without an event is counted: that is the difference that verify shows', () => {
  const { journal, account: one } = account()
  one.over()
  assert.deepEqual(journal.counted, ['answered'])
})

test('a refusal is counted with its event, or as counted only: before it is counted as answered', () => {
  const recorded = account()
  recorded.account.recordRefusal(answer(), 'G0001')
  recorded.account.over()
  assert.deepEqual(recorded.journal.counted, [])
  recorded.journal.settle(1, () => false)
  assert.deepEqual(recorded.journal.counted, ['answered'])

  const failed = account()
  failed.account.recordRefusal(answer(), 'G0001')
  failed.account.over()
  failed.journal.settle(1, () => true)
  assert.deepEqual(failed.journal.counted, ['only G0001', 'answered'])

  const full = account()
  full.journal.isRoom = false
  full.account.recordRefusal(answer(), 'G0006')
  full.account.over()
  assert.deepEqual([full.journal.counted, full.journal.offered.length, full.journal.ended], [['only G0006', 'answered'], 0, [requestTimeMs]])
})

test('a request that is not metered after all leaves nothing', () => {
  const { journal, account: one } = account()
  one.forget()
  assert.deepEqual([journal.counted, journal.ended], [[], [requestTimeMs]])
})

test('units: a constant, or a whole number in the upstream\'s header', () => {
  const constant = { units: 5 } as NonNullable<Parameters<typeof unitsOf>[0]>
  const said = { units: { header: 'X-Units' } } as RouteConfig
  assert.deepEqual([unitsHeaderOf(constant), unitsHeaderOf(said)], ['', 'x-units'])
  assert.equal(unitsOf(constant, '7'), 5)
  for (const [text, units] of [['', 1], ['0', 0], ['17', 17], ['1000000000', 1_000_000_000], ['1000000001', undefined], ['-1', undefined], ['1.5', undefined], ['1e3', undefined], ['7,8', undefined], [' 7', undefined]] as const) {
    assert.equal(unitsOf(said, text), units, text)
  }
})
