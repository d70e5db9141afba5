// A partition's fold of the hourly log: hot and cold rows, the position that they hold, and the gateways' watermarks. When
// the aggregator's history has changed, a new fold grows beside the current one and takes its place in one transaction,
// once it has caught up: no bill is ever made from half of one.
import { existsSync } from 'node:fs'
import { TollgateError } from '../domain/errors.ts'
import type { ClosedSegment, HourlyBatch, HourlyPosition } from '../hourly-log/port.ts'
import { sha256OfFile } from '../platform/durable-file.ts'
import type { SqlConnection } from '../platform/duckdb.ts'
import { applyAccount, dropAccount, enterClosed, enterOpened, isClosedSegment, openSegment } from './account-sql.ts'
import { appendDays, appendSnapshot, createCold, createHot, dropCold, hotTable, replaceRows } from './ledger-sql.ts'

export interface Fold {
  readonly fold: number
  readonly partition: number
  readonly isCurrent: boolean
  readonly position: HourlyPosition
}

interface FoldRow { readonly [column: string]: unknown, readonly fold: number, readonly sourcePartition: number, readonly isCurrent: boolean, readonly historyId: string, readonly term: bigint, readonly revision: bigint }

export async function loadFolds (connection: SqlConnection): Promise<Fold[]> {
  const rows = await connection.rows<FoldRow>('SELECT * FROM folds ORDER BY fold')
  return rows.map(({ fold, sourcePartition, isCurrent, historyId, term, revision }) => ({
    fold, partition: sourcePartition, isCurrent, position: { historyId, term: Number(term), revision: Number(revision) }
  }))
}

/** The fold that the next batch of a partition goes to: the growing one, if there is one. */
export function foldToContinue (folds: readonly Fold[], partition: number): Fold | undefined {
  const own = folds.filter((fold) => fold.partition === partition)
  return own.find((fold) => !fold.isCurrent) ?? own[0]
}

/** @throws TollgateError SNAPSHOT_DAMAGED when a closed segment's file isn't what the aggregator closed */
export async function checkSnapshots (closed: readonly ClosedSegment[]): Promise<void> {
  for (const { file, sha256 } of closed) {
    if (!existsSync(file)) throw new TollgateError('SNAPSHOT_DAMAGED', `${file} is missing`)
    if (await sha256OfFile(file) !== sha256) throw new TollgateError('SNAPSHOT_DAMAGED', `${file} has changed`)
  }
}

/** One step of the fold; part of a transaction. */
export async function applyStep (connection: SqlConnection, folds: readonly Fold[], batch: HourlyBatch): Promise<void> {
  const fold = batch.isReset ? await beginFold(connection, folds, batch) : foldToContinue(folds, batch.partition)
  if (fold === undefined) throw new Error(`the hourly log goes on for partition ${batch.partition}, of which nothing is known`)
  for (const closed of batch.closed) await closeSegment(connection, fold.fold, closed)
  await takeRows(connection, fold.fold, batch)
  if (batch.account !== undefined) await applyAccount(connection, fold.fold, batch.account)
  for (const { gatewayId, watermarkMs } of batch.watermarks) {
    await connection.run('INSERT INTO watermarks VALUES ($1, $2, $3) ON CONFLICT DO UPDATE SET watermarkMs = excluded.watermarkMs', [fold.fold, gatewayId, watermarkMs])
  }
  const { historyId, term, revision } = batch.position
  await connection.run('UPDATE folds SET historyId = $2, term = $3, revision = $4 WHERE fold = $1', [fold.fold, historyId, term, revision])
  if (!fold.isCurrent && !batch.hasMore) await finishFold(connection, folds, fold)
}

async function closeSegment (connection: SqlConnection, fold: number, closed: ClosedSegment): Promise<void> {
  if (await isClosedSegment(connection, fold, closed.segment)) return
  const rows = await connection.run(appendSnapshot(fold, closed.file))
  if (rows !== closed.rows) throw new TollgateError('SNAPSHOT_DAMAGED', `${closed.file} has ${rows} rows instead of ${closed.rows}`)
  await connection.run(appendDays(fold, closed.file))
  // All rows of the open segment are in the snapshot as well; the next segment's come after it.
  if ((await openSegment(connection, fold) ?? 0) <= closed.segment) {
    await connection.run(`DROP TABLE ${hotTable(fold)}`)
    await connection.run(createHot(fold))
  }
  await enterClosed(connection, fold, closed)
}

async function takeRows (connection: SqlConnection, fold: number, { rowsNdjson, account }: HourlyBatch): Promise<void> {
  const segment = account?.segment
  if (segment !== undefined) {
    // The snapshot holds them, and they must not count twice.
    if (await isClosedSegment(connection, fold, segment)) return
    const open = await openSegment(connection, fold)
    if (open === undefined) await enterOpened(connection, fold, segment)
    else if (open !== segment) throw new TollgateError('HOURLY_LOG_BROKEN', `rows of segment ${segment} follow rows of segment ${open}, and nothing has closed that one`)
  }
  if (rowsNdjson !== '') await connection.run(replaceRows(fold), [rowsNdjson])
}

async function beginFold (connection: SqlConnection, folds: readonly Fold[], batch: HourlyBatch): Promise<Fold> {
  for (const unfinished of folds.filter((fold) => fold.partition === batch.partition && !fold.isCurrent)) await dropFold(connection, unfinished.fold)
  const [meta] = await connection.rows<{ folds: number }>('UPDATE meta SET folds = folds + 1 RETURNING folds')
  if (meta === undefined) throw new Error('the ledger has lost its meta row')
  const fold = meta.folds
  await connection.run(createHot(fold))
  await connection.run(createCold(fold))
  const { historyId, term, revision } = batch.position
  await connection.run('INSERT INTO folds VALUES ($1, $2, false, $3, $4, $5)', [fold, batch.partition, historyId, term, revision])
  return { fold, partition: batch.partition, isCurrent: false, position: batch.position }
}

async function finishFold (connection: SqlConnection, folds: readonly Fold[], finished: Fold): Promise<void> {
  for (const old of folds.filter((fold) => fold.partition === finished.partition && fold.isCurrent)) await dropFold(connection, old.fold)
  await connection.run('UPDATE folds SET isCurrent = true WHERE fold = $1', [finished.fold])
}

async function dropFold (connection: SqlConnection, fold: number): Promise<void> {
  await connection.run(`DROP TABLE ${hotTable(fold)}`)
  await connection.run(dropCold(fold))
  await dropAccount(connection, fold)
  await connection.run('DELETE FROM watermarks WHERE fold = $1', [fold])
  await connection.run('DELETE FROM folds WHERE fold = $1', [fold])
}
