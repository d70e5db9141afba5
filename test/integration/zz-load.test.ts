import { after, test } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import { openDuckDb } from '../../src/platform/duckdb.ts'
import { eventually } from '../helpers/eventually.ts'
import { usageEvent } from '../helpers/memory-usage-log.ts'
import { ClusterStream, clusterSpecs, openOwnerRig, owned, settled } from '../helpers/owner-rig.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'
import { openLogger } from '../../src/platform/logger.ts'
const kafka = await startKafka(undefined, { basePort: 24_100 })
after(() => kafka.close())
test('load', async (t) => {
  const prefix = uniquePrefix()
  await kafka.makeTopics(clusterSpecs(prefix))
  const client = openKafka(kafka.options('owners'))
  t.after(() => client.close())
  const log = openLogger({ level: 'info', thread: 't' })
  const rig = openOwnerRig(t, { kafka: client, prefix, log })
  const a = rig.machine('a')
  const rows = 1_000_000
  const first = a.own({ segmentRowsMax: 2_000_000 })
  await owned(first)
  await rig.append(new ClusterStream().records([usageEvent()]))
  await settled(rig, first)
  await first.close()
  const db = await openDuckDb({ file: a.folder + '/partition-0/aggregator/aggregator.duckdb', memoryBytesMax: 512 * 2 ** 20, threads: 2 })
  const c = await db.connect()
  const [m] = await c.rows<{ revision: bigint }>('SELECT revision FROM meta')
  const rev = Number(m?.revision) + 1
  await c.run(`INSERT INTO hourly_0_0 SELECT 7, 1000 + i // 100, i, 490000 + i % 24, 3, 3, 30, 300, 0, ${rev} FROM range(${rows}) r(i)`)
  await c.run(`UPDATE meta SET revision = ${rev}`)
  c.close(); db.close()
  let start = performance.now()
  let cpu0 = process.cpuUsage()
  const second = a.own({ segmentRowsMax: 2_000_000 })
  await eventually('x', () => second.status().state === 'owning', { withinMs: 300_000 })
  console.error('keep and publish', Math.round(performance.now() - start), 'ms', JSON.stringify(process.cpuUsage(cpu0)), process.memoryUsage().rss / 2 ** 20)
  await second.close()
  start = performance.now()
  cpu0 = process.cpuUsage()
  const third = rig.machine('b').own({ segmentRowsMax: 2_000_000, memoryBytesMax: Number(process.env['MEM'] ?? 128) * 2 ** 20 })
  await eventually('x', () => third.status().state === 'owning', { withinMs: 300_000 })
  console.error('load', Math.round(performance.now() - start), 'ms', JSON.stringify(process.cpuUsage(cpu0)), process.memoryUsage().rss / 2 ** 20)
})
