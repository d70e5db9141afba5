// A month of hourly counts: 200 members, each with 4 keys on 10 endpoints, every hour; or as many hours spread over a year.
// Given to a ledger as the aggregator gives it: closed segments as snapshots, the open one as rows.
import path from 'node:path'
import { writeSnapshot } from '../../src/aggregator/segments.ts'
import { hourOf } from '../../src/domain/window.ts'
import { hourlyColumns } from '../../src/hourly-log/port.ts'
import type { ClosedSegment, HourlyBatch } from '../../src/hourly-log/port.ts'
import { openDuckDb } from '../../src/platform/duckdb.ts'
import type { SqlConnection } from '../../src/platform/duckdb.ts'

export const members = 200
export const keysPerMember = 4
export const endpoints = 10
export const rowsPerHour = members * keysPerMember * endpoints

/** A month of exactly 30 days, long over. */
export const month = { from: '2025-06-01', to: '2025-06-30', fromHour: hourOf(Date.UTC(2025, 5, 1)), hours: 720 } as const

export interface HoursPlan {
  /** So many hours, from the month's first on. */
  readonly hours: number
  /** Hours until a segment is full. */
  readonly segmentHours: number
  /** 1: one hour after another. 12: two hours of each day. */
  readonly strideHours: number
}

/** Of the plan's hours those from `from` to before `to`; the rows are always the same. */
function selectRows ({ strideHours }: HoursPlan, segment: number, from: number, to: number): string {
  return `SELECT 0 AS sourcePartition, ${segment} AS segment, 1 + pair % ${endpoints} AS apiEndpointId, member AS memberId, member * 10 + pair // ${endpoints} AS apiKeyId, ${month.fromHour} + place * ${strideHours} AS hour,
    n AS count, n AS units, n * 700 AS requestBytes, n * 9000 AS responseBytes, n // 50 AS errorCount, ${segment + 1} AS revision
    FROM (SELECT m.range AS member, p.range AS pair, h.range AS place, (1 + hash(m.range, p.range, h.range) % 500)::BIGINT AS n
      FROM range(1, ${members + 1}) m, range(${keysPerMember * endpoints}) p, range(${from}, ${to}) h)`
}

/** Hours of the open segment that are given at a time: about as many rows as the aggregator gives. */
const openStepHours = 2

export interface HourlySteps {
  readonly rows: number
  /** Step 0 is the first; undefined after the last. */
  readonly step: (index: number) => Promise<HourlyBatch | undefined>
  /** What each member's bill must come to: requests in all these hours. */
  readonly countByMember: ReadonlyMap<number, number>
}

async function writeSegments (writer: SqlConnection, folder: string, plan: HoursPlan): Promise<ClosedSegment[]> {
  const closed: ClosedSegment[] = []
  for (let segment = 0; (segment + 1) * plan.segmentHours <= plan.hours; segment++) {
    const from = segment * plan.segmentHours
    const snapshot = await writeSnapshot(writer, { folder, name: `segment-${segment}`, select: selectRows(plan, segment, from, from + plan.segmentHours) })
    closed.push({ partition: 0, segment, file: snapshot.file, sha256: snapshot.sha256, rows: snapshot.rows, revision: segment + 1 })
  }
  return closed
}

async function linesOf (writer: SqlConnection, select: string): Promise<string> {
  const [row] = await writer.rows<{ lines: string }>(`SELECT string_agg(to_json({${hourlyColumns.map((column) => `${column}: ${column}`).join(', ')}})::VARCHAR, chr(10)) AS lines FROM (${select})`)
  if (row === undefined) throw new Error('no rows were made')
  return row.lines
}

/** Writes the snapshots into `folder`. */
export async function makeSteps (folder: string, plan: HoursPlan): Promise<HourlySteps> {
  const duckDb = await openDuckDb({ file: path.join(folder, 'generator.duckdb'), memoryBytesMax: 1024 ** 3, threads: 2 })
  const writer = await duckDb.connect()
  const closed = await writeSegments(writer, path.join(folder, 'segments'), plan)
  const sums = await writer.rows<{ memberId: bigint, count: bigint }>(`SELECT memberId, sum(count)::BIGINT AS count FROM (${selectRows(plan, 0, 0, plan.hours)}) GROUP BY memberId`)
  const openFrom = closed.length * plan.segmentHours
  return {
    rows: plan.hours * rowsPerHour,
    countByMember: new Map(sums.map(({ memberId, count }) => [Number(memberId), Number(count)])),
    step: async (index) => {
      const segment = closed[index]
      const common = { isReset: index === 0, partition: 0, position: { historyId: 'benchmark', term: 1, revision: index } }
      if (segment !== undefined) return { ...common, closed: [segment], rowsNdjson: '', watermarks: [], hasMore: true }
      const from = openFrom + (index - closed.length) * openStepHours
      if (from >= plan.hours) return undefined
      const to = Math.min(plan.hours, from + openStepHours)
      const rowsNdjson = await linesOf(writer, selectRows(plan, closed.length, from, to))
      return { ...common, closed: [], rowsNdjson, watermarks: [], hasMore: to < plan.hours }
    }
  }
}
