// The aggregator's thread: the usage log in, hourly rows and the archive out, and the questions of operators between.
import { randomUUID } from 'node:crypto'
import type { MessagePort } from 'node:worker_threads'
import { serveHourlyLog } from '../hourly-log/embedded.ts'
import { gauge, metricsJson, openMetrics } from '../platform/metrics.ts'
import { runThread } from '../platform/thread.ts'
import type { ThreadContext, ThreadService } from '../platform/thread.ts'
import { openEmbeddedUsageLog } from '../usage-log/embedded.ts'
import type { EmbeddedUsageLogSpec } from '../usage-log/embedded.ts'
import { AggregatorLoop } from './aggregator-loop.ts'
import type { LoopOptions } from './aggregator-loop.ts'
import { openAggregatorMetrics } from './aggregator-metrics.ts'
import { copyAggregator } from './backup.ts'
import type { AggregatorCopy } from './backup.ts'
import { openConservation } from './conservation.ts'
import { openHourlySource } from './hourly-source.ts'
import { openAggregator } from './open.ts'
import { openOperations } from './operations.ts'

/** From the configuration. */
export interface AggregatorThreadSettings extends LoopOptions {
  readonly stateFolder: string
  readonly threads: number
  readonly segmentRowsMax: number
}

export interface AggregatorThreadOptions extends AggregatorThreadSettings {
  readonly usageLog: EmbeddedUsageLogSpec
  readonly hourlyLogPort: MessagePort
}

async function start ({ options, log, clock }: ThreadContext<AggregatorThreadOptions>): Promise<ThreadService> {
  const usageLog = openEmbeddedUsageLog(options.usageLog)
  const { aggregator, problems, close } = await openAggregator({ ...options, partitions: usageLog.partitions, log, nowMs: clock.nowMs, randomId: randomUUID })
  const source = await openHourlySource(aggregator)
  const operations = openOperations({ aggregator, exclusively: async (work) => await loop.exclusively(work), flush: async () => { await loop.flush() }, problems, log, nowMs: clock.nowMs })
  const server = serveHourlyLog(options.hourlyLogPort, source)
  const registry = openMetrics()
  const metrics = openAggregatorMetrics(registry)
  const conservation = await openConservation(aggregator)
  const differences = gauge(registry, 'tollgate_conservation_differences')
  const loop = new AggregatorLoop({ aggregator, usageLog, options, clock, log, metrics, onCommit: server.notify })
  await loop.start((error) => {
    // Thrown where nobody catches it: the thread ends, and with it the process, so that the next start can repair.
    setImmediate(() => { throw error })
  })
  return {
    health: () => loop.health(),
    metrics: async () => {
      metrics.measure(aggregator, { problems: problems.length, nowMs: clock.nowMs() })
      // A database in trouble is the health's to tell: the other numbers are told all the same, and this one stays as it was.
      await conservation.differences().then((count) => { differences.set(count) }, (error: unknown) => { log.debug({ error }, 'the hours that differ could not be counted') })
      return await metricsJson(registry)
    },
    stop: async () => {
      await loop.stop()
      server.close()
      source.close()
      conservation.close()
      await usageLog.close()
      close()
    },
    handlers: {
      ...operations,
      backup: async ({ folder }: { readonly folder: string }): Promise<AggregatorCopy> =>
        await copyAggregator({ aggregator, operate: async (work) => await loop.operate(work), flush: async () => { await loop.flush() }, usageLog }, folder)
    }
  }
}

runThread(start)
