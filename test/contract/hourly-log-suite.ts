// What every hourly log must give a ledger, whatever lies between it and the aggregator: each count once, in steps that go
// on where the last one ended.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { UsageEvent } from '../../src/domain/usage-event.ts'
import type { HourlyBatch, HourlyLogReader, HourlyPosition } from '../../src/hourly-log/port.ts'
import type { Ledger } from '../../src/ledger/ledger-types.ts'
import { openTestLedger, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { eventually } from '../helpers/eventually.ts'
import { usageEvent } from '../helpers/memory-usage-log.ts'

export interface HourlyLogRig {
  readonly reader: HourlyLogReader
  /** Counts events, and makes the counts known. A segment is closed at five rows. */
  readonly count: (events: readonly UsageEvent[]) => Promise<void>
}

const partition = 0

/** Everything that is new, as one ledger takes it. */
async function fold (reader: HourlyLogReader, ledger: Ledger): Promise<HourlyBatch[]> {
  const batches: HourlyBatch[] = []
  for (;;) {
    const batch = await reader.next(partition, await ledger.position(partition))
    if (batch === undefined) return batches
    await ledger.apply(batch)
    batches.push(batch)
  }
}

export function hourlyLogContract (name: string, open: (t: TestContext) => Promise<HourlyLogRig>): void {
  const openBoth = async (t: TestContext): Promise<HourlyLogRig & { readonly ledger: Ledger, readonly holds: (count: number) => Promise<HourlyBatch[]> }> => {
    const rig = await open(t)
    const ledger = await openTestLedger(temporaryFolder(t, 'hourly-log'))
    t.after(() => ledger.close())
    const holds = async (count: number): Promise<HourlyBatch[]> => {
      const batches: HourlyBatch[] = []
      await eventually(`the ledger holds ${count}`, async () => {
        batches.push(...await fold(rig.reader, ledger))
        return ledger.isReady() && (await ledger.totals()).count === count
      })
      return batches
    }
    return { ...rig, ledger, holds }
  }

  test(`${name}: the first step begins anew, the next ones go on, and nothing new is nothing`, async (t) => {
    const { reader, count, ledger, holds } = await openBoth(t)
    await count([usageEvent(), usageEvent({ memberId: 2 })])
    const first = await holds(2)
    assert.deepEqual(first.map(({ isReset }) => isReset), [true, ...first.slice(1).map(() => false)])
    assert.equal(await reader.next(partition, await ledger.position(partition)), undefined)
    await count([usageEvent()])
    const second = await holds(3)
    assert.ok(second.length > 0 && second.every(({ isReset }) => !isReset))
  })

  test(`${name}: counts are absolute, and a member's are what was counted`, async (t) => {
    const { count, ledger, holds } = await openBoth(t)
    for (let round = 1; round <= 3; round++) {
      await count([usageEvent({ units: 5 }), usageEvent({ memberId: 2, responseStatus: 404 })])
      await holds(round * 2)
    }
    const [row] = await ledger.memberHours({ memberId: 2, fromHour: 0, toHour: 1_000_000 })
    assert.deepEqual([row?.count, row?.errorCount], [3, 3])
    assert.equal((await ledger.totals()).units, 3n * 6n)
  })

  test(`${name}: segments close, and each count stays one`, async (t) => {
    const { reader, count, holds } = await openBoth(t)
    const events = (memberId: number): UsageEvent[] => Array.from({ length: 6 }, (_, index) => usageEvent({ memberId, apiEndpointId: index + 1 }))
    let closed = 0
    for (let round = 1; round <= 3; round++) {
      await count(events(1))
      closed += (await holds(round * 6)).reduce((sum, batch) => sum + batch.closed.length, 0)
    }
    assert.ok(closed >= 2, `${closed} segments were closed`)
    const late = await openTestLedger(temporaryFolder(t, 'hourly-log'))
    t.after(() => late.close())
    await fold(reader, late)
    assert.equal((await late.totals()).count, 18)
    assert.deepEqual((await late.memberHours({ memberId: 1, fromHour: 0, toHour: 1_000_000 })).map((row) => row.count), [3, 3, 3, 3, 3, 3])
  })

  test(`${name}: a position in another history begins anew`, async (t) => {
    const { reader, count, holds } = await openBoth(t)
    await count([usageEvent()])
    await holds(1)
    const elsewhere: HourlyPosition = { historyId: 'another', term: 1, revision: 1 }
    assert.equal((await reader.next(partition, elsewhere))?.isReset, true)
  })

  test(`${name}: a position ahead of the history begins anew`, async (t) => {
    const { reader, count, ledger, holds } = await openBoth(t)
    await count([usageEvent()])
    await holds(1)
    const position = await ledger.position(partition) as HourlyPosition
    assert.equal((await reader.next(partition, { ...position, revision: position.revision + 1_000_000 }))?.isReset, true)
  })
}
