// Where a counted event's time goes: `counting-stages.ts CONFIG-FILE EVENTS`. It reads a journal that `fill-journal.ts` has filled,
// counts and archives it with the product's own aggregator, and asks the kernel before and after each of DuckDB's statements
// how much processor time the process has had. Nothing else runs in it meanwhile. Prints {stage: us an event} as JSON.
import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { openAggregator } from '../../src/aggregator/open.ts'
import { aggregatorOptionsOf, embeddedPartitions, journalOptionsOf } from '../../src/compose/thread-options.ts'
import { loadConfig } from '../../src/config/load.ts'
import { startJournal } from '../../src/journal/start.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { SqlConnection } from '../../src/platform/duckdb.ts'
import { openLogger } from '../../src/platform/logger.ts'
import { openEmbeddedUsageLog } from '../../src/usage-log/embedded.ts'

/** As the aggregator's loop reads: see `batchBytesMax` there. */
const batchBytesMax = 16 * 2 ** 20
const partition = 0
/** Later events than these are measured: the first ones warm DuckDB and the compiler up. */
const warmEvents = 100_000

const stages: readonly (readonly [stage: string, pattern: RegExp])[] = [
  ['lines of JSON into a table', /^CREATE TEMP TABLE events_\d+ AS SELECT \* FROM read_json/],
  ['each line is what it should be; counts by stream and hour', /AS wrong\b/],
  ['each line names the one before it', /lag\(streamId\)|rowid IN/],
  ['added to the hourly rows', /^INSERT INTO hourly_/],
  ['tables that wait for the archive put together', /^INSERT INTO events_/],
  ['what goes into which file', /AS minSeq/],
  ['Parquet, zstd', /^COPY/]
]
const other = 'other statements'
const commit = 'commit'
const reading = 'read from the journal'
const rest = 'JavaScript around it, files hashed and made durable'
export const countingStages: readonly string[] = [reading, ...stages.map(([stage]) => stage), other, commit, rest]

/** Processor time of the whole process since the last call, us. */
class Meter {
  readonly us = new Map<string, number>()
  #before = process.cpuUsage()

  /** What was used since the last call belongs to `stage`. */
  book (stage: string): void {
    const now = process.cpuUsage()
    this.us.set(stage, (this.us.get(stage) ?? 0) + now.user + now.system - this.#before.user - this.#before.system)
    this.#before = now
  }
}

function watch (connection: SqlConnection, meter: Meter): void {
  const stageOf = (sql: string): string => stages.find(([, pattern]) => pattern.test(sql.trimStart()))?.[0] ?? other
  for (const method of ['run', 'rows', 'runKept', 'rowsKept'] as const) {
    const ask = connection[method] as (sql: string, values?: never) => Promise<unknown>
    Object.assign(connection, {
      [method]: async (sql: string, values?: never) => {
        meter.book(rest)
        try { return await ask(sql, values) } finally { meter.book(stageOf(sql)) }
      }
    })
  }
  const { transaction } = connection
  connection.transaction = async (work) => {
    const result = await transaction(async () => {
      const done = await work()
      meter.book(rest)
      return done
    })
    meter.book(commit)
    return result
  }
}

async function main (configFile: string, events: number): Promise<void> {
  const { config } = loadConfig({ file: configFile })
  const onDeath = (name: string, error: Error): void => { throw new Error(`thread ${name} ended`, { cause: error }) }
  const journal = await startJournal({
    journal: journalOptionsOf(config, embeddedPartitions), workers: 1, ringBytes: config.journal.ringBytes, environment: { logLevel: 'warn', clock: { kind: 'system' }, crashPoint: undefined }, onDeath
  })
  const usageLog = openEmbeddedUsageLog(journal.reader)
  const { memoryBytesMax, threads, segmentRowsMax, batchEventsMax, flushEventsMax } = aggregatorOptionsOf(config)
  const log = openLogger({ level: 'warn', thread: 'counting-stages' })
  const { aggregator, close } = await openAggregator({ stateFolder: config.state, partitions: [partition], memoryBytesMax, threads, segmentRowsMax, log, nowMs: systemClock.nowMs, randomId: randomUUID })
  const meter = new Meter()
  watch(aggregator.parts.writer, meter)
  let counted = 0
  let warm = 0
  for (;;) {
    usageLog.release?.()
    meter.book(rest)
    const items = []
    for (let taken = 0; taken < batchEventsMax;) {
      const more = await usageLog.read(partition, Math.min(batchBytesMax, memoryBytesMax / 8))
      if (more.length === 0) break
      items.push(...more)
      taken += more.reduce((sum, item) => sum + (item.kind === 'events' ? item.count : 0), 0)
    }
    meter.book(reading)
    if (items.length === 0) break
    counted += (await aggregator.take(partition, items)).events
    if (aggregator.stagedEvents >= flushEventsMax || aggregator.stagedBytes >= memoryBytesMax / 4) await aggregator.flush()
    meter.book(rest)
    if (warm === 0 && counted >= warmEvents) {
      warm = counted
      meter.us.clear()
    }
  }
  await aggregator.flush()
  meter.book(rest)
  close()
  await usageLog.close()
  await journal.stop()
  if (counted !== events) throw new Error(`${events} events went in, ${counted} were counted`)
  process.stdout.write(JSON.stringify(Object.fromEntries(countingStages.map((stage) => [stage, (meter.us.get(stage) ?? 0) / (counted - warm)]))))
}

const [configFile, eventsText] = process.argv.slice(2)
if (configFile !== undefined) await main(configFile, Number(eventsText))
