import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { after } from 'node:test'
import { openKafka } from '../../src/kafka/client.ts'
import { batchHeadBytes } from '../../src/kafka/encode-batch.ts'
import { KafkaUsageLog } from '../../src/usage-log/kafka.ts'
import { usageTopics } from '../../src/usage-log/kafka-topics.ts'
import { silent } from '../helpers/aggregator-rig.ts'
import { eventually } from '../helpers/eventually.ts'
import { makeUsageTopics, startShipperRig } from '../helpers/shipper-rig.ts'
import { startKafka, uniquePrefix } from '../services/kafka.ts'
import { spoilByte, usageLogContract } from './usage-log-suite.ts'

const kafka = await startKafka(undefined)
after(() => kafka.close())

usageLogContract('kafka', async (t) => {
  const prefix = uniquePrefix()
  await makeUsageTopics(kafka, prefix, 1)
  const client = openKafka(kafka.options('usage-log'))
  t.after(() => client.close())
  const admin = client.openAdmin()
  const topic = usageTopics(prefix).usage
  let archivedOffset = 0
  return {
    hasMarks: false,
    start: async (folder) => {
      const { offer, stop } = await startShipperRig(t, kafka, { prefix, gatewayId: 'gateway-1', partitions: 1, folder })
      return {
        offer,
        arrived: (count) => eventually('the events are in the topic', async () => (await admin.offsets(topic))[0]?.endOffset === count).then(() => {}),
        stop,
        open: () => new KafkaUsageLog({
          partition: 0,
          reader: client.openPartitionReader({ topic, partition: 0, isolation: 'uncommitted' }),
          archivedOffset: () => archivedOffset,
          setAside: async () => { throw new Error('a record of the gateway\'s has no place') },
          onGone: (error) => { throw error },
          log: silent
        }),
        archive: async (log, { progress, position }) => {
          assert.ok(position !== undefined)
          await log.reportProgress(0, progress)
          archivedOffset = position.offset
          await admin.deleteRecordsBefore(topic, 0, archivedOffset)
        },
        spoil: () => { spoilPartition(path.join(kafka.folder, 'broker-1', `${topic}-0`)) }
      }
    }
  }
})

/** Changes a byte of a batch in the later half of the partition's only segment. */
function spoilPartition (folder: string): void {
  const file = path.join(folder, '00000000000000000000.log')
  const content = readFileSync(file)
  let batch = 0
  while (batch < content.length / 2) batch += 12 + content.readInt32BE(batch + 8)
  assert.ok(batch < content.length, 'no batch begins in the later half')
  spoilByte(file, batch + batchHeadBytes)
}
