// Opening aggregator.duckdb: made when it isn't there, checked from end to end when it is. A file that can't be trusted is
// never opened half: it is moved aside, and what it held is counted again from the archive and the journal.
import { existsSync, renameSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { isDamage, openDuckDb } from '../platform/duckdb.ts'
import type { DuckDb, DuckDbOptions, SqlConnection } from '../platform/duckdb.ts'
import { makeFolderDurable, syncFolder } from '../platform/durable-file.ts'
import { keepCopy, newerStore } from '../platform/state-version.ts'
import { createTables, databaseVersion, hourlyTable, migrations, tables } from './aggregator-sql.ts'

export interface AggregatorDatabase {
  readonly duckDb: DuckDb
  /** The one connection that writes. */
  readonly writer: SqlConnection
  /** It was made just now, because there was none. */
  readonly isNew: boolean
}

export interface DatabaseOptions extends DuckDbOptions {
  readonly newHistoryId: () => string
  readonly nowMs: () => number
}

/**
 * @throws TollgateError AGGREGATOR_DAMAGED when the file is truncated, has flipped bytes or isn't DuckDB's; then
 * `setAside` gives way to a new one. AGGREGATOR_NEWER when a newer version wrote it. STATE_NO_ROOM when an older one did and it can't be copied.
 */
export async function openDatabase (options: DatabaseOptions): Promise<AggregatorDatabase> {
  makeFolderDurable(path.dirname(options.file))
  const isNew = !existsSync(options.file)
  let duckDb: DuckDb | undefined
  try {
    duckDb = await openDuckDb(options)
    let writer = await duckDb.connect()
    if (isNew || !await hasTables(writer)) await create(writer, options)
    else {
      const version = await versionOf(writer, options.file)
      if (version < databaseVersion) {
        writer.close()
        duckDb.close()
        keepCopy(options.file, version, ['', '.wal'])
        duckDb = await openDuckDb(options)
        writer = await duckDb.connect()
        await migrate(writer, version)
      }
      await check(writer)
    }
    await beginTerm(writer, options)
    return { duckDb, writer, isNew }
  } catch (error) {
    duckDb?.close()
    if (!isDamage(error)) throw error
    throw new TollgateError('AGGREGATOR_DAMAGED', `${options.file} is damaged: ${(error as Error).message}`, { cause: error })
  }
}

/** Moves a damaged database out of the way, with its write-ahead log. @returns the new name */
export function setAside (file: string, nowMs: number): string {
  const aside = `${file}.damaged-${nowMs}`
  for (const suffix of ['.wal', '']) if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix)
  syncFolder(path.dirname(file))
  return aside
}

/** Undoes `setAside` for a start that is refused, so that a person finds everything where it was. */
export function putBack (aside: string, file: string): void {
  for (const suffix of ['', '.wal']) if (existsSync(aside + suffix)) renameSync(aside + suffix, file + suffix)
  syncFolder(path.dirname(file))
}

// A crash between making the file and this commit leaves a database without tables: as good as none.
async function hasTables (writer: SqlConnection): Promise<boolean> {
  const rows = await writer.rows('SELECT 1 FROM duckdb_tables() WHERE table_name = $1', ['meta'])
  return rows.length > 0
}

async function create (writer: SqlConnection, { newHistoryId }: DatabaseOptions): Promise<void> {
  await writer.transaction(async () => {
    await writer.run(createTables)
    await writer.run('INSERT INTO meta VALUES ($1, $2, 0, 0, 0, NULL)', [databaseVersion, newHistoryId()])
  })
}

async function versionOf (writer: SqlConnection, file: string): Promise<number> {
  const [meta] = await writer.rows<{ databaseVersion: number }>('SELECT databaseVersion FROM meta')
  if (meta === undefined) throw new Error('Corrupt database: no row says what it is')
  if (meta.databaseVersion > databaseVersion) throw newerStore('AGGREGATOR_NEWER', { file, found: meta.databaseVersion, known: databaseVersion })
  return meta.databaseVersion
}

/** Reads every row, and looks every key up in its index: DuckDB sees damage only in what it reads. */
async function check (writer: SqlConnection): Promise<void> {
  const partitions = await writer.rows<{ sourcePartition: number, segment: number }>('SELECT sourcePartition, segment FROM partitions')
  const names = ['meta', ...Object.keys(tables), ...partitions.map(({ sourcePartition, segment }) => hourlyTable(sourcePartition, segment))]
  await writer.run('BEGIN TRANSACTION')
  try {
    for (const table of names) {
      await writer.rows(`SELECT sum(hash(t)) FROM ${table} t`)
      // The one row of `meta` has no key.
      if (table !== 'meta') await writer.run(`INSERT OR IGNORE INTO ${table} SELECT * FROM ${table}`)
    }
  } finally {
    await writer.run('ROLLBACK').catch(() => undefined)
  }
}

/** Each step in a transaction of its own: a crash leaves a database of some version. */
async function migrate (writer: SqlConnection, version: number): Promise<void> {
  for (let from = version; from < databaseVersion; from++) {
    const step = migrations[from]
    if (step === undefined) throw new Error(`Corrupt database: no program has written version ${from}`)
    await writer.transaction(async () => {
      await writer.run(step)
      await writer.run('UPDATE meta SET databaseVersion = $1', [from + 1])
    })
  }
}

/** How many earlier terms are kept: a ledger that stands in an older one reads everything again. */
const termsMax = 1000

/**
 * Each opening is a term of its own, named by the clock and by chance so that two copies of one file never go on under the
 * same name, not even when both are opened in the same millisecond. The list of terms and where they began tells a
 * position in this file's past from one in another file's.
 */
async function beginTerm (writer: SqlConnection, { nowMs, newHistoryId }: DatabaseOptions): Promise<void> {
  const chance = Number.parseInt(newHistoryId().replaceAll(/[^0-9a-f]/g, '').slice(0, 8), 16)
  await writer.transaction(async () => {
    await writer.run('UPDATE meta SET term = greatest(term, $1) + 1 + $2', [nowMs(), Number.isNaN(chance) ? 0 : chance])
    await writer.run('INSERT INTO terms SELECT term, revision + 1 FROM meta')
    await writer.run(`DELETE FROM terms WHERE term NOT IN (SELECT term FROM terms ORDER BY term DESC LIMIT ${termsMax})`)
  })
}
