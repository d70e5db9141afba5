// The aggregator's thread in a cluster: partitions are dealt out, come to whoever is left, and are given back in order.
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { after, test } from 'node:test'
import type { TestContext } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { startClusterAggregator } from '../../src/aggregator/cluster-start.ts'
import type { ClusterAggregatorHandle } from '../../src/aggregator/cluster-start.ts'
import type { ArchivedFiles } from '../../src/aggregator/retention.ts'
import { openKafka } from '../../src/kafka/client.ts'
import { openRpc } from '../../src/platform/thread-rpc.ts'
import { temporaryFolder } from '../helpers/aggregator-rig.ts'
import { eventually } from '../helpers/eventually.ts'
import { usageEvent } from '../helpers/memory-usage-log.ts'
import { ClusterStream, clusterSpecs, rigSettings } from '../helpers/owner-rig.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'

const kafka = await startKafka()
after(() => kafka.close())

async function start (t: TestContext, topicPrefix: string, ownerName: string, copyPort?: MessagePort): Promise<{ readonly handle: ClusterAggregatorHandle, readonly folder: string, readonly stop: () => Promise<void> }> {
  const folder = temporaryFolder(t, ownerName)
  const handle = await startClusterAggregator({
    options: { ...rigSettings, stateFolder: folder, topicPrefix, ownerName },
    kafka: kafka.options(ownerName),
    ...(copyPort === undefined ? {} : { copyPort }),
    environment: { logLevel: 'silent', clock: { kind: 'system' }, crashPoint: undefined },
    onDeath: (name, error) => { throw new Error(`${name} died`, { cause: error }) }
  })
  let isStopped = false
  const stop = async (): Promise<void> => {
    if (isStopped) return
    isStopped = true
    await handle.stop()
  }
  t.after(stop)
  return { handle, folder, stop }
}

const partitionsOf = async (handle: ClusterAggregatorHandle): Promise<number[]> => (await handle.status()).partitions.filter(({ state }) => state === 'owning').map(({ partition }) => partition)
const appliedOf = async (handle: ClusterAggregatorHandle): Promise<number> => (await handle.status()).partitions.reduce((sum, { ownership }) => sum + (ownership?.appliedOffset ?? 0), 0)

test('two aggregators share the partitions; one that stops archives and leaves, and the other goes on', async (t) => {
  const prefix = uniquePrefix()
  await kafka.makeTopics(clusterSpecs(prefix, 3))
  const client = openKafka(kafka.options('gateway'))
  t.after(() => client.close())
  const streams = [0, 1, 2].map(() => new ClusterStream())
  const append = async (count: number): Promise<void> => {
    for (const [partition, stream] of streams.entries()) {
      const producer = client.openPartitionProducer({ topic: `${prefix}api-usage-trace`, partition })
      await producer.send(stream.records(Array.from({ length: count }, () => usageEvent())))
      await producer.close()
    }
  }
  await append(10)
  const asked: ArchivedFiles[] = []
  const { port1, port2 } = new MessageChannel()
  openRpc(port1, { archived: (files: ArchivedFiles) => { asked.push(files); return true } })
  t.after(() => { port1.close() })
  const a = await start(t, prefix, 'aggregator-a', port2)
  await eventually('one owns all', async () => (await partitionsOf(a.handle)).length === 3, { withinMs: 60_000 })
  await eventually('it is counted', async () => await appliedOf(a.handle) === 30)
  const b = await start(t, prefix, 'aggregator-b')
  await eventually('both own some', async () => {
    const [own, others] = [await partitionsOf(a.handle), await partitionsOf(b.handle)]
    return own.length > 0 && others.length > 0 && new Set([...own, ...others]).size === 3 && own.length + others.length === 3
  }, { withinMs: 60_000 })
  assert.deepEqual((await a.handle.health()).isReady, true)
  await append(10)
  await eventually('it is counted', async () => await appliedOf(a.handle) + await appliedOf(b.handle) === 60)
  const [mine = -1] = await partitionsOf(a.handle)
  await a.handle.flush(mine)
  assert.ok(globSync(`partition-${mine}/archive/date=*/hour=*/*.parquet`, { cwd: a.folder }).length > 0)
  // A partition of the other one: nothing to do here.
  await a.handle.flush((await partitionsOf(b.handle))[0] ?? -1)
  await assert.rejects(a.handle.recover({ partition: mine, keep: 'file' }), { code: 'ARGUMENT_INVALID' })
  await assert.rejects(a.handle.giveUp({ partition: mine, streamId: 'none', reason: 'gone' }), { code: 'ARGUMENT_INVALID', message: /no records of stream none are missing/ })
  const metrics = (await a.handle.metrics()).map(({ name, values }) => [name, values.reduce((sum, { value }) => sum + value, 0)] as const)
  assert.ok(new Map(metrics).get('tollgate_aggregator_partitions') === (await partitionsOf(a.handle)).length)
  await eventually('copies are asked for', () => asked.some(({ files }) => files.some((file) => file.endsWith('.parquet'))), { withinMs: 40_000 })
  await a.stop()
  await eventually('the other owns all', async () => (await partitionsOf(b.handle)).length === 3, { withinMs: 60_000 })
  await append(5)
  await eventually('it is counted', async () => await appliedOf(b.handle) === 75)
  for (const { ownership } of (await b.handle.status()).partitions) assert.deepEqual(ownership?.gaps, [])
})
