// NDJSON into a temporary table of DuckDB, without a JavaScript object an event. Blocks go through a file that is written
// over and over and never synced: handing DuckDB the same bytes as a parameter costs twice the processor time.
// The quick way takes a block only when every line has the encoder's shape - looked at line by line, or known from where the
// block comes from - and all stands in its place in the chain; any other block is read line by line, what can't be counted
// is set aside with its reason, and the rest takes the quick way.
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs'
import { encodeUsageEvent, eventTextBytesMax, unitsMax } from '../domain/usage-event.ts'
import { hourOf, parseTimeMs } from '../domain/window.ts'
import { sqlText } from '../platform/duckdb.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import type { EventRun, RecordOrigin } from '../usage-log/port.ts'
import { countsOf } from './aggregator-sql.ts'
import { eventColumns } from './event-columns.ts'
import { isShaped } from './event-line.ts'
import { readRunLines, requestTimeAheadMsMax, requestTimeMsMin } from './run-lines.ts'
import type { RunLine } from './run-lines.ts'

/** A line that can't be counted. It has its place in the chain, so nothing behind it has to wait. */
export interface BadLine {
  readonly streamId: string
  readonly seq: number
  readonly prevSeq: number
  readonly text: string
  readonly reason: string
  /** As far as the line or its neighbours tell. */
  readonly hour: number | undefined
  readonly gatewayId: string | undefined
  /** What the log knows of it. */
  readonly origin?: RecordOrigin
}

/** Events of one stream and hour in a table. */
export interface StreamCount {
  readonly streamId: string
  readonly gatewayId: string
  readonly hour: number
  readonly billable: number
  readonly notBillable: number
}

export interface IngestedTable {
  /** A temporary table with the columns of an event; undefined when no line could be read. */
  readonly table: string | undefined
  readonly rows: number
  /** Of the lines; a table takes about as much memory. */
  readonly bytes: number
  readonly counts: readonly StreamCount[]
  readonly badLines: readonly BadLine[]
}

export interface Ingest {
  /** Reads runs, each stream's in the order of its chain, into a temporary table of `connection`. */
  readonly read: (runs: readonly EventRun[]) => Promise<IngestedTable>
  readonly close: () => void
}

export function openIngest (connection: SqlConnection, blockFile: string): Ingest {
  const descriptor = openSync(blockFile, 'w', 0o600)
  let tableCount = 0

  /** @returns the table's name; throws what DuckDB says of the block */
  const load = async (blocks: readonly Uint8Array[]): Promise<string> => {
    const table = `events_${++tableCount}`
    writeBlocks(descriptor, blocks)
    await connection.run(`CREATE TEMP TABLE ${table} AS SELECT * FROM read_json(${sqlText(blockFile)}, format = 'newline_delimited', records = 'true', compression = 'uncompressed', maximum_object_size = ${lineBytesMax}, columns = ${columnsText})`)
    return table
  }

  const read = async (runs: readonly EventRun[]): Promise<IngestedTable> => {
    if (runs.every((run) => run.isEncoded === true || isShaped(run.ndjson))) {
      const quick = await readQuickly(connection, runs, load)
      if (quick !== undefined) return quick
    }
    return await readCarefully(connection, runs, load)
  }
  return {
    read,
    close: () => {
      closeSync(descriptor)
      rmSync(blockFile, { force: true })
    }
  }
}

/** DuckDB holds some buffers of this size. No event that can be counted comes near it: see `eventBytesMax`. */
const lineBytesMax = 2 ** 20

type Load = (blocks: readonly Uint8Array[]) => Promise<string>

const columnsText = `{${Object.entries(eventColumns).map(([field, type]) => `${field}: '${type}'`).join(', ')}}`

function writeBlocks (descriptor: number, blocks: readonly Uint8Array[]): void {
  let position = 0
  for (const block of blocks) {
    let written = 0
    while (written < block.byteLength) written += writeSync(descriptor, block, written, block.byteLength - written, position + written)
    position += written
  }
  // Only what is beyond it goes: pages that are written over again cost a tenth of new ones.
  ftruncateSync(descriptor, position)
}

/** Undefined when a line isn't what it should be: which one, the careful way finds. */
async function readQuickly (connection: SqlConnection, runs: readonly EventRun[], load: Load): Promise<IngestedTable | undefined> {
  let table
  try {
    table = await load(runs.map((run) => run.ndjson))
  } catch (error) {
    if (!isAboutContent(error)) throw error
    return undefined
  }
  const rows = runs.reduce((sum, run) => sum + run.count, 0)
  const inspected = await inspect(connection, table, unbelievableSql(runs))
  if (inspected.wrong > 0 || inspected.rows !== rows || !await isInChain(connection, table, runs)) {
    await connection.run(`DROP TABLE ${table}`)
    return undefined
  }
  return { table, rows, bytes: bytesOf(runs), counts: inspected.counts, badLines: [] }
}

async function readCarefully (connection: SqlConnection, runs: readonly EventRun[], load: Load): Promise<IngestedTable> {
  const texts: string[] = []
  const badLines: BadLine[] = []
  for (const run of runs) {
    const lines = readRunLines(run)
    lines.forEach((line, index) => {
      // Written again by our own encoder: what DuckDB and JSON.parse understand differently is gone.
      if (line.event !== undefined) texts.push(`${encodeUsageEvent(line.event)},"streamId":"${run.streamId}","seq":${line.seq},"prevSeq":${line.prevSeq}}\n`)
      else badLines.push(describeBadLine(run, lines, index))
    })
  }
  if (texts.length === 0) return { table: undefined, rows: 0, bytes: 0, counts: [], badLines }
  const table = await load([Buffer.from(texts.join(''))])
  const inspected = await inspect(connection, table)
  if (inspected.wrong > 0 || inspected.rows !== texts.length) throw new Error(`${inspected.wrong} of ${texts.length} events, now ${inspected.rows}, changed when they were written again`)
  return { table, rows: texts.length, bytes: bytesOf(runs), counts: inspected.counts, badLines }
}

function bytesOf (runs: readonly EventRun[]): number { return runs.reduce((sum, run) => sum + run.ndjson.length, 0) }

function describeBadLine (run: EventRun, lines: readonly RunLine[], index: number): BadLine {
  const { seq, prevSeq, text, problem = '' } = lines[index] as RunLine
  const neighbour = lines.slice(0, index).findLast((line) => line.event !== undefined) ?? lines.find((line) => line.event !== undefined)
  const origin = run.origin?.recordOf(seq)
  const timeMs = parseTimeMs(/"requestTime":"([^"]{24})"/.exec(text)?.[1] ?? '') ?? origin?.requestTimeMs ?? origin?.loggedAtMs
  return {
    streamId: run.streamId,
    seq,
    prevSeq,
    text,
    reason: problem,
    hour: timeMs !== undefined ? hourOf(timeMs) : neighbour?.event === undefined ? undefined : hourOf(neighbour.event.requestTimeMs),
    gatewayId: /"gatewayId":"([A-Za-z0-9._-]{1,128})"/.exec(text)?.[1] ?? origin?.gatewayId ?? neighbour?.event?.gatewayId,
    ...(origin === undefined ? {} : { origin })
  }
}

const safeIntegers = ['seq', 'prevSeq', 'apiKeyId', 'memberId', 'apiEndpointId', 'requestBytes', 'responseBytes', 'upstreamLatencyMs']

/** Without them DuckDB would count a line that says nothing. The chain can't be followed without the others. */
const required = [
  'gatewayId', 'eventId', 'requestTime', 'responseTime', 'requestProtocol', 'requestMethod', 'requestUri', 'responseStatus', 'traceId', 'routeId', 'apiEndpointId', 'requestBytes', 'responseBytes', 'units', 'schemaVersion'
]

/** Of known length by their shape. */
const uuids = ['eventId', 'streamId']

/** What the shape of a line doesn't say, as the domain's own reader sees it. */
const isWrongSql = [
  ...safeIntegers.map((column) => `${column} > ${Number.MAX_SAFE_INTEGER}`),
  'responseStatus NOT BETWEEN 100 AND 999', `units > ${unitsMax}`, 'schemaVersion < 1', 'prevSeq >= seq',
  'epoch_ms(requestTime) < 0', 'epoch_ms(responseTime) < 0', ...required.map((column) => `${column} IS NULL`),
  ...Object.entries(eventTextBytesMax).filter(([column]) => !uuids.includes(column)).map(([column, bytesMax]) => `strlen(${column}) > ${bytesMax}`)
].join(' OR ')

interface CountRow { readonly [column: string]: unknown, readonly streamId: string, readonly gatewayId: string, readonly hour: number, readonly billable: bigint, readonly notBillable: bigint, readonly wrong: bigint }

async function inspect (connection: SqlConnection, table: string, isUnbelievable = 'false'): Promise<{ readonly rows: number, readonly wrong: number, readonly counts: StreamCount[] }> {
  const rows = await connection.rows<CountRow>(countsOf(table, `${isWrongSql} OR ${isUnbelievable}`))
  const counts = rows.map(countOfRow)
  return {
    rows: counts.reduce((sum, { billable, notBillable }) => sum + billable + notBillable, 0),
    wrong: rows.reduce((sum, row) => sum + Number(row.wrong), 0),
    counts
  }
}

/** Of runs whose log has a clock: a time that the careful way would look at. The first record's time is the lowest. */
function unbelievableSql (runs: readonly EventRun[]): string {
  const clocks = runs.flatMap(({ origin }) => origin?.loggedAtMs ?? [])
  if (clocks.length === 0) return 'false'
  return `epoch_ms(requestTime) NOT BETWEEN ${requestTimeMsMin} AND ${clocks.reduce((lowest, timeMs) => Math.min(lowest, timeMs)) + requestTimeAheadMsMax}`
}

/** The events of a table with an event's columns, per stream and hour. */
export async function countEvents (connection: SqlConnection, table: string): Promise<StreamCount[]> {
  return (await connection.rows<CountRow>(countsOf(table))).map(countOfRow)
}

function countOfRow ({ streamId, gatewayId, hour, billable, notBillable }: CountRow): StreamCount {
  return { streamId, gatewayId, hour, billable: Number(billable), notBillable: Number(notBillable) }
}

/**
 * Every line names the line before it, but for the first of each chain; where those stand and what they name is known
 * from the runs. So the lines are exactly the records that the runs say.
 */
async function isInChain (connection: SqlConnection, table: string, runs: readonly EventRun[]): Promise<boolean> {
  const starts: { row: number, streamId: string, prevSeq: number }[] = []
  const ends: { row: number, seq: number }[] = []
  let row = 0
  let before: EventRun | undefined
  for (const run of runs) {
    if (before?.streamId !== run.streamId || before.lastSeq !== run.prevSeq) {
      if (before !== undefined) ends.push({ row: row - 1, seq: before.lastSeq })
      starts.push({ row, streamId: run.streamId, prevSeq: run.prevSeq })
    }
    row += run.count
    before = run
  }
  if (before !== undefined) ends.push({ row: row - 1, seq: before.lastSeq })
  const found = await connection.rows<{ row: bigint, streamId: string, prevSeq: bigint }>(`
    SELECT row, streamId, prevSeq FROM (SELECT rowid AS row, streamId, prevSeq,
      lag(streamId) OVER () IS DISTINCT FROM streamId OR lag(seq) OVER () IS DISTINCT FROM prevSeq AS isStart FROM ${table}) WHERE isStart ORDER BY row`)
  const foundStarts = found.map(({ row, streamId, prevSeq }) => ({ row: Number(row), streamId, prevSeq: Number(prevSeq) }))
  if (JSON.stringify(foundStarts) !== JSON.stringify(starts)) return false
  const foundEnds = await connection.rows<{ row: bigint, seq: bigint }>(`SELECT rowid AS row, seq FROM ${table} WHERE rowid IN (${ends.map(({ row }) => row).join(', ')}) ORDER BY row`)
  return JSON.stringify(foundEnds.map(({ row, seq }) => ({ row: Number(row), seq: Number(seq) }))) === JSON.stringify(ends)
}

function isAboutContent (error: unknown): boolean {
  return error instanceof Error && /^(Invalid Input|Conversion|Out of Range|JSON)/.test(error.message)
}
