// A database that an earlier version wrote goes on, with everything that is in it; and no two openings share a name.
import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { databaseVersion } from '../../src/aggregator/aggregator-sql.ts'
import { flushAll, foldAll, openTestAggregator, openTestLedger, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { toFirstAggregatorVersion } from '../helpers/aggregator-version.ts'
import { MemoryUsageLog, usageEvent } from '../helpers/memory-usage-log.ts'

test('a database of version 1 is taken over as it is', async (t) => {
  const folder = temporaryFolder(t, 'version')
  const file = path.join(folder, 'aggregator', 'aggregator.duckdb')
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  const first = await openTestAggregator(folder, { segmentRowsMax: 2 })
  stream.append([usageEvent(), usageEvent({ apiKeyId: 12 }), usageEvent({ apiKeyId: 13 })])
  stream.void([usageEvent()])
  await takeAll(first, log)
  await flushAll(first, log)
  first.close()
  await toFirstAggregatorVersion(file)
  const second = await openTestAggregator(folder, { segmentRowsMax: 2 })
  const ledger = await openTestLedger(folder)
  t.after(async () => {
    await ledger.close()
    second.close()
  })
  stream.append([usageEvent(), usageEvent({ apiKeyId: 14 })])
  await takeAll(second, log)
  await flushAll(second, log)
  await foldAll(second, ledger)
  assert.equal((await ledger.totals()).count, 5)
  const { writer } = second.aggregator.parts
  assert.deepEqual(await writer.rows('SELECT databaseVersion FROM meta'), [{ databaseVersion }])
  const [row] = await writer.rows<{ appliedSeq: bigint, archivedSeq: bigint, revision: bigint }>('SELECT * FROM streams')
  assert.deepEqual([row?.appliedSeq, row?.archivedSeq], [6n, 6n])
  assert.ok(Number(row?.revision) > 0)
  assert.deepEqual((await writer.rows<{ revision: bigint }>('SELECT revision FROM voids')).map(({ revision }) => revision), [0n])
})

test('two copies of one file, opened in the same millisecond, are different terms', async (t) => {
  const folder = temporaryFolder(t, 'terms')
  const nowMs = (): number => 1_764_000_000_000
  const made = await openTestAggregator(folder, { nowMs })
  made.close()
  const copy = temporaryFolder(t, 'terms')
  cpSync(folder, copy, { recursive: true })
  const [one, other] = [await openTestAggregator(folder, { nowMs }), await openTestAggregator(copy, { nowMs })]
  t.after(() => {
    one.close()
    other.close()
  })
  assert.equal(one.aggregator.state.historyId, other.aggregator.state.historyId)
  assert.notEqual(one.aggregator.state.term, other.aggregator.state.term)
  assert.ok(Number.isSafeInteger(one.aggregator.state.term))
})
