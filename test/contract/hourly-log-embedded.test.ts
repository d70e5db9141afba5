import { MessageChannel } from 'node:worker_threads'
import { openHourlySource } from '../../src/aggregator/hourly-source.ts'
import { connectHourlyLog, serveHourlyLog } from '../../src/hourly-log/embedded.ts'
import { openTestAggregator, takeAll, temporaryFolder } from '../helpers/aggregator-rig.ts'
import { MemoryUsageLog } from '../helpers/memory-usage-log.ts'
import { hourlyLogContract } from './hourly-log-suite.ts'

hourlyLogContract('embedded', async (t) => {
  const log = new MemoryUsageLog()
  const stream = log.openStream()
  const opened = await openTestAggregator(temporaryFolder(t, 'hourly-log'), { segmentRowsMax: 5 })
  const source = await openHourlySource(opened.aggregator)
  const { port1, port2 } = new MessageChannel()
  const server = serveHourlyLog(port1, source)
  const reader = connectHourlyLog(port2)
  t.after(() => {
    reader.close()
    server.close()
    source.close()
    opened.close()
  })
  return {
    reader,
    count: async (events) => {
      stream.append(events)
      await takeAll(opened, log)
    }
  }
})
