// The loop around the aggregator: it goes on by itself, says what holds it up, and begins again after errors.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { AggregatorLoop } from '../../src/aggregator/aggregator-loop.ts'
import type { LoopOptions } from '../../src/aggregator/aggregator-loop.ts'
import { openAggregatorMetrics } from '../../src/aggregator/aggregator-metrics.ts'
import type { OpenedAggregator } from '../../src/aggregator/open.ts'
import { SharedMemory } from '../../src/aggregator/shared-memory.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { metricsJson, openMetrics } from '../../src/platform/metrics.ts'
import { openTestAggregator, silent, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { eventually } from '../helpers/eventually.ts'
import { MemoryUsageLog, usageEvent } from '../helpers/memory-usage-log.ts'

interface Rig {
  readonly folder: string
  readonly log: MemoryUsageLog
  readonly opened: OpenedAggregator
  readonly loop: AggregatorLoop
  readonly deaths: unknown[]
  readonly metric: (name: string) => Promise<number>
  commits: number
}

async function startLoop (t: TestContext, given: Partial<LoopOptions> = {}, shared?: SharedMemory): Promise<Rig> {
  const folder = temporaryFolder(t, 'loop')
  const log = new MemoryUsageLog()
  const opened = await openTestAggregator(folder)
  const registry = openMetrics()
  const metrics = openAggregatorMetrics(registry)
  const options = { batchEventsMax: 100, batchIntervalMs: 5, flushIntervalMs: 60_000, flushEventsMax: 1_000, memoryBytesMax: 256 * 2 ** 20, ...given }
  const deaths: unknown[] = []
  const rig: Rig = {
    folder, log, opened, deaths, commits: 0,
    loop: new AggregatorLoop({ aggregator: opened.aggregator, usageLog: log, options, clock: systemClock, log: silent, metrics, onCommit: () => { rig.commits++ }, ...shared === undefined ? {} : { shared } }),
    metric: async (name) => {
      metrics.measure(opened.aggregator, { problems: 0, nowMs: 0 })
      return (await metricsJson(registry)).find((found) => found.name === name)?.values[0]?.value ?? NaN
    }
  }
  await rig.loop.start((error) => { deaths.push(error) })
  t.after(async () => {
    await rig.loop.stop()
    opened.close()
  })
  return rig
}

const counted = ({ opened }: Rig): number => [...opened.aggregator.state.partitions.values()].flatMap(({ streams }) => [...streams.values()]).reduce((sum, { appliedSeq }) => sum + appliedSeq, 0)
const files = ({ folder }: Rig): number => globSync('archive/date=*/hour=*/*.parquet', { cwd: folder }).length

test('what comes is counted, told, and archived at the stop', async (t) => {
  const rig = await startLoop(t)
  const stream = rig.log.openStream()
  for (let run = 0; run < 5; run++) stream.append([usageEvent(), usageEvent()])
  await eventually('all is counted', () => counted(rig) === 10)
  // The step that counted it is over.
  await rig.loop.exclusively(async () => {})
  assert.ok(rig.commits > 0)
  assert.deepEqual(rig.loop.health(), { isReady: true, reasons: [] })
  assert.equal(await rig.metric('tollgate_aggregator_events_total'), 10)
  assert.equal(await rig.metric('tollgate_archive_waiting_events'), 10)
  assert.equal(files(rig), 0)
  stream.append([usageEvent()])
  await rig.loop.stop()
  assert.equal(counted(rig), 11)
  assert.equal(files(rig), 1)
  assert.equal(await rig.metric('tollgate_archive_events_total'), 11)
})

test('a large batch and a flush wait for their turn among the loops of a process, a small batch does not', async (t) => {
  const shared = new SharedMemory(256 * 2 ** 20)
  const options = { batchEventsMax: 2_000, flushEventsMax: 100_000 }
  const [quiet, busy] = [await startLoop(t, options, shared), await startLoop(t, options, shared)]
  const endTurns = [await shared.takeTurn(), await shared.takeTurn()]
  quiet.log.openStream().append([usageEvent()])
  busy.log.openStream().append(Array.from({ length: 1_000 }, () => usageEvent()))
  await eventually('the small batch is counted', () => counted(quiet) === 1)
  await eventually('the large one waits', () => shared.waiting === 1)
  const flushed = quiet.loop.exclusively(async () => { await quiet.loop.flush() })
  await eventually('the flush waits too', () => shared.waiting === 2)
  assert.deepEqual([counted(busy), files(quiet)], [0, 0])
  for (const end of endTurns) end()
  await flushed
  assert.equal(files(quiet), 1)
  await eventually('the large one is counted', () => counted(busy) === 1_000)
  await eventually('no turn is held', async () => {
    const ends = [await shared.takeTurn(), await shared.takeTurn()]
    for (const end of ends) end()
    return ends.length === 2
  })
})

test('what waits for the archive is bounded for all loops together', async (t) => {
  // A quarter of it may wait: some 2,000 events, while one loop alone would be allowed ten times as many.
  const shared = new SharedMemory(5 * 2 ** 20)
  const rigs = [await startLoop(t, { flushEventsMax: 100_000 }, shared), await startLoop(t, { flushEventsMax: 100_000 }, shared)]
  for (const { log } of rigs) for (let run = 0; run < 30; run++) log.openStream().append(Array.from({ length: 50 }, () => usageEvent()))
  await eventually('all is counted', () => rigs.every((rig) => counted(rig) === 1_500))
  await eventually('a part of it was archived', () => rigs.some((rig) => files(rig) > 0))
})

test('an operator\'s work takes a turn of its own: nothing is counted, archived or dropped meanwhile, and nothing is called stuck', async (t) => {
  const [rig, other] = [await startLoop(t, { flushIntervalMs: 20 }), await startLoop(t, { flushIntervalMs: 20 })]
  const streams = [rig, other].map(({ log }) => log.openStream())
  for (const stream of streams) stream.append([usageEvent()])
  await eventually('it is archived', () => files(rig) === 1 && files(other) === 1)
  const gate = Promise.withResolvers<undefined>()
  const begun = Promise.withResolvers<undefined>()
  const operated = rig.loop.operate(async () => {
    begun.resolve(undefined)
    await gate.promise
    return [counted(rig), files(rig)]
  })
  await begun.promise
  for (const stream of streams) stream.append([usageEvent(), usageEvent()])
  await eventually('a loop that isn\'t held has gone on', () => counted(other) === 3 && files(other) === 2)
  gate.resolve(undefined)
  assert.deepEqual(await operated, [1, 1])
  await eventually('it goes on', () => counted(rig) === 3 && files(rig) === 2)
  assert.deepEqual(rig.loop.health(), { isReady: true, reasons: [] })
})

test('the archive is written when its time has come, and when enough is waiting', async (t) => {
  const timed = await startLoop(t, { flushIntervalMs: 30 })
  timed.log.openStream().append([usageEvent()])
  await eventually('the time has come', () => files(timed) === 1)
  const full = await startLoop(t, { flushEventsMax: 3 })
  full.log.openStream().append([usageEvent(), usageEvent(), usageEvent()])
  // Counted is told before it waits for the archive, so only the file shows that it has been there.
  await eventually('enough is waiting', () => files(full) === 1 && full.opened.aggregator.stagedEvents === 0)
  assert.equal(counted(full), 3)
  const heavy = await startLoop(t, { memoryBytesMax: 4_000 })
  heavy.log.openStream().append([usageEvent(), usageEvent(), usageEvent()])
  await eventually('it weighs enough', () => files(heavy) === 1 && heavy.opened.aggregator.stagedEvents === 0)
  assert.equal(counted(heavy), 3)
})

test('a backlog is taken in batches of bounded size', async (t) => {
  const rig = await startLoop(t, { batchEventsMax: 4 })
  rig.log.itemsPerRead = 1
  const stream = rig.log.openStream()
  for (let run = 0; run < 10; run++) stream.append([usageEvent(), usageEvent()])
  await eventually('all is counted, in five batches at least', () => counted(rig) === 20 && rig.commits >= 5)
})

test('a usage log that can\'t be read is told, and read again from what is durable', async (t) => {
  const rig = await startLoop(t)
  const read = rig.log.read.bind(rig.log)
  rig.log.read = () => { throw new Error('unreadable segment') }
  await eventually('it is told', () => rig.loop.health().reasons.includes('unreadable segment'))
  assert.equal(rig.loop.health().isReady, false)
  rig.log.openStream().append([usageEvent()])
  rig.log.read = read
  await eventually('it goes on', () => counted(rig) === 1 && rig.loop.health().isReady)
  assert.ok(await rig.metric('tollgate_aggregator_failures_total') >= 1)
})

test('a commit that fails is tried again, and nothing is counted twice', async (t) => {
  const rig = await startLoop(t)
  const { writer } = rig.opened.aggregator.parts
  const { transaction } = writer
  let failures = 2
  Object.assign(writer, {
    transaction: async (work: () => Promise<unknown>) => await transaction(async () => {
      const result = await work()
      if (failures-- > 0) throw new Error('no space left on device')
      return result
    })
  })
  rig.log.openStream().append([usageEvent(), usageEvent()])
  await eventually('it is told', () => rig.loop.health().reasons.includes('no space left on device'))
  await eventually('it goes on', () => counted(rig) === 2 && rig.loop.health().isReady)
  const [tally] = await rig.loop.exclusively(async () => await writer.rows<{ billable: bigint }>('SELECT billable FROM tallies'))
  assert.equal(tally?.billable, 2n)
  assert.equal(rig.opened.aggregator.stagedEvents, 2)
})

test('a gap is told with its stream, and looked for again', async (t) => {
  const rig = await startLoop(t)
  const stream = rig.log.openStream()
  const missing = stream.append([usageEvent()])
  stream.append([usageEvent()])
  rig.log.items.shift()
  await eventually('it is told', () => rig.loop.health().reasons.some((reason) => reason.startsWith(`stream ${stream.streamId}: what follows seq 0 is missing`)))
  assert.equal(await rig.metric('tollgate_aggregator_gaps'), 1)
  rig.log.items.unshift(missing)
  await eventually('it is found', () => counted(rig) === 2 && rig.loop.health().isReady)
})

test('a database that DuckDB has given up ends the loop', async (t) => {
  const rig = await startLoop(t)
  Object.assign(rig.opened.aggregator.parts.writer, { transaction: async () => { throw new Error('FATAL Error: database has been invalidated') } })
  rig.log.openStream().append([usageEvent()])
  await eventually('it is told', () => rig.deaths.length === 1)
})

test('other work takes its turn between two steps, and an error of it does no harm', async (t) => {
  const rig = await startLoop(t)
  let isInside = false
  await Promise.all(Array.from({ length: 5 }, async () => {
    await rig.loop.exclusively(async () => {
      assert.equal(isInside, false)
      isInside = true
      await new Promise((resolve) => { setImmediate(resolve) })
      isInside = false
    })
  }))
  await assert.rejects(rig.loop.exclusively(async () => { throw new Error('refused') }), /refused/)
  rig.log.openStream().append([usageEvent()])
  await eventually('it goes on', () => counted(rig) === 1)
})
