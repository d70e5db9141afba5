// A billing thread as the program runs it, on hourly counts that are made here: `serve-hours.ts CONFIG-FILE HOURS SEGMENT-HOURS STRIDE-HOURS`.
// Prints `listening PORT` (the private listener's) once the ledger holds all of it. A process of its own.
import path from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { startBilling } from '../../src/billing/start.ts'
import { billingOptionsOf } from '../../src/compose/thread-options.ts'
import { loadConfig } from '../../src/config/load.ts'
import { serveHourlyLog } from '../../src/hourly-log/embedded.ts'
import { makeSteps } from './hourly-rows.ts'

const [configFile, hours, segmentHours, strideHours] = process.argv.slice(2)
if (configFile === undefined) throw new Error('usage: serve-hours.ts CONFIG-FILE HOURS SEGMENT-HOURS STRIDE-HOURS')
const { config, priceBook } = loadConfig({ file: configFile })
const steps = await makeSteps(path.join(path.dirname(configFile), 'hours'), { hours: Number(hours), segmentHours: Number(segmentHours), strideHours: Number(strideHours) })

const hourlyLog = new MessageChannel()
serveHourlyLog(hourlyLog.port1, { next: (_partition, position) => steps.step(position === undefined ? 0 : position.revision + 1) })
const onDeath = (name: string, error: Error): void => { throw new Error(`thread ${name} ended`, { cause: error }) }
const startMs = performance.now()
const billing = await startBilling({
  options: billingOptionsOf(config, priceBook),
  hourlyLogPort: hourlyLog.port2,
  environment: { logLevel: 'warn', clock: { kind: 'system' }, crashPoint: undefined },
  onDeath
})
while (!(await billing.health()).isReady) await sleep(20)
process.stdout.write(`loaded ${((performance.now() - startMs) / 1000).toFixed(1)} s\nlistening ${config.billing.privateListen.port}\n`)
process.once('SIGTERM', () => { void billing.stop().then(() => { process.exit(0) }) })
