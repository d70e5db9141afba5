// The real aggregator and ledger against a usage log in memory: random traffic, flushes, marks, voids, bad lines, reads of
// any size, and crashes between every two steps; the database deleted or restored from an older copy, the ledger deleted.
// In the end every answered request is billed exactly once and every store agrees. A crash is a copy of the files at that
// moment, opened by a new aggregator. Wrong variants of the rules must be caught: a simulation can be blind.
import assert from 'node:assert/strict'
import { cpSync, existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { planBatch } from '../../src/aggregator/batch-plan.ts'
import type { StreamSeqs } from '../../src/aggregator/batch-plan.ts'
import { openOperations } from '../../src/aggregator/operations.ts'
import type { OpenedAggregator } from '../../src/aggregator/open.ts'
import type { UsageLogItem, UsageProgress } from '../../src/usage-log/port.ts'
import { foldAll, openTestAggregator, openTestLedger, silent, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { MemoryUsageLog, testHour, testTimeMs, usageEvent } from '../helpers/memory-usage-log.ts'
import type { TestStream } from '../helpers/memory-usage-log.ts'
import { seededRandom } from '../helpers/seeded-random.ts'

type Plan = typeof planBatch

/** What a wrong variant changes. */
interface Variant {
  readonly plan?: Plan
  /** What the usage log is told of the progress. */
  readonly progress?: (progress: readonly UsageProgress[]) => readonly UsageProgress[]
}

const steps = 60

class World {
  readonly log = new MemoryUsageLog()
  readonly trace: string[] = []
  /** Billable requests per hour, as answered; what a void took away is taken off again. */
  readonly billable = new Map<number, number>()
  readonly #t: TestContext
  readonly #random: () => number
  readonly #variant: Variant
  #folder: string
  #backup: string | undefined
  #opened: OpenedAggregator | undefined
  #streams: TestStream[]

  constructor (t: TestContext, seed: number, variant: Variant) {
    this.#t = t
    this.#random = seededRandom(seed)
    this.#variant = variant
    this.#folder = temporaryFolder(t, 'world')
    this.log.billableByHour = this.billable
    this.#streams = [this.log.openStream('gateway-1'), this.log.openStream('gateway-2')]
  }

  #below (bound: number): number { return Math.floor(this.#random() * bound) }

  async #aggregator (): Promise<OpenedAggregator> {
    if (this.#opened === undefined) {
      this.log.rewind()
      this.#opened = await openTestAggregator(this.#folder, { segmentRowsMax: 8, ...(this.#variant.plan === undefined ? {} : { plan: this.#variant.plan }) })
    }
    return this.#opened
  }

  #events (): ReturnType<typeof usageEvent>[] {
    return Array.from({ length: 1 + this.#below(4) }, () => usageEvent({
      requestTimeMs: testTimeMs + this.#below(3) * 3_600_000, memberId: 1 + this.#below(2), apiKeyId: 11 + this.#below(2), apiEndpointId: this.#below(3), responseStatus: this.#random() < 0.8 ? 200 : 503
    }))
  }

  #answer (): void {
    const stream = this.#streams[this.#below(this.#streams.length)] as TestStream
    const events = this.#events()
    const fate = this.#random()
    if (fate < 0.06) stream.void(events)
    else if (fate < 0.12) {
      // A line that can't be read is no bill, but its place is kept, and its hour as long as that can be read.
      const [lost] = events
      stream.append(events, new Map([[0, `{"requestTime":"${new Date(lost?.requestTimeMs ?? 0).toISOString()}","broken`]]))
      if (lost !== undefined && lost.responseStatus < 500) this.#take(lost.requestTimeMs)
    } else stream.append(events)
    this.trace.push(`${stream.gatewayId} answers ${events.length}, up to seq ${stream.seq}`)
  }

  #take (requestTimeMs: number): void {
    const hour = Math.floor(requestTimeMs / 3_600_000)
    this.billable.set(hour, (this.billable.get(hour) ?? 0) - 1)
  }

  async #readSome (): Promise<void> {
    const { aggregator } = await this.#aggregator()
    this.log.itemsPerRead = 1 + this.#below(4)
    const items: readonly UsageLogItem[] = this.log.read(0, Infinity)
    if (items.length > 0) await aggregator.take(0, items)
    await aggregator.closeSegmentWhenFull(0)
    this.#report(aggregator.progress(0))
    this.trace.push(`takes ${items.length} items`)
  }

  async #flush (): Promise<void> {
    const { aggregator } = await this.#aggregator()
    await aggregator.flush()
    this.#report(aggregator.progress(0))
    this.trace.push('flushes')
  }

  #report (progress: readonly UsageProgress[]): void {
    this.log.reportProgress(0, (this.#variant.progress ?? ((same) => same))(progress))
  }

  /** The process is gone; what was in its memory as well. Files are as they were at this moment. */
  async #crash (): Promise<void> {
    if (this.#opened === undefined) return
    const next = temporaryFolder(this.#t, 'world')
    cpSync(this.#folder, next, { recursive: true, filter: (source) => !source.endsWith('.tmp') })
    this.#opened.close()
    this.#opened = undefined
    this.#folder = next
    this.trace.push('crash')
  }

  /** A flush that the crash cuts off behind the files, or behind their record. */
  async #crashInFlush (): Promise<void> {
    const { aggregator } = await this.#aggregator()
    const database = path.join(temporaryFolder(this.#t, 'database'), 'aggregator')
    cpSync(path.join(this.#folder, 'aggregator'), database, { recursive: true })
    const known = new Set(aggregator.state.lastFlush === undefined ? [] : [aggregator.state.lastFlush])
    await aggregator.flush()
    const { lastFlush } = aggregator.state
    await this.#crash()
    rmSync(path.join(this.#folder, 'aggregator'), { recursive: true })
    cpSync(database, path.join(this.#folder, 'aggregator'), { recursive: true })
    if (lastFlush !== undefined && !known.has(lastFlush) && this.#random() < 0.6) rmSync(path.join(this.#folder, 'archive', 'flush', `${lastFlush}.json`))
    this.trace.push('crash within a flush')
  }

  /** A commit that fails, as on a full disk: nothing in memory is believed after it. */
  async #failCommit (): Promise<void> {
    const { aggregator } = await this.#aggregator()
    const { writer } = aggregator.parts
    const { transaction } = writer
    const failing: typeof transaction = async (work) => await transaction(async () => {
      await work()
      throw new Error('no space left')
    })
    Object.assign(writer, { transaction: failing })
    const failed = this.#random() < 0.5 ? aggregator.flush() : aggregator.take(0, this.log.read(0, Infinity))
    await failed.catch((error: unknown) => { if ((error as Error).message !== 'no space left') throw error })
    Object.assign(writer, { transaction })
    await aggregator.reset()
    this.log.rewind()
    this.trace.push('a commit fails')
  }

  async #loseDatabase (): Promise<void> {
    await this.#crash()
    rmSync(path.join(this.#folder, 'aggregator'), { recursive: true, force: true })
    this.trace.push('database lost')
  }

  async #backUp (): Promise<void> {
    await this.#crash()
    if (!existsSync(path.join(this.#folder, 'aggregator'))) return
    this.#backup = path.join(temporaryFolder(this.#t, 'backup'), 'aggregator')
    cpSync(path.join(this.#folder, 'aggregator'), this.#backup, { recursive: true })
    this.trace.push('backup')
  }

  async #restore (): Promise<void> {
    if (this.#backup === undefined) return
    await this.#crash()
    rmSync(path.join(this.#folder, 'aggregator'), { recursive: true, force: true })
    cpSync(this.#backup, path.join(this.#folder, 'aggregator'), { recursive: true })
    this.trace.push('database restored from the backup')
  }

  async #fold (): Promise<void> {
    const ledger = await openTestLedger(this.#folder)
    await foldAll(await this.#aggregator(), ledger)
    await ledger.close()
    this.trace.push('ledger folds')
  }

  async #newStream (): Promise<void> {
    const at = this.#below(this.#streams.length)
    const old = this.#streams[at] as TestStream
    old.mark({ state: this.#random() < 0.5 ? 'closed' : 'recovered' })
    this.#streams[at] = this.log.openStream(old.gatewayId)
    this.trace.push(`${old.gatewayId} starts a new stream`)
  }

  async step (): Promise<void> {
    const actions: readonly (readonly [weight: number, action: () => void | Promise<void>])[] = [
      [30, () => { this.#answer() }], [25, () => this.#readSome()], [8, () => { this.#streams[this.#below(2)]?.mark({ watermarkMs: testTimeMs }) }], [9, () => this.#flush()],
      [6, () => this.#crash()], [3, () => this.#crashInFlush()], [4, () => this.#failCommit()], [2, () => this.#loseDatabase()], [3, () => this.#backUp()], [2, () => this.#restore()], [4, () => this.#fold()],
      [2, () => { rmSync(path.join(this.#folder, 'billing'), { recursive: true, force: true }) }], [2, () => this.#newStream()]
    ]
    let at = this.#random() * actions.reduce((sum, [weight]) => sum + weight, 0)
    for (const [weight, action] of actions) {
      at -= weight
      if (at < 0) { await action(); return }
    }
  }

  /** No more faults: everything is taken, archived and folded. @returns what is wrong then */
  async judge (): Promise<string[]> {
    for (const stream of this.#streams) stream.mark({ watermarkMs: testTimeMs, state: 'closed' })
    const opened = await this.#aggregator()
    const { aggregator } = opened
    this.log.itemsPerRead = Infinity
    // Archived positions move only with a flush, so what was counted before a crash is read from the beginning.
    for (let round = 0; round < 2; round++) {
      this.log.rewind()
      await takeAll(opened, this.log)
      await aggregator.flush()
    }
    const wrong = aggregator.gaps.map(({ reason }) => `gap: ${reason}`)
    wrong.push(...opened.problems.map(({ file, problem }) => `${file}: ${problem}`))
    const ledger = await openTestLedger(this.#folder)
    await foldAll(opened, ledger)
    const totals = await ledger.totals()
    for (let hour = testHour; hour < testHour + 3; hour++) {
      const billed = totals.hours.find((found) => found.hour === hour)?.count ?? 0
      if (billed !== (this.billable.get(hour) ?? 0)) wrong.push(`hour +${hour - testHour}: ${billed} billed, ${this.billable.get(hour) ?? 0} answered`)
    }
    const operations = openOperations({ aggregator, exclusively: (work) => work(), flush: async () => { await aggregator.flush() }, problems: [], log: silent, nowMs: () => testTimeMs })
    const report = await operations.verify({ ledger: totals })
    wrong.push(...report.problems, ...report.unchecked)
    for (const row of report.rows) if (row.status === 'difference' || row.status === 'open') wrong.push(`${row.gatewayId} +${row.hour - testHour} ${row.status}: ${row.problems.join('; ')}`)
    const rebuilt = await operations.rebuild({})
    if (rebuilt.differenceCount > 0 || rebuilt.refusedHours.length > 0) wrong.push(`rebuild: ${rebuilt.differenceCount} differences, ${rebuilt.refusedHours.length} refused`)
    await ledger.close()
    return wrong
  }

  close (): void { this.#opened?.close() }
}

/** @returns what is wrong in the end; an error on the way is one thing more */
async function simulate (t: TestContext, seed: number, variant: Variant): Promise<{ readonly wrong: string[], readonly trace: readonly string[] }> {
  const world = new World(t, seed, variant)
  try {
    for (let step = 0; step < steps; step++) await world.step()
    return { wrong: await world.judge(), trace: world.trace }
  } catch (error) {
    return { wrong: [`error: ${(error as Error).message}`], trace: world.trace }
  } finally {
    world.close()
  }
}

const seeds = Number(process.env['TOLLGATE_SEEDS'] ?? 12)

for (let seed = 1; seed <= seeds; seed++) {
  test(`every answered request is billed once, seed ${seed}`, async (t) => {
    const { wrong, trace } = await simulate(t, seed, {})
    assert.deepEqual(wrong, [], trace.join('\n'))
  })
}

/** The plan, with the chain of every run forged so that nothing is ever a gap. */
const withoutGaps: Plan = (items, known) => {
  const standing = new Map(known)
  return planBatch(items.map((item) => {
    if (item.kind === 'mark') return item
    const { appliedSeq, stagedSeq } = standing.get(item.streamId) ?? { appliedSeq: 0, stagedSeq: 0 }
    standing.set(item.streamId, { appliedSeq: Math.max(appliedSeq, item.lastSeq), stagedSeq: Math.max(stagedSeq, item.lastSeq) })
    return { ...item, prevSeq: Math.min(item.prevSeq, appliedSeq, stagedSeq) }
  }), known)
}

/** Takes what it reads: where it stands says only how far it has read, as an offset would. */
const withoutChain: Plan = (items) => {
  const fresh = new Map<string, StreamSeqs>()
  for (const item of items) if (item.kind !== 'mark' && !fresh.has(item.streamId)) fresh.set(item.streamId, { appliedSeq: item.prevSeq, stagedSeq: item.prevSeq })
  return planBatch(items, fresh)
}

const mutants: Readonly<Record<string, Variant>> = {
  'the log is trimmed by what is counted, not by what is archived': { progress: (progress) => progress.map(({ streamId, appliedSeq }) => ({ streamId, appliedSeq, archivedSeq: appliedSeq })) },
  'a gap is skipped, after a trim that was too early': {
    plan: withoutGaps,
    progress: (progress) => progress.map(({ streamId, appliedSeq }) => ({ streamId, appliedSeq, archivedSeq: appliedSeq }))
  },
  'no chain: what is read again is counted again': { plan: withoutChain },
  'one position for both: what is counted is taken for archived': { plan: (items, known) => planBatch(items, new Map([...known].map(([streamId, { appliedSeq }]) => [streamId, { appliedSeq, stagedSeq: appliedSeq }]))) }
}

for (const [name, variant] of Object.entries(mutants)) {
  test(`caught: ${name}`, async (t) => {
    for (let seed = 1; seed <= 20; seed++) {
      const { wrong } = await simulate(t, seed, variant)
      if (wrong.length > 0) return
    }
    assert.fail('the simulation is blind to it')
  })
}
