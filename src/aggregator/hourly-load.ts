// A partition's state out of its topic into a new database: rows of the open segment, streams, tallies, voids, closed
// segments. The topic is read once from its start; a key's last record wins. Rows go to DuckDB as text, in pieces: a piece
// has a bound, and no row becomes a JavaScript object. Until `finish` has committed, the database has no positions and
// counts for nothing: whoever finds it so throws it away.
import { rmSync, writeFileSync } from 'node:fs'
import { rowKeyText } from '../hourly-log/kafka-record.ts'
import type { HourlyRecord, ProgressValue } from '../hourly-log/kafka-record.ts'
import { sqlText } from '../platform/duckdb.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { createHourlyTable, hourlyTable } from './aggregator-sql.ts'
import type { TableName } from './aggregator-sql.ts'
import { writeRows } from './apply.ts'
import { jsonRows } from './keyed-table.ts'
import type { LogPositions } from './log-positions.ts'

export interface HourlyLoaderParts {
  readonly writer: SqlConnection
  readonly partition: number
  /** Written over and over, never synced. */
  readonly scratchFile: string
  /** A row that can't be read; an earlier version of it stands. */
  readonly onMalformed: (key: string) => void
}

/** Records put together before they go to DuckDB. */
const pieceRecordsMax = 20_000
const pieceBytesMax = 8 * 2 ** 20

interface RowPiece { readonly lines: Map<string, string>, readonly removed: Map<string, readonly number[]> }

export class HourlyLoader {
  readonly #parts: HourlyLoaderParts
  /** By segment, then by key: each key once, because one statement can't change a row twice. */
  #rows = new Map<number, RowPiece>()
  #statements = new Map<TableName, Map<string, object>>()
  #records = 0
  #bytes = 0
  readonly #segments = new Set<number>()

  constructor (parts: HourlyLoaderParts) { this.#parts = parts }

  /** @returns something to wait for where a piece is full */
  add (record: HourlyRecord): Promise<void> | undefined {
    this.#take(record)
    return ++this.#records >= pieceRecordsMax || this.#bytes >= pieceBytesMax ? this.#write() : undefined
  }

  /** Everything was added: from here on the database is what the topic says. */
  async finish (progress: ProgressValue, positions: LogPositions, nowMs: number): Promise<void> {
    await this.#write()
    const { writer, partition, scratchFile } = this.#parts
    rmSync(scratchFile, { force: true })
    const { segment, revision } = progress
    await writer.transaction(async () => {
      if (!this.#segments.has(segment)) await writer.run(`DROP TABLE IF EXISTS ${hourlyTable(partition, segment)}; ${createHourlyTable(partition, segment)}`)
      // The first segment's, that every new database has; a closed segment's rows stay until they have their tombstones.
      if (segment !== 0 && !this.#segments.has(0)) await writer.run(`DROP TABLE IF EXISTS ${hourlyTable(partition, 0)}`)
      await writer.run('UPDATE partitions SET segment = $2 WHERE sourcePartition = $1', [partition, segment])
      for (const table of ['streams', 'tallies', 'voids', 'closed_segments']) await writer.run(`UPDATE ${table} SET revision = $1`, [revision])
      await writeRows(writer, 'log_positions', [{ sourcePartition: partition, ...positions, revision }])
      await writeRows(writer, 'archived_offsets', [{ sourcePartition: partition, archivedOffset: positions.archivedOffset, flush: null, timestampMs: nowMs, isSafe: true }])
      await writer.run('UPDATE meta SET revision = $1, flushedRevision = $1', [revision])
    })
  }

  #take (record: HourlyRecord): void {
    const sourcePartition = this.#parts.partition
    switch (record.kind) {
      case 'progress': case 'take-over': return
      case 'row': { this.#takeRow(record); return }
      case 'closed': { this.#state('closed_segments', String(record.segment), { sourcePartition, segment: record.segment, ...record.value }); return }
      case 'stream': { this.#state('streams', record.streamId, { sourcePartition, streamId: record.streamId, ...record.value }); return }
      case 'tally': { this.#state('tallies', `${record.streamId} ${record.hour}`, { sourcePartition, streamId: record.streamId, hour: record.hour, ...record.value }); return }
      case 'void': this.#state('voids', `${record.streamId} ${record.lastSeq}`, { sourcePartition, streamId: record.streamId, lastSeq: record.lastSeq, ...record.value, hours: JSON.stringify(record.value.hours) })
    }
  }

  #state (table: TableName, key: string, row: object): void {
    const rows = this.#statements.get(table) ?? new Map<string, object>()
    rows.set(key, row)
    this.#statements.set(table, rows)
  }

  #takeRow ({ key, value }: Extract<HourlyRecord, { readonly kind: 'row' }>): void {
    const piece = this.#rows.get(key.segment) ?? { lines: new Map<string, string>(), removed: new Map<string, readonly number[]>() }
    this.#rows.set(key.segment, piece)
    const text = rowKeyText(key)
    if (value === undefined) {
      piece.lines.delete(text)
      piece.removed.set(text, [key.apiEndpointId, key.memberId, key.apiKeyId, key.hour])
      return
    }
    const line = value.toString()
    if (line.includes('\n')) { this.#parts.onMalformed(text); return }
    this.#bytes += line.length
    piece.removed.delete(text)
    piece.lines.set(text, `{"e":${key.apiEndpointId},"m":${key.memberId},"k":${key.apiKeyId},"h":${key.hour},"v":${line}}\n`)
  }

  async #write (): Promise<void> {
    for (const [segment, piece] of this.#rows) await this.#writeRows(segment, piece)
    for (const [table, rows] of this.#statements) await writeRows(this.#parts.writer, table, [...rows.values()])
    this.#rows = new Map()
    this.#statements = new Map()
    this.#records = 0
    this.#bytes = 0
  }

  async #writeRows (segment: number, { lines, removed }: RowPiece): Promise<void> {
    const { writer, partition, scratchFile } = this.#parts
    const table = hourlyTable(partition, segment)
    if (!this.#segments.has(segment)) await writer.run(`DROP TABLE IF EXISTS ${table}; ${createHourlyTable(partition, segment)}`)
    this.#segments.add(segment)
    if (removed.size > 0) await this.#removeRows(table, [...removed.values()])
    if (lines.size === 0) return
    writeFileSync(scratchFile, [...lines.values()].join(''))
    const written = await writer.run(loadRows(table, { file: scratchFile, partition, segment }))
    if (written < lines.size) await this.#tellMalformed(lines, { partition, segment })
  }

  async #removeRows (table: string, keys: readonly (readonly number[])[]): Promise<void> {
    const rows = keys.map(([e, m, k, h]) => ({ e, m, k, h }))
    await this.#parts.writer.run(`DELETE FROM ${table} t USING ${jsonRows({ e: 'BIGINT', m: 'BIGINT', k: 'BIGINT', h: 'INTEGER' })} r
      WHERE t.apiEndpointId = r.e AND t.memberId = r.m AND t.apiKeyId = r.k AND t.hour = r.h`, [JSON.stringify(rows)])
  }

  async #tellMalformed (lines: ReadonlyMap<string, string>, { partition, segment }: { readonly partition: number, readonly segment: number }): Promise<void> {
    const { writer, scratchFile, onMalformed } = this.#parts
    const read = await writer.rows<{ key: string }>(`SELECT concat_ws('|', ${partition}, ${segment}, e, m, k, h) AS key FROM ${readableRows({ file: scratchFile, partition, segment })}`)
    const readable = new Set(read.map(({ key }) => key))
    for (const key of lines.keys()) if (!readable.has(key)) onMalformed(key)
  }
}

interface Lines { readonly file: string, readonly partition: number, readonly segment: number }

const counts = ['count', 'units', 'requestBytes', 'responseBytes', 'errorCount', 'revision'] as const

/** Lines whose row says what its key says. A line that is no JSON becomes a row of nulls. */
function readableRows ({ file, partition, segment }: Lines): string {
  const value = ['sourcePartition', 'segment', 'apiEndpointId', 'memberId', 'apiKeyId', 'hour', 'schemaVersion', ...counts].map((name) => `"${name}" BIGINT`).join(', ')
  return `(SELECT * FROM read_json(${sqlText(file)}, format = 'newline_delimited', records = 'true', compression = 'uncompressed', ignore_errors = true, columns = {e: 'BIGINT', m: 'BIGINT', k: 'BIGINT', h: 'INTEGER', v: 'STRUCT(${value})'})
    WHERE v.sourcePartition = ${partition} AND v.segment = ${segment} AND v.apiEndpointId = e AND v.memberId = m AND v.apiKeyId = k AND v.hour = h AND v.schemaVersion = 1
    AND ${counts.map((name) => `v."${name}" >= 0`).join(' AND ')})`
}

function loadRows (table: string, lines: Lines): string {
  return `INSERT INTO ${table} SELECT e, m, k, h, ${counts.map((name) => `v."${name}"`).join(', ')} FROM ${readableRows(lines)}
    ON CONFLICT DO UPDATE SET ${counts.map((name) => `"${name}" = excluded."${name}"`).join(', ')}`
}
