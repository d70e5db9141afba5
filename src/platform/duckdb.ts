// DuckDB as this program uses it: bounded memory and threads, nothing downloaded, one writer connection whose
// transactions are run one at a time, and errors that say whether a file is damaged.
import { closeSync, existsSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import type { DuckDBConnection, DuckDBMaterializedResult, DuckDBPreparedStatement, DuckDBValue } from '@duckdb/node-api'

export interface DuckDbOptions {
  /** Made when it isn't there. Its folder gets a `<file>.tmp` folder for what doesn't fit into memory. */
  readonly file: string
  readonly memoryBytesMax: number
  readonly threads: number
}

/** Integers come back as bigint (INTEGER and smaller as number), so that no count is rounded on the way. */
export type SqlRow = Readonly<Record<string, unknown>>
export type SqlValue = string | number | bigint | boolean | null

/** A result by columns and chunks of some 2,000 rows, for those who read many rows. */
export type SqlResult = DuckDBMaterializedResult

export interface Statement {
  run: (values?: readonly SqlValue[]) => Promise<SqlResult>
  close: () => void
}

export interface SqlConnection {
  /** Runs one statement, or several without values. @returns the rows that an INSERT, UPDATE or DELETE changed */
  run: (sql: string, values?: readonly SqlValue[]) => Promise<number>
  rows: <Row extends SqlRow>(sql: string, values?: readonly SqlValue[]) => Promise<readonly Row[]>
  prepare: (sql: string) => Promise<Statement>
  /** Like `run`, with a statement that is kept as long as the connection: for texts of which there are few. */
  runKept: (sql: string, values: readonly SqlValue[]) => Promise<number>
  /** Like `rows`, with a statement that is kept. */
  rowsKept: <Row extends SqlRow>(sql: string, values: readonly SqlValue[]) => Promise<readonly Row[]>
  /**
   * Everything that `work` does on this connection is committed together, or not at all. Not for two callers at a time:
   * a connection has one owner. After an error of the commit itself it is unknown whether it took place.
   */
  transaction: <Result>(work: () => Promise<Result>) => Promise<Result>
  close: () => void
}

export interface DuckDb {
  /** A connection sees what others have committed; temporary tables are its own. */
  connect: () => Promise<SqlConnection>
  /** Copies the file and its write-ahead log to `target`. Only while nobody writes. Nothing is synced. */
  copyTo: (target: string) => void
  close: () => void
}

/** @throws whatever DuckDB says; `isDamage` tells whether the file itself is unreadable */
export async function openDuckDb ({ file, memoryBytesMax, threads }: DuckDbOptions): Promise<DuckDb> {
  const temporaryFolder = `${file}.tmp`
  mkdirSync(path.dirname(file), { recursive: true })
  // What an earlier process left there is of no use to anybody.
  rmSync(temporaryFolder, { recursive: true, force: true })
  const instance = await DuckDBInstance.create(file, {
    threads: String(threads),
    memory_limit: `${memoryBytesMax}B`,
    temp_directory: temporaryFolder,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
    // What DuckDB has freed goes back to the system, not only when it is more than this program uses in all.
    allocator_flush_threshold: `${Math.ceil(memoryBytesMax / 8)}B`,
    allocator_bulk_deallocation_flush_threshold: `${Math.ceil(memoryBytesMax / 4)}B`,
    // Rows are read back in the order in which they were written: the check of a block's chain rests on it.
    preserve_insertion_order: 'true'
  })
  const kept = new Map<string, number>()
  return {
    connect: async () => openConnection(await instance.connect()),
    copyTo: (target) => {
      for (const suffix of ['', '.wal']) if (existsSync(file + suffix)) copyOpenFile(file + suffix, target + suffix, kept)
    },
    close: () => {
      instance.closeSync()
      for (const descriptor of kept.values()) closeSync(descriptor)
      kept.clear()
    }
  }
}

const copyPieceBytes = 4 * 1024 * 1024

/**
 * DuckDB locks its file against other processes, with a lock that goes as soon as this process closes any descriptor of the
 * file: so the one that is read here stays open as long as the database is.
 */
function copyOpenFile (file: string, target: string, kept: Map<string, number>): void {
  // The write-ahead log is another file after each checkpoint; nothing locks it.
  const isKept = !file.endsWith('.wal')
  const source = kept.get(file) ?? openSync(file, 'r')
  if (isKept) kept.set(file, source)
  const copy = openSync(target, 'w', 0o600)
  try {
    const piece = Buffer.allocUnsafe(copyPieceBytes)
    for (let at = 0, got; (got = readSync(source, piece, 0, copyPieceBytes, at)) > 0; at += got) {
      for (let written = 0; written < got;) written += writeSync(copy, piece, written, got - written)
    }
  } finally {
    closeSync(copy)
    if (!isKept) closeSync(source)
  }
}

function openConnection (connection: DuckDBConnection): SqlConnection {
  const run = async (sql: string, values?: readonly SqlValue[]): Promise<DuckDBMaterializedResult> =>
    await (values === undefined ? connection.run(sql) : connection.run(sql, [...values] as DuckDBValue[]))
  const kept = new Map<string, Statement>()
  const keep = async (sql: string): Promise<Statement> => {
    const statement = kept.get(sql) ?? openStatement(await connection.prepare(sql))
    kept.set(sql, statement)
    return statement
  }
  return {
    run: async (sql, values) => (await run(sql, values)).rowsChanged,
    rows: async <Row extends SqlRow>(sql: string, values?: readonly SqlValue[]) => await (await run(sql, values)).getRowObjectsJS() as unknown as Row[],
    prepare: async (sql) => openStatement(await connection.prepare(sql)),
    runKept: async (sql, values) => (await (await keep(sql)).run(values)).rowsChanged,
    rowsKept: async <Row extends SqlRow>(sql: string, values: readonly SqlValue[]) => await (await (await keep(sql)).run(values)).getRowObjectsJS() as unknown as Row[],
    transaction: async (work) => {
      await connection.run('BEGIN TRANSACTION')
      let result
      try {
        result = await work()
      } catch (error) {
        // A database that DuckDB has given up can't roll back either; the first error is the one that says why.
        await connection.run('ROLLBACK').catch(() => undefined)
        throw error
      }
      await connection.run('COMMIT')
      return result
    },
    close: () => {
      for (const statement of kept.values()) statement.close()
      connection.closeSync()
    }
  }
}

function openStatement (statement: DuckDBPreparedStatement): Statement {
  return {
    run: async (values = []) => {
      statement.clearBindings()
      if (values.length > 0) statement.bind([...values] as DuckDBValue[])
      return await statement.run()
    },
    close: () => { statement.destroySync() }
  }
}

const damagePattern = /corrupt|checksum|could not read enough bytes|not a valid duckdb database|failed to deserialize|serialization error/i

/** True when the error says that the database file can't be trusted: truncated, with flipped bytes, or not DuckDB's at all. */
export function isDamage (error: unknown): boolean {
  return error instanceof Error && damagePattern.test(error.message)
}

/** True when DuckDB has stopped serving this database: only opening it again helps. */
export function isGivenUp (error: unknown): boolean {
  return error instanceof Error && /FATAL|has been invalidated/.test(error.message)
}

/** `text` as a literal of SQL, for places where no parameter is allowed, such as file names. */
export function sqlText (text: string): string { return `'${text.replaceAll('\'', '\'\'')}'` }
