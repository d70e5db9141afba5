// An aggregator on real files, with a clock and names that a test decides.
import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { openAggregator } from '../../src/aggregator/open.ts'
import type { AggregatorOptions, OpenedAggregator } from '../../src/aggregator/open.ts'
import { openHourlySource } from '../../src/aggregator/hourly-source.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import type { Ledger } from '../../src/ledger/ledger-types.ts'
import { openLogger } from '../../src/platform/logger.ts'
import type { UsageLog } from '../../src/usage-log/port.ts'
import { testTimeMs } from './memory-usage-log.ts'

export { temporaryFolder } from './temporary-folder.ts'

export const silent = openLogger({ level: 'silent', thread: 'test' })

let opened = 0

/** Time moves with each opening, as it does between two starts of a program, and with each look at the clock. */
export async function openTestAggregator (stateFolder: string, given: Partial<AggregatorOptions> = {}): Promise<OpenedAggregator> {
  opened++
  let nowMs = testTimeMs + opened * 1_000_000
  return await openAggregator({
    stateFolder, partitions: [0], memoryBytesMax: 256 * 2 ** 20, threads: 1, segmentRowsMax: 250_000, log: silent, nowMs: () => ++nowMs, randomId: () => randomUUID(), ...given
  })
}

/** Counts everything that the log holds. */
export async function takeAll ({ aggregator }: Pick<OpenedAggregator, 'aggregator'>, log: UsageLog): Promise<void> {
  for (;;) {
    const items = await log.read(0, Infinity)
    if (items.length === 0) return
    await aggregator.take(0, items)
    await aggregator.closeSegmentWhenFull(0)
  }
}

/** Archives, and tells the log. */
export async function flushAll ({ aggregator }: Pick<OpenedAggregator, 'aggregator'>, log: UsageLog): Promise<void> {
  await aggregator.flush()
  await log.reportProgress(0, aggregator.progress(0))
}

export async function openTestLedger (folder: string, graceMs = 0): Promise<Ledger> {
  return await openLedger({ folder: path.join(folder, 'billing'), memoryBytesMax: 128 * 2 ** 20, threads: 1, graceMs, log: silent })
}

/** Folds everything that the aggregator has. */
export async function foldAll ({ aggregator }: Pick<OpenedAggregator, 'aggregator'>, ledger: Ledger): Promise<number> {
  const source = await openHourlySource(aggregator)
  try {
    for (let steps = 0; ; steps++) {
      const batch = await source.next(0, await ledger.position(0))
      if (batch === undefined) return steps
      await ledger.apply(batch)
    }
  } finally {
    source.close()
  }
}

/** Asks a database file, or Parquet files, beside the program: read by other code than the program's. */
export async function query<Row> (file: string, sql: string): Promise<Row[]> {
  const instance = await DuckDBInstance.create(file)
  const connection = await instance.connect()
  try {
    return (await (await connection.run(sql)).getRowObjectsJS()) as unknown as Row[]
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
