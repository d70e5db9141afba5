// Whatever comes, in whatever pieces, again, from anywhere, with holes: what DuckDB holds in the end is what a naive reading
// of the chain gives, event by event; and the archive holds each counted event exactly once.
import assert from 'node:assert/strict'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { isBillableSql } from '../../src/aggregator/aggregator-sql.ts'
import { planBatch } from '../../src/aggregator/batch-plan.ts'
import type { StreamSeqs } from '../../src/aggregator/batch-plan.ts'
import { isShaped } from '../../src/aggregator/event-line.ts'
import { isBillable, parseUsageEvent } from '../../src/domain/usage-event.ts'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import { hourOf } from '../../src/domain/window.ts'
import { openDuckDb } from '../../src/platform/duckdb.ts'
import type { EventRun } from '../../src/usage-log/port.ts'
import { openTestAggregator, query } from '../helpers/aggregator-rig.ts'
import { lineOf, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'

const streamIds = ['00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b'] as const

const { memberId: _member, apiKeyId: _key, upstreamLatencyMs: _latency, ...bareEvent } = usageEvent()

const event: fc.Arbitrary<UsageEvent> = fc.record({
  requestTimeMs: fc.integer({ min: -1, max: 2 }).map((hour) => testTimeMs + hour * 3_600_000 + 1),
  responseStatus: fc.constantFrom(200, 200, 404, 499, 500, 503),
  errorCode: fc.constantFrom(undefined, undefined, undefined, 'G0006'),
  memberId: fc.constantFrom(undefined, 1, 1, 1, 2),
  apiKeyId: fc.constantFrom(undefined, 11, 11, 11, 12),
  apiEndpointId: fc.integer({ min: 0, max: 2 }),
  upstreamLatencyMs: fc.constantFrom(undefined, 3, 3, 3, 3),
  units: fc.integer({ min: 0, max: 5 }),
  requestBytes: fc.nat(100),
  responseBytes: fc.nat(100)
}).map((given) => ({ ...bareEvent, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) }))

/** An event as it stands in its stream: one partition's seqs rise with holes. `isBad`: its line can't be read. */
interface Placed { readonly streamId: string, readonly seq: number, readonly prevSeq: number, readonly line: string, readonly isBad: boolean, readonly event: UsageEvent }

const history = fc.array(fc.tuple(event, fc.constantFrom(...streamIds), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 9 })), { minLength: 1, maxLength: 24 }).map((drawn) => {
  const last = new Map<string, number>()
  return drawn.map(([made, streamId, step, luck]): Placed => {
    const prevSeq = last.get(streamId) ?? 0
    const seq = prevSeq + step
    last.set(streamId, seq)
    const line = lineOf(made, { streamId, seq, prevSeq })
    return { streamId, seq, prevSeq, line: luck === 0 ? line.replace('"units":', '"units":-1') : line, isBad: luck === 0, event: made }
  })
})

const action = fc.constantFrom('none', 'none', 'flush', 'restart')

/** Which part of the history comes, in which pieces: windows that overlap, repeat and leave out; or ever more of it from the beginning. */
const deliveries = fc.oneof(
  fc.array(fc.record({ from: fc.constantFrom(0, 0, 0, 1, 2, 4, 8), length: fc.integer({ min: 1, max: 16 }), pieces: fc.integer({ min: 1, max: 4 }), action }), { minLength: 1, maxLength: 6 }),
  fc.array(fc.record({ from: fc.constant(0), length: fc.integer({ min: 1, max: 12 }), pieces: fc.constant(1), action }), { minLength: 2, maxLength: 4 }).map((windows) => windows.sort((a, b) => a.length - b.length))
)

function runsOf (history: readonly Placed[], { from, length, pieces }: { readonly from: number, readonly length: number, readonly pieces: number }): EventRun[] {
  const runs: EventRun[] = []
  for (const streamId of streamIds) {
    const part = history.filter((placed) => placed.streamId === streamId).slice(from, from + length)
    const size = Math.ceil(part.length / pieces)
    for (let at = 0; at < part.length; at += size) {
      const cut = part.slice(at, at + size)
      const [first, last] = [cut[0] as Placed, cut.at(-1) as Placed]
      runs.push({ kind: 'events', streamId, prevSeq: first.prevSeq, firstSeq: first.seq, lastSeq: last.seq, count: cut.length, ndjson: Buffer.from(cut.map(({ line }) => `${line}\n`).join('')) })
    }
  }
  return runs
}

/** The chain, read one event at a time. */
function naive (history: readonly Placed[], delivered: readonly EventRun[]): { readonly rows: Map<string, number[]>, readonly counted: Placed[], readonly last: Map<string, number> } {
  const last = new Map<string, number>()
  const counted: Placed[] = []
  const bySeq = new Map(history.map((placed) => [`${placed.streamId} ${placed.seq}`, placed]))
  for (const run of delivered) {
    for (const [, seq] of run.ndjson.toString().matchAll(/"seq":(\d+)/g)) {
      const placed = bySeq.get(`${run.streamId} ${seq}`) as Placed
      if (placed.prevSeq !== (last.get(run.streamId) ?? 0)) continue
      last.set(run.streamId, placed.seq)
      counted.push(placed)
    }
  }
  const rows = new Map<string, number[]>()
  for (const { event, isBad } of counted) {
    if (isBad || !isBillable(event)) continue
    const { memberId, apiKeyId, apiEndpointId, requestTimeMs, units, requestBytes, responseBytes, responseStatus } = event
    const key = [apiEndpointId, memberId, apiKeyId, hourOf(requestTimeMs)].join(' ')
    const sums = rows.get(key) ?? [0, 0, 0, 0, 0]
    rows.set(key, [1, units, requestBytes, responseBytes, responseStatus >= 400 ? 1 : 0].map((value, index) => value + (sums[index] as number)))
  }
  return { rows, counted, last }
}

type Plan = typeof planBatch

async function check (plan: Plan, history: readonly Placed[], schedule: readonly { readonly from: number, readonly length: number, readonly pieces: number, readonly action: string }[]): Promise<void> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-property-'))
  let opened = await openTestAggregator(folder, { plan, segmentRowsMax: 4 })
  try {
    const delivered: EventRun[] = []
    for (const delivery of schedule) {
      const runs = runsOf(history, delivery)
      delivered.push(...runs)
      await opened.aggregator.take(0, runs)
      await opened.aggregator.closeSegmentWhenFull(0)
      if (delivery.action === 'flush') await opened.aggregator.flush()
      if (delivery.action === 'restart') {
        // What was counted and not archived comes again, as from a log that keeps it.
        opened.close()
        opened = await openTestAggregator(folder, { plan, segmentRowsMax: 4 })
        const all = runsOf(history, { from: 0, length: 100, pieces: 1 }).flatMap((run) => {
          const reached = naive(history, delivered).last.get(run.streamId) ?? 0
          const lines = history.filter((placed) => placed.streamId === run.streamId && placed.seq <= reached)
          return lines.length === 0 ? [] : [{ ...run, lastSeq: reached, count: lines.length, ndjson: Buffer.from(lines.map(({ line }) => `${line}\n`).join('')) }]
        })
        await opened.aggregator.take(0, all)
      }
    }
    await opened.aggregator.flush()
    const { rows, counted, last } = naive(history, delivered)
    const { aggregator } = opened
    const { segment } = aggregator.state.partitions.get(0) ?? { segment: 0 }
    const closed = globSync('aggregator/segments/*.parquet', { cwd: folder }).map((file) => `SELECT * EXCLUDE (sourcePartition, segment, revision) FROM read_parquet('${path.join(folder, file)}')`)
    const columns = 'apiEndpointId, memberId, apiKeyId, hour, count, units, requestBytes, responseBytes, errorCount'
    const stored = await aggregator.parts.writer.rows<Record<string, bigint>>(`SELECT apiEndpointId, memberId, apiKeyId, hour, sum(count) c, sum(units) u, sum(requestBytes) q, sum(responseBytes) r, sum(errorCount) e
      FROM (${[`SELECT ${columns} FROM hourly_0_${segment}`, ...closed].join(' UNION ALL ')}) GROUP BY ALL`)
    assert.deepEqual(new Map(stored.map((row) => [[row['apiEndpointId'], row['memberId'], row['apiKeyId'], row['hour']].join(' '), [row['c'], row['u'], row['q'], row['r'], row['e']].map(Number)])), rows)
    for (const [streamId, seq] of last) assert.equal(aggregator.state.partitions.get(0)?.streams.get(streamId)?.appliedSeq, seq)
    const [tally] = await aggregator.parts.writer.rows<{ events: bigint | null, dead: bigint | null }>('SELECT sum(billable + notBillable) AS events, sum(deadLettered) AS dead FROM tallies')
    assert.deepEqual([Number(tally?.events ?? 0), Number(tally?.dead ?? 0)], [counted.filter(({ isBad }) => !isBad).length, counted.filter(({ isBad }) => isBad).length])
    const files = globSync('archive/date=*/hour=*/*.parquet', { cwd: folder }).map((file) => `'${path.join(folder, file)}'`)
    const archived = files.length === 0 ? [] : await query<{ streamId: string, seq: bigint }>(':memory:', `SELECT streamId, seq FROM read_parquet([${files.join()}]) ORDER BY ALL`)
    const identity = ({ streamId, seq }: { readonly streamId: string, readonly seq: bigint | number }): string => `${streamId} ${String(seq).padStart(5, '0')}`
    assert.deepEqual(archived.map(identity).sort(), counted.filter(({ isBad }) => !isBad).map(identity).sort())
  } finally {
    opened.close()
    rmSync(folder, { recursive: true })
  }
}

const property = (plan: Plan) => fc.asyncProperty(history, deliveries, async (given, schedule) => { await check(plan, given, schedule) })

test('what is counted is what a naive reading of the chain gives', async () => {
  await fc.assert(property(planBatch), { numRuns: 25 })
})

/** Runs as the plan would see them if each named as its predecessor what `prevSeqOf` says. */
const forged = (prevSeqOf: (run: EventRun, standing: StreamSeqs) => number): Plan => (items, known) => {
  const standing = new Map(known)
  return planBatch(items.map((item) => {
    if (item.kind !== 'events') return item
    const before = standing.get(item.streamId) ?? { appliedSeq: 0, stagedSeq: 0 }
    standing.set(item.streamId, { appliedSeq: Math.max(before.appliedSeq, item.lastSeq), stagedSeq: Math.max(before.stagedSeq, item.lastSeq) })
    return { ...item, prevSeq: prevSeqOf(item, before) }
  }), known)
}

const mutants: Readonly<Record<string, Plan>> = {
  'seq > last instead of the chain: a gap is skipped': forged((run, { appliedSeq, stagedSeq }) => Math.min(run.prevSeq, appliedSeq, stagedSeq)),
  'place in the log as identity: what is read again is counted again': (items) => {
    const fresh = new Map<string, StreamSeqs>()
    for (const item of items) if (item.kind === 'events' && !fresh.has(item.streamId)) fresh.set(item.streamId, { appliedSeq: item.prevSeq, stagedSeq: item.prevSeq })
    return planBatch(items, fresh)
  },
  'a run that was partly taken is dropped': (items, known) => planBatch(items.filter((item) => item.kind !== 'events' || item.prevSeq >= (known.get(item.streamId)?.appliedSeq ?? 0)), known),
  'a run that was partly taken is taken whole': (items, known) => {
    const plan = planBatch(items, known)
    return { ...plan, pieces: plan.pieces.map((piece) => ({ ...piece, run: items.find((item): item is EventRun => item.kind === 'events' && item.streamId === piece.run.streamId && item.lastSeq === piece.run.lastSeq) ?? piece.run })) }
  },
  'what was counted before a restart is not archived after it': (items, known) => planBatch(items, new Map([...known].map(([streamId, { appliedSeq }]) => [streamId, { appliedSeq, stagedSeq: appliedSeq }])))
}
for (const [name, plan] of Object.entries(mutants)) {
  test(`caught: ${name}`, async () => {
    const details = await fc.check(property(plan), { numRuns: 300, endOnFailure: true })
    assert.equal(details.failed, true, 'the property is blind to it')
  })
}

test('the rule of what is billable is the same in SQL', async (t) => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tollgate-property-'))
  t.after(() => { rmSync(folder, { recursive: true }) })
  const duckDb = await openDuckDb({ file: path.join(folder, 'x.duckdb'), memoryBytesMax: 64 * 2 ** 20, threads: 1 })
  const connection = await duckDb.connect()
  t.after(() => {
    connection.close()
    duckDb.close()
  })
  const optional = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined })
  await fc.assert(fc.asyncProperty(optional(fc.nat()), optional(fc.nat()), optional(fc.constantFrom('G0006', 'G0008')), fc.integer({ min: 100, max: 999 }), optional(fc.nat()), async (memberId, apiKeyId, errorCode, responseStatus, upstreamLatencyMs) => {
    const [row] = await connection.rowsKept<{ billable: boolean }>(
      `SELECT ${isBillableSql} AS billable FROM (SELECT $1::BIGINT AS memberId, $2::BIGINT AS apiKeyId, $3::VARCHAR AS errorCode, $4::INTEGER AS responseStatus, $5::BIGINT AS upstreamLatencyMs)`,
      [memberId ?? null, apiKeyId ?? null, errorCode ?? null, responseStatus, upstreamLatencyMs ?? null])
    const given = { memberId, apiKeyId, errorCode, upstreamLatencyMs }
    assert.equal(row?.billable, isBillable({ ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)), responseStatus }))
  }), { numRuns: 150 })
})

test('a line with the encoder\'s shape is one that the strict reader takes, but for the size of its values', () => {
  const change = fc.tuple(fc.nat(400), fc.constantFrom('', '"', '0', '.', 'e', 't', '-', ' ', ',', '{', '}', '\\', 'T', '9'))
  fc.assert(fc.property(event, fc.array(change, { maxLength: 2 }), (given, changes) => {
    let line = lineOf(given, { streamId: streamIds[0], seq: 5, prevSeq: 4 })
    for (const [at, text] of changes) line = line.slice(0, at % line.length) + text + line.slice(at % line.length + 1)
    if (!isShaped(Buffer.from(`${line}\n`))) return
    const parsed = parseUsageEvent(line)
    if ('problem' in parsed) assert.match(parsed.problem, /not an integer|not a time|prevSeq|longer than|line: not JSON/, line)
  }), { numRuns: 2_000 })
})
