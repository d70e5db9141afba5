// The aggregator on a real DuckDB: what is counted, what is set aside, what a ledger gets.
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { Ledger } from '../../src/ledger/ledger-types.ts'
import type { OpenedAggregator } from '../../src/aggregator/open.ts'
import { flushAll, foldAll, openTestAggregator, openTestLedger, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { MemoryUsageLog, lineOf, testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'

interface Rig { readonly folder: string, readonly log: MemoryUsageLog, opened: OpenedAggregator, readonly ledger: Ledger }

async function openRig (t: TestContext, given: Parameters<typeof openTestAggregator>[1] = {}): Promise<Rig> {
  const folder = temporaryFolder(t)
  const rig: Rig = { folder, log: new MemoryUsageLog(), opened: await openTestAggregator(folder, given), ledger: await openTestLedger(folder) }
  t.after(async () => {
    await rig.ledger.close()
    rig.opened.close()
  })
  return rig
}

const hours = async ({ ledger }: Rig, memberId = 1): Promise<(readonly [number, number, number, number])[]> =>
  (await ledger.memberHours({ memberId, fromHour: 0, toHour: 10_000_000 })).map(({ apiKeyId, hour, apiEndpointId, count }) => [apiKeyId, hour - testHour, apiEndpointId, count] as const)

test('billable events become rows by member, key, hour and endpoint, and reach the ledger', async (t) => {
  const rig = await openRig(t)
  rig.log.openStream().append([
    usageEvent({ units: 3, requestBytes: 5, responseBytes: 7 }), usageEvent({ responseStatus: 404, units: 4 }), usageEvent({ apiKeyId: 12 }),
    usageEvent({ apiEndpointId: 0 }), usageEvent({ requestTimeMs: testTimeMs + 3_600_000 }), usageEvent({ requestTimeMs: testTimeMs - 1 }), usageEvent({ memberId: 2 })
  ])
  await takeAll(rig.opened, rig.log)
  await foldAll(rig.opened, rig.ledger)
  assert.deepEqual(await rig.ledger.memberHours({ memberId: 1, apiKeyId: 11, fromHour: testHour, toHour: testHour + 1 }), [
    { apiKeyId: 11, hour: testHour, apiEndpointId: 0, count: 1, units: 1n, errorCount: 0, requestBytes: 10, responseBytes: 100 },
    { apiKeyId: 11, hour: testHour, apiEndpointId: 5, count: 2, units: 7n, errorCount: 1, requestBytes: 15, responseBytes: 107 }
  ])
  assert.deepEqual(await hours(rig), [[11, -1, 5, 1], [11, 0, 0, 1], [11, 0, 5, 2], [11, 1, 5, 1], [12, 0, 5, 1]])
  assert.deepEqual(await hours(rig, 2), [[11, 0, 5, 1]])
  const totals = await rig.ledger.totals()
  assert.deepEqual([totals.rows, totals.count, totals.units, totals.errorCount], [6, 7, 12n, 1])
})

test('what is not billable is counted and not billed', async (t) => {
  const rig = await openRig(t)
  const { memberId: _member, apiKeyId: _key, ...keyless } = usageEvent()
  const { upstreamLatencyMs: _latency, ...gone } = usageEvent({ responseStatus: 499 })
  const stream = rig.log.openStream()
  stream.append([usageEvent({ responseStatus: 500 }), usageEvent({ errorCode: 'G0008', responseStatus: 502 }), keyless, gone, usageEvent({ responseStatus: 499 })])
  await takeAll(rig.opened, rig.log)
  await foldAll(rig.opened, rig.ledger)
  assert.deepEqual(await hours(rig), [[11, 0, 5, 1]])
  const [tally] = await rig.opened.aggregator.parts.writer.rows<{ billable: bigint, notBillable: bigint }>('SELECT * FROM tallies')
  assert.deepEqual([tally?.billable, tally?.notBillable], [1n, 4n])
})

test('a line that cannot be counted is set aside with its reason, and holds nothing up', async (t) => {
  const rig = await openRig(t)
  const stream = rig.log.openStream()
  const place = (seq: number) => ({ streamId: stream.streamId, seq, prevSeq: seq - 1 })
  const bad = new Map([
    [1, '{"requestTime":"nonsense'],
    [3, lineOf(usageEvent(), place(4)).replace('"memberId":1', '"memberId":true')],
    [4, lineOf(usageEvent(), place(5)).replace('"requestTime":"20', '"requestTime":"99').replace(/-\d\dT/, '-31T').replace(/-\d\d-31T/, '-02-31T')],
    [5, lineOf(usageEvent(), place(6)).replace('"units":1', '"units":2000000000')],
    [6, lineOf(usageEvent(), { ...place(7), seq: 70 })],
    [7, '']
  ])
  stream.append(Array.from({ length: 10 }, () => usageEvent()), bad)
  stream.append([usageEvent()])
  await takeAll(rig.opened, rig.log)
  await foldAll(rig.opened, rig.ledger)
  assert.deepEqual(await hours(rig), [[11, 0, 5, 5]])
  assert.equal(rig.opened.aggregator.state.partitions.get(0)?.streams.get(stream.streamId)?.appliedSeq, 11)
  const folder = path.join(rig.folder, 'aggregator', 'dead-letter')
  const letters = readdirSync(folder).flatMap((file) => readFileSync(path.join(folder, file), 'utf8').trim().split('\n')).map((line) => JSON.parse(line) as { seq: number, reason: string, line: string })
  assert.deepEqual(letters.map(({ seq, reason }) => [seq, reason.slice(0, 24)]), [
    [2, 'line: not JSON'], [4, 'memberId: not an integer'], [5, 'requestTime: not a time'], [6, 'units: not an integer fr'], [7, 'identity: says ' + stream.streamId.slice(0, 9)], [8, 'line: not JSON']
  ])
  assert.equal(letters[0]?.line, '{"requestTime":"nonsense')
  const [tally] = await rig.opened.aggregator.parts.writer.rows<{ deadLettered: bigint }>(`SELECT * FROM tallies WHERE hour = ${testHour}`)
  assert.equal(tally?.deadLettered, 6n)
})

test('lines of the program\'s own encoder that are broken all the same are set aside too', async (t) => {
  const rig = await openRig(t)
  const stream = rig.log.openStream()
  const line = (seq: number) => lineOf(usageEvent(), { streamId: stream.streamId, seq, prevSeq: seq - 1 })
  const broken = [line(2).replace('"units":1,', ''), line(3).replace('"memberId":1', '"memberId":"x"'), line(4).slice(0, -1), line(5).replace(/"requestTime":"[^"]*"/, '"requestTime":"2025-02-30T00:00:00.000Z"'), line(6).replace('"seq":6', '"seq":60')]
  for (const each of broken) {
    const run = stream.append([usageEvent(), usageEvent(), usageEvent()], new Map([[1, each]]))
    rig.log.items.splice(rig.log.items.indexOf(run), 1, { ...run, isEncoded: true })
  }
  await takeAll(rig.opened, rig.log)
  await foldAll(rig.opened, rig.ledger)
  assert.deepEqual(await hours(rig), [[11, 0, 5, 10]])
})

test('lines that only another writer could have made are read strictly and counted the same', async (t) => {
  const rig = await openRig(t)
  const stream = rig.log.openStream()
  const line = lineOf(usageEvent(), { streamId: stream.streamId, seq: 1, prevSeq: 0 })
  const reordered = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line) as object).reverse()))
  const unknown = lineOf(usageEvent({ clientAgent: '\ud83d\ude00' }), { streamId: stream.streamId, seq: 2, prevSeq: 1 }).replace('{', '{ "apiKey": "secret", ')
  stream.append([usageEvent(), usageEvent()], new Map([[0, reordered], [1, unknown]]))
  await takeAll(rig.opened, rig.log)
  await flushAll(rig.opened, rig.log)
  await foldAll(rig.opened, rig.ledger)
  assert.deepEqual(await hours(rig), [[11, 0, 5, 2]])
})

test('segments close when they are large enough, and the sum over them is the bill', async (t) => {
  const rig = await openRig(t, { segmentRowsMax: 5 })
  const stream = rig.log.openStream()
  for (let round = 0; round < 6; round++) {
    stream.append(Array.from({ length: 4 }, (_, index) => usageEvent({ apiEndpointId: index + round % 2, apiKeyId: 11 + index % 2 })))
    await takeAll(rig.opened, rig.log)
    if (round % 2 === 1) await foldAll(rig.opened, rig.ledger)
  }
  await foldAll(rig.opened, rig.ledger)
  assert.ok(readdirSync(path.join(rig.folder, 'aggregator', 'segments')).length >= 2)
  assert.equal((await rig.ledger.totals()).count, 24)
  const other = await openTestLedger(path.join(rig.folder, 'other'))
  t.after(() => other.close())
  await foldAll(rig.opened, other)
  assert.deepEqual(await other.memberHours({ memberId: 1, fromHour: 0, toHour: 10_000_000 }), await rig.ledger.memberHours({ memberId: 1, fromHour: 0, toHour: 10_000_000 }))
})

test('many rows reach the ledger in several steps, and are answered only when all are there', async (t) => {
  const rig = await openRig(t)
  const stream = rig.log.openStream()
  for (let block = 0; block < 5; block++) stream.append(Array.from({ length: 9_000 }, (_, index) => usageEvent({ apiEndpointId: block * 9_000 + index })))
  for (const item of rig.log.read(0, Infinity)) await rig.opened.aggregator.take(0, [item])
  await assert.rejects(rig.ledger.totals(), { code: 'LEDGER_BEHIND' })
  assert.ok(await foldAll(rig.opened, rig.ledger) >= 2)
  assert.equal((await rig.ledger.totals()).count, 45_000)
})

test('a gap stops its stream until the missing records come; other streams go on', async (t) => {
  const rig = await openRig(t)
  const [first, second] = [rig.log.openStream(), rig.log.openStream('gateway-2')]
  first.append([usageEvent()])
  const missing = first.append([usageEvent(), usageEvent()])
  first.append([usageEvent()])
  first.mark({ watermarkMs: testTimeMs + 10 })
  second.append([usageEvent()])
  const at = rig.log.items.indexOf(missing)
  rig.log.items.splice(at, 1)
  await takeAll(rig.opened, rig.log)
  assert.deepEqual(rig.opened.aggregator.gaps.map(({ streamId, afterSeq }) => [streamId, afterSeq]), [[first.streamId, 1]])
  await foldAll(rig.opened, rig.ledger)
  assert.equal((await rig.ledger.totals()).count, 2)
  rig.log.items.splice(at, 0, missing)
  rig.log.rewind()
  await takeAll(rig.opened, rig.log)
  assert.deepEqual(rig.opened.aggregator.gaps, [])
  await foldAll(rig.opened, rig.ledger)
  assert.equal((await rig.ledger.totals()).count, 5)
})

test('an hour is complete when every gateway has passed its end, the grace too', async (t) => {
  const rig = await openRig(t)
  const graced = await openTestLedger(path.join(rig.folder, 'graced'), 60_000)
  t.after(() => graced.close())
  const [one, two] = [rig.log.openStream('one'), rig.log.openStream('two')]
  const end = testTimeMs + 3_600_000
  const complete = async (nowMs = end * 2): Promise<number[]> => {
    await takeAll(rig.opened, rig.log)
    await foldAll(rig.opened, rig.ledger)
    await foldAll(rig.opened, graced)
    return [(await rig.ledger.completeBeforeHour(nowMs)) - testHour, (await graced.completeBeforeHour(nowMs)) - testHour]
  }
  await foldAll(rig.opened, rig.ledger)
  assert.equal(await rig.ledger.completeBeforeHour(end), 0, 'no gateway is known')
  one.append([usageEvent()])
  one.mark({ watermarkMs: end + 5 })
  two.mark({ watermarkMs: end - 1 })
  assert.deepEqual(await complete(), [0, 0])
  two.mark({ watermarkMs: end })
  assert.deepEqual(await complete(), [1, 0])
  two.mark({ state: 'closed' })
  one.mark({ watermarkMs: end + 60_000 })
  assert.deepEqual(await complete(), [1, 1])
  one.mark({ state: 'closed' })
  assert.deepEqual(await complete(end + 7_200_000), [3, 2])
})

test('a ledger of another history is filled again, and answers from the old one until it is', async (t) => {
  const rig = await openRig(t)
  rig.log.openStream().append([usageEvent(), usageEvent()])
  await takeAll(rig.opened, rig.log)
  await foldAll(rig.opened, rig.ledger)
  const other = temporaryFolder(t)
  const opened = await openTestAggregator(other)
  t.after(() => { opened.close() })
  const log = new MemoryUsageLog()
  log.openStream().append([usageEvent({ memberId: 2 })])
  await takeAll(opened, log)
  assert.equal((await rig.ledger.totals()).count, 2)
  await foldAll(opened, rig.ledger)
  assert.equal((await rig.ledger.totals()).count, 1)
  assert.deepEqual(await hours(rig), [])
})
