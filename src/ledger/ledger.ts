// The ledger: billing's own copy of the hourly counts. It is a fold of the hourly log and nothing else, so a file that
// can't be read is set aside and made again.
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { TollgateError } from '../domain/errors.ts'
import { daysBetween, hourMs, hourOfDay, hoursPerDay } from '../domain/window.ts'
import type { HourlyBatch } from '../hourly-log/port.ts'
import { crashPoint } from '../platform/crash-points.ts'
import { isDamage, isGivenUp, openDuckDb } from '../platform/duckdb.ts'
import type { DuckDb, SqlConnection, Statement } from '../platform/duckdb.ts'
import { copyName, newerStore } from '../platform/state-version.ts'
import { readAccount } from './account.ts'
import type { AccountQuestion, LedgerAccount } from './account.ts'
import { createAccountTables } from './account-sql.ts'
import { applyStep, checkSnapshots, foldToContinue, loadFolds } from './folds.ts'
import type { Fold } from './folds.ts'
import { copyRows, createLedger, hotTable, ledgerVersion, selectHourTotals, selectMember, selectWrongDays } from './ledger-sql.ts'
import type { HourTotals, Ledger, LedgerOptions, LedgerTotals, MemberHour, MemberHoursQuery } from './ledger-types.ts'
import { checkRows, memberHoursMax, memberHoursOf } from './member-hours.ts'
import { readMemberTotals } from './member-totals.ts'

interface Store { readonly duckDb: DuckDb, readonly writer: SqlConnection, readonly reader: SqlConnection }

export async function openLedger (options: LedgerOptions): Promise<Ledger> {
  const file = path.join(options.folder, 'ledger.duckdb')
  mkdirSync(options.folder, { recursive: true })
  let store: Store
  try {
    store = await openStore(file, options)
  } catch (error) {
    if (error instanceof OlderLedger) {
      moveAside(file, copyName(file, error.version))
      options.log.info({ file, version: error.version, aside: copyName(file, error.version) }, 'an earlier version made this ledger: it was moved aside and is made again from the hourly counts')
    } else if (isDamage(error)) setAside(file, options, error)
    else throw error
    store = await openStore(file, options)
  }
  return new DuckDbLedger(file, options, store, await loadFolds(store.writer))
}

class DuckDbLedger implements Ledger {
  readonly #file: string
  readonly #options: LedgerOptions
  #store: Store
  #folds: readonly Fold[]
  readonly #statements = new Map<string, Statement>()
  #reading: Promise<unknown> = Promise.resolve()
  #writing: Promise<unknown> = Promise.resolve()
  /** Compaction removes a row's earlier version before its later one is read: what a partition says is true together only where everything that could be seen was read. */
  readonly #behind: Set<number>

  constructor (file: string, options: LedgerOptions, store: Store, folds: readonly Fold[]) {
    this.#file = file
    this.#options = options
    this.#store = store
    this.#folds = folds
    this.#behind = new Set(options.partitions)
  }

  isReady = (): boolean => {
    const current = new Set(this.#folds.filter(({ isCurrent }) => isCurrent).map(({ partition }) => partition))
    return this.#folds.length > 0 && this.#folds.every(({ partition }) => current.has(partition)) && (this.#options.partitions ?? []).every((partition) => current.has(partition))
  }

  behind = (): readonly number[] => [...this.#behind]

  memberHours = async ({ memberId, apiKeyId, fromHour, toHour, byDayBut }: MemberHoursQuery): Promise<MemberHour[]> => await this.#read(async (folds) => {
    if (byDayBut !== undefined && (hourOfDay(fromHour) !== 0 || hourOfDay(toHour) !== 0)) throw new RangeError(`not whole days: hours ${fromHour} to ${toHour}`)
    const by = byDayBut === undefined ? 'hour' : byDayBut.length === 0 ? 'day' : 'day-and-hour'
    const statement = await this.#keep(selectMember(folds, { isOneKey: apiKeyId !== undefined, by, rowsMax: memberHoursMax + 1 }))
    const days = by === 'day-and-hour' ? [JSON.stringify(byDayBut?.map((hour) => daysBetween(0, hour)))] : []
    const rows = memberHoursOf(await statement.run([memberId, fromHour, toHour, ...(apiKeyId === undefined ? [] : [apiKeyId]), ...days]))
    checkRows(rows.length)
    return rows
  })

  memberTotals: Ledger['memberTotals'] = async (query) => await this.#read(async (folds) => {
    if (hourOfDay(query.fromHour) !== 0 || hourOfDay(query.toHour) !== 0) throw new RangeError(`not whole days: hours ${query.fromHour} to ${query.toHour}`)
    return await this.#store.reader.transaction(async () => await readMemberTotals(this.#store.reader, folds, query))
  })

  completeBeforeHour = async (nowMs: number): Promise<number> => await this.#read(async (folds) => {
    const rows = await this.#store.reader.rows<{ gateways: bigint, watermarkMs: bigint | null }>(
      `SELECT count(*) AS gateways, min(watermarkMs) AS watermarkMs FROM watermarks WHERE fold IN (${folds.join(', ')})`)
    const [row] = rows
    if (row === undefined || row.gateways === 0n) return 0
    // Gateways that have ended hold nothing back; time itself does.
    const untilMs = Math.min(nowMs, row.watermarkMs === null ? Infinity : Number(row.watermarkMs))
    return Math.max(0, Math.floor((untilMs - this.#options.graceMs) / hourMs))
  })

  totals = async (): Promise<LedgerTotals> => await this.#read(async (folds) => await this.#store.reader.transaction(async () => await this.#sumAll(folds)))

  account = async (question: AccountQuestion): Promise<LedgerAccount | undefined> => await this.#readWhole(async (folds) => await readAccount(this.#store.reader, folds, question))

  proof: Ledger['proof'] = async ({ rowsFile } = {}) => await this.#readWhole(async (folds) => {
    if (rowsFile !== undefined) await this.#store.reader.run(copyRows(folds, rowsFile))
    return { account: await readAccount(this.#store.reader, folds, { fromHour: 0 }), totals: await this.#sumAll(folds) }
  })

  async #sumAll (folds: readonly number[]): Promise<LedgerTotals> {
    const positions = (await loadFolds(this.#store.reader)).filter(({ fold }) => folds.includes(fold)).map(({ partition, position }) => ({ partition, ...position }))
    const wrong = await this.#store.reader.rows<{ day: number }>(selectWrongDays(folds))
    return { positions, wrongDays: wrong.map(({ day }) => day * hoursPerDay), ...sumHours(await this.#store.reader.rows<TotalRow>(selectHourTotals(folds))) }
  }

  /** Reads as of a moment at which every partition had been read to its end; undefined when this is none. */
  async #readWhole<Answer> (ask: (folds: readonly number[]) => Promise<Answer>): Promise<Answer | undefined> {
    return await this.#read(async (folds) => await this.#store.reader.transaction(async () => {
      // A transaction's moment is that of its first look. A step that leaves its partition behind says so before it begins.
      await this.#store.reader.rows('SELECT folds FROM meta')
      return this.#behind.size > 0 ? undefined : await ask(folds)
    }))
  }

  apply = async (batch: HourlyBatch): Promise<void> => {
    await checkSnapshots(batch.closed)
    if (batch.account !== undefined && (batch.hasMore || batch.isReset)) this.#behind.add(batch.partition)
    const store = this.#store
    const writing = this.#write(store, batch)
    this.#writing = writing.catch(() => undefined)
    try {
      await writing
    } catch (error) {
      if (isDamage(error) || isGivenUp(error)) await this.#startOver(store, error)
      throw error
    }
    if (!batch.hasMore) this.#behind.delete(batch.partition)
  }

  position: Ledger['position'] = async (partition) => await Promise.resolve(foldToContinue(this.#folds, partition)?.position)

  close = async (): Promise<void> => {
    await this.#reading
    await this.#writing
    this.#forgetStatements()
    closeStore(this.#store)
  }

  #current (): number[] { return this.#folds.filter((fold) => fold.isCurrent).map(({ fold }) => fold) }

  async #write (store: Store, batch: HourlyBatch): Promise<void> {
    await store.writer.transaction(async () => {
      await applyStep(store.writer, this.#folds, batch)
      crashPoint('ledger.before-commit')
    })
    crashPoint('ledger.after-commit')
    const before = this.#current()
    this.#folds = await loadFolds(store.writer)
    if (this.#current().join() !== before.join()) this.#forgetStatements()
  }

  /** One question at a time: a connection has one owner. */
  async #read<Answer> (ask: (folds: readonly number[]) => Promise<Answer>): Promise<Answer> {
    const store = this.#store
    const answer = this.#reading.then(async () => {
      if (!this.isReady()) throw new TollgateError('LEDGER_BEHIND', 'the hourly counts are still being read')
      return await ask(this.#current())
    })
    this.#reading = answer.catch(() => undefined)
    try {
      return await answer
    } catch (error) {
      if (!isDamage(error) && !isGivenUp(error)) throw error
      await this.#startOver(store, error)
      throw new TollgateError('LEDGER_BEHIND', 'the ledger was damaged; the hourly counts are read again', { cause: error })
    }
  }

  async #keep (sql: string): Promise<Statement> {
    const statement = this.#statements.get(sql) ?? await this.#store.reader.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  #forgetStatements (): void {
    for (const statement of this.#statements.values()) statement.close()
    this.#statements.clear()
  }

  /** @param damaged the store in which it was seen; a store that has taken its place since is left alone */
  async #startOver (damaged: Store, reason: unknown): Promise<void> {
    if (damaged !== this.#store) return
    // From here on every question is refused, so both queues come to an end.
    this.#folds = []
    for (const partition of this.#options.partitions ?? []) this.#behind.add(partition)
    await this.#reading
    await this.#writing
    if (damaged !== this.#store) return
    this.#forgetStatements()
    closeStore(damaged)
    setAside(this.#file, this.#options, reason)
    this.#store = await openStore(this.#file, this.#options)
  }
}

interface TotalRow { readonly [column: string]: unknown, readonly hour: number, readonly rows: bigint, readonly count: bigint, readonly keyedCount: bigint, readonly units: bigint, readonly errorCount: bigint, readonly requestBytes: bigint, readonly responseBytes: bigint }

function sumHours (rows: readonly TotalRow[]): Omit<LedgerTotals, 'positions' | 'wrongDays'> {
  const hours = rows.map(({ hour, count, keyedCount, units, errorCount, requestBytes, responseBytes }): HourTotals => ({ hour, count: Number(count), keyedCount, units, errorCount: Number(errorCount), requestBytes, responseBytes }))
  const total = { rows: 0, count: 0, units: 0n, errorCount: 0, requestBytes: 0n, responseBytes: 0n }
  for (const [index, hour] of hours.entries()) {
    total.rows += Number(rows[index]?.rows)
    total.count += hour.count
    total.units += hour.units
    total.errorCount += hour.errorCount
    total.requestBytes += hour.requestBytes
    total.responseBytes += hour.responseBytes
  }
  return { ...total, hours }
}

async function openStore (file: string, { memoryBytesMax, threads }: LedgerOptions): Promise<Store> {
  const duckDb = await openDuckDb({ file, memoryBytesMax, threads })
  try {
    const writer = await duckDb.connect()
    await prepareTables(writer, file)
    return { duckDb, writer, reader: await duckDb.connect() }
  } catch (error) {
    duckDb.close()
    throw error
  }
}

/** A ledger isn't migrated: it is made again. */
class OlderLedger extends Error {
  readonly version: number
  constructor (version: number) {
    super(`the ledger has version ${version}`)
    this.version = version
  }
}

async function prepareTables (writer: SqlConnection, file: string): Promise<void> {
  const tables = await writer.rows('SELECT 1 FROM duckdb_tables() WHERE table_name = $1', ['meta'])
  if (tables.length === 0) await writer.transaction(async () => { await writer.run(createLedger) })
  const [meta] = await writer.rows<{ version: number }>('SELECT version FROM meta')
  if (meta === undefined) throw new Error('Corrupt ledger: no row says what it is')
  if (meta.version > ledgerVersion) throw newerStore('LEDGER_NEWER', { file, found: meta.version, known: ledgerVersion })
  if (meta.version < ledgerVersion) throw new OlderLedger(meta.version)
  await writer.run(createAccountTables)
  // The hot table is read to its end: it is the one that changes, so it is where a torn file shows first.
  for (const { fold } of await loadFolds(writer)) await writer.rows(`SELECT sum(hash(t)) FROM ${hotTable(fold)} t`)
}

function closeStore ({ duckDb, writer, reader }: Store): void {
  writer.close()
  reader.close()
  duckDb.close()
}

/** Keeps the last damaged file for whoever wants to know why. */
function setAside (file: string, { log }: LedgerOptions, error: unknown): void {
  moveAside(file, `${file}.damaged`)
  log.warn({ file, aside: `${file}.damaged`, error }, 'the ledger is damaged: it was moved aside and is made again from the hourly counts')
}

function moveAside (file: string, aside: string): void {
  for (const suffix of ['', '.wal']) {
    rmSync(aside + suffix, { force: true })
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix)
  }
}
