// How far counting is behind, in time: only while records wait, and of the partition that is furthest behind.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openClusterMetrics } from '../../../src/aggregator/cluster-metrics.ts'
import { metricsJson, openMetrics } from '../../../src/platform/metrics.ts'

test('the lag in seconds is that of the partition furthest behind of those with records that wait', async () => {
  const registry = openMetrics()
  const metrics = openClusterMetrics(registry)
  const lagOf = async (...partitions: readonly (readonly [lag: number | undefined, readToMs: number])[]): Promise<number | undefined> => {
    metrics.measure([{ state: 'waiting', ownership: undefined }, ...partitions.map(([lag, readToMs]) => ({ state: 'owning', ownership: { lag, readToMs, revision: 1, publishedRevision: 1 } }))], 0, 100_000)
    return (await metricsJson(registry)).find(({ name }) => name === 'tollgate_aggregator_lag_seconds')?.values[0]?.value
  }
  assert.equal(await lagOf(), 0)
  assert.equal(await lagOf([0, 40_000]), 0, 'an idle topic is not behind')
  assert.equal(await lagOf([5, 90_000], [1, 30_000], [0, 1]), 70)
  assert.equal(await lagOf([5, 0], [undefined, 50_000]), 0, 'nothing was read yet')
  assert.equal(await lagOf([5, 101_000]), 0, 'the brokers\' clock is ahead')
})

test('partitions in line for the shared memory are those that wait now', async () => {
  const registry = openMetrics()
  const metrics = openClusterMetrics(registry)
  for (const inLine of [3, 0]) {
    metrics.measure([], inLine, 0)
    assert.equal((await metricsJson(registry)).find(({ name }) => name === 'tollgate_aggregator_partitions_in_line')?.values[0]?.value, inLine)
  }
})
