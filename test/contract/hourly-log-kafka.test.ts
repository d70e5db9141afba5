import path from 'node:path'
import { after } from 'node:test'
import { aggregatorFolders } from '../../src/aggregator/folders.ts'
import { partitionFolder } from '../../src/aggregator/cluster-folders.ts'
import { openKafkaHourlyLog } from '../../src/hourly-log/kafka.ts'
import { hourlyTopics } from '../../src/hourly-log/kafka-topics.ts'
import { ClusterStores } from '../helpers/cluster-stores.ts'
import { startKafka } from '../services/kafka.ts'
import { hourlyLogContract } from './hourly-log-suite.ts'

const kafka = await startKafka(undefined)
after(() => kafka.close())

hourlyLogContract('kafka', async (t) => {
  const stores = new ClusterStores(t, kafka, 1, { segmentRowsMax: 5 })
  const { client, prefix } = stores.billing
  await stores.billing.makeTopics()
  const { hourly } = hourlyTopics(prefix)
  const admin = client.openAdmin()
  const reader = openKafkaHourlyLog({
    topicId: async () => (await admin.topic(hourly))?.topicId ?? '',
    openReader: (partition, topicId) => client.openPartitionReader({ topic: hourly, partition, isolation: 'committed', topicId }),
    closedFile: async (partition, { file }) => path.join(aggregatorFolders(partitionFolder(stores.stateOf('one'), partition)).segments, file),
    onMalformed: ([malformed]) => { throw new Error(malformed?.problem) },
    bytesMax: 100_000,
    waitMs: 10
  })
  t.after(() => reader.close())
  const stream = stores.stream()
  return {
    reader,
    count: async (events) => {
      stream.append(0, events)
      await stores.count('one', 0)
    }
  }
})
