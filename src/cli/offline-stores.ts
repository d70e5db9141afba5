// What was counted, when no program runs: the aggregator's database and a ledger that is brought up to it. What the journal
// holds and nobody has counted yet stays there; bills say how far they are complete, and verify that it could not check.
import { randomUUID } from 'node:crypto'
import { openHourlySource } from '../aggregator/hourly-source.ts'
import { openAggregator } from '../aggregator/open.ts'
import type { OpenedAggregator } from '../aggregator/open.ts'
import { openOperations } from '../aggregator/operations.ts'
import { billOf, membersBillOf } from '../billing/bill.ts'
import { openBillingSource } from '../billing/source.ts'
import { readPriceBookFile } from '../config/price-book-file.ts'
import { ConfigError } from '../config/problem.ts'
import type { Config } from '../config/schema.ts'
import type { PriceBook } from '../domain/price-book.ts'
import { openLedger } from '../ledger/ledger.ts'
import type { Ledger } from '../ledger/ledger-types.ts'
import { systemClock } from '../platform/clock.ts'
import { openLogger } from '../platform/logger.ts'
import { stateFiles } from '../platform/state-files.ts'
import { billHandlers } from './handlers/bill.ts'
import { proofHandlers } from './handlers/proof.ts'
import type { OpenedHandlers } from './opened-handlers.ts'

/** Of the embedded usage log. */
const partition = 0
/** Standard output belongs to the command's result; what must be known comes as an error. */
const log = openLogger({ level: 'silent', thread: 'command' })

/** The state's lock is held. */
export async function openOfflineBill (config: Config): Promise<OpenedHandlers> {
  const book = readBook(config)
  const { ledger, close } = await openStores(config)
  const source = openBillingSource(ledger, () => book, systemClock)
  return { handlers: billHandlers({ bill: (question) => billOf(source, question), membersBill: (question) => membersBillOf(source, question) }), close }
}

/** The state's lock is held. */
export async function openOfflineProof (config: Config): Promise<OpenedHandlers> {
  const { opened: { aggregator, problems }, ledger, close } = await openStores(config)
  const operations = openOperations({
    aggregator,
    problems,
    exclusively: (work) => work(),
    flush: async () => { await aggregator.flush() },
    log,
    nowMs: systemClock.nowMs
  })
  return { handlers: proofHandlers({ aggregator: operations, ledger: ledger.totals, clock: systemClock, askMarks: async () => {}, isCounting: false }), close }
}

interface Stores { readonly opened: OpenedAggregator, readonly ledger: Ledger, readonly close: () => Promise<void> }

async function openStores (config: Config): Promise<Stores> {
  const { memoryBytesMax, threads } = config.aggregator
  const opened = await openAggregator({
    stateFolder: config.state, partitions: [partition], memoryBytesMax, threads, segmentRowsMax: config.hourlyLog.segmentRowsMax, log, nowMs: systemClock.nowMs, randomId: randomUUID
  })
  let ledger: Ledger | undefined
  const close = async (): Promise<void> => {
    await ledger?.close()
    opened.close()
  }
  try {
    ledger = await openLedger({ folder: stateFiles(config.state).billing, ...config.ledger, graceMs: config.completeness.graceMs, log })
    await catchUp(ledger, opened)
    return { opened, ledger, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function catchUp (ledger: Ledger, { aggregator }: OpenedAggregator): Promise<void> {
  const source = await openHourlySource(aggregator)
  try {
    for (;;) {
      const batch = await source.next(partition, await ledger.position(partition))
      if (batch === undefined) return
      await ledger.apply(batch)
    }
  } finally {
    source.close()
  }
}

function readBook (config: Config): PriceBook {
  const file = config.billing.priceBookFile
  const read = readPriceBookFile(file, file)
  if ('problems' in read) throw new ConfigError(read.problems)
  return read.book
}
